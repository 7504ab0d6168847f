//! Coalescing: forwarding of frames as a whole.

use std::time::Duration;

use tureen_rtc::units::Bitrate;
use tureen_sim::{Call, LinkConfig, Observed};

use crate::{MS, PACKETS, even_video, good_link, received};

/// Packets that a viewer receives of a video over the link `up` of the sender.
fn watch(up: LinkConfig) -> Vec<Observed> {
    let mut call = Call::new(1);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(2));
    call.network.set_links(nodes[0], up, good_link());
    let changed_at = call.network.elapsed() + 200 * MS;
    call.network.run_for(Duration::from_secs(2));
    received(&call, &consumer).into_iter().filter(|packet| packet.at > changed_at).collect()
}

/// Time from the first to the last packet of each frame, except for the first and last frames.
fn spans(packets: &[Observed]) -> Vec<Duration> {
    let mut frames: Vec<_> = packets.chunk_by(|a, b| a.timestamp == b.timestamp).collect();
    frames.retain(|frame| frame.len() as u64 == PACKETS);
    assert!(frames.len() > 40, "{} frames", frames.len());
    frames.iter().map(|frame| frame[frame.len() - 1].at - frame[0].at).collect()
}

fn link(rate: Bitrate) -> LinkConfig {
    LinkConfig { rate: Some(rate), ..good_link() }
}

#[test]
fn frame_that_arrives_quickly_is_sent_at_once_after_its_last_packet() {
    // About 0.2 ms for each packet.
    for span in spans(&watch(link(Bitrate::mbps(50)))) {
        assert_eq!(span, Duration::ZERO);
    }
}

#[test]
fn packets_that_arrive_slowly_wait_for_their_frame_at_most_one_millisecond() {
    // About 2 ms for each packet, so that none arrives while the previous one waits.
    let spans = spans(&watch(link(Bitrate::mbps(5))));
    for span in &spans {
        assert!(*span > 3 * MS, "the first packet waited for the last: {span:?}");
    }
}

#[test]
fn frame_whose_last_packet_is_lost_is_sent_without_it() {
    let mut call = Call::new(3);
    let nodes = call.join_all(&[good_link(), good_link()]);
    let production = call.produce_video(nodes[0], even_video());
    let consumer = call.consume(nodes[1], &production);
    call.network.run_for(Duration::from_secs(2));
    call.network.set_links(nodes[0], good_link().with_loss(0.2), good_link());
    call.network.run_for(Duration::from_secs(5));
    let packets = received(&call, &consumer);
    let frames: Vec<_> = packets.chunk_by(|a, b| a.timestamp == b.timestamp).collect();
    let cut = frames.iter().filter(|frame| !frame.iter().any(|packet| packet.marker));
    assert!(cut.count() > 5, "some frames are completed by a retransmission");
}
