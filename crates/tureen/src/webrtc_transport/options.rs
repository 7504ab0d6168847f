//! Options of a WebRtcTransport.

use crate::data_structures::AppData;
use crate::listen_infos::listen_infos;
use crate::sctp_parameters::SctpZeroChecksum;
use crate::transport::sctp;
use crate::webrtc_server::WebRtcServer;

listen_infos! {
    /// Sockets of a WebRtcTransport: at least one [`ListenInfo`](crate::data_structures::ListenInfo).
    WebRtcTransportListenInfos,
    empty: "Empty list of listen IPs provided, should have at least one element"
}

/// Sockets that a WebRtcTransport listens on.
#[derive(Debug, Clone)]
pub enum WebRtcTransportListen {
    /// Sockets of its own.
    Individual {
        /// Sockets, the preferred one first. `0.0.0.0` and `::` need an `announced_address`.
        listen_infos: WebRtcTransportListenInfos,
    },
    /// Sockets of a WebRTC server of the same worker.
    Server {
        /// WebRTC server.
        webrtc_server: WebRtcServer,
    },
}

/// [`WebRtcTransport`](super::WebRtcTransport) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WebRtcTransportOptions {
    /// Sockets of the transport.
    pub listen: WebRtcTransportListen,
    /// Negotiate bandwidth estimation for producers and consumers. Default true.
    pub enable_bwe: bool,
    /// Start value of the outgoing bandwidth estimate, in bits per second. Default 600000.
    pub initial_available_outgoing_bitrate: u64,
    /// Limit of the bitrate that the endpoint may send, in bits per second. Default none.
    pub max_incoming_bitrate: Option<u64>,
    /// Upper limit of the outgoing bandwidth estimate, in bits per second. Default none.
    pub max_outgoing_bitrate: Option<u64>,
    /// Lower limit of the outgoing bandwidth estimate, in bits per second. Default none.
    pub min_outgoing_bitrate: Option<u64>,
    /// Offer UDP candidates. Default true.
    pub enable_udp: bool,
    /// Offer TCP candidates. Default true on a WebRTC server, false otherwise.
    pub enable_tcp: bool,
    /// Give UDP candidates the higher priority. Default false.
    pub prefer_udp: bool,
    /// Give TCP candidates the higher priority. Default false.
    pub prefer_tcp: bool,
    /// Seconds without a connectivity check after which ICE is disconnected (RFC 7675): 10 to 60, or 0 for never.
    /// Other values are clamped to that range, as in mediasoup. Default 30.
    pub ice_consent_timeout: u8,
    /// Enable SCTP for data channels. Default false.
    pub enable_sctp: bool,
    /// Largest message that a data consumer sends, in bytes. Default 262144.
    pub max_send_message_size: u32,
    /// Largest message that a data producer accepts, in bytes. Default 262144.
    pub max_receive_message_size: u32,
    /// Bytes that may wait to be sent on all SCTP streams together. Further messages are dropped; see
    /// [`DataConsumer::on_sctp_send_buffer_full`](crate::data_consumer::DataConsumer::on_sctp_send_buffer_full).
    /// Default 2000000.
    pub sctp_send_buffer_size: u32,
    /// Bytes that may wait to be sent on one SCTP stream. Default 2000000.
    pub sctp_per_stream_send_queue_limit: u32,
    /// SCTP receive window in bytes, at least 65536. Should be somewhat larger than the largest message. Default
    /// 5242880.
    pub sctp_max_receiver_window_buffer_size: u32,
    /// Buffered amount, in bytes, that counts as low for data consumers without a
    /// [threshold](crate::data_consumer::DataConsumer::set_buffered_amount_low_threshold) of their own. Default 1024.
    pub sctp_default_stream_buffered_amount_low_threshold: u32,
    /// Error detection that replaces the SCTP checksum (RFC 9653). Has no effect yet, because checksums are always
    /// sent and verified. Default [`SctpZeroChecksum::SctpOverDtls`].
    pub sctp_zero_checksum: SctpZeroChecksum,
    /// Custom application data.
    pub app_data: AppData,
}

impl WebRtcTransportOptions {
    /// Options for a transport with sockets of its own.
    #[must_use]
    pub fn new(listen_infos: WebRtcTransportListenInfos) -> Self {
        Self::with(WebRtcTransportListen::Individual { listen_infos }, false)
    }

    /// Options for a transport on a WebRTC server.
    #[must_use]
    pub fn new_with_server(webrtc_server: WebRtcServer) -> Self {
        Self::with(WebRtcTransportListen::Server { webrtc_server }, true)
    }

    fn with(listen: WebRtcTransportListen, enable_tcp: bool) -> Self {
        Self {
            listen,
            enable_bwe: true,
            initial_available_outgoing_bitrate: 600_000,
            max_incoming_bitrate: None,
            max_outgoing_bitrate: None,
            min_outgoing_bitrate: None,
            enable_udp: true,
            enable_tcp,
            prefer_udp: false,
            prefer_tcp: false,
            ice_consent_timeout: 30,
            enable_sctp: false,
            max_send_message_size: sctp::MAX_MESSAGE_SIZE,
            max_receive_message_size: sctp::MAX_MESSAGE_SIZE,
            sctp_send_buffer_size: sctp::SEND_BUFFER_SIZE,
            sctp_per_stream_send_queue_limit: sctp::SEND_BUFFER_SIZE,
            sctp_max_receiver_window_buffer_size: sctp::RECEIVER_WINDOW,
            sctp_default_stream_buffered_amount_low_threshold: sctp::BUFFERED_AMOUNT_LOW_THRESHOLD,
            sctp_zero_checksum: SctpZeroChecksum::SctpOverDtls,
            app_data: AppData::default(),
        }
    }
}
