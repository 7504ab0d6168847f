//! Client side of a WebRTC call with a Tureen server, without libwebrtc.
//!
//! [`Session`] is the far end of one WebRtcTransport, sans-IO: ICE, DTLS, SRTP, RTP and RTCP. Start there; its
//! documentation states how it is driven. It takes and gives RTP packets, or whole encoded frames ([`frames`]), in order
//! and in time ([`jitter`]); it holds no codec. [`device`] matches the client's capabilities with a router's. [`media`] makes
//! packets that servers take for VP8 and Opus.
//!
//! With the feature `signaling`, a default, `protoo` and `broadcaster` are the signalling of mediasoup-demo, on tokio.
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, clippy::unwrap_used)]

#[cfg(feature = "signaling")]
pub mod broadcaster;
pub mod device;
pub mod frames;
pub mod ice;
#[cfg(feature = "io")]
pub mod io;
pub mod jitter;
pub mod link;
pub mod media;
pub mod parameters;
#[cfg(feature = "signaling")]
pub mod protoo;
mod recv_stream;
mod send_stream;
mod session;
#[cfg(feature = "signaling")]
pub mod signaling;

pub use recv_stream::{ReceivedRtp, RecvStats, RecvStreamConfig};
pub use send_stream::{MAX_MEDIA_ID, MAX_PAYLOAD, OutgoingRtp, Rtx, SendStats, SendStreamConfig};
pub use session::{Event, FailureReason, Identity, Received, Session, SessionConfig, SessionError};
