//! RTP observers: what is learnt from the media of a set of producers, without decoding it.

pub mod active_speaker;
pub mod audio_level;
