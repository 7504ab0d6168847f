//! What a worker waits for.

use crate::keys::{ConsumerKey, ObserverKey, ProducerKey, TransportKey};
use crate::worker::forward::key_frames::KeyFrameCause;
use tureen_rtc::tuple::SocketId;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// The remote side's consent is to be checked (RFC 7675).
    Ice(TransportKey),
    /// A TCP stream must have had a connectivity check by now.
    Stream(SocketId),
    /// A DTLS flight is to be sent again, or the handshake has taken too long.
    Dtls(TransportKey),
    /// SCTP is to send again, or has waited long enough.
    Sctp(TransportKey),
    /// Sender and receiver reports are due.
    Reports(TransportKey),
    /// Transport-wide feedback is due.
    TransportCc(TransportKey),
    /// What waits on a transport's path may be gone: its video may go on.
    Backlog(TransportKey),
    /// The congestion control of a transport is due: its estimate, a probe, or packets that wait.
    Congestion(TransportKey),
    /// Packets have waited long enough for the rest of their frame.
    Frames,
    /// Lost packets are to be asked for again.
    Nack(ProducerKey),
    /// A key frame did not come, or may be asked for again.
    KeyFrame(ProducerKey),
    /// A consumer may cause a key frame again.
    KeyFrameAllowed(ConsumerKey, KeyFrameCause),
    /// Streams and layers of a Producer may have ended.
    LayerActivity(ProducerKey),
    /// An interval of an RTP observer has ended.
    Observer(ObserverKey),
}
