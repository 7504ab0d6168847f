//! Sockets, batching and the clock of one Tureen worker thread.
//!
//! [`Net`] owns the operating system's part of a worker's media path: UDP sockets, readiness, the [`Waker`] for other
//! threads, batched receiving and sending, and the clock. It does not know RTP: the engine interprets the datagrams.
//! One turn of the driver is
//!
//! 1. [`Net::wait`] until a socket is readable, the waker fired or the next timer of the engine is due;
//! 2. [`Net::receive`] a bounded number of [`Batch`]es, each handed to the engine with [`Net::now`];
//! 3. [`Net::send_slot`] and [`Net::commit`] for every datagram that the engine sends;
//! 4. [`Net::flush`], once.
//!
//! On Linux a batch is one `recvmmsg` with generic receive offload (GRO). A flush is one `sendmmsg` for each socket,
//! in which every run of datagrams to one destination is one message with generic segmentation offload (GSO).
//! Elsewhere the same interface uses plain system calls. In steady state nothing here allocates.
//!
//! This is the only crate of the workspace with unsafe code. Within it only the module of the platform's system
//! calls, [`claim_fd`] and [`ResourceUsage`] have unsafe code.
//!
//! The caller chooses a token for each socket. A TCP stream carries datagrams in frames (RFC 4571) and is used by the
//! same calls as a UDP socket; [`Net::next_stream_event`] reports new and closed streams. A [`pipe`] to another
//! worker of this process is used by the same calls too, and needs no system calls for data.
#![warn(missing_debug_implementations, clippy::unwrap_used)]

mod bind;
mod framing;
#[cfg(unix)]
mod inherited;
mod net;
mod pipe;
mod receive;
mod send;
mod stats;
mod stream_queue;
mod tcp;
#[cfg(unix)]
mod usage;
mod waker;

#[cfg(all(target_os = "linux", not(feature = "portable")))]
#[path = "linux.rs"]
mod sys;
#[cfg(not(all(target_os = "linux", not(feature = "portable"))))]
#[path = "portable.rs"]
mod sys;

pub use bind::{DEFAULT_SOCKET_BUFFER, Port, TcpOptions, UdpOptions};
#[cfg(unix)]
pub use inherited::claim_fd;
#[cfg(unix)]
pub use net::Interest;
pub use net::{Net, NetConfig};
pub use pipe::{PipeEnd, pipe};
pub use receive::{Batch, Datagram};
pub use stats::NetStats;
pub use tcp::{Connection, StreamEvent};
#[cfg(unix)]
pub use usage::ResourceUsage;
pub use waker::Waker;
