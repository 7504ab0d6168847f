//! Fuzzing of the client's frames: arbitrary payloads are assembled, arbitrary frames are packetised.

use std::hint::black_box;

use std::time::{Duration, Instant};

use tureen_client::frames::{FrameAssembler, OutgoingFrame, Packetizer, Payloads, frame_start};
use tureen_client::jitter::{JitterBuffer, JitterConfig, JitterPacket};
use tureen_rtc::wire::codecs::CodecKind;

use crate::script::steps;

const CODECS: [CodecKind; 6] =
    [CodecKind::Vp8, CodecKind::Vp9, CodecKind::H264, CodecKind::H265, CodecKind::Av1, CodecKind::Opus];

/// Limit of the jitter buffer in bytes.
const MAX_BYTES: usize = 2000;

/// Runs a script; the first byte selects the codec. A step stores a payload (operation 0), stores a payload that ends a
/// frame (1), or packetises a frame (others; the bits select layers and packet size). A packetised frame must be
/// assembled to the same bytes.
///
/// Each step is also a packet of a jitter buffer. Its first three bytes are added to the sequence number, to the
/// timestamp and to the time. The buffer must be empty at the end.
pub fn fuzz_frames(data: &[u8]) {
    run(data);
}

/// Returns the number of frames from the jitter buffer.
fn run(data: &[u8]) -> usize {
    let [codec, data @ ..] = data else { return 0 };
    let codec = CODECS[usize::from(*codec) % CODECS.len()];
    let mut assembler = FrameAssembler::new(codec).expect("it has frames");
    let mut packetizer = Packetizer::new(codec, 64, 0).expect("it has frames");
    let (mut payloads, mut sent, mut out) = (Vec::new(), Payloads::default(), Vec::new());
    let config = JitterConfig { max_packets: 100, max_bytes: MAX_BYTES, ..JitterConfig::new(codec, 90_000) };
    let mut buffer = JitterBuffer::new(config).expect("it has frames");
    let (mut now, mut seq, mut timestamp) = (crate::origin(), 1_u64 << 16, 0_u32);
    let mut frames = 0;
    for step in steps(data) {
        if let Some((&[ahead, ticks, wait], payload)) = step.data.split_first_chunk() {
            seq = seq.saturating_add_signed(i64::from(ahead as i8 / 16));
            timestamp = timestamp.wrapping_add_signed(i32::from(ticks as i8) * 1000);
            now += Duration::from_millis(wait.into());
            let marker = step.operation & 1 == 1;
            buffer.insert(now, &JitterPacket { seq, timestamp, marker, capture_time: None, payload });
            frames += drain(&mut buffer, now, &mut out);
            assert!(buffer.bytes() <= MAX_BYTES);
        }
        match step.operation {
            operation @ (0 | 1) => {
                black_box(frame_start(codec, step.data));
                payloads.push(step.data);
                if operation == 1 {
                    let len: usize = payloads.iter().map(|payload| payload.len()).sum();
                    let result = assembler.assemble(payloads.drain(..), &mut out);
                    assert!(result.is_err() || out.len() <= 8 + 12 * len, "{} bytes of {len}", out.len());
                }
            }
            operation => {
                let frame = OutgoingFrame {
                    temporal_layer: (operation & 1 == 1).then_some(operation >> 5),
                    layer_sync: operation & 2 == 2,
                    ..OutgoingFrame::new(step.data, 0)
                };
                let Ok(info) = packetizer.packetize(&frame, &mut sent) else { continue };
                let again = assembler.assemble(sent.iter().map(|(payload, _)| payload), &mut out);
                assert_eq!(again, Ok(info), "{:02x?}", step.data);
            }
        }
    }
    while let Some(at) = buffer.poll_timeout() {
        frames += drain(&mut buffer, at, &mut out);
    }
    assert_eq!(buffer.bytes(), 0, "the buffer is empty at the end");
    frames
}

/// Polls due frames and returns their number.
fn drain(buffer: &mut JitterBuffer, now: Instant, out: &mut Vec<u8>) -> usize {
    let mut frames = 0;
    while let Some(frame) = buffer.poll_frame(now, out) {
        black_box((frame, &out));
        frames += 1;
    }
    black_box(buffer.poll_key_frame_request(now));
    assert!(buffer.poll_timeout().is_none_or(|at| at > now), "the next timeout is in the future");
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// Checks that the seeds contain complete frames, because others would test only the parsers.
    #[test]
    fn packets_of_the_seeds_make_frames_of_each_codec() {
        for (codec, kind) in CODECS.iter().enumerate() {
            let seeds = seeds::frames().into_iter().filter(|seed| usize::from(seed[0]) == codec);
            let frames: usize = seeds.map(|seed| run(&seed)).sum();
            assert!(frames > 0, "{kind:?}");
        }
    }
}
