//! Settings of an association.

/// Settings of an SCTP association. All sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpOptions {
    /// Largest message that is sent.
    pub max_send_message_size: u32,
    /// Largest message that is accepted.
    pub max_receive_message_size: u32,
    /// Send buffer of the whole association.
    pub send_buffer_size: u32,
    /// Send buffer of one stream.
    pub per_stream_send_queue_limit: u32,
    /// Receive window.
    pub max_receiver_window_buffer_size: u32,
    /// Buffered amount low threshold of a stream whose DataConsumer sets none.
    pub default_buffered_amount_low_threshold: u32,
    /// Most outgoing streams, at least 1; mediasoup 3.27 always uses [`MAX_STREAMS`](super::MAX_STREAMS).
    pub outbound_streams: u16,
    /// Most incoming streams, likewise.
    pub inbound_streams: u16,
}
