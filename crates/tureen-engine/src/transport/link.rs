//! Link of a transport to its remote endpoint, by kind of transport.

use super::pipe::PipeLink;
use super::plain::PlainLink;
use super::webrtc::WebRtcLink;
use tureen_rtc::tuple::{SocketId, Tuple};

#[derive(Debug)]
pub(crate) enum Link {
    /// ICE and DTLS.
    WebRtc(Box<WebRtcLink>),
    /// UDP, with SRTP or without.
    Plain(Box<PlainLink>),
    /// UDP to another router.
    Pipe(Box<PipeLink>),
    /// Calls to the application in this process.
    Direct,
}

/// Destination of a transport's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// To the network.
    Network(Tuple),
    /// To the application, as notifications.
    Application,
}

impl Link {
    /// Path of outgoing RTP, if known.
    pub(crate) fn rtp_path(&self) -> Option<Path> {
        match self {
            Self::WebRtc(link) => link.selected_tuple().map(Path::Network),
            Self::Plain(link) => link.tuple().map(Path::Network),
            Self::Pipe(link) => link.tuple().map(Path::Network),
            Self::Direct => Some(Path::Application),
        }
    }

    /// Path of outgoing RTCP, if known.
    pub(crate) fn rtcp_path(&self) -> Option<Path> {
        match self {
            Self::Plain(link) => link.rtcp_tuple().map(Path::Network),
            _ => self.rtp_path(),
        }
    }

    /// True if the path of a socket belongs to a PlainTransport with `comedia` and was latched without proof.
    #[inline]
    pub(crate) fn is_waiting(&self, socket: SocketId) -> bool {
        matches!(self, Self::Plain(link) if link.is_waiting(socket))
    }

    /// True for a PlainTransport whose remote endpoint is proven.
    pub(crate) fn is_proven_plain(&self) -> bool {
        matches!(self, Self::Plain(link) if link.proven_tuple().is_some())
    }

    /// True if the senders at both ends adapt to the path (mediasoup `IsCongestionControlSupported`).
    pub(crate) fn controls_congestion(&self) -> bool {
        matches!(self, Self::WebRtc(_) | Self::Plain(_))
    }

    /// True for a link between servers or to the application, which is trusted and carries the media of many clients.
    pub(crate) fn is_between_servers(&self) -> bool {
        !matches!(self, Self::WebRtc(_))
    }

    /// ICE and DTLS, of a WebRtcTransport.
    pub(crate) fn webrtc(&self) -> Option<&WebRtcLink> {
        match self {
            Self::WebRtc(link) => Some(link),
            _ => None,
        }
    }

    /// ICE and DTLS, of a WebRtcTransport.
    pub(crate) fn webrtc_mut(&mut self) -> Option<&mut WebRtcLink> {
        match self {
            Self::WebRtc(link) => Some(link),
            _ => None,
        }
    }
}
