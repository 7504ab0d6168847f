//! Tureen as a library: a WebRTC SFU with the API of the [mediasoup crate](https://docs.rs/mediasoup) 0.33.
//!
//! An application moves over from that crate by renaming its dependency. Types, names, options, events and the
//! effects of `Drop` are the same. There is no C++ to build, and no async runtime is needed, because futures only
//! wait for messages: any executor can poll them.
//!
//! # How to start
//! Create a [`WorkerManager`](worker_manager::WorkerManager), and with it a [`Worker`](worker::Worker) for each CPU
//! core. Create a [`Router`](router::Router) for each group of people that see each other, a
//! [`WebRtcTransport`](webrtc_transport::WebRtcTransport) for each direction of each person, and on it a
//! [`Producer`](producer::Producer) for each source of media and a [`Consumer`](consumer::Consumer) for each receiver
//! of it. Signalling is up to the application; `examples/echo.rs` shows all of it in one file.
//!
//! # Lifetimes
//! All of these are handles that can be cloned. An object is closed when its last handle is dropped, and `on_close`
//! tells the other parts of the application. Children keep their parents open: a consumer its transport, a transport
//! its router, a router its worker. A consumer does not keep its producer open.
//!
//! # Threads
//! A worker has two threads. The worker thread handles all media. The dispatcher thread calls the callbacks for
//! network events (`on_score`, `on_ice_state_change`, …), one after the other and in the order of the events. A slow
//! callback does no harm to media but delays later events; if too many wait, the oldest score, volume and trace
//! events are dropped ([`QueueLimits::events`](worker::QueueLimits::events)). Callbacks for the application's own
//! actions (`on_new_producer`, `on_pause`, `on_close` after a drop, …) are called in place.
//!
//! Events of a new object are held until the callbacks for new objects (`on_new_producer`, …) have returned, so that
//! a handler registered in such a callback misses nothing. A handler that is registered after the creating future has
//! completed may miss events in between, as with mediasoup.
#![warn(missing_debug_implementations, clippy::unwrap_used)]
#![forbid(unsafe_code)]

pub mod active_speaker_observer;
pub mod audio_level_observer;
pub mod consumer;
pub mod data_consumer;
pub mod data_producer;
pub mod direct_transport;
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
mod threads;
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
