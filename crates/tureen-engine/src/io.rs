//! Input and output of the engine on the network side. The driver (crate `tureen`) moves these to and from real
//! sockets; simulations move them through virtual links.

use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_types::data_structures::ListenInfo;

/// One received datagram. The engine decrypts it in place.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Local socket and remote address that received and sent it.
    pub tuple: Tuple,
    /// Bytes of the datagram.
    pub data: &'a mut [u8],
}

/// One transmission: `len` bytes at the start of the buffer given to `poll_transmit`, for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Local socket and remote address.
    pub tuple: Tuple,
    /// Number of bytes filled in the buffer.
    pub len: usize,
    /// Size of each datagram in the buffer; only the last one may be shorter. Equal to `len` for a single datagram;
    /// otherwise the driver sends the run with generic segmentation offload or datagram by datagram.
    pub segment_size: usize,
    /// True for one datagram of STUN, DTLS or RTCP, which takes precedence over media on a TCP stream with a long
    /// queue.
    pub control: bool,
    /// True if nothing more is sent on this socket for now. Sent at once, the data is still in the processor's
    /// first-level cache.
    pub last: bool,
}

/// A socket operation that the engine requests. The driver answers all but `Close` with `Worker::handle_socket_bound`.
///
/// A TCP stream carries datagrams in frames (RFC 4571), which the driver adds and removes: for the engine such a stream
/// is a socket with a single remote endpoint. The driver requests its id by `Worker::handle_stream_opened` and reports
/// its end by `Worker::handle_stream_closed`.
#[derive(Clone, Debug)]
pub enum SocketCommand {
    /// Open a UDP socket.
    BindUdp(SocketId, ListenInfo),
    /// Use the end of an in-process pipe, which was passed with the request, as a UDP socket.
    OpenPipe(SocketId),
    /// Open a TCP listener.
    ListenTcp(SocketId, ListenInfo),
    /// Close a socket, a listener or a stream, after which it must deliver nothing.
    Close(SocketId),
}
