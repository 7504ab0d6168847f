//! RTP observers: what is learnt from the media of a set of producers, without decoding it.

pub(crate) mod active_speaker;
pub(crate) mod audio_level;
