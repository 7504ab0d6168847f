//! Fuzzing of an SCTP association with packets of its peer.

use std::time::{Duration, Instant};

use tureen_rtc::sctp::Sctp;
use tureen_rtc::sctp::SctpOptions;
use tureen_types::sctp_parameters::SctpStreamParameters;

use crate::script::{push_step, steps};

const OPTIONS: SctpOptions = SctpOptions {
    max_send_message_size: 100_000,
    max_receive_message_size: 100_000,
    send_buffer_size: 200_000,
    per_stream_send_queue_limit: 200_000,
    max_receiver_window_buffer_size: 200_000,
    default_buffered_amount_low_threshold: 0,
    outbound_streams: tureen_rtc::sctp::MAX_STREAMS,
    inbound_streams: tureen_rtc::sctp::MAX_STREAMS,
};
/// Limit of packets that one step may cause.
const MAX_PACKETS: usize = 10_000;

/// Passes a script of packets to a connected association while time passes. Bit 1 of the operation keeps the checksum
/// unchanged, bit 2 sends a message, bit 4 resets a stream; the other bits are time.
pub fn fuzz_sctp(data: &[u8]) {
    let (mut now, [mut end, _]) = connected();
    for step in steps(data) {
        let mut packet = step.data.to_vec();
        if step.operation & 1 == 0 && packet.len() >= 12 {
            let sum = checksum(&packet).to_le_bytes();
            packet[8..12].copy_from_slice(&sum);
        }
        end.handle_packet(now, &packet);
        if step.operation & 2 != 0 {
            // Fails if the send buffer is full.
            let _ = end.send(SctpStreamParameters::new_ordered(1), 51, vec![1; 3000].into());
        }
        if step.operation & 4 != 0 {
            end.reset_stream(now, u16::from(step.operation >> 6));
        }
        drain(&mut end, now);
        now += Duration::from_millis(u64::from(step.operation >> 3) * 50);
        if end.poll_timeout().is_some_and(|at| at <= now) {
            end.handle_timeout(now);
        }
        drain(&mut end, now);
    }
}

/// Script with packets of a peer that opens, uses and resets streams.
pub(crate) fn seed() -> Vec<u8> {
    let (now, [mut end, mut peer]) = connected();
    let mut script = Vec::new();
    let unreliable = SctpStreamParameters::new_unordered_with_retransmits(2, 0);
    for (stream, len) in [(SctpStreamParameters::new_ordered(1), 3000), (unreliable, 10)] {
        peer.send(stream, 53, vec![2; len].into()).expect("the send buffer is not full");
        end.send(stream, 53, vec![2; len].into()).expect("the send buffer is not full");
    }
    for turn in 0..10 {
        if turn == 5 {
            peer.reset_stream(now, 1);
        }
        while let Some(packet) = peer.poll_packet(now) {
            push_step(&mut script, if turn < 5 { 2 } else { 4 }, &packet);
            end.handle_packet(now, &packet);
        }
        while let Some(packet) = end.poll_packet(now) {
            peer.handle_packet(now, &packet);
        }
    }
    script
}

/// Two connected associations, the same in every run.
fn connected() -> (Instant, [Sctp; 2]) {
    let now = crate::origin();
    let mut ends = [1, 2].map(|secret| Sctp::new(OPTIONS, &[secret; 32], now));
    ends[1].connect(now);
    for _ in 0..4 {
        for from in [1, 0] {
            while let Some(packet) = ends[from].poll_packet(now) {
                ends[1 - from].handle_packet(now, &packet);
            }
        }
    }
    assert!(ends.iter().all(|end| end.negotiated().is_some()), "both associations are connected");
    (now, ends)
}

fn drain(end: &mut Sctp, now: Instant) {
    while end.poll_event().is_some() {}
    for _ in 0..MAX_PACKETS {
        let Some(packet) = end.poll_packet(now) else { return };
        assert!(packet.len() <= tureen_rtc::sctp::MAX_PACKET, "{} bytes", packet.len());
    }
    panic!("output does not end");
}

/// CRC32c of a packet, computed with a checksum field of zero (RFC 9260 §6.8).
fn checksum(packet: &[u8]) -> u32 {
    let bytes = packet[..8].iter().chain(&[0; 4]).chain(&packet[12..]);
    !bytes.fold(!0, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 * (sum & 1)))
    })
}
