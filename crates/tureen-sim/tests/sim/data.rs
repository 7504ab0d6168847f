//! Data channels between members of a call, over lossy networks.

use std::time::Duration;

use tureen_client::Event;
use tureen_engine::api::{
    DataConsumerEvent, DataMessage, DataTransport, Injection, Notification, Publication, Request, Response,
    TransportEvent,
};
use tureen_rtc::dtls::Role;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::SctpState;
use tureen_sim::{Call, LinkConfig, Loss, NodeId};
use tureen_types::sctp_parameters::SctpStreamParameters;

use crate::{MS, good_link};

/// Defaults of mediasoup's Rust library.
pub(crate) const OPTIONS: SctpOptions = SctpOptions {
    max_send_message_size: 262_144,
    max_receive_message_size: 262_144,
    send_buffer_size: 2_000_000,
    per_stream_send_queue_limit: 2_000_000,
    max_receiver_window_buffer_size: 5_242_880,
    default_buffered_amount_low_threshold: 0,
    outbound_streams: tureen_rtc::sctp::MAX_STREAMS,
    inbound_streams: tureen_rtc::sctp::MAX_STREAMS,
};

fn call(seed: u64, links: &[LinkConfig]) -> (Call, Vec<NodeId>) {
    let mut call = Call::new(seed);
    call.enable_data(OPTIONS);
    let nodes = call.join_all(links);
    call.network.run_for(Duration::from_secs(1));
    (call, nodes)
}

fn lossy_link() -> LinkConfig {
    LinkConfig { loss: Loss::Random(0.05), ..LinkConfig::with_delay(20 * MS) }
}

fn ordered(stream: u16) -> SctpStreamParameters {
    SctpStreamParameters::new_ordered(stream)
}

fn connected(call: &Call, node: NodeId) -> bool {
    let events = call.network.events(node).iter();
    let client = events.filter(|(_, event)| *event == Event::Sctp(SctpState::Connected)).count() == 1;
    let transport = call.transport(node);
    let states: Vec<_> = call
        .network
        .notifications()
        .iter()
        .filter_map(|(_, notification)| match notification {
            Notification::Transport(id, TransportEvent::SctpState(state)) if id == transport => Some(*state),
            _ => None,
        })
        .collect();
    client && states == [SctpState::Connecting, SctpState::Connected]
}

#[test]
fn association_connects_by_itself_in_both_dtls_roles() {
    let mut call = Call::new(1);
    call.enable_data(OPTIONS);
    let nodes = [Role::Client, Role::Server].map(|role| call.join(role, good_link()));
    call.connect(&nodes);
    call.network.run_for(Duration::from_secs(1));
    for node in nodes {
        assert!(connected(&call, node));
        let Response::TransportDump(dump) =
            call.request(Request::DumpTransport(call.transport(node).clone()))
        else {
            panic!("not a dump");
        };
        let sctp = dump.sctp.expect("it has data channels");
        assert_eq!(sctp.state, SctpState::Connected);
        assert!(sctp.parameters.is_data_channel);
        assert_eq!(sctp.negotiated_capabilities.map(|c| c.negotiated_max_outbound_streams), Some(65_535));
        assert_eq!(dump.max_send_message_size, 262_144);
    }
}

#[test]
fn ordered_messages_reach_every_consumer_over_lossy_links() {
    let (mut call, nodes) = call(2, &[lossy_link(), lossy_link(), good_link()]);
    let producer = call.produce_data(nodes[0], ordered(1));
    for &node in &nodes[1..] {
        call.consume_data(node, &producer, ordered(7));
    }
    let texts: Vec<String> = (0..300).map(|number| format!("message {number}")).collect();
    for text in &texts {
        call.send_text(nodes[0], ordered(1), text.as_str());
        call.network.run_for(10 * MS);
    }
    call.network.run_for(Duration::from_secs(20));
    for &node in &nodes[1..] {
        assert_eq!(call.messages(node, 7), texts);
    }
    let Response::DataProducerStats(stats) = call.request(Request::DataProducerStats(producer)) else {
        panic!("not statistics");
    };
    assert_eq!(stats.messages_received, 300);
    assert_eq!(stats.bytes_received, texts.iter().map(|text| text.len() as u64).sum::<u64>());
}

#[test]
fn messages_of_200_kb_arrive_whole() {
    let (mut call, nodes) = call(3, &[good_link(), lossy_link()]);
    let producer = call.produce_data(nodes[0], ordered(0));
    call.consume_data(nodes[1], &producer, ordered(0));
    let long: Vec<u8> = (0..200_000u32).map(|at| (at % 253) as u8).collect();
    for _ in 0..3 {
        call.send_text(nodes[0], ordered(0), long.clone());
    }
    call.network.run_for(Duration::from_secs(60));
    let messages = call.messages(nodes[1], 0);
    assert_eq!(messages.len(), 3);
    assert!(messages.iter().all(|message| *message == long));
}

#[test]
fn unreliable_messages_may_be_lost_but_delay_no_others() {
    let (mut call, nodes) = call(4, &[good_link(), LinkConfig { loss: Loss::Random(0.2), ..good_link() }]);
    let unreliable = SctpStreamParameters::new_unordered_with_retransmits(2, 0);
    let producer = call.produce_data(nodes[0], ordered(2));
    call.consume_data(nodes[1], &producer, unreliable);
    for number in 0..500 {
        call.send_text(nodes[0], ordered(2), format!("{number:04}"));
        call.network.run_for(20 * MS);
    }
    call.network.run_for(Duration::from_secs(5));
    let mut messages = call.messages(nodes[1], 2);
    assert!((350..480).contains(&messages.len()), "{} of 500", messages.len());
    assert!(messages.contains(&"0499".into()) || messages.contains(&"0498".into()));
    let received = messages.len();
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), received, "a message was delivered twice");
}

#[test]
fn thousand_channels_are_opened_closed_and_reused() {
    let (mut call, nodes) = call(5, &[good_link(), good_link()]);
    for round in 0..3 {
        let mut producers = Vec::new();
        for stream in 0..1000 {
            let producer = call.produce_data(nodes[0], ordered(stream));
            call.consume_data(nodes[1], &producer, ordered(stream));
            producers.push(producer);
        }
        for stream in 0..1000 {
            call.send_text(nodes[0], ordered(stream), format!("{round} {stream}"));
        }
        call.network.run_for(Duration::from_secs(5));
        for stream in 0..1000 {
            let last = call.messages(nodes[1], stream);
            assert_eq!(last.len(), round + 1, "stream {stream} in round {round}");
            assert_eq!(last[round], format!("{round} {stream}"));
        }
        for producer in producers {
            call.request(Request::CloseDataProducer(producer));
        }
        call.network.run_for(Duration::from_secs(5));
        let resets = call.network.events(nodes[1]).iter();
        let resets = resets.filter(|(_, event)| matches!(event, Event::StreamReset(_))).count();
        assert!(resets >= 1000 * (round + 1), "{resets} after round {round}");
    }
    let Response::TransportDump(dump) =
        call.request(Request::DumpTransport(call.transport(nodes[1]).clone()))
    else {
        panic!("not a dump");
    };
    assert_eq!(dump.data_consumer_ids, []);
}

#[test]
fn closed_channel_of_a_member_closes_its_data_consumer() {
    let (mut call, nodes) = call(6, &[good_link(), good_link()]);
    let producer = call.produce_data(nodes[0], ordered(0));
    let consumer = call.consume_data(nodes[1], &producer, ordered(3));
    call.network.with_session(nodes[1], |session, now| session.close_stream(now, 3));
    call.network.run_for(Duration::from_secs(1));
    assert!(call.network.request(Request::DumpDataConsumer(consumer)).is_err());
    let again = call.consume_data(nodes[1], &producer, ordered(3));
    call.send_text(nodes[0], ordered(0), "again");
    call.network.run_for(Duration::from_secs(5));
    assert_eq!(call.messages(nodes[1], 3), ["again"]);
    assert!(call.network.request(Request::DumpDataConsumer(again)).is_ok());
}

#[test]
fn paused_data_is_dropped_and_events_report_it() {
    let (mut call, nodes) = call(7, &[good_link(), good_link()]);
    let producer = call.produce_data(nodes[0], ordered(0));
    let consumer = call.consume_data(nodes[1], &producer, ordered(0));
    let say = |call: &mut Call, text: &str| {
        call.send_text(nodes[0], ordered(0), text);
        call.network.run_for(Duration::from_secs(1));
    };
    call.request(Request::PauseDataProducer(producer.clone()));
    say(&mut call, "lost");
    call.request(Request::ResumeDataProducer(producer.clone()));
    say(&mut call, "first");
    call.request(Request::PauseDataConsumer(consumer.clone()));
    say(&mut call, "lost too");
    call.request(Request::ResumeDataConsumer(consumer.clone()));
    say(&mut call, "second");
    call.request(Request::CloseDataProducer(producer));
    assert_eq!(call.messages(nodes[1], 0), ["first", "second"]);
    let events: Vec<_> = call
        .network
        .notifications()
        .iter()
        .filter_map(|(_, notification)| match notification {
            Notification::DataConsumer(id, event) if *id == consumer => Some(format!("{event:?}")),
            _ => None,
        })
        .filter(|event| !event.starts_with("BufferedAmountLow"))
        .collect();
    assert_eq!(events, ["DataProducerPause", "DataProducerResume", "DataProducerClose"]);
    assert!(call.network.request(Request::DumpDataConsumer(consumer)).is_err());
}

#[test]
fn application_sends_to_one_consumer_and_publishes_to_subchannels() {
    let (mut call, nodes) = call(8, &[good_link(), good_link(), good_link()]);
    let producer = call.produce_data(nodes[0], ordered(0));
    let consumers: Vec<_> =
        nodes[1..].iter().map(|&node| call.consume_data(node, &producer, ordered(0))).collect();
    let message = |text: &str| DataMessage { ppid: 51, payload: text.into() };
    call.request(Request::SendData(consumers[0].clone(), message("for one")));
    call.request(Request::SetSubchannels(consumers[1].clone(), vec![4, 5]));
    let Response::Subchannels(subchannels) = call.request(Request::AddSubchannel(consumers[1].clone(), 1))
    else {
        panic!("no subchannels");
    };
    assert_eq!(subchannels, [1, 4, 5]);
    let publication = Publication {
        message: message("for subscribers"),
        subchannels: vec![4],
        required_subchannel: Some(5),
        ignored_subchannel: None,
    };
    call.network.inject_direct(Injection::Data(producer, publication));
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(call.messages(nodes[1], 0), ["for one"]);
    assert_eq!(call.messages(nodes[2], 0), ["for subscribers"]);
    let too_long = DataMessage { ppid: 53, payload: vec![0; 262_145] };
    let refused = call.network.request(Request::SendData(consumers[0].clone(), too_long));
    assert!(refused.unwrap_err().to_string().contains("maxMessageSize"));
}

#[test]
fn full_send_buffer_is_reported_and_bounded() {
    let mut call = Call::new(9);
    call.enable_data(SctpOptions { send_buffer_size: 50_000, ..OPTIONS });
    let nodes = call.join_all(&[good_link(), good_link()]);
    let producer = call.produce_data(nodes[0], ordered(0));
    let consumer = call.consume_data(nodes[1], &producer, ordered(0));
    call.network.run_for(Duration::from_secs(1));
    let nowhere = LinkConfig { loss: Loss::Random(1.0), ..good_link() };
    call.network.set_links(nodes[1], nowhere.clone(), nowhere);
    for _ in 0..100 {
        call.send_text(nodes[0], ordered(0), vec![1; 1000]);
        call.network.run_for(50 * MS);
    }
    let Response::BufferedAmount(amount) = call.request(Request::BufferedAmount(consumer.clone())) else {
        panic!("not a buffered amount");
    };
    // The rest of 50 000 bytes was sent, within the initial window of ten packets, but not acknowledged.
    assert!((38_000..50_000).contains(&amount), "{amount}");
    let full = call.network.notifications().iter().filter(|(_, notification)| {
        matches!(notification, Notification::DataConsumer(id, DataConsumerEvent::SctpSendBufferFull) if *id == consumer)
    });
    assert!((40..=50).contains(&full.count()));
    call.network.set_links(nodes[1], good_link(), good_link());
    call.network.run_for(Duration::from_secs(15));
    assert!((50..60).contains(&call.messages(nodes[1], 0).len()));
    let low = call.network.notifications().iter().any(|(_, notification)| {
        matches!(notification, Notification::DataConsumer(_, DataConsumerEvent::BufferedAmountLow(0)))
    });
    assert!(low);
}

#[test]
fn invalid_requests_are_refused_with_a_specific_error() {
    let (mut call, nodes) = call(10, &[good_link(), good_link()]);
    let producer = call.produce_data(nodes[0], ordered(0));
    call.consume_data(nodes[1], &producer, ordered(1));
    let refusal = |call: &mut Call, request: Request| call.network.request(request).unwrap_err().to_string();
    let produce = |transport_id, transport| tureen_engine::api::ProduceData {
        transport_id,
        id: "x".into(),
        transport,
        label: String::new(),
        protocol: String::new(),
        paused: false,
    };
    let id = call.transport(nodes[0]).clone();
    let taken = produce(id.clone(), DataTransport::Sctp(ordered(0)));
    assert!(refusal(&mut call, Request::ProduceData(taken)).contains("streamId already exists"));
    let direct = produce(id.clone(), DataTransport::Direct);
    assert!(refusal(&mut call, Request::ProduceData(direct)).contains("not a direct Transport"));
    let high = produce(id, DataTransport::Sctp(ordered(65_535)));
    assert!(refusal(&mut call, Request::ProduceData(high)).contains("65534"));
}
