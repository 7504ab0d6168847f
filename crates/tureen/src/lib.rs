//! Tureen as a library: a WebRTC SFU with the API of the [mediasoup crate](https://docs.rs/mediasoup) 0.33.
//!
//! An application that uses that crate moves over by renaming its dependency. Types, names, options, events and what
//! happens on `Drop` are the same; there is no C++ to build, and no async runtime is needed: futures only wait for
//! messages, so that any executor may poll them.
//!
//! # How to start
//! Make a [`WorkerManager`](worker_manager::WorkerManager), and with it a [`Worker`](worker::Worker) for each CPU core
//! that media may take. Make a [`Router`](router::Router) for each group of people that should see each other, a
//! [`WebRtcTransport`](webrtc_transport::WebRtcTransport) for each direction of each of them, on it a
//! [`Producer`](producer::Producer) for each source of media and a [`Consumer`](consumer::Consumer) for whoever wants
//! it. Signalling is up to the application; `examples/echo.rs` shows all of it in one file.
//!
//! # Lifetimes
//! All of these are handles that can be cloned. When the last handle of an object is dropped, the object is closed, and
//! `on_close` tells its other parts. Children keep their parents alive: a consumer its transport, a transport its router,
//! a router its worker. A producer does not live on in its consumers.
//!
//! # Threads
//! A worker has two threads. One does all of the media. The other one calls the callbacks for events of the network
//! (`on_score`, `on_ice_state_change`, …), one after the other and in the order of the events. A callback may therefore
//! take its time without harm to media, but later events wait for it; if too many wait, the oldest score, volume
//! and trace events are dropped ([`QueueLimits::events`](worker::QueueLimits::events)). Callbacks for what the application itself
//! does (`on_new_producer`, `on_pause`, `on_close` after a drop, …) are called in place.
//!
//! Events of a new object are kept until the callbacks for new objects (`on_new_producer`, …) have returned: what these
//! subscribe to is complete. Who subscribes after the creating future is done may miss what came in between, as with
//! mediasoup.
#![warn(missing_debug_implementations, clippy::unwrap_used)]
#![forbid(unsafe_code)]

pub mod active_speaker_observer;
pub mod audio_level_observer;
pub mod consumer;
pub mod data_consumer;
pub mod data_producer;
pub mod direct_transport;
mod driver;
mod handles;
mod ids;
mod listen_infos;
mod object;
pub mod pipe_transport;
pub mod plain_transport;
pub mod prelude;
pub mod producer;
pub mod router;
pub mod rtp_observer;
mod rtp_stream;
#[cfg(test)]
mod test_support;
pub mod transport;
pub mod webrtc_server;
pub mod webrtc_transport;
pub mod worker;
pub mod worker_manager;

#[doc(hidden)]
pub use tureen_engine::MEDIASOUP_VERSION;
pub use tureen_types as types;
pub use tureen_types::ortc::{self, supported_rtp_capabilities};
pub use tureen_types::{
    data_structures, rtp_parameters, scalability_modes, sctp_parameters, srtp_parameters,
};
