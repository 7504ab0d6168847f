//! Statistics and dump of a WebRtcTransport.

use std::collections::HashMap;

use tureen_engine::api::{self, LinkDump, LinkStats};

use crate::consumer::ConsumerId;
use crate::data_structures::{
    DtlsParameters, DtlsState, IceCandidate, IceParameters, IceRole, IceState, TransportTuple,
};
use crate::transport::{transport_dump, transport_stat};

transport_stat! {
    /// Statistics of a WebRtcTransport.
    WebRtcTransportStat from LinkStats::WebRtc(api::WebRtcTransportStats {
        ice_role, ice_state, ice_selected_tuple, dtls_state,
    }) => {
        /// Always `Controlled`.
        ice_role: IceRole,
        /// ICE state.
        ice_state: IceState,
        /// Tuple that media is sent on.
        #[serde(skip_serializing_if = "Option::is_none")]
        ice_selected_tuple: Option<TransportTuple>,
        /// DTLS state.
        dtls_state: DtlsState,
    }
}

transport_dump! {
    /// State of a WebRtcTransport.
    WebRtcTransportDump<HashMap<u32, ConsumerId>> from LinkDump::WebRtc(api::WebRtcTransportDump {
        dtls_parameters, dtls_state, ice_candidates, ice_parameters, ice_role, ice_state, ice_selected_tuple,
    }) => {
        direct: false,
        dtls_parameters: DtlsParameters,
        dtls_state: DtlsState,
        ice_candidates: Vec<IceCandidate>,
        ice_parameters: IceParameters,
        ice_role: IceRole,
        ice_state: IceState,
        ice_selected_tuple: Option<TransportTuple>,
    }
}
