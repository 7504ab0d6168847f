//! The client's frames: joined from any payloads, cut from any bytes.

use std::hint::black_box;

use tureen_client::frames::{FrameAssembler, OutgoingFrame, Packetizer, Payloads, frame_start};
use tureen_rtc::wire::codecs::CodecKind;

use crate::script::steps;

const CODECS: [CodecKind; 6] =
    [CodecKind::Vp8, CodecKind::Vp9, CodecKind::H264, CodecKind::H265, CodecKind::Av1, CodecKind::Opus];

/// The first byte chooses the codec. A step takes a payload (operation 0), takes one that ends a frame (1), or sends a frame
/// (any other; its bits are layers and packet size). A frame that can be sent must come out as what it was said to be.
pub fn fuzz_frames(data: &[u8]) {
    let [codec, data @ ..] = data else { return };
    let codec = CODECS[usize::from(*codec) % CODECS.len()];
    let mut assembler = FrameAssembler::new(codec).expect("it has frames");
    let mut packetizer = Packetizer::new(codec, 64, 0).expect("it has frames");
    let (mut payloads, mut sent, mut out) = (Vec::new(), Payloads::default(), Vec::new());
    for step in steps(data) {
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
}
