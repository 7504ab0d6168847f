//! Simulations of whole calls: the engine and its clients over bad networks.

mod bandwidth;
mod camera_off;
mod congestion;
mod connecting;
mod data;
mod direct;
mod foreign;
mod forwarding;
mod frames;
mod gathering;
mod hostile;
mod jitter;
mod key_frames;
mod lateness;
mod layers;
mod limits;
mod nonces;
mod plain;
mod raw_data;
mod repair;
mod rtcp;
mod speakers;
mod statistics;
mod tcp;

use std::time::Duration;

use tureen_client::media::Stamp;
use tureen_sim::{Call, Consumption, LinkConfig, Observed, VideoConfig};

const MS: Duration = Duration::from_millis(1);

/// A link without loss.
fn good_link() -> LinkConfig {
    LinkConfig::with_delay(20 * MS)
}

/// Video all of whose frames, key frames too, have [`PACKETS`] packets.
fn even_video() -> VideoConfig {
    VideoConfig { key_frame_factor: 1, ..VideoConfig::default() }
}

/// Packets in a frame of [`even_video`].
const PACKETS: u64 = 4;

/// What a consumer has received.
fn received(call: &Call, consumption: &Consumption) -> Vec<Observed> {
    let all = call.network.observed(consumption.node).iter();
    all.filter(|packet| packet.ssrc == consumption.ssrc).copied().collect()
}

/// Which packet of the source this is, counted from 0.
fn ordinal(packet: &Observed) -> u64 {
    let Stamp { frame, packet: at, packets, .. } = packet.stamp.expect("payloads arrive as they were sent");
    u64::from(frame) * u64::from(packets) + u64::from(at)
}

/// That the consumer's sequence numbers run exactly as the source's packets do: then every gap in them is one that
/// the network made. Returns how many of the packets between the first and the last one did not come.
fn assert_numbered_like_the_source(packets: &[Observed]) -> u64 {
    let offsets: Vec<_> = packets.iter().map(|packet| packet.seq as i64 - ordinal(packet) as i64).collect();
    let at = offsets.iter().position(|offset| *offset != offsets[0]);
    assert_eq!(at, None, "the numbering shifts at {:?}", at.map(|at| &packets[at.saturating_sub(1)..=at]));
    let mut seqs: Vec<_> = packets.iter().map(|packet| packet.seq).collect();
    seqs.sort_unstable();
    assert!(seqs.is_sorted_by(|a, b| a < b), "a packet was delivered twice");
    seqs[seqs.len() - 1] - seqs[0] + 1 - seqs.len() as u64
}
