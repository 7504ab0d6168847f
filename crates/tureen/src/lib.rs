//! A WebRTC SFU as a library, with the API of the mediasoup crate.
