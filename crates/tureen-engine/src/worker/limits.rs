//! Bounds of a worker.

use std::time::Duration;

use crate::transport::link::Link;
use tureen_rtc::units::Bitrate;

/// Bounds of a worker. Anything beyond a bound is refused or dropped, and counted under a named reason.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Number of tuples that one transport keeps (mediasoup: 8).
    pub tuples_per_transport: usize,
    /// Number of TCP streams of one listener. Each stream costs about 500 bytes here, and up to a frame and a send
    /// queue in the driver.
    pub streams_per_listener: usize,
    /// Number of TCP streams of one remote address (IPv6: its first 64 bits) on one listener that have not passed a
    /// connectivity check yet. Streams that have passed one are bounded by `tuples_per_transport`.
    pub unchecked_streams_per_address: usize,
    /// Number of such streams of all remote addresses on one listener. Beyond this number the oldest one is closed, so
    /// that an attacker with many addresses cannot lock clients out.
    pub unchecked_streams_per_listener: usize,
    /// Number of streams that one client may send on its WebRtcTransport. Each stream costs about 4 KB and its
    /// retransmission buffer.
    pub streams_per_transport: usize,
    /// The same for transports between servers: PipeTransport, PlainTransport and DirectTransport. A PipeTransport
    /// carries all streams of a room, a gateway those of all its callers (mediasoup has no bound).
    pub streams_per_link: usize,
    /// Number of a remote endpoint's SSRCs, RTX included, with SRTP state at a time; RTP and RTCP count separately.
    /// Each costs about 170 bytes; up to 16 times as many earlier SSRCs are kept at 28 bytes each. Beyond this number
    /// the SSRC that has been silent for longest is evicted; if its stream resumes, its reordered packets are lost. At
    /// least twice `streams_per_transport`.
    pub srtp_streams_per_transport: usize,
    /// As `srtp_streams_per_transport`, for a PipeTransport, because that carries the streams of whole rooms.
    pub srtp_streams_per_pipe: usize,
    /// Number of SSRCs that one transport with SRTP has sent and no longer sends. Their last indices are kept, at about
    /// 28 bytes each, so that a consumer that reuses such an SSRC continues there, because no SRTP index may be used
    /// twice under one key. Beyond this number no consumer is created on the transport.
    pub ended_streams_per_transport: usize,
    /// Size of the retransmission buffer of one video stream, in bytes. At 2.5 Mbit/s the default of 2 MiB holds six
    /// seconds.
    pub retransmission_bytes: usize,
    /// Time for which a packet can be retransmitted (mediasoup: 2 s).
    pub retransmission_age: Duration,
    /// Number of SSRC changes that the streams of a Producer may make in a burst, and one more each second. The
    /// consumers of the Producer need a key frame after each change.
    pub ssrc_changes: u32,
    /// Number of queued datagrams other than media (STUN, DTLS, RTCP, SCTP).
    pub control_datagrams: usize,
    /// Number of queued retransmissions of one transport.
    pub pending_retransmissions: usize,
    /// The same for a transport between servers, as in `streams_per_link`.
    pub pending_retransmissions_per_link: usize,
    /// Minimum time between two key frames that one consumer causes by PLI, FIR, a request of the application or by
    /// being resumed; the first one is requested at once. The interval doubles while the consumer requests key frames
    /// earlier. A request that another consumer has already caused does not count. Pipe consumers are not bounded,
    /// because each stands for many consumers (mediasoup has no such bound).
    pub key_frame_interval: Duration,
    /// Upper bound of that interval.
    pub key_frame_interval_max: Duration,
    /// As `key_frame_interval`, for key frames that a consumer needs to switch layers.
    pub layer_switch_interval: Duration,
    /// Bitrate up to which one transport may send more retransmissions than media. With congestion control, 30 % of the
    /// estimate is a further bound.
    pub retransmission_floor: Bitrate,
    /// Number of packets that the NACKs of one datagram may name (mediasoup and libwebrtc track as many missing packets
    /// at a time).
    pub nacked_packets_per_datagram: usize,
    /// Number of packets that a remote endpoint may name in NACKs in one second, in addition to two for each packet
    /// sent to that endpoint. Further ones are ignored.
    pub nacked_packets_per_second: usize,
    /// Minimum time between two report blocks of a remote endpoint about one stream; earlier ones are ignored, because
    /// each may change a score and cause a notification.
    pub report_block_interval: Duration,
    /// Time for which the packets of a video frame may wait for its last packet; zero disables waiting. A frame that is
    /// sent as a whole costs little more than one packet. A frame is delayed by at most this time, and only if its last
    /// packet is lost or late.
    pub frame_coalescing: Duration,
    /// Multiple of a transport's `maxIncomingBitrate` beyond which packets of its remote endpoint are dropped, video
    /// first, audio last; zero disables dropping. mediasoup only sends REMB; a large multiple does no harm to a sender
    /// that ignores REMB.
    pub incoming_bitrate_margin: u32,
    /// Time for which a remote endpoint may send twice the bitrate of `incoming_bitrate_margin` before packets are
    /// dropped; longer at a smaller excess.
    pub incoming_bitrate_burst: Duration,
    /// Lifetime of an SCTP state cookie (RFC 9260 §16: 60 s). Anybody who captured a cookie can replay it for this
    /// time; a remote endpoint with a longer round trip time never connects.
    pub sctp_cookie_lifetime: Duration,
    /// Number of data messages and first fragments of messages in one association that may wait for missing chunks
    /// before them. Each costs about 200 bytes in addition to its payload, which the receive window bounds. A chunk
    /// beyond this number is dropped and counted, and the remote endpoint retransmits it. A low number makes small
    /// messages slow where packets are lost.
    pub sctp_incoming_pieces: usize,
    /// Number of data messages that may be queued in one association, in addition to the bound in bytes,
    /// `sctpSendBufferSize`. Each costs about 100 bytes in addition to its payload. A message beyond this number is
    /// refused as if the buffer were full.
    pub sctp_outgoing_messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tuples_per_transport: 8,
            streams_per_listener: 8192,
            unchecked_streams_per_address: 64,
            unchecked_streams_per_listener: 1024,
            streams_per_transport: 128,
            streams_per_link: 65_536,
            srtp_streams_per_transport: 256,
            srtp_streams_per_pipe: 8192,
            ended_streams_per_transport: 1 << 18,
            retransmission_bytes: 2 << 20,
            retransmission_age: Duration::from_secs(2),
            ssrc_changes: 8,
            control_datagrams: 4096,
            pending_retransmissions: 512,
            pending_retransmissions_per_link: 16_384,
            key_frame_interval: Duration::from_secs(1),
            key_frame_interval_max: Duration::from_secs(8),
            layer_switch_interval: Duration::from_millis(250),
            retransmission_floor: Bitrate::kbps(256),
            nacked_packets_per_datagram: 1000,
            nacked_packets_per_second: 500,
            report_block_interval: Duration::from_millis(20),
            frame_coalescing: Duration::from_millis(1),
            incoming_bitrate_margin: 4,
            incoming_bitrate_burst: Duration::from_secs(5),
            sctp_cookie_lifetime: tureen_rtc::sctp::COOKIE_LIFETIME,
            sctp_incoming_pieces: tureen_rtc::sctp::INCOMING_PIECES,
            sctp_outgoing_messages: tureen_rtc::sctp::OUTGOING_MESSAGES,
        }
    }
}

impl Limits {
    /// Number of streams that may be received over a link.
    pub(crate) fn streams_by(&self, link: &Link) -> usize {
        if link.is_between_servers() { self.streams_per_link } else { self.streams_per_transport }
    }

    /// Number of SSRCs with SRTP state at a time, for `declared` streams. A link between servers has room for all of
    /// them and their RTX streams.
    pub(crate) fn srtp_streams_by(&self, link: &Link, declared: usize) -> usize {
        match link {
            Link::Pipe(_) => self.srtp_streams_per_pipe.max(2 * declared),
            Link::Plain(_) => self.srtp_streams_per_transport.max(2 * declared),
            Link::WebRtc(_) | Link::Direct => self.srtp_streams_per_transport,
        }
    }

    /// Number of retransmissions that may be queued for a link.
    pub(crate) fn retransmissions_by(&self, link: &Link) -> usize {
        if link.is_between_servers() {
            self.pending_retransmissions_per_link
        } else {
            self.pending_retransmissions
        }
    }
}
