//! `maxIncomingBitrate`, which is sent to the client as REMB.

use std::time::Duration;

use tureen_engine::api::Request;
use tureen_rtc::units::Bitrate;
use tureen_sim::{AudioConfig, Call, NodeId};

use crate::{MS, even_video, good_link};

const LIMIT: Bitrate = Bitrate::bps(300_000);

/// A call with one member, which sends video.
fn sending(seed: u64) -> (Call, NodeId) {
    let mut call = Call::new(seed);
    let node = call.join_all(&[good_link()])[0];
    call.produce_video(node, even_video());
    call.network.run_for(Duration::from_secs(1));
    (call, node)
}

fn set_limit(call: &mut Call, node: NodeId, limit: Bitrate) {
    let id = call.transport(node).clone();
    call.request(Request::SetMaxIncomingBitrate(id, limit));
}

fn received_limit(call: &Call, node: NodeId) -> Option<Bitrate> {
    call.network.session(node).max_outgoing_bitrate()
}

#[test]
fn limit_and_its_end_are_sent() {
    let (mut call, node) = sending(1);
    assert_eq!(received_limit(&call, node), None);
    set_limit(&mut call, node, LIMIT);
    call.network.run_for(50 * MS);
    assert_eq!(received_limit(&call, node), Some(LIMIT));
    set_limit(&mut call, node, Bitrate::default());
    call.network.run_for(50 * MS);
    assert_eq!(received_limit(&call, node), None);
}

#[test]
fn limit_is_sent_once_a_producer_has_negotiated_remb() {
    let mut call = Call::new(3);
    let node = call.join_all(&[good_link()])[0];
    set_limit(&mut call, node, LIMIT);
    call.produce_audio(node, AudioConfig::default());
    call.network.run_for(Duration::from_secs(4));
    assert_eq!(received_limit(&call, node), None, "no REMB was negotiated for audio");
    call.produce_video(node, even_video());
    call.network.run_for(50 * MS);
    assert_eq!(received_limit(&call, node), Some(LIMIT));
}

#[test]
fn end_of_a_limit_is_repeated_after_a_loss() {
    let (mut call, node) = sending(2);
    set_limit(&mut call, node, LIMIT);
    call.network.run_for(50 * MS);
    call.network.set_links(node, good_link(), good_link().with_loss(1.0));
    set_limit(&mut call, node, Bitrate::default());
    call.network.run_for(50 * MS);
    call.network.set_links(node, good_link(), good_link());
    assert_eq!(received_limit(&call, node), Some(LIMIT), "the REMB was lost");
    // The REMB is repeated with the first reports 1.5 seconds later; reports are at most 1.5 seconds apart.
    call.network.run_for(Duration::from_millis(3100));
    assert_eq!(received_limit(&call, node), None);
}
