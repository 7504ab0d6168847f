//! How late packets are that a bad line has lost: a picture stands still until the last of them is there.

use std::time::Duration;

use tureen_core::api::Request;
use tureen_core::units::Bitrate;
use tureen_sim::{Call, Consumption, LinkConfig, Production};

use crate::statistics::stream_stats;
use crate::{even_video, good_link, ordinal, received};

/// There and back on either hop.
const RTT: Duration = Duration::from_millis(100);

/// One repair is done by then, on either hop; a second round is not.
const LATE: Duration = Duration::from_millis(180);

/// How late packets were, and what was sent again.
#[derive(Debug, Default)]
struct Tally {
    /// Packets of the source.
    packets: u64,
    /// Packets that came later than [`LATE`] after they could have come, or not at all.
    late: u64,
    /// Datagrams lost on the way to the server, and packets sent again there.
    up: (u64, u64),
    /// The same for the way to the receiver.
    down: (u64, u64),
}

/// A minute of video over links like these.
fn tally(seed: u64, up: &LinkConfig, down: &LinkConfig) -> Tally {
    let mut call = Call::new(seed);
    let nodes = call.join_all(&[good_link(), good_link()]);
    call.network.set_links(nodes[0], up.clone(), up.clone());
    call.network.set_links(nodes[1], down.clone(), down.clone());
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(60));
    call.network.stop_source(production.ssrc);
    call.network.run_for(Duration::from_secs(4));
    let sent = call.network.session(production.node).send_stats(production.ssrc).unwrap();
    let resent =
        stream_stats(&mut call, Request::ConsumerStats(consumer.id.clone()))[0].packets_retransmitted;
    let down_stats = call.network.link_stats(nodes[1]).1;
    Tally {
        packets: sent.packets,
        late: late(&call, &production, &consumer),
        up: (call.network.link_stats(nodes[0]).0.lost, sent.retransmitted),
        down: (down_stats.lost + down_stats.queue_dropped, resent),
    }
}

fn late(call: &Call, production: &Production, consumer: &Consumption) -> u64 {
    let sent = call.network.session(production.node).send_stats(production.ssrc).unwrap().packets;
    let packets = received(call, consumer);
    let first = packets.iter().map(ordinal).min().unwrap();
    // When the source's first frame would have come.
    let since_start = |timestamp: u32| Duration::from_micros(u64::from(timestamp - 1000) * 1000 / 90);
    let start = packets.iter().map(|packet| packet.at - since_start(packet.timestamp)).min().unwrap();
    let in_time = packets.iter().filter(|packet| packet.at <= start + since_start(packet.timestamp) + LATE);
    sent - first - in_time.count() as u64
}

/// The same for several seeds.
fn sum(up: &LinkConfig, down: &LinkConfig) -> Tally {
    (0..6).map(|seed| tally(seed, up, down)).fold(Tally::default(), |sum, one| Tally {
        packets: sum.packets + one.packets,
        late: sum.late + one.late,
        up: (sum.up.0 + one.up.0, sum.up.1 + one.up.1),
        down: (sum.down.0 + one.down.0, sum.down.1 + one.down.1),
    })
}

#[test]
fn few_packets_take_a_second_round_of_repair() {
    let link = LinkConfig::with_delay(RTT / 2).with_loss(0.05);
    let sum = sum(&link, &link);
    // 12.0 in a thousand where each request and each answer is sent once.
    assert!(sum.late * 1000 < sum.packets * 5, "{sum:?}");
    assert!(sum.up.1 * 10 < sum.up.0 * 11, "{sum:?}");
    // Each packet lost on either hop may have one copy.
    assert!(sum.down.1 < sum.down.0 * 3, "{sum:?}");
}

#[test]
fn near_receiver_gets_no_copies() {
    let sum = sum(&good_link(), &good_link().with_loss(0.05));
    assert!(sum.down.1 * 10 < sum.down.0 * 11, "{sum:?}");
}

#[test]
fn line_that_drops_for_want_of_capacity_gets_no_copies() {
    let narrow =
        LinkConfig { rate: Some(Bitrate::kbps(900)), queue: 30_000, ..LinkConfig::with_delay(RTT / 2) };
    let sum = sum(&good_link(), &narrow);
    assert!(sum.down.1 * 10 < sum.down.0 * 11, "{sum:?}");
}
