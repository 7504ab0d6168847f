//! How late packets are that a bad line has lost: a picture stands still until the last of them is there.

use std::time::Duration;

use tureen_core::api::Request;
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
    Tally {
        packets: sent.packets,
        late: late(&call, &production, &consumer),
        up: (call.network.link_stats(nodes[0]).0.lost, sent.retransmitted),
        down: (call.network.link_stats(nodes[1]).1.lost, resent),
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

#[test]
fn few_packets_take_a_second_round_of_repair() {
    let link = LinkConfig::with_delay(RTT / 2).with_loss(0.05);
    let mut sum = Tally::default();
    for seed in 0..6 {
        let tally = tally(seed, &link, &link);
        sum.packets += tally.packets;
        sum.late += tally.late;
        for (sum, tally) in [(&mut sum.up, tally.up), (&mut sum.down, tally.down)] {
            sum.0 += tally.0;
            sum.1 += tally.1;
        }
    }
    // 12.0 in a thousand where each request is said once and repeated on a grid of 40 ms.
    assert!(sum.late * 1000 < sum.packets * 11, "{sum:?}");
    for (lost, resent) in [sum.up, sum.down] {
        assert!(resent * 10 < lost * 11, "{sum:?}");
    }
}
