//! Options of a PipeTransport.

use crate::data_structures::{AppData, ListenInfo};
use crate::sctp_parameters::SctpZeroChecksum;
use crate::transport::sctp;

/// [`PipeTransport`](super::PipeTransport) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PipeTransportOptions {
    /// Socket of the transport.
    pub listen_info: ListenInfo,
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
    /// Retransmit lost packets, if both transports have this. Useful between hosts. Default false.
    pub enable_rtx: bool,
    /// Enable SRTP. The transport is then connected with the other transport's keys. Useful between hosts. Default
    /// false.
    pub enable_srtp: bool,
    /// Custom application data.
    pub app_data: AppData,
}

impl PipeTransportOptions {
    /// Options with the given socket.
    #[must_use]
    pub fn new(listen_info: ListenInfo) -> Self {
        Self {
            listen_info,
            enable_sctp: false,
            max_send_message_size: sctp::MAX_MESSAGE_SIZE,
            max_receive_message_size: sctp::MAX_MESSAGE_SIZE,
            sctp_send_buffer_size: sctp::SEND_BUFFER_SIZE,
            sctp_per_stream_send_queue_limit: sctp::SEND_BUFFER_SIZE,
            sctp_max_receiver_window_buffer_size: sctp::RECEIVER_WINDOW,
            sctp_default_stream_buffered_amount_low_threshold: sctp::BUFFERED_AMOUNT_LOW_THRESHOLD,
            sctp_zero_checksum: SctpZeroChecksum::None,
            enable_rtx: false,
            enable_srtp: false,
            app_data: AppData::default(),
        }
    }
}
