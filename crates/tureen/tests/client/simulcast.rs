//! Simulcast by RID, the estimate that each encoding is told, and key frame requests.

use std::collections::HashMap;
use std::time::Duration;

use tureen::prelude::*;
use tureen_client::io::{ClientIo, EncodedFrame, ProduceRtpOptions, RecvTransport, SendTransport};

use crate::setup::*;

fn extension(uri: RtpHeaderExtensionUri, id: u16) -> RtpHeaderExtensionParameters {
    RtpHeaderExtensionParameters { uri, id, encrypt: false }
}

/// Three encodings that are told apart by their RIDs alone.
fn simulcast() -> ProduceRtpOptions {
    let encoding = |rid: &str| RtpEncodingParameters { rid: Some(rid.to_owned()), ..Default::default() };
    let mut parameters = video_parameters("v", ["low", "mid", "high"].map(encoding).to_vec());
    parameters.header_extensions = vec![
        extension(RtpHeaderExtensionUri::Mid, 1),
        extension(RtpHeaderExtensionUri::RtpStreamId, 2),
        extension(RtpHeaderExtensionUri::RepairRtpStreamId, 3),
        extension(RtpHeaderExtensionUri::AbsSendTime, 4),
        extension(RtpHeaderExtensionUri::TransportWideCcDraft01, 5),
    ];
    ProduceRtpOptions::new(MediaKind::Video, parameters)
}

#[test]
fn encodings_are_told_apart_by_rid_and_asked_for_key_frames_one_by_one() {
    run(async {
        let (io, router): (ClientIo, _) = (client_io(), router().await);
        let (first, second) = (server_transport(&router).await, server_transport(&router).await);
        let signalling = Signalling::new(&first);
        let send = SendTransport::new(&io, options_of(&first), signalling.clone());
        let producer = send.produce_rtp(simulcast()).await.unwrap();
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        let _requests = producer.on_key_frame_request(move |encoding| asked.send(encoding).unwrap());
        let (told, mut targets) = tokio::sync::mpsc::unbounded_channel();
        let _targets = producer.on_target_bitrate(move |encoding, rate| told.send((encoding, rate)).unwrap());
        let server_producer = signalling.producers.lock()[0].clone();

        let recv = RecvTransport::new(&io, options_of(&second), Signalling::new(&second));
        let (server_consumer, options) = server_consumer(&second, producer.id()).await;
        let layers = ConsumerLayers { spatial_layer: 1, temporal_layer: None };
        server_consumer.set_preferred_layers(layers).await.unwrap();
        let consumer = recv.consume(options).await.unwrap();
        server_consumer.resume().await.unwrap();

        let mut wanted = HashMap::new();
        let mut got_middle = false;
        let mut number = 0;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        while !got_middle {
            tokio::select! {
                _ = ticks.tick() => {
                    for encoding in 0..3 {
                        let key_frame = wanted.remove(&encoding).is_some();
                        let data = vp8_frame(number * 3 + encoding as u32, 400, key_frame);
                        let frame = EncodedFrame::new(data, Duration::from_millis(10) * number);
                        producer.send_frame(encoding, frame).unwrap();
                    }
                    number += 1;
                }
                Some(encoding) = asks.recv() => drop(wanted.insert(encoding, ())),
                Some(frame) = consumer.next_frame() => {
                    got_middle = vp8_number(&frame.data).expect("frames come whole") % 3 == 1;
                }
            }
        }
        let stats = server_producer.get_stats().await.unwrap();
        let mut rids: Vec<_> = stats.iter().filter_map(|stat| stat.rid.clone()).collect();
        rids.sort();
        assert_eq!(rids, ["high", "low", "mid"]);
        let (encoding, rate) = targets.recv().await.unwrap();
        assert!(encoding < 3 && producer.target_bitrate(0).is_some(), "{rate:?}");
        assert!(send.stats().await.unwrap().target_bitrate.is_some());

        producer.set_max_spatial_layer(0);
        let before = producer.stats().await.unwrap();
        producer.send_frame(2, EncodedFrame::new(vp8_frame(0, 100, true), Duration::ZERO)).unwrap();
        let after = producer.stats().await.unwrap();
        assert_eq!(after.frames_refused, before.frames_refused + 1);
        assert!(producer.target_bitrate(2).is_some_and(|rate| rate.is_zero()));
    });
}
