//! Direct transports: media from and to the application.

use std::sync::{Mutex, mpsc};

use futures_lite::future::block_on;
use tureen::direct_transport::DirectTransport;
use tureen::router::NewTransport;

use super::*;

async fn direct(router: &Router) -> DirectTransport {
    router.create_direct_transport(DirectTransportOptions::default()).await.unwrap()
}

#[test]
fn direct_transport_is_made_and_described() {
    block_on(async {
        let router = router().await;
        let (made, new_transports) = mpsc::channel();
        let made = Mutex::new(made);
        let _handler = router.on_new_transport(move |transport| {
            assert!(matches!(transport, NewTransport::Direct(_)));
            made.lock().unwrap().send(transport.id()).unwrap();
        });
        let mut options = DirectTransportOptions::default();
        options.app_data = AppData::new("bot");
        let transport = router.create_direct_transport(options).await.unwrap();
        assert_eq!(new_transports.try_recv().unwrap(), transport.id());
        assert_eq!(transport.app_data().downcast_ref(), Some(&"bot"));
        let dump = transport.dump().await.unwrap();
        assert_eq!((dump.id, dump.direct, dump.sctp_parameters), (transport.id(), true, None));
        let [stat] = &transport.get_stats().await.unwrap()[..] else { panic!("one entry") };
        assert_eq!((stat.transport_id, stat.bytes_received), (transport.id(), 0));

        let weak = transport.downgrade();
        drop(transport);
        assert!(weak.upgrade().is_none());
        assert!(router.dump().await.unwrap().transport_ids.is_empty());
    });
}

#[test]
fn packets_of_the_application_reach_the_application() {
    block_on(async {
        let router = router().await;
        let (sending, receiving) = (direct(&router).await, direct(&router).await);
        let producer = sending.produce(audio("0", 1111)).await.unwrap();
        let options = ConsumerOptions::new(producer.id(), capabilities());
        let consumer = receiving.consume(options).await.unwrap();
        let (packets, received) = mpsc::channel();
        let packets = Mutex::new(packets);
        let _handler = consumer.on_rtp(move |packet| packets.lock().unwrap().send(packet.to_vec()).unwrap());

        let Producer::Direct(direct) = &producer else { panic!("{producer:?}") };
        for sequence_number in 0..3 {
            direct.send(rtp(sequence_number, 1111)).unwrap();
        }
        let ssrc = consumer.rtp_parameters().encodings[0].ssrc.unwrap();
        for _ in 0..3 {
            let packet = received.recv().unwrap();
            assert_eq!((packet[1], &packet[8..12]), (100, &ssrc.to_be_bytes()[..]));
            assert_eq!(packet[12..], [0xf8, 1, 2, 3]);
        }
        let upgraded = producer.downgrade().upgrade().unwrap();
        assert!(matches!(upgraded, Producer::Direct(_)));
    });
}

#[test]
fn router_reports_losses_to_the_application_by_rtcp() {
    block_on(async {
        let router = router().await;
        let (sending, receiving) = (direct(&router).await, direct(&router).await);
        let producer = sending.produce(video("0", 2222)).await.unwrap();
        let options = ConsumerOptions::new(producer.id(), capabilities());
        let consumer = receiving.consume(options).await.unwrap();
        let (packets, received) = mpsc::channel();
        let packets = Mutex::new(packets);
        let _handler = sending.on_rtcp(move |packet| packets.lock().unwrap().send(packet.to_vec()).unwrap());
        let Producer::Direct(direct) = &producer else { panic!("{producer:?}") };
        let mut packet = rtp(0, 2222);
        packet[1] = 96;
        direct.send(packet).unwrap();
        consumer.request_key_frame().await.unwrap();
        // Receiver reports may arrive before it.
        let pli = received.iter().find(|packet| packet[..2] == [0x81, 206]).unwrap();
        assert_eq!(pli[8..12], 2222_u32.to_be_bytes());
    });
}
