//! What is between a transport and its remote side: one variant for each kind of transport.

use super::pipe::PipeLink;
use super::plain::PlainLink;
use super::webrtc::WebRtcLink;
use tureen_rtc::tuple::{SocketId, Tuple};

/// The link of a transport.
#[derive(Debug)]
pub(crate) enum Link {
    /// ICE and DTLS.
    WebRtc(Box<WebRtcLink>),
    /// UDP, with SRTP or without.
    Plain(Box<PlainLink>),
    /// UDP to another router.
    Pipe(Box<PipeLink>),
    /// The application in this process.
    Direct,
}

/// Where packets of a transport go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// To the network.
    Network(Tuple),
    /// To the application, as notifications.
    Application,
}

impl Link {
    /// Where RTP goes, if that is known.
    pub(crate) fn rtp_path(&self) -> Option<Path> {
        match self {
            Self::WebRtc(link) => link.selected_tuple().map(Path::Network),
            Self::Plain(link) => link.tuple().map(Path::Network),
            Self::Pipe(link) => link.tuple().map(Path::Network),
            Self::Direct => Some(Path::Application),
        }
    }

    /// Where RTCP goes, if that is known.
    pub(crate) fn rtcp_path(&self) -> Option<Path> {
        match self {
            Self::Plain(link) => link.rtcp_tuple().map(Path::Network),
            _ => self.rtp_path(),
        }
    }

    /// Whether the path of a socket is that of a PlainTransport with `comedia`, latched without proof.
    #[inline]
    pub(crate) fn is_waiting(&self, socket: SocketId) -> bool {
        matches!(self, Self::Plain(link) if link.is_waiting(socket))
    }

    /// Whether it is a PlainTransport's whose remote side is known for sure.
    pub(crate) fn is_proven_plain(&self) -> bool {
        matches!(self, Self::Plain(link) if link.proven_tuple().is_some())
    }

    /// Whether senders at either end adapt to the path (mediasoup `IsCongestionControlSupported`).
    pub(crate) fn controls_congestion(&self) -> bool {
        matches!(self, Self::WebRtc(_) | Self::Plain(_))
    }

    /// Whether the application has made it between servers, or to itself: it is trusted, and carries what many clients send.
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
