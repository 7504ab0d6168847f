//! How late packets are that a bad line has lost: a picture stands still until the last of them is there.

use std::time::Duration;

use tureen_engine::api::Request;
use tureen_sim::{Call, Consumption, LinkConfig, VideoConfig};

use crate::statistics::stream_stats;
use crate::{even_video, good_link, received};

/// There and back on either hop.
const RTT: Duration = Duration::from_millis(100);

/// One repair is done by then, on either hop; a second round is not.
const LATE: Duration = Duration::from_millis(180);

/// What is received after this does not count: its repair would not be seen.
const COUNTED: Duration = Duration::from_secs(60);

/// What came late, and what was done about it on the second hop.
#[derive(Debug, Default)]
struct Tally {
    /// Packets that the receiver knows of.
    packets: u64,
    /// Those that came later than [`LATE`] after they could have come, or not at all.
    late: u64,
    /// Datagrams lost on the way to the receiver.
    lost: u64,
    /// Packets sent again there.
    resent: u64,
}

/// Calls of one producer, who sends `encodings`, and one consumer, with some seeds.
fn tally(up: &LinkConfig, down: &LinkConfig, encodings: &[VideoConfig]) -> Tally {
    let mut sum = Tally::default();
    for seed in 0..6 {
        let mut call = Call::new(seed);
        let nodes = call.join_all(&[good_link(), good_link()]);
        call.network.set_links(nodes[0], up.clone(), up.clone());
        call.network.set_links(nodes[1], down.clone(), down.clone());
        let production = match encodings {
            [one] => call.produce_video(nodes[0], *one),
            several => call.produce_simulcast(nodes[0], several),
        };
        let consumer = call.consume(nodes[1], &production);
        call.network.run_for(COUNTED + Duration::from_secs(4));
        let (packets, late) = lateness(&call, &consumer);
        sum.packets += packets;
        sum.late += late;
        sum.lost += call.network.link_stats(nodes[1]).1.lost;
        let stats = stream_stats(&mut call, Request::ConsumerStats(consumer.id.clone()));
        sum.resent += stats[0].packets_retransmitted;
    }
    sum
}

/// How many packets there were, and how many of them came late or not at all.
fn lateness(call: &Call, consumer: &Consumption) -> (u64, u64) {
    let packets = received(call, consumer);
    let first = packets[0].timestamp;
    // A packet before the first one belongs to the same frame.
    let captured = |timestamp: u32| Duration::from_micros(u64::from(timestamp - first) * 1000 / 90);
    let start = packets.iter().map(|packet| packet.at - captured(packet.timestamp)).min().unwrap();
    let oldest = packets.iter().map(|packet| packet.seq).min().unwrap();
    let counted = packets.iter().filter(|packet| packet.at <= COUNTED);
    let newest = counted.map(|packet| packet.seq).max().unwrap();
    let in_time = packets
        .iter()
        .filter(|packet| packet.seq <= newest && packet.at <= start + captured(packet.timestamp) + LATE);
    let count = newest - oldest + 1;
    (count, count - in_time.count() as u64)
}

fn lossy(link: LinkConfig) -> LinkConfig {
    link.with_loss(0.05)
}

#[test]
fn few_packets_take_a_second_round_of_repair() {
    let link = lossy(LinkConfig::with_delay(RTT / 2));
    let tally = tally(&link, &link, &[even_video()]);
    // 12 in a thousand where each request and each answer is sent once.
    assert!(tally.late * 1000 < tally.packets * 5, "{tally:?}");
    // Each packet lost on either hop may have one copy.
    assert!(tally.resent < tally.lost * 3, "{tally:?}");
}

#[test]
fn few_packets_of_layers_take_a_second_round_of_repair() {
    let link = lossy(LinkConfig::with_delay(RTT / 2));
    let encoding = |frame_bytes| VideoConfig { frame_bytes, ..even_video() };
    let tally = tally(&link, &link, &[417, 1667, 5000].map(encoding));
    // 10 in a thousand without copies.
    assert!(tally.late * 1000 < tally.packets * 8, "{tally:?}");
    assert!(tally.resent < tally.lost * 3, "{tally:?}");
}

#[test]
fn near_receiver_gets_no_copies() {
    let tally = tally(&good_link(), &lossy(good_link()), &[even_video()]);
    assert!(tally.resent * 10 < tally.lost * 11, "{tally:?}");
}
