//! Limits of what a sender may send.

use std::time::Duration;

use tureen_engine::api::Request;
use tureen_rtc::units::Bitrate;
use tureen_sim::{AudioConfig, Call, NodeId};

use crate::{MS, even_video, good_link};

const LIMIT: Bitrate = Bitrate::bps(300_000);

/// A call whose one member sends.
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

fn told(call: &Call, node: NodeId) -> Option<Bitrate> {
    call.network.session(node).max_outgoing_bitrate()
}

#[test]
fn sender_is_told_a_limit_and_its_end() {
    let (mut call, node) = sending(1);
    assert_eq!(told(&call, node), None);
    set_limit(&mut call, node, LIMIT);
    call.network.run_for(50 * MS);
    assert_eq!(told(&call, node), Some(LIMIT));
    set_limit(&mut call, node, Bitrate::default());
    call.network.run_for(50 * MS);
    assert_eq!(told(&call, node), None);
}

#[test]
fn sender_is_told_a_limit_once_a_producer_has_negotiated_it() {
    let mut call = Call::new(3);
    let node = call.join_all(&[good_link()])[0];
    set_limit(&mut call, node, LIMIT);
    call.produce_audio(node, AudioConfig::default());
    call.network.run_for(Duration::from_secs(4));
    assert_eq!(told(&call, node), None, "audio has no REMB");
    call.produce_video(node, even_video());
    call.network.run_for(50 * MS);
    assert_eq!(told(&call, node), Some(LIMIT));
}

#[test]
fn end_of_a_limit_survives_the_loss_of_its_first_message() {
    let (mut call, node) = sending(2);
    set_limit(&mut call, node, LIMIT);
    call.network.run_for(50 * MS);
    call.network.set_links(node, good_link(), good_link().with_loss(1.0));
    set_limit(&mut call, node, Bitrate::default());
    call.network.run_for(50 * MS);
    call.network.set_links(node, good_link(), good_link());
    assert_eq!(told(&call, node), Some(LIMIT), "the message is lost");
    // A repetition goes out with the first reports 1.5 seconds later, and those are at most 1.5 seconds apart.
    call.network.run_for(Duration::from_millis(3100));
    assert_eq!(told(&call, node), None);
}
