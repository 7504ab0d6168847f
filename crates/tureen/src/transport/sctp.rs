//! SCTP on a transport: options, their defaults, and the methods of handles.

/// Default of `max_send_message_size` and `max_receive_message_size`, in bytes.
pub(crate) const MAX_MESSAGE_SIZE: u32 = 262_144;
/// Default of `sctp_send_buffer_size` and `sctp_per_stream_send_queue_limit`, in bytes.
pub(crate) const SEND_BUFFER_SIZE: u32 = 2_000_000;
/// Default of `sctp_max_receiver_window_buffer_size`, in bytes.
pub(crate) const RECEIVER_WINDOW: u32 = 5_242_880;
/// Default of `sctp_default_stream_buffered_amount_low_threshold`, in bytes.
pub(crate) const BUFFERED_AMOUNT_LOW_THRESHOLD: u32 = 1024;

/// The engine's SCTP options of a transport's options, which have the same fields for each kind of transport. `None`
/// without SCTP.
macro_rules! sctp_options {
    ($options:expr) => {
        $options.enable_sctp.then_some(tureen_rtc::sctp::SctpOptions {
            max_send_message_size: $options.max_send_message_size,
            max_receive_message_size: $options.max_receive_message_size,
            send_buffer_size: $options.sctp_send_buffer_size,
            per_stream_send_queue_limit: $options.sctp_per_stream_send_queue_limit,
            max_receiver_window_buffer_size: $options.sctp_max_receiver_window_buffer_size,
            default_buffered_amount_low_threshold: $options.sctp_default_stream_buffered_amount_low_threshold,
            outbound_streams: tureen_rtc::sctp::MAX_STREAMS,
            inbound_streams: tureen_rtc::sctp::MAX_STREAMS,
        })
    };
}

/// Implements the SCTP methods of a transport handle.
macro_rules! impl_sctp_transport {
    ($transport:ident) => {
        impl $transport {
            /// Parameters of the SCTP association. `None` without SCTP.
            #[must_use]
            pub fn sctp_parameters(&self) -> Option<$crate::sctp_parameters::SctpParameters> {
                self.inner.base.sctp().map(|sctp| sctp.parameters)
            }

            /// State of the SCTP association. `None` without SCTP.
            #[must_use]
            pub fn sctp_state(&self) -> Option<$crate::data_structures::SctpState> {
                self.inner.base.sctp().map(|sctp| sctp.state)
            }

            /// SCTP capabilities that both sides agreed on. `None` before SCTP is connected.
            #[must_use]
            pub fn sctp_negotiated_capabilities(
                &self,
            ) -> Option<$crate::sctp_parameters::SctpNegotiatedCapabilities> {
                self.inner.base.sctp()?.negotiated_capabilities
            }

            /// Calls `callback` when the state of the SCTP association changes.
            pub fn on_sctp_state_change<F>(&self, callback: F) -> event_listener_primitives::HandlerId
            where
                F: Fn($crate::data_structures::SctpState) + Send + Sync + 'static,
            {
                self.inner.base.on_sctp_state_change(std::sync::Arc::new(callback))
            }
        }
    };
}

pub(crate) use {impl_sctp_transport, sctp_options};
