//! Options of a Producer.

use super::ProducerId;
use crate::data_structures::AppData;
use crate::rtp_parameters::{MediaKind, RtpParameters};

/// [`Producer`](super::Producer) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProducerOptions {
    pub(crate) id: Option<ProducerId>,
    /// Audio or video.
    pub kind: MediaKind,
    /// RTP parameters of the streams that the endpoint sends.
    pub rtp_parameters: RtpParameters,
    /// Start paused. Default false.
    pub paused: bool,
    /// Shortest time between two key frame requests for one stream, in milliseconds. Default 0, which is no limit.
    pub key_frame_request_delay: u32,
    /// Add mediasoup's packet id header extension to forwarded packets, so that endpoints can tell packets apart.
    /// Default false.
    pub enable_mediasoup_packet_id_header_extension: bool,
    /// Custom application data.
    pub app_data: AppData,
}

impl ProducerOptions {
    /// Options with a given id, as for a producer that is piped to another router.
    #[must_use]
    pub fn new_pipe_transport(
        producer_id: ProducerId,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
    ) -> Self {
        Self { id: Some(producer_id), ..Self::new(kind, rtp_parameters) }
    }

    /// Options with a random id.
    #[must_use]
    pub fn new(kind: MediaKind, rtp_parameters: RtpParameters) -> Self {
        Self {
            id: None,
            kind,
            rtp_parameters,
            paused: false,
            key_frame_request_delay: 0,
            enable_mediasoup_packet_id_header_extension: false,
            app_data: AppData::default(),
        }
    }
}
