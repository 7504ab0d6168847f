//! Options of a PipeTransport.

use tureen_rtc::sctp::MAX_STREAMS;
use tureen_rtc::sctp::SctpOptions;

use crate::data_structures::{AppData, ListenInfo};
use crate::sctp_parameters::SctpZeroChecksum;

/// [`PipeTransport`](super::PipeTransport) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PipeTransportOptions {
    /// Its socket.
    pub listen_info: ListenInfo,
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
    /// Lost packets are sent again, if both transports have it. Of use between hosts. Default false.
    pub enable_rtx: bool,
    /// Encrypt; the transport is then connected with the other one's keys. Of use between hosts. Default false.
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
            max_send_message_size: 262_144,
            max_receive_message_size: 262_144,
            sctp_send_buffer_size: 2_000_000,
            sctp_per_stream_send_queue_limit: 2_000_000,
            sctp_max_receiver_window_buffer_size: 5_242_880,
            sctp_default_stream_buffered_amount_low_threshold: 1024,
            sctp_zero_checksum: SctpZeroChecksum::None,
            enable_rtx: false,
            enable_srtp: false,
            app_data: AppData::default(),
        }
    }

    /// What the worker is told of SCTP.
    pub(crate) fn sctp(&self) -> Option<SctpOptions> {
        self.enable_sctp.then_some(SctpOptions {
            max_send_message_size: self.max_send_message_size,
            max_receive_message_size: self.max_receive_message_size,
            send_buffer_size: self.sctp_send_buffer_size,
            per_stream_send_queue_limit: self.sctp_per_stream_send_queue_limit,
            max_receiver_window_buffer_size: self.sctp_max_receiver_window_buffer_size,
            default_buffered_amount_low_threshold: self.sctp_default_stream_buffered_amount_low_threshold,
            outbound_streams: MAX_STREAMS,
            inbound_streams: MAX_STREAMS,
        })
    }
}
