//! Simulations of whole calls: the engine and its clients over lossy and slow networks.

mod bandwidth;
mod coalescing;
mod congestion;
mod connecting;
mod data;
mod direct;
mod estimate;
mod estimate_recovery;
mod forwarding;
mod frames;
mod hostile;
mod jitter_buffer;
mod key_frames;
mod layers;
mod max_incoming_bitrate;
mod nonces;
mod observers;
mod plain;
mod raw_rtp;
mod repair;
mod repair_delay;
mod rtcp;
mod sctp_without_dtls;
mod statistics;
mod tcp;

use std::time::Duration;

use tureen_client::media::Stamp;
use tureen_sim::{Call, Consumption, LinkConfig, Observed, VideoConfig};

const MS: Duration = Duration::from_millis(1);

/// Link without loss.
fn good_link() -> LinkConfig {
    LinkConfig::with_delay(20 * MS)
}

/// Video whose frames, including key frames, have [`PACKETS`] packets each.
fn even_video() -> VideoConfig {
    VideoConfig { key_frame_factor: 1, ..VideoConfig::default() }
}

/// Number of packets of each frame of [`even_video`].
const PACKETS: u64 = 4;

/// Packets that a consumer has received.
fn received(call: &Call, consumption: &Consumption) -> Vec<Observed> {
    let all = call.network.observed(consumption.node).iter();
    all.filter(|packet| packet.ssrc == consumption.ssrc).copied().collect()
}

/// Position of the packet in its source's stream, from 0.
fn ordinal(packet: &Observed) -> u64 {
    let Stamp { frame, packet: at, packets, .. } = packet.stamp.expect("payloads arrive as they were sent");
    u64::from(frame) * u64::from(packets) + u64::from(at)
}

/// Asserts that the consumer's sequence numbers differ from the positions in the source's stream by a constant, so that
/// every gap is a loss in the network. Returns the number of packets that are missing between the first and the last
/// one.
fn assert_numbered_like_the_source(packets: &[Observed]) -> u64 {
    let offsets: Vec<_> = packets.iter().map(|packet| packet.seq as i64 - ordinal(packet) as i64).collect();
    let at = offsets.iter().position(|offset| *offset != offsets[0]);
    assert_eq!(at, None, "the numbering shifts at {:?}", at.map(|at| &packets[at.saturating_sub(1)..=at]));
    let mut seqs: Vec<_> = packets.iter().map(|packet| packet.seq).collect();
    seqs.sort_unstable();
    assert!(seqs.is_sorted_by(|a, b| a < b), "a packet was delivered twice");
    seqs[seqs.len() - 1] - seqs[0] + 1 - seqs.len() as u64
}
