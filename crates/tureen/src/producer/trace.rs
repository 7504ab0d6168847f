//! Trace events of producers.

use serde::{Deserialize, Serialize};
use tureen_engine::api::{MediaTrace, MediaTraceData, MediaTraceEvent};

use crate::data_structures::{RtpPacketTraceInfo, SrTraceInfo, SsrcTraceInfo, TraceEventDirection};

/// A trace event of a producer. Each has its time in milliseconds of the worker's clock, and whether the packet was
/// received or sent.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[expect(missing_docs, reason = "the fields are the same in all")]
pub enum ProducerTraceEventData {
    /// An RTP packet.
    Rtp { timestamp: u64, direction: TraceEventDirection, info: RtpPacketTraceInfo },
    /// An RTP packet that starts a key frame.
    KeyFrame { timestamp: u64, direction: TraceEventDirection, info: RtpPacketTraceInfo },
    /// A NACK.
    Nack { timestamp: u64, direction: TraceEventDirection },
    /// A picture loss indication.
    Pli { timestamp: u64, direction: TraceEventDirection, info: SsrcTraceInfo },
    /// A full intra request.
    Fir { timestamp: u64, direction: TraceEventDirection, info: SsrcTraceInfo },
    /// A sender report.
    Sr { timestamp: u64, direction: TraceEventDirection, info: SrTraceInfo },
}

/// Kind of trace event of a producer.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProducerTraceEventType {
    /// An RTP packet.
    Rtp,
    /// An RTP packet that starts a key frame.
    KeyFrame,
    /// A NACK.
    Nack,
    /// A picture loss indication.
    Pli,
    /// A full intra request.
    Fir,
    /// A sender report.
    SR,
}

impl ProducerTraceEventType {
    pub(super) fn to_core(types: &[Self]) -> MediaTrace {
        MediaTrace {
            rtp: types.contains(&Self::Rtp),
            key_frame: types.contains(&Self::KeyFrame),
            nack: types.contains(&Self::Nack),
            pli: types.contains(&Self::Pli),
            fir: types.contains(&Self::Fir),
            sr: types.contains(&Self::SR),
        }
    }

    pub(super) fn from_core(trace: MediaTrace) -> Vec<Self> {
        [
            (trace.rtp, Self::Rtp),
            (trace.key_frame, Self::KeyFrame),
            (trace.nack, Self::Nack),
            (trace.pli, Self::Pli),
            (trace.fir, Self::Fir),
            (trace.sr, Self::SR),
        ]
        .into_iter()
        .filter_map(|(enabled, kind)| enabled.then_some(kind))
        .collect()
    }
}

impl From<MediaTraceEvent> for ProducerTraceEventData {
    fn from(event: MediaTraceEvent) -> Self {
        let MediaTraceEvent { timestamp_ms: timestamp, direction, data } = event;
        match data {
            MediaTraceData::Rtp(info) => Self::Rtp { timestamp, direction, info },
            MediaTraceData::KeyFrame(info) => Self::KeyFrame { timestamp, direction, info },
            MediaTraceData::Nack => Self::Nack { timestamp, direction },
            MediaTraceData::Pli(ssrc) => Self::Pli { timestamp, direction, info: SsrcTraceInfo { ssrc } },
            MediaTraceData::Fir(ssrc) => Self::Fir { timestamp, direction, info: SsrcTraceInfo { ssrc } },
            MediaTraceData::Sr(info) => Self::Sr { timestamp, direction, info },
        }
    }
}
