//! Client side of a WebRTC call with a Tureen server, without libwebrtc.
