//! What goes in and out of the engine on the network side. The driver (crate `tureen`) moves these to and from real
//! sockets; simulations move them through virtual links.

use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_types::data_structures::ListenInfo;

/// One received datagram. The engine decrypts in place.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Where it came in and from whom.
    pub tuple: Tuple,
    /// Its bytes.
    pub data: &'a mut [u8],
}

/// One send: `len` bytes at the start of the buffer given to `poll_transmit`, for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub tuple: Tuple,
    /// How many bytes of the buffer are filled.
    pub len: usize,
    /// Size of each datagram in the buffer; only the last one may be shorter. Equal to `len` for a single datagram,
    /// otherwise the driver sends the run with generic segmentation offload or datagram by datagram.
    pub segment_size: usize,
    /// One datagram of STUN, DTLS or RTCP. On a TCP stream with much queued it is worth more than media.
    pub control: bool,
    /// Nothing more goes out by this socket now. Sent at once it is still in the processor's first cache.
    pub last: bool,
}

/// What the engine wants done with a socket. The driver answers all but a close with `Worker::handle_socket_bound`.
///
/// A TCP stream carries datagrams in frames (RFC 4571), which the driver puts on and takes off: to the engine it is a
/// socket with a single remote side. The driver asks `Worker::handle_stream_opened` for its name and tells
/// `Worker::handle_stream_closed` of its end.
#[derive(Clone, Debug)]
pub enum SocketCommand {
    /// Open a UDP socket.
    BindUdp(SocketId, ListenInfo),
    /// Take the end of a pipe in this process, which came with the request, for a UDP socket.
    OpenPipe(SocketId),
    /// Open a TCP listener.
    ListenTcp(SocketId, ListenInfo),
    /// Close a socket, a listener or a stream. Nothing of it may come in any more.
    Close(SocketId),
}
