//! Options of a PlainTransport.

use crate::data_structures::{AppData, ListenInfo};
use crate::sctp_parameters::SctpZeroChecksum;
use crate::srtp_parameters::SrtpCryptoSuite;
use crate::transport::sctp;

/// [`PlainTransport`](super::PlainTransport) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlainTransportOptions {
    /// Its socket, for RTP, and with `rtcp_mux` for RTCP too.
    pub listen_info: ListenInfo,
    /// Socket for RTCP without `rtcp_mux`. Default one like `listen_info` on another port.
    pub rtcp_listen_info: Option<ListenInfo>,
    /// RTP and RTCP share one port (RFC 5761). Default true.
    pub rtcp_mux: bool,
    /// The remote address is that of the first packet. Of use only if the endpoint sends something. The transport is
    /// then connected with SRTP parameters only, if at all. Default false.
    pub comedia: bool,
    /// Negotiate bandwidth estimation with what is produced and consumed. Default true.
    pub enable_bwe: bool,
    /// Where the estimate of what can be sent starts, in bits per second. Default 600000.
    pub initial_available_outgoing_bitrate: u64,
    /// Limit of what the endpoint may send, in bits per second. Default none.
    pub max_incoming_bitrate: Option<u64>,
    /// Limit of what is sent to the endpoint, in bits per second. Default none.
    pub max_outgoing_bitrate: Option<u64>,
    /// Floor of the estimate of what can be sent, in bits per second. Default none.
    pub min_outgoing_bitrate: Option<u64>,
    /// Carry data channels, without DTLS. Default false.
    pub enable_sctp: bool,
    /// Largest message that a data consumer sends, in bytes. Default 262144.
    pub max_send_message_size: u32,
    /// Largest message that a data producer takes, in bytes. Default 262144.
    pub max_receive_message_size: u32,
    /// Bytes that may wait to be sent on all streams together; what passes that is dropped, see
    /// [`DataConsumer::on_sctp_send_buffer_full`](crate::data_consumer::DataConsumer::on_sctp_send_buffer_full).
    /// Default 2000000.
    pub sctp_send_buffer_size: u32,
    /// Bytes that may wait to be sent on one stream. Default 2000000.
    pub sctp_per_stream_send_queue_limit: u32,
    /// Receive window in bytes, which should be somewhat larger than the largest message. Default 5242880, least 65536.
    pub sctp_max_receiver_window_buffer_size: u32,
    /// Waiting bytes at which data consumers say that it is few, those that set no
    /// [threshold](crate::data_consumer::DataConsumer::set_buffered_amount_low_threshold). Default 1024.
    pub sctp_default_stream_buffered_amount_low_threshold: u32,
    /// Error detection instead of the checksum (RFC 9653). It changes nothing yet: checksums are always sent and
    /// verified. Default [`SctpZeroChecksum::None`].
    pub sctp_zero_checksum: SctpZeroChecksum,
    /// Encrypt; the transport is then connected with the endpoint's keys. Default false.
    pub enable_srtp: bool,
    /// How to encrypt. Default [`SrtpCryptoSuite::AesCm128HmacSha180`].
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
