//! RTP observers: they derive events from the packets of a set of producers, without decoding the media.

pub(crate) mod active_speaker;
pub(crate) mod audio_level;
