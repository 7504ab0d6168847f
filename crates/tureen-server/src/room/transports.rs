//! Transports of a participant: creation, connection and events.

use std::sync::Arc;

use tracing::info;
use tureen::{
    plain_transport::{PlainTransport, PlainTransportRemoteParameters},
    prelude::*,
    transport::{TransportTraceEventData, TransportTraceEventType},
    types::data_structures::{DtlsState, IceState, TraceEventDirection},
    webrtc_transport::WebRtcTransport,
};

use super::{
    events::{EndReason, Notice, RoomEvent},
    media_log::{expect_connection, watch_plain_transport, watch_transport},
    member::{MediaTransport, TransportEntry},
    participant::Participant,
};
use crate::{
    addresses::plain_listen_info,
    error::{Error, Thing},
    networks::why_special,
    tally::Denied,
};

/// Options of a WebRTC transport that a client requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WebRtcRequest {
    pub(crate) force_tcp: bool,
    /// True if the room creates the peer's consumers on this transport.
    pub(crate) consuming: bool,
    pub(crate) with_sctp: bool,
}

/// Options of a plain transport that a client requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainRequest {
    /// RTP and RTCP share one port.
    pub(crate) rtcp_mux: bool,
    /// The remote address is that of the first packet.
    pub(crate) comedia: bool,
    pub(crate) with_sctp: bool,
}

impl Participant {
    pub(crate) async fn create_webrtc_transport(
        &self,
        asked: WebRtcRequest,
    ) -> Result<WebRtcTransport, Error> {
        self.with_member(|member| self.check_transports(member.transports.len()))??;
        let rtc = &self.room.config().rtc;
        let mut options = WebRtcTransportOptions::new_with_server(self.room.worker.webrtc_server.clone());
        options.initial_available_outgoing_bitrate = rtc.initial_available_outgoing_bitrate;
        options.max_incoming_bitrate = Some(rtc.max_incoming_bitrate).filter(|&bitrate| bitrate > 0);
        options.enable_udp = !asked.force_tcp;
        options.prefer_udp = true;
        options.enable_sctp = asked.with_sctp;
        options.ice_consent_timeout = u8::try_from(self.room.config().timeouts.ice_consent.as_secs())
            .expect("ServerConfig::validate checks the range");
        let transport = self.room.router.create_webrtc_transport(options).await.map_err(Error::Worker)?;
        if transport.ice_candidates().is_empty() {
            return Err(Error::NoCandidate(if asked.force_tcp { "TCP" } else { "UDP or TCP" }));
        }
        watch_transport(&self.name, &transport);
        self.end_with(&transport);
        self.report_downlink(&transport).await?;
        self.add_transport(TransportEntry {
            transport: MediaTransport::WebRtc(transport.clone()),
            consuming: asked.consuming,
            _sockets: None,
            _load: self.room.worker.add_load(),
        })?;
        Ok(transport)
    }

    /// Creates a plain transport on a separate port, or on two ports if RTCP has its own.
    pub(crate) async fn create_plain_transport(&self, asked: PlainRequest) -> Result<PlainTransport, Error> {
        self.with_member(|member| self.check_transports(member.transports.len()))??;
        let count = if asked.rtcp_mux { 1 } else { 2 };
        let sockets = Arc::clone(&self.room.shared.plain_sockets).try_acquire_many_owned(count);
        let sockets = sockets.map_err(|_none| {
            self.room.tally().count(Denied::PlainSocket);
            Error::ServerBusy("plain transports")
        })?;
        let mut options = PlainTransportOptions::new(plain_listen_info(&self.room.config().rtc));
        options.rtcp_mux = asked.rtcp_mux;
        options.comedia = asked.comedia;
        options.enable_sctp = asked.with_sctp;
        let transport = self.room.router.create_plain_transport(options).await.map_err(Error::Worker)?;
        watch_plain_transport(&self.name, &transport);
        self.add_transport(TransportEntry {
            transport: MediaTransport::Plain(transport.clone()),
            consuming: false,
            _sockets: Some(sockets),
            _load: self.room.worker.add_load(),
        })?;
        Ok(transport)
    }

    fn add_transport(&self, entry: TransportEntry) -> Result<(), Error> {
        let id = entry.transport.as_transport().id();
        // Declared after `entry`, so that an early return unlocks before it drops the transport.
        let mut state = self.room.lock();
        let me = self.member_in(&mut state)?;
        // Further transports may have been created in the meantime.
        self.check_transports(me.transports.len())?;
        me.transports.insert(id, entry);
        Ok(())
    }

    fn check_transports(&self, count: usize) -> Result<(), Error> {
        self.check_share(Thing::Transport, self.limits().max_transports_per_peer, count)
    }

    /// Closes the connection of a peer when ICE or DTLS of `transport` ends. A broadcaster expires instead.
    fn end_with(&self, transport: &WebRtcTransport) {
        let Some(subscriber) = self.subscriber.clone() else { return };
        let (tally, name) = (Arc::clone(&self.room.shared.tally), Arc::clone(&self.name));
        let lose = move |transport_id: TransportId, what: &str, state: &dyn std::fmt::Debug| {
            if subscriber.end(EndReason::TransportLost) && tally.may_log() {
                info!(peer = &*name, %transport_id, "{what} {state:?}: ending the peer");
            }
        };
        let id = transport.id();
        let on_ice = {
            let lose = lose.clone();
            move |state| match state {
                IceState::New | IceState::Connected | IceState::Completed => {}
                state => lose(id, "ICE", &state),
            }
        };
        transport.on_ice_state_change(on_ice).detach();
        let on_dtls = move |state| match state {
            DtlsState::New | DtlsState::Connecting | DtlsState::Connected => {}
            state => lose(id, "DTLS", &state),
        };
        transport.on_dtls_state_change(on_dtls).detach();
    }

    /// Sends the bandwidth estimate of a peer's downlink to the peer.
    async fn report_downlink(&self, transport: &WebRtcTransport) -> Result<(), Error> {
        let Some(subscriber) = self.subscriber.clone() else { return Ok(()) };
        let tell = move |event: &TransportTraceEventData| {
            if let TransportTraceEventData::Bwe { direction: TraceEventDirection::Out, info, .. } = event {
                subscriber.notify(&Notice::new(RoomEvent::DownlinkEstimate(*info)));
            }
        };
        transport.on_trace(Arc::new(tell)).detach();
        transport.enable_trace_event(vec![TransportTraceEventType::Bwe]).await.map_err(Error::Worker)
    }

    pub(crate) async fn connect(
        &self,
        id: TransportId,
        dtls_parameters: DtlsParameters,
    ) -> Result<(), Error> {
        let transport = self.webrtc_transport(id)?;
        expect_connection(&self.name, &transport);
        Ok(transport.connect(WebRtcTransportRemoteParameters { dtls_parameters }).await?)
    }

    pub(crate) async fn restart_ice(&self, id: TransportId) -> Result<IceParameters, Error> {
        self.webrtc_transport(id)?.restart_ice().await.map_err(Error::Worker)
    }

    pub(crate) fn webrtc_transport(&self, id: TransportId) -> Result<WebRtcTransport, Error> {
        match self.transport(id)? {
            MediaTransport::WebRtc(transport) => Ok(transport),
            MediaTransport::Plain(_) => Err(Error::WrongTransport { kind: "plain", by: "plain-connect" }),
        }
    }

    /// Sets the remote address of a plain transport without `comedia`. Sending starts after the first datagram from
    /// there, unless the configuration allows to send before.
    pub(crate) async fn connect_plain(
        &self,
        id: TransportId,
        remote: PlainTransportRemoteParameters,
    ) -> Result<PlainTransport, Error> {
        let MediaTransport::Plain(transport) = self.transport(id)? else {
            return Err(Error::WrongTransport { kind: "WebRTC", by: "connect" });
        };
        match self.may_send_unasked(&remote)? {
            true => transport.connect(remote).await?,
            false => transport.connect_when_heard(remote).await?,
        }
        Ok(transport)
    }

    /// True if the configuration allows to send to this address before anything was received from there. Addresses that
    /// belong to no single host are refused, unless the configuration lists them.
    fn may_send_unasked(&self, remote: &PlainTransportRemoteParameters) -> Result<bool, Error> {
        for (name, port) in [("port", remote.port), ("rtcpPort", remote.rtcp_port)] {
            if port == Some(0) {
                return Err(Error::PortZero(name));
            }
        }
        // The transport's error names the missing value.
        let Some(ip) = remote.ip else { return Ok(false) };
        let networks = &self.room.config().rtc.plain_connect_to;
        if !ip.is_unspecified() && networks.iter().any(|network| network.contains(ip)) {
            return Ok(true);
        }
        match why_special(ip) {
            Some(why) => Err(Error::SpecialAddress { ip, why }),
            None => Ok(false),
        }
    }
}
