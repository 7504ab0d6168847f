//! What the engine knows of the RTP streams that come in: reception statistics, repair and key frame
//! requests.

pub mod jitter;
pub mod key_frame_requests;
pub mod nack_generator;
pub mod reception;
pub mod recv_stream;
pub mod rtx_stream;
pub mod score;
