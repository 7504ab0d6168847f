//! Options of a Consumer.

use super::ConsumerLayers;
use crate::data_structures::AppData;
use crate::producer::ProducerId;
use crate::rtp_parameters::RtpCapabilities;

/// [`Consumer`](super::Consumer) options.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// Producer to read, of the same router.
    pub producer_id: ProducerId,
    /// RTP capabilities of the receiving endpoint.
    pub rtp_capabilities: RtpCapabilities,
    /// Start paused, which is recommended; see [`Transport::consume`](crate::transport::Transport::consume). Default
    /// false.
    pub paused: bool,
    /// MID to send with. Default a number that counts up in the transport.
    pub mid: Option<String>,
    /// Preferred layers at the start, of a producer that has layers. Default the highest ones.
    pub preferred_layers: Option<ConsumerLayers>,
    /// Retransmit lost packets, if the endpoint can request them. Default true for video, false for audio.
    pub enable_rtx: Option<bool>,
    /// Leave out the packets of discontinuous transmission (Opus DTX). Default false.
    pub ignore_dtx: bool,
    /// Send all streams of the producer unchanged. Default false.
    pub pipe: bool,
    /// Custom application data.
    pub app_data: AppData,
}

impl ConsumerOptions {
    /// Options for a consumer of the given producer.
    #[must_use]
    pub fn new(producer_id: ProducerId, rtp_capabilities: RtpCapabilities) -> Self {
        Self {
            producer_id,
            rtp_capabilities,
            paused: false,
            mid: None,
            preferred_layers: None,
            enable_rtx: None,
            ignore_dtx: false,
            pipe: false,
            app_data: AppData::default(),
        }
    }
}
