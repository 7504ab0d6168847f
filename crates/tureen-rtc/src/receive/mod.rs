//! State of received RTP streams: reception, jitter, loss, NACK, reports and feedback.

mod jitter;
mod nack_answers;
pub mod nack_generator;
pub mod reception;
pub mod recv_stream;
pub mod rtx_stream;
pub mod score;
pub mod twcc_receiver;
