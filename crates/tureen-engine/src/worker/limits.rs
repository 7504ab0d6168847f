//! Bounds of a worker.

use std::time::Duration;

use crate::transport::link::Link;
use tureen_rtc::units::Bitrate;

/// Bounds of a worker. What passes one is refused or dropped, counted and named.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Paths that one transport keeps (mediasoup: 8).
    pub tuples_per_transport: usize,
    /// TCP streams that one listener holds; each costs about 500 bytes here and up to a frame and a send queue in the
    /// driver.
    pub streams_per_listener: usize,
    /// TCP streams of one remote address (IPv6: of 64 bits of it) on one listener that have not had a connectivity check
    /// yet. Those that have are bounded by `tuples_per_transport`.
    pub unchecked_streams_per_address: usize,
    /// Such streams of all addresses: beyond it the oldest is closed, so that who has many addresses can't keep clients
    /// out.
    pub unchecked_streams_per_listener: usize,
    /// Streams that one client may send on its WebRtcTransport; each costs about 4 KB and its retransmission buffer.
    pub streams_per_transport: usize,
    /// The same for links that the application has made between servers: Pipe-, Plain- and DirectTransports. A pipe carries
    /// all streams of a room, a gateway those of all its callers (mediasoup has no bound).
    pub streams_per_link: usize,
    /// SSRCs of a remote side whose SRTP state is known at a time, of RTP and apart from them of RTCP, RTX included: some 170
    /// bytes each, and up to 16 times as many that were known before at 28 bytes. Beyond it the one that has been silent
    /// longest makes room; should it come back, what was reordered is lost. Twice `streams_per_transport` at least.
    pub srtp_streams_per_transport: usize,
    /// As `srtp_streams_per_transport`, for a PipeTransport, which carries what whole rooms send.
    pub srtp_streams_per_pipe: usize,
    /// SSRCs that one transport with SRTP may have sent and sends no more. They are remembered, at some 28 bytes each, so
    /// that a consumer with one of them goes on where it ended: no index may be used twice under one key. Beyond it no
    /// consumer is made on the transport.
    pub ended_streams_per_transport: usize,
    /// Bytes of the retransmission buffer of one video stream. At 2.5 Mbit/s the default of 2 MiB holds six seconds.
    pub retransmission_bytes: usize,
    /// How long a packet can be asked for again (mediasoup: 2 s).
    pub retransmission_age: Duration,
    /// How often streams of a Producer may go on with another SSRC at once; once more each second. Each time its consumers
    /// need a key frame.
    pub ssrc_changes: u32,
    /// Datagrams other than media (STUN, DTLS, RTCP) that wait to be sent.
    pub control_datagrams: usize,
    /// Retransmissions that wait on one transport.
    pub pending_retransmissions: usize,
    /// The same on a link between servers, as in `streams_per_link`.
    pub pending_retransmissions_per_link: usize,
    /// Between two key frames that one consumer causes by PLI, FIR, a request of the application or being resumed; the first
    /// one comes at once. While it keeps asking earlier the interval doubles. A request that another consumer has made
    /// already costs nothing, and pipe consumers, which speak for many, are not bounded (mediasoup has no such bound).
    pub key_frame_interval: Duration,
    /// The longest of such intervals.
    pub key_frame_interval_max: Duration,
    /// As `key_frame_interval`, for key frames to go over to other layers with.
    pub layer_switch_interval: Duration,
    /// What one transport may send again in any case, in bits per second; beyond it as much again as it sends of media, and
    /// 30 % of the estimate where there is one.
    pub retransmission_floor: Bitrate,
    /// Packets that the NACKs of one datagram may name (as many as mediasoup and libwebrtc have missing at a time).
    pub nacked_packets_per_datagram: usize,
    /// Packets that a remote side may name in NACKs in one second, besides two for each packet that it is sent. What goes
    /// beyond is not looked at.
    pub nacked_packets_per_second: usize,
    /// Between two report blocks of a remote side about one stream; what comes earlier is not looked at. Each may change a
    /// score, which is told to the application.
    pub report_block_interval: Duration,
    /// How long the packets of a video frame may wait for its last one, zero for not at all. A frame that leaves as a whole
    /// costs little more than one packet; it is late by this much at most, and only if its last packet is lost or late.
    pub frame_gathering: Duration,
    /// The multiple of a transport's `maxIncomingBitrate` from which on packets of its remote side are dropped, zero for never:
    /// video first, audio last. mediasoup only tells senders; one that knows nothing of that is not hurt by a large one.
    pub incoming_bitrate_margin: u32,
    /// How long a remote side may send more than that allows, twice as much for instance, before packets are dropped.
    pub incoming_bitrate_burst: Duration,
    /// How long a remote side may take to bring an SCTP state cookie back (RFC 9260 §16: 60 s). Whoever overheard one can
    /// repeat it for so long; a remote side whose round trip takes longer never connects.
    pub sctp_cookie_lifetime: Duration,
    /// Data messages and beginnings of messages that may wait, in one association, for what is missing before them; each
    /// costs some 200 bytes beside its own, which the receive window bounds. A chunk beyond that is dropped and counted,
    /// and the remote side sends it again: few make small messages slow where packets are lost.
    pub sctp_incoming_pieces: usize,
    /// Data messages that may wait to be sent in one association, beside `sctpSendBufferSize`; each costs some 100 bytes
    /// beside its own. What is more is refused as by a full buffer.
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
            frame_gathering: Duration::from_millis(1),
            incoming_bitrate_margin: 4,
            incoming_bitrate_burst: Duration::from_secs(5),
            sctp_cookie_lifetime: tureen_rtc::sctp::COOKIE_LIFETIME,
            sctp_incoming_pieces: tureen_rtc::sctp::INCOMING_PIECES,
            sctp_outgoing_messages: tureen_rtc::sctp::OUTGOING_MESSAGES,
        }
    }
}

impl Limits {
    /// Streams that may come by a link.
    pub(crate) fn streams_by(&self, link: &Link) -> usize {
        if link.is_between_servers() { self.streams_per_link } else { self.streams_per_transport }
    }

    /// SSRCs whose SRTP state is known at a time, where so many streams are declared: a link between servers has room for all
    /// of them and their retransmissions.
    pub(crate) fn srtp_streams_by(&self, link: &Link, declared: usize) -> usize {
        match link {
            Link::Pipe(_) => self.srtp_streams_per_pipe.max(2 * declared),
            Link::Plain(_) => self.srtp_streams_per_transport.max(2 * declared),
            Link::WebRtc(_) | Link::Direct => self.srtp_streams_per_transport,
        }
    }

    /// Retransmissions that may wait to leave by a link.
    pub(crate) fn retransmissions_by(&self, link: &Link) -> usize {
        if link.is_between_servers() {
            self.pending_retransmissions_per_link
        } else {
            self.pending_retransmissions
        }
    }
}
