//! RTP payload descriptors: what the engine must read of (or rewrite in) a codec payload.
