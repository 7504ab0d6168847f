//! Readers of media files whose frames can be sent by WebRTC.
//!
//! [`open`] recognises a file by its content and gives a [`Source`]: tracks, and their frames in the order of time. Frames
//! are read one after the other, so that memory does not grow with the file.
//!
//! | Format | Codecs |
//! | --- | --- |
//! | IVF | VP8, VP9, AV1 |
//! | Ogg | Opus |
//! | byte stream (annex B) | H264, H265 |
//! | Matroska, WebM | VP8, VP9, H264, H265, AV1, Opus |
//! | MP4, fragmented too | VP8, VP9, H264, H265, AV1, Opus |
//!
//! A [`Frame`] is what `tureen_client::frames` says of its codec: H264 and H265 as a byte stream with the parameter sets in
//! front of each key frame, AV1 as a temporal unit with the sequence header in each key frame.

mod annexb;
mod bits;
mod codecs;
mod error;
mod input;
mod interleave;
mod ivf;
mod matroska;
mod mp4;
mod nal;
mod ogg;
mod parameter_sets;
mod samples;
mod source;

pub use error::{ContainerError, ErrorKind};
pub use source::{Format, Frame, Options, Profile, Source, Track, open, open_with, read};

/// Longest frame that is read, in bytes. A key frame of 4K video at the highest quality has about 4 MB.
pub const MAX_FRAME_LEN: u64 = 16 << 20;
