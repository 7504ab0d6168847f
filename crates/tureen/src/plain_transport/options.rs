//! Options of a PlainTransport.

use crate::data_structures::{AppData, ListenInfo};
use crate::sctp_parameters::SctpZeroChecksum;
use crate::srtp_parameters::SrtpCryptoSuite;
use crate::transport::sctp;

/// [`PlainTransport`](super::PlainTransport) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlainTransportOptions {
    /// Socket for RTP, and with `rtcp_mux` for RTCP too.
    pub listen_info: ListenInfo,
    /// Socket for RTCP without `rtcp_mux`. Default: like `listen_info`, on another port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// RTP and RTCP share one port (RFC 5761). Default true.
    pub rtcp_mux: bool,
    /// Take the remote address from the first packet. Works only if the endpoint sends. The transport is then
    /// connected with SRTP parameters only, or not at all. Default false.
    pub comedia: bool,
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
    /// Enable SCTP for data channels, without DTLS. Default false.
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
    /// sent and verified. Default [`SctpZeroChecksum::None`].
    pub sctp_zero_checksum: SctpZeroChecksum,
    /// Enable SRTP. The transport is then connected with the endpoint's keys. Default false.
    pub enable_srtp: bool,
    /// SRTP crypto suite. Default [`SrtpCryptoSuite::AesCm128HmacSha180`].
    pub srtp_crypto_suite: SrtpCryptoSuite,
    /// Custom application data.
    pub app_data: AppData,
}

impl PlainTransportOptions {
    /// Options with the given socket.
    #[must_use]
    pub fn new(listen_info: ListenInfo) -> Self {
        Self {
            listen_info,
            rtcp_listen_info: None,
            rtcp_mux: true,
            comedia: false,
            enable_bwe: true,
            initial_available_outgoing_bitrate: 600_000,
            max_incoming_bitrate: None,
            max_outgoing_bitrate: None,
            min_outgoing_bitrate: None,
            enable_sctp: false,
            max_send_message_size: sctp::MAX_MESSAGE_SIZE,
            max_receive_message_size: sctp::MAX_MESSAGE_SIZE,
            sctp_send_buffer_size: sctp::SEND_BUFFER_SIZE,
            sctp_per_stream_send_queue_limit: sctp::SEND_BUFFER_SIZE,
            sctp_max_receiver_window_buffer_size: sctp::RECEIVER_WINDOW,
            sctp_default_stream_buffered_amount_low_threshold: sctp::BUFFERED_AMOUNT_LOW_THRESHOLD,
            sctp_zero_checksum: SctpZeroChecksum::None,
            enable_srtp: false,
            srtp_crypto_suite: SrtpCryptoSuite::default(),
            app_data: AppData::default(),
        }
    }
}
