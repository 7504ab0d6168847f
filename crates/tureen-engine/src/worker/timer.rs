//! Timers of a worker.

use crate::keys::{ConsumerKey, ObserverKey, ProducerKey, TransportKey};
use crate::worker::forward::key_frames::KeyFrameCause;
use tureen_rtc::tuple::SocketId;

/// Purpose of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Timer {
    /// Consent check of the remote endpoint (RFC 7675).
    Ice(TransportKey),
    /// Deadline for the first connectivity check of a TCP stream.
    Stream(SocketId),
    /// Retransmission of a DTLS flight, or handshake timeout.
    Dtls(TransportKey),
    /// Retransmission or timeout of an SCTP association.
    Sctp(TransportKey),
    /// Next sender and receiver reports.
    Reports(TransportKey),
    /// Next transport-wide feedback.
    TransportCc(TransportKey),
    /// Check of a transport's backlog: once the backlog is gone, video restarts.
    Backlog(TransportKey),
    /// Congestion control of a transport: its estimate, a probe, or paced packets.
    Congestion(TransportKey),
    /// End of the time for which packets wait for the rest of their frame.
    Frames,
    /// Next NACK for lost packets.
    Nack(ProducerKey),
    /// Timeout of a key frame request, or end of its minimum interval.
    KeyFrame(ProducerKey),
    /// End of the interval in which a consumer may not cause another key frame.
    KeyFrameAllowed(ConsumerKey, KeyFrameCause),
    /// Check for streams and layers of a Producer that have become inactive.
    LayerActivity(ProducerKey),
    /// End of an interval of an RTP observer.
    Observer(ObserverKey),
}
