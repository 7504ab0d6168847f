//! Delay of lost packets, during which the picture freezes, and the number of retransmissions that it costs.

use std::time::Duration;

use tureen_engine::api::Request;
use tureen_sim::{Call, Consumption, LinkConfig, VideoConfig};

use crate::statistics::stream_stats;
use crate::{even_video, good_link, received};

/// Round trip time of each hop.
const RTT: Duration = Duration::from_millis(100);

/// Sufficient for one retransmission on either hop, but not for a second one.
const LATE: Duration = Duration::from_millis(180);

/// Later packets are not evaluated, because the call ends before their retransmissions.
const COUNTED: Duration = Duration::from_secs(60);

/// Late packets, and retransmissions on the second hop.
#[derive(Debug, Default)]
struct Tally {
    /// Packets that were sent to the receiver, from the first received one on.
    packets: u64,
    /// Packets that arrived more than [`LATE`] after the earliest possible time, or never.
    late: u64,
    /// Datagrams lost on the link to the receiver.
    lost: u64,
    /// Packets retransmitted on this link.
    retransmitted: u64,
}

/// Sums over calls with several seeds of a producer of `encodings` and one consumer.
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
        let (packets, late) = late_packets(&call, &consumer);
        sum.packets += packets;
        sum.late += late;
        sum.lost += call.network.link_stats(nodes[1]).1.lost;
        let stats = stream_stats(&mut call, Request::ConsumerStats(consumer.id.clone()));
        sum.retransmitted += stats[0].packets_retransmitted;
    }
    sum
}

/// Number of packets, and of those that were late or lost.
fn late_packets(call: &Call, consumer: &Consumption) -> (u64, u64) {
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
fn few_packets_need_a_second_retransmission() {
    let link = lossy(LinkConfig::with_delay(RTT / 2));
    let tally = tally(&link, &link, &[even_video()]);
    // Without proactive and duplicate retransmissions 12 in a thousand are late.
    assert!(tally.late * 1000 < tally.packets * 5, "{tally:?}");
    // Each packet that is lost on either hop may be retransmitted twice.
    assert!(tally.retransmitted < tally.lost * 3, "{tally:?}");
}

#[test]
fn few_packets_of_simulcast_need_a_second_retransmission() {
    let link = lossy(LinkConfig::with_delay(RTT / 2));
    let encoding = |frame_bytes| VideoConfig { frame_bytes, ..even_video() };
    let tally = tally(&link, &link, &[417, 1667, 5000].map(encoding));
    // Without duplicate retransmissions 10 in a thousand are late.
    assert!(tally.late * 1000 < tally.packets * 8, "{tally:?}");
    assert!(tally.retransmitted < tally.lost * 3, "{tally:?}");
}

#[test]
fn receiver_with_a_short_round_trip_gets_no_duplicates() {
    let tally = tally(&good_link(), &lossy(good_link()), &[even_video()]);
    assert!(tally.retransmitted * 10 < tally.lost * 11, "{tally:?}");
}
