//! Trace events of transports.

use serde::{Deserialize, Serialize};
use tureen_engine::api::TransportTrace;

use crate::data_structures::{BweTraceInfo, RtpPacketTraceInfo, TraceEventDirection};

/// A trace event of a transport.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TransportTraceEventData {
    /// A packet that probes for bandwidth was sent.
    Probation {
        /// Milliseconds of the worker's clock.
        timestamp: u64,
        /// Received or sent; always `Out`.
        direction: TraceEventDirection,
        /// Description of the packet.
        info: RtpPacketTraceInfo,
    },
    /// The outgoing bandwidth estimate changed.
    Bwe {
        /// Milliseconds of the worker's clock.
        timestamp: u64,
        /// Received or sent; always `Out`.
        direction: TraceEventDirection,
        /// The estimate and its limits.
        info: BweTraceInfo,
    },
}

/// Kind of trace event of a transport.
#[derive(Debug, Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportTraceEventType {
    /// A packet that probes for bandwidth was sent.
    Probation,
    /// The outgoing bandwidth estimate changed.
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
