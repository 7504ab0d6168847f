//! Trace events of transports.

use serde::{Deserialize, Serialize};
use tureen_engine::api::TransportTrace;

use crate::data_structures::{BweTraceInfo, RtpPacketTraceInfo, TraceEventDirection};

/// A trace event of a transport.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TransportTraceEventData {
    /// A packet that was sent to probe for bandwidth.
    Probation {
        /// Milliseconds of the worker's clock.
        timestamp: u64,
        /// In from the network or out to it.
        direction: TraceEventDirection,
        /// The packet.
        info: RtpPacketTraceInfo,
    },
    /// The estimate of the outgoing bandwidth changed.
    Bwe {
        /// Milliseconds of the worker's clock.
        timestamp: u64,
        /// In from the network or out to it.
        direction: TraceEventDirection,
        /// The figures.
        info: BweTraceInfo,
    },
}

/// Kind of a trace event of a transport.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportTraceEventType {
    /// A packet that was sent to probe for bandwidth.
    Probation,
    /// The estimate of the outgoing bandwidth changed.
    Bwe,
}

impl TransportTraceEventType {
    pub(crate) fn to_core(types: &[Self]) -> TransportTrace {
        TransportTrace { probation: types.contains(&Self::Probation), bwe: types.contains(&Self::Bwe) }
    }

    pub(crate) fn from_core(trace: TransportTrace) -> Vec<Self> {
        [(trace.probation, Self::Probation), (trace.bwe, Self::Bwe)]
            .into_iter()
            .filter_map(|(enabled, kind)| enabled.then_some(kind))
            .collect()
    }
}
