//! Statistics of calls over links with known properties.

use std::time::Duration;

use tureen_engine::api::{
    Notification, ProducerEvent, ProducerId, Request, Response, RtpStreamStats, StreamDirection,
    TransportStats,
};
use tureen_sim::{Call, LinkConfig, NodeId};

use crate::{MS, even_video, good_link};

fn transport_stats(call: &mut Call, node: NodeId) -> TransportStats {
    let id = call.transport(node).clone();
    match call.request(Request::TransportStats(id)) {
        Response::TransportStats(stats) => *stats,
        other => panic!("not statistics: {other:?}"),
    }
}

pub(crate) fn stream_stats(call: &mut Call, request: Request) -> Vec<RtpStreamStats> {
    match call.request(request) {
        Response::RtpStreamStats(stats) => stats,
        other => panic!("not statistics: {other:?}"),
    }
}

#[test]
fn statistics_contain_round_trip_loss_and_retransmissions_of_both_hops() {
    let mut call = Call::new(1);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let lossy = LinkConfig::with_delay(30 * MS).with_loss(0.05);
    for node in &nodes {
        call.network.set_links(*node, lossy.clone(), lossy.clone());
    }
    let production = call.produce_video(nodes[0], even_video());
    let consumption = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(20));
    for node in &nodes {
        let stats = transport_stats(&mut call, *node);
        let round_trip = stats.round_trip_time_ms.expect("measured");
        assert!((59.0..75.0).contains(&round_trip), "{round_trip} ms");
    }
    let up = transport_stats(&mut call, nodes[0]);
    let lost = up.rtp_packet_loss_received.expect("packets were received");
    assert!((0.005..0.2).contains(&lost), "{lost}");
    assert!(up.rtp_packet_loss_sent.is_none(), "nothing was sent");
    let down = transport_stats(&mut call, nodes[1]);
    let lost = down.rtp_packet_loss_sent.expect("feedback was received");
    assert!((0.005..0.2).contains(&lost), "{lost}");

    let incoming = stream_stats(&mut call, Request::ProducerStats(production.id.clone()));
    let [stream] = &incoming[..] else { panic!("{incoming:?}") };
    assert_eq!(stream.direction, StreamDirection::Inbound);
    assert!(stream.packet_count > 2000 && stream.byte_count > 0 && stream.bitrate > 0, "{stream:?}");
    assert!(stream.packets_lost > 20 && stream.nack_count > 0 && stream.nack_packet_count > 20, "{stream:?}");
    assert!(
        stream.packets_repaired > 20 && stream.packets_retransmitted >= stream.packets_repaired,
        "{stream:?}"
    );
    assert!(
        stream.round_trip_time_ms.is_some() && stream.score > 0 && stream.rtx_ssrc.is_some(),
        "{stream:?}"
    );
    let consumed = stream_stats(&mut call, Request::ConsumerStats(consumption.id.clone()));
    let [sent, received] = &consumed[..] else { panic!("{consumed:?}") };
    assert_eq!((sent.direction, received.ssrc), (StreamDirection::Outbound, stream.ssrc));
    assert!(sent.packet_count > 2000 && sent.byte_count > 0 && sent.bitrate > 0, "{sent:?}");
    assert!(sent.packets_lost > 0 && sent.nack_count > 0 && sent.nack_packet_count > 20, "{sent:?}");
    assert!(sent.packets_repaired > 20 && sent.packets_retransmitted >= sent.packets_repaired, "{sent:?}");
    assert!(sent.round_trip_time_ms.is_some_and(|ms| ms > 50.0) && sent.score > 0, "{sent:?}");
}

/// Number of streams in each score event of a Producer. Asserts that every score is 10.
fn reported_best_scores(call: &Call, producer: &ProducerId) -> Vec<usize> {
    let notifications = call.network.notifications();
    let events = notifications.iter().filter_map(|(_, notification)| match notification {
        Notification::Producer(id, ProducerEvent::Score(scores)) if id == producer => Some(scores),
        _ => None,
    });
    events
        .inspect(|scores| assert!(scores.iter().all(|score| score.score == 10), "{scores:?}"))
        .map(Vec::len)
        .collect()
}

#[test]
fn first_packet_of_a_stream_reports_its_score() {
    let mut call = Call::new(2);
    let nodes = call.join_all(&[good_link()]);
    let single = call.produce_video(nodes[0], even_video());
    let simulcast = call.produce_simulcast(nodes[0], &[even_video(), even_video(), even_video()]);
    call.network.run_for(Duration::from_secs(2));
    assert_eq!(reported_best_scores(&call, &single.id), [1]);
    assert_eq!(reported_best_scores(&call, &simulcast.id), [1, 2, 3]);
}

#[test]
fn estimate_is_reported_for_a_transport_with_consumers() {
    let mut call = Call::new(3);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    call.network.run_for(Duration::from_secs(1));
    assert_eq!(transport_stats(&mut call, nodes[1]).available_outgoing_bitrate, None);
    call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(1));
    assert!(transport_stats(&mut call, nodes[1]).available_outgoing_bitrate.is_some());
    assert_eq!(transport_stats(&mut call, nodes[0]).available_outgoing_bitrate, None);
}
