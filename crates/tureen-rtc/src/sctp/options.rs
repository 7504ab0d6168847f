//! Settings of an association.

/// Settings of an SCTP association. All sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SctpOptions {
    /// Largest message that is sent.
    pub max_send_message_size: u32,
    /// Largest message that is taken.
    pub max_receive_message_size: u32,
    /// How much may wait to be sent on the whole association.
    pub send_buffer_size: u32,
    /// How much may wait to be sent on one stream.
    pub per_stream_send_queue_limit: u32,
    /// Receive window.
    pub max_receiver_window_buffer_size: u32,
    /// Threshold of a stream whose DataConsumer sets none.
    pub default_buffered_amount_low_threshold: u32,
    /// Most streams that are sent on, 1 at least; mediasoup 3.27 always takes [`MAX_STREAMS`](super::MAX_STREAMS).
    pub outbound_streams: u16,
    /// Most streams that the remote side may send on, likewise.
    pub inbound_streams: u16,
}
