//! Link of a WebRtcTransport: ICE-lite, then DTLS in the negotiated role.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tureen_rtc::log;

use crate::api::{RequestError, WebRtcServerId, WebRtcTransportDump};
use tureen_rtc::dtls::{
    self, Dtls, DtlsConfig, EarlyDatagrams, Fingerprint, FingerprintAlgorithm as Algorithm,
    RemoteFingerprints, Role,
};
use tureen_rtc::ice::{IceServer, IceState};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_types::data_structures as types;

/// ICE and DTLS of one WebRtcTransport.
pub(crate) struct WebRtcLink {
    /// ICE-lite agent.
    pub(crate) ice: IceServer,
    /// DTLS association, once started.
    pub(crate) dtls: Option<Dtls>,
    /// DTLS state last reported.
    pub(crate) dtls_state: types::DtlsState,
    /// Local ICE candidates.
    pub(crate) candidates: Vec<types::IceCandidate>,
    pub(crate) sockets: LinkSockets,
    /// Selection and priority of the candidates.
    pub(crate) preferences: Preferences,
    config: Arc<DtlsConfig>,
    remote: Option<(Role, RemoteFingerprints)>,
    /// DTLS datagrams received before `connect`.
    early: EarlyDatagrams,
}

/// Sockets of a WebRtcTransport.
#[derive(Debug)]
pub(crate) enum LinkSockets {
    /// Sockets of the transport.
    Own(Vec<SocketId>),
    /// Sockets of a WebRtcServer.
    Server(WebRtcServerId),
}

/// Protocols of the offered candidates, and the preferred one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Preferences {
    pub(crate) enable_udp: bool,
    pub(crate) enable_tcp: bool,
    /// True if UDP candidates have the higher priority.
    pub(crate) prefer_udp: bool,
    /// True if TCP candidates have the higher priority.
    pub(crate) prefer_tcp: bool,
}

impl Preferences {
    /// True if candidates of this protocol are offered.
    pub(crate) fn enables(&self, protocol: types::Protocol) -> bool {
        match protocol {
            types::Protocol::Udp => self.enable_udp,
            types::Protocol::Tcp => self.enable_tcp,
        }
    }

    /// True if candidates of this protocol have the higher priority.
    pub(crate) fn prefers(&self, protocol: types::Protocol) -> bool {
        match protocol {
            types::Protocol::Udp => self.prefer_udp,
            types::Protocol::Tcp => self.prefer_tcp,
        }
    }
}

impl fmt::Debug for WebRtcLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtcLink").field("dtls_state", &self.dtls_state).finish_non_exhaustive()
    }
}

impl WebRtcLink {
    /// Creates a link without remote parameters.
    pub(crate) fn new(ice: IceServer, config: Arc<DtlsConfig>, sockets: LinkSockets) -> Self {
        Self {
            ice,
            dtls: None,
            dtls_state: types::DtlsState::New,
            candidates: Vec::new(),
            sockets,
            preferences: Preferences::default(),
            config,
            remote: None,
            early: EarlyDatagrams::default(),
        }
    }

    /// Path of outgoing media.
    pub(crate) fn selected_tuple(&self) -> Option<Tuple> {
        self.ice.selected_tuple()
    }

    /// Sets the remote DTLS parameters and determines the local role (mediasoup: a remote `auto` is taken as the
    /// server's, so the local side becomes the client).
    ///
    /// # Errors
    /// Called twice, or no usable fingerprint.
    pub(crate) fn connect(&mut self, parameters: &types::DtlsParameters) -> Result<Role, RequestError> {
        if self.remote.is_some() {
            return Err(RequestError::Failed("connect() already called".to_owned()));
        }
        let signalled = parameters.fingerprints.iter().map(fingerprint);
        let fingerprints = RemoteFingerprints::strongest(signalled)
            .ok_or_else(|| RequestError::Invalid("empty dtlsParameters.fingerprints array".to_owned()))?;
        let role = match parameters.role {
            types::DtlsRole::Client => Role::Server,
            types::DtlsRole::Server | types::DtlsRole::Auto => Role::Client,
        };
        self.remote = Some((role, fingerprints));
        Ok(role)
    }

    /// Starts DTLS if the remote parameters are known and ICE has a path. True if DTLS was started now.
    pub(crate) fn may_start_dtls(&mut self, now: Instant) -> bool {
        if self.dtls.is_some() || self.dtls_state != types::DtlsState::New || self.selected_tuple().is_none()
        {
            return false;
        }
        let Some((role, fingerprints)) = &self.remote else { return false };
        match Dtls::new(&self.config, *role, fingerprints.clone(), now) {
            Ok(mut dtls) => {
                dtls.handle_early(now, std::mem::take(&mut self.early));
                self.dtls = Some(dtls);
                self.dtls_state = types::DtlsState::Connecting;
            }
            Err(error) => {
                tracing::warn!(target: log::DTLS, %error, "DTLS can't start");
                self.dtls_state = types::DtlsState::Failed;
            }
        }
        true
    }

    /// Handles a DTLS datagram from a path that ICE has validated. Until the handshake is complete, replies use the
    /// same path.
    pub(crate) fn handle_dtls(&mut self, now: Instant, tuple: Tuple, datagram: &[u8]) {
        if !self.dtls.as_ref().is_some_and(Dtls::is_connected) && dtls::is_plausible(datagram) {
            self.ice.force_selected_tuple(now, tuple);
        }
        match &mut self.dtls {
            Some(dtls) => dtls.handle_datagram(now, datagram),
            None if self.dtls_state == types::DtlsState::New => self.early.push(datagram),
            None => {}
        }
    }

    /// ICE state as an API type.
    pub(crate) fn ice_state(&self) -> types::IceState {
        ice_state(self.ice.state())
    }

    /// ICE credentials as an API type.
    pub(crate) fn ice_parameters(&self) -> types::IceParameters {
        let credentials = self.ice.local_credentials();
        types::IceParameters {
            username_fragment: credentials.username_fragment.clone(),
            password: credentials.password.clone(),
            ice_lite: Some(true),
        }
    }

    /// DTLS fingerprints and role as an API type.
    pub(crate) fn dtls_parameters(&self) -> types::DtlsParameters {
        let role = match self.remote {
            None => types::DtlsRole::Auto,
            Some((Role::Client, _)) => types::DtlsRole::Client,
            Some((Role::Server, _)) => types::DtlsRole::Server,
        };
        let fingerprints = self.config.certificate().fingerprints().iter().map(api_fingerprint).collect();
        types::DtlsParameters { role, fingerprints }
    }

    /// Dump of the link. `tuple` converts a path to its API type.
    pub(crate) fn dump(&self, tuple: impl Fn(Tuple) -> types::TransportTuple) -> WebRtcTransportDump {
        WebRtcTransportDump {
            ice_role: types::IceRole::Controlled,
            ice_parameters: self.ice_parameters(),
            ice_candidates: self.candidates.clone(),
            ice_state: self.ice_state(),
            ice_selected_tuple: self.selected_tuple().map(tuple),
            dtls_parameters: self.dtls_parameters(),
            dtls_state: self.dtls_state,
        }
    }
}

/// ICE state as an API type, which has no value for a closed agent because the agent is closed with its transport.
pub(crate) fn ice_state(state: IceState) -> types::IceState {
    match state {
        IceState::New => types::IceState::New,
        IceState::Connected => types::IceState::Connected,
        IceState::Completed => types::IceState::Completed,
        IceState::Disconnected | IceState::Closed => types::IceState::Disconnected,
    }
}

fn fingerprint(api: &types::DtlsFingerprint) -> Fingerprint {
    let algorithm = match api {
        types::DtlsFingerprint::Sha1 { .. } => Algorithm::Sha1,
        types::DtlsFingerprint::Sha224 { .. } => Algorithm::Sha224,
        types::DtlsFingerprint::Sha256 { .. } => Algorithm::Sha256,
        types::DtlsFingerprint::Sha384 { .. } => Algorithm::Sha384,
        types::DtlsFingerprint::Sha512 { .. } => Algorithm::Sha512,
    };
    Fingerprint::parse(algorithm, &api.value_string())
        .expect("the type holds a digest of the algorithm's length")
}

fn api_fingerprint(fingerprint: &Fingerprint) -> types::DtlsFingerprint {
    const LEN: &str = "a fingerprint is as long as its algorithm's digest";
    let bytes = fingerprint.as_bytes();
    match fingerprint.algorithm() {
        Algorithm::Sha1 => types::DtlsFingerprint::Sha1 { value: bytes.try_into().expect(LEN) },
        Algorithm::Sha224 => types::DtlsFingerprint::Sha224 { value: bytes.try_into().expect(LEN) },
        Algorithm::Sha256 => types::DtlsFingerprint::Sha256 { value: bytes.try_into().expect(LEN) },
        Algorithm::Sha384 => types::DtlsFingerprint::Sha384 { value: bytes.try_into().expect(LEN) },
        Algorithm::Sha512 => types::DtlsFingerprint::Sha512 { value: bytes.try_into().expect(LEN) },
    }
}
