//! Transports: making, connecting and closing each kind.

use std::time::Instant;

use super::control::{Answer, not_found};
use super::server::Pending;
use super::sockets::{SocketOwner, advertised};
use super::{Output, Timer, Worker};
use crate::api::{
    ConnectAny, ConnectPipe, ConnectPlain, CreateDirectTransport, CreatePipeTransport, CreatePlainTransport,
    CreateWebRtcTransport, Listen, PlainConnected, RequestError, RequestId, Response, RouterId,
    TransportEvent, TransportId,
};
use crate::data::{DataPath, DataSide, SctpPurpose};
use crate::keys::TransportKey;
use crate::transport::link::Link;
use crate::transport::pipe::PipeLink;
use crate::transport::plain::{Evidence, PlainLink};
use crate::transport::policer::Policer;
use crate::transport::protection::{Opener, Sealer};
use crate::transport::webrtc::{LinkSockets, Preferences, WebRtcLink};
use crate::transport::{Bitrates, Transport};
use tureen_rtc::dtls::Role;
use tureen_rtc::ice::{
    CONSENT_TIMEOUTS, IceConfig, IceCredentials, IceServer, candidate_priority, local_preference,
};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_rtc::units::Bitrate;
use tureen_types::data_structures::{
    DtlsParameters, DtlsRole, IceCandidate, IceCandidateTcpType, IceCandidateType, ListenInfo, Protocol,
};

impl Worker {
    pub(super) fn create_webrtc_transport(
        &mut self,
        now: Instant,
        request: RequestId,
        options: CreateWebRtcTransport,
    ) -> Result<(), RequestError> {
        self.check_new_transport(&options.router_id, &options.id)?;
        match &options.listen {
            Listen::Individual(infos) | Listen::Addresses(infos) => Self::check_listen_infos(infos)?,
            Listen::Server(server) => self.find_server(server)?,
        }
        if let Some(timeout) = options.ice_consent_timeout.filter(|time| !CONSENT_TIMEOUTS.contains(time)) {
            let text = format!("iceConsentTimeout {timeout:?} is not between 10 and 60 s");
            return Err(RequestError::Invalid(text));
        }
        let data = self.data_side(now, options.sctp.as_ref(), SctpPurpose::DataChannels)?;
        let on_server = matches!(options.listen, Listen::Server(_));
        let ice = IceConfig {
            consent_timeout: options.ice_consent_timeout,
            max_tuples: self.limits.tuples_per_transport,
        };
        let ice = IceServer::new(IceCredentials::generate(&mut self.rng), ice);
        let ufrag = ice.local_credentials().username_fragment.clone();
        let key = self.transports.insert_with_key(|_| {
            let link = WebRtcLink::new(ice, self.dtls_config.clone(), LinkSockets::Own(Vec::new()));
            let initial_outgoing = options.initial_available_outgoing_bitrate;
            let bitrates = Bitrates { initial_outgoing, ..Bitrates::default() };
            Transport::new(
                options.id.clone(),
                options.router_id.clone(),
                Link::WebRtc(Box::new(link)),
                bitrates,
                data,
            )
        });
        self.enter_transport(key);
        // mediasoup heeds them on a WebRtcServer only; with own sockets the order of listen infos decides.
        let preferring = !matches!(options.listen, Listen::Individual(_));
        let preferences = Preferences {
            // As mediasoup: with sockets of its own the listen infos alone decide.
            enable_udp: options.enable_udp || !on_server,
            enable_tcp: options.enable_tcp || !on_server,
            prefer_udp: options.prefer_udp && preferring,
            prefer_tcp: options.prefer_tcp && preferring,
        };
        let sockets = match &options.listen {
            Listen::Individual(infos) | Listen::Addresses(infos) => {
                let owner = SocketOwner::Transport(key);
                LinkSockets::Own(infos.iter().map(|info| self.open_socket(&owner, info)).collect())
            }
            Listen::Server(id) => {
                if let Some(server) = self.servers.get_mut(id) {
                    server.transports.push(key);
                    server.ufrags.insert(ufrag, key);
                }
                LinkSockets::Server(id.clone())
            }
        };
        let unbound = if let LinkSockets::Own(own) = &sockets { own.len() } else { 0 };
        if let Some(link) = self.transports[key].link.webrtc_mut() {
            link.sockets = sockets;
            link.preferences = preferences;
        }
        self.await_sockets(key, request, unbound);
        Ok(())
    }

    pub(super) fn create_plain_transport(
        &mut self,
        now: Instant,
        request: RequestId,
        options: &CreatePlainTransport,
    ) -> Result<(), RequestError> {
        self.check_new_transport(&options.router_id, &options.id)?;
        let rtcp_info = (!options.rtcp_mux).then(|| {
            // Two sockets can't have one port.
            let like_rtp = || ListenInfo { port: None, ..options.listen_info.clone() };
            options.rtcp_listen_info.clone().unwrap_or_else(like_rtp)
        });
        check_udp(&options.listen_info, "unsupported listen protocol")?;
        if let Some(info) = &rtcp_info {
            check_udp(info, "unsupported RTCP listen protocol")?;
        }
        let data = self.data_side(now, options.sctp.as_ref(), SctpPurpose::Plain)?;
        let initial_outgoing = options.initial_available_outgoing_bitrate.unwrap_or(Bitrate::ZERO);
        let bitrates = Bitrates { initial_outgoing, ..Bitrates::default() };
        // Its sockets are opened with its key, so it is there before its link is.
        let key = self.transports.insert_with_key(|_| {
            Transport::new(options.id.clone(), options.router_id.clone(), Link::Direct, bitrates, data)
        });
        let owner = SocketOwner::Transport(key);
        let rtp_socket = self.open_socket(&owner, &options.listen_info);
        let rtcp_socket = rtcp_info.map(|info| self.open_socket(&owner, &info));
        let link = PlainLink::new(options, rtp_socket, rtcp_socket, &mut self.rng);
        if link.comedia {
            self.latching.extend(link.sockets().map(|socket| (socket, key)));
        }
        let sockets = link.sockets().count();
        let transport = &mut self.transports[key];
        if !link.has_srtp() {
            transport.set_protection(Sealer::Plain, Opener::Plain);
        }
        transport.link = Link::Plain(Box::new(link));
        self.enter_transport(key);
        self.await_sockets(key, request, sockets);
        Ok(())
    }

    pub(super) fn create_pipe_transport(
        &mut self,
        now: Instant,
        request: RequestId,
        options: &CreatePipeTransport,
    ) -> Result<(), RequestError> {
        self.check_new_transport(&options.router_id, &options.id)?;
        check_udp(&options.listen_info, "unsupported listen protocol")?;
        let data = self.data_side(now, options.sctp.as_ref(), SctpPurpose::Pipe)?;
        let key = self.transports.insert_with_key(|_| {
            let (id, router) = (options.id.clone(), options.router_id.clone());
            Transport::new(id, router, Link::Direct, Bitrates::default(), data)
        });
        let owner = SocketOwner::Transport(key);
        let socket = if options.in_process {
            self.open_pipe(&owner, &options.listen_info)
        } else {
            self.open_socket(&owner, &options.listen_info)
        };
        let link = PipeLink::new(socket, options.enable_rtx, options.srtp, &mut self.rng);
        let transport = &mut self.transports[key];
        if !link.has_srtp() {
            transport.set_protection(Sealer::Plain, Opener::Plain);
        }
        transport.link = Link::Pipe(Box::new(link));
        self.enter_transport(key);
        self.await_sockets(key, request, 1);
        Ok(())
    }

    pub(super) fn create_direct_transport(&mut self, now: Instant, options: CreateDirectTransport) -> Answer {
        self.check_new_transport(&options.router_id, &options.id)?;
        let data = DataSide::new(DataPath::Direct { max_message_size: options.max_message_size });
        let (id, router) = (options.id, options.router_id);
        let mut transport = Transport::new(id, router, Link::Direct, Bitrates::default(), data);
        transport.set_protection(Sealer::Plain, Opener::Plain);
        let key = self.transports.insert(transport);
        self.enter_transport(key);
        self.on_transport_connected(now, key);
        Ok(Response::TransportDump(Box::new(self.dump_transport(key))))
    }

    /// Every socket is bound: the request that made the transport is answered.
    pub(super) fn finish_transport(&mut self, key: TransportKey, request: RequestId) {
        let Some(transport) = self.transports.get(key) else { return };
        if let Some(link) = transport.link.webrtc() {
            let candidates = self.candidates(link);
            if let Some(link) = self.transports[key].link.webrtc_mut() {
                link.candidates = candidates;
            }
        }
        let dump = self.dump_transport(key);
        self.outputs.push_back(Output::Response(request, Ok(Response::TransportDump(Box::new(dump)))));
    }

    pub(super) fn connect_webrtc(
        &mut self,
        now: Instant,
        id: &TransportId,
        parameters: &DtlsParameters,
    ) -> Answer {
        let key = self.find_transport(id)?;
        let Some(link) = self.transports[key].link.webrtc_mut() else {
            return Err(wrong_kind(id, "WebRtcTransport"));
        };
        let role = link.connect(parameters)?;
        if link.may_start_dtls(now) {
            self.on_dtls_started(now, key);
        }
        let dtls_local_role = match role {
            Role::Client => DtlsRole::Client,
            Role::Server => DtlsRole::Server,
        };
        Ok(Response::Connected { dtls_local_role })
    }

    pub(super) fn connect_plain(&mut self, now: Instant, id: &TransportId, remote: &ConnectPlain) -> Answer {
        let key = self.find_transport(id)?;
        let declared = self.declared_streams(key);
        let transport = &mut self.transports[key];
        let Link::Plain(link) = &mut transport.link else {
            return Err(wrong_kind(id, "PlainTransport"));
        };
        let connection = link.connect(remote, &mut self.rng)?;
        let connected = PlainConnected {
            tuple: self.sockets.tuple_or_local(link.tuple(), link.rtp_socket),
            rtcp_tuple: link.rtcp_socket.and(link.rtcp_tuple()).map(|tuple| self.sockets.api_tuple(tuple)),
            srtp_parameters: link.srtp_parameters(),
        };
        if remote.await_datagram {
            self.latching.extend(link.sockets().map(|socket| (socket, key)));
        }
        if let Some((sealer, mut opener)) = connection.protection {
            opener.set_max_streams(self.limits.srtp_streams_by(&transport.link, declared));
            transport.set_protection(sealer, opener);
        }
        self.tuples.extend(connection.tuples.into_iter().map(|tuple| (tuple, key)));
        if self.transports[key].is_connected() {
            self.on_transport_connected(now, key);
        }
        Ok(Response::PlainConnected(connected))
    }

    /// A datagram from an unknown path: true if a PlainTransport was told that its remote side is there, and to wait for
    /// its first word. Then the path is the transport's from now on.
    pub(super) fn confirm_awaited(&mut self, now: Instant, key: TransportKey, tuple: Tuple) -> bool {
        let Some(Link::Plain(link)) = self.transports.get_mut(key).map(|transport| &mut transport.link)
        else {
            return false;
        };
        if !link.awaits(tuple) {
            return false;
        }
        let was_connected = link.tuple().is_some();
        link.latch(tuple, Evidence::Proof);
        let is_rtcp = Some(tuple.socket) == link.rtcp_socket;
        self.latching.remove(&tuple.socket);
        self.tuples.insert(tuple, key);
        let tuple = self.sockets.api_tuple(tuple);
        let event = if is_rtcp { TransportEvent::RtcpTuple(tuple) } else { TransportEvent::Tuple(tuple) };
        self.notify_transport(key, event);
        if !was_connected && !is_rtcp {
            self.on_transport_connected(now, key);
        }
        true
    }

    pub(super) fn connect_pipe(&mut self, now: Instant, id: &TransportId, remote: &ConnectPipe) -> Answer {
        let key = self.find_transport(id)?;
        let declared = self.declared_streams(key);
        let transport = &mut self.transports[key];
        let Link::Pipe(link) = &mut transport.link else {
            return Err(wrong_kind(id, "PipeTransport"));
        };
        let (tuple, protection) = link.connect(remote)?;
        if let Some((sealer, mut opener)) = protection {
            opener.set_max_streams(self.limits.srtp_streams_by(&transport.link, declared));
            transport.set_protection(sealer, opener);
        }
        self.tuples.insert(tuple, key);
        self.on_transport_connected(now, key);
        Ok(Response::PipeConnected { tuple: self.sockets.api_tuple(tuple) })
    }

    pub(super) fn connect_any(&mut self, now: Instant, id: &TransportId, remote: ConnectAny) -> Answer {
        let missing = |name: &str| RequestError::Invalid(format!("missing {name}"));
        match self.transports[self.find_transport(id)?].link {
            Link::WebRtc(_) => {
                let parameters = remote.dtls_parameters.ok_or_else(|| missing("dtlsParameters"))?;
                self.connect_webrtc(now, id, &parameters)
            }
            Link::Plain(_) => self.connect_plain(now, id, &remote.plain),
            Link::Pipe(_) => {
                let ConnectPlain { ip, port, srtp_parameters, .. } = remote.plain;
                let ip = ip.ok_or_else(|| missing("ip"))?;
                let port = port.ok_or_else(|| missing("port"))?;
                self.connect_pipe(now, id, &ConnectPipe { ip, port, srtp_parameters })
            }
            Link::Direct => {
                Err(RequestError::Failed("a DirectTransport has nothing to connect to".to_owned()))
            }
        }
    }

    pub(super) fn restart_ice(&mut self, now: Instant, id: &TransportId) -> Answer {
        let key = self.find_transport(id)?;
        let Some(link) = self.transports[key].link.webrtc_mut() else {
            return Err(wrong_kind(id, "WebRtcTransport"));
        };
        let credentials = IceCredentials::generate(&mut self.rng);
        if let LinkSockets::Server(server) = &link.sockets
            && let Some(server) = self.servers.get_mut(server)
        {
            server.ufrags.insert(credentials.username_fragment.clone(), key);
        }
        link.ice.restart(now, credentials);
        let parameters = link.ice_parameters();
        self.drain_ice(now, key);
        Ok(Response::IceParameters(parameters))
    }

    /// Checks with an old user name are this transport's no more.
    pub(super) fn retire_ufrag(&mut self, key: TransportKey, ufrag: &str) {
        let Some(link) = self.transports.get(key).and_then(|t| t.link.webrtc()) else { return };
        if let LinkSockets::Server(server) = &link.sockets
            && let Some(server) = self.servers.get_mut(server)
        {
            server.ufrags.remove(ufrag);
        }
    }

    pub(super) fn close_transport(&mut self, now: Instant, key: TransportKey) {
        self.close_data(now, key);
        let Some(transport) = self.transports.get_mut(key) else { return };
        let (producers, consumers) = (transport.producers.clone(), transport.consumers.clone());
        if let Some(dtls) = transport.link.webrtc_mut().and_then(|link| link.dtls.as_mut()) {
            dtls.close();
        }
        self.drain_dtls(now, key);
        for producer in producers {
            self.close_producer(now, producer);
        }
        for consumer in consumers {
            self.close_consumer(consumer);
        }
        self.keep_counts(key);
        let Some(transport) = self.transports.remove(key) else { return };
        self.transport_ids.remove(&transport.id);
        self.pending_transports.remove(&key);
        if let Some(router) = self.routers.get_mut(&transport.router) {
            router.transports.retain(|&other| other != key);
        }
        let timers = [
            Timer::Ice,
            Timer::Dtls,
            Timer::Sctp,
            Timer::Reports,
            Timer::TransportCc,
            Timer::Backlog,
            Timer::Congestion,
        ];
        for timer in timers {
            self.timers.disarm(timer(key));
        }
        self.close_link(key, &transport.link);
    }

    pub(super) fn set_max_incoming_bitrate(
        &mut self,
        now: Instant,
        id: &TransportId,
        bitrate: Bitrate,
    ) -> Result<(), RequestError> {
        let key = self.find_transport(id)?;
        let transport = &mut self.transports[key];
        transport.bitrates.max_incoming = bitrate;
        transport.remb.set_limit(bitrate);
        if transport.link.controls_congestion() {
            let limits = &self.limits;
            let (margin, burst) = (limits.incoming_bitrate_margin, limits.incoming_bitrate_burst);
            transport.policer = Policer::new(now, bitrate, margin, burst).map(Box::new);
        }
        self.send_remb(now, key);
        Ok(())
    }

    fn check_new_transport(&self, router: &RouterId, id: &TransportId) -> Result<(), RequestError> {
        if !self.routers.contains_key(router) {
            return Err(not_found("Router", router));
        }
        if self.transport_ids.contains_key(id) {
            return Err(RequestError::Duplicate { kind: "Transport", id: id.to_string() });
        }
        Ok(())
    }

    /// Makes a new transport known by its identifier and to its router.
    fn enter_transport(&mut self, key: TransportKey) {
        let transport = &self.transports[key];
        self.transport_ids.insert(transport.id.clone(), key);
        if let Some(router) = self.routers.get_mut(&transport.router) {
            router.transports.push(key);
        }
    }

    /// The request that made a transport is answered once its sockets are bound.
    fn await_sockets(&mut self, key: TransportKey, request: RequestId, unbound: usize) {
        if unbound > 0 {
            self.pending_transports.insert(key, Pending { request, unbound });
        } else {
            self.finish_transport(key, request);
        }
    }

    fn candidates(&self, link: &WebRtcLink) -> Vec<IceCandidate> {
        let preferences = link.preferences;
        let sockets: &[SocketId] = match &link.sockets {
            LinkSockets::Own(sockets) => sockets,
            LinkSockets::Server(id) => self.servers.get(id).map_or(&[], |s| s.sockets.as_slice()),
        };
        let mut candidates = Vec::new();
        for (index, &socket) in sockets.iter().enumerate() {
            let Some(socket) = self.sockets.get(socket) else { continue };
            let (listen, protocol) = (&socket.listen, socket.listen.protocol);
            let Some(local) = socket.local.filter(|_| preferences.enables(protocol)) else { continue };
            let priority = candidate_priority(local_preference(index, preferences.prefers(protocol)));
            candidates.push(candidate(advertised(listen), protocol, local.port(), priority));
            if listen.expose_internal_ip && listen.announced_address.is_some() {
                let lower = priority - tureen_rtc::ice::EXPOSED_INTERNAL_IP_PRIORITY_DECREMENT;
                candidates.push(candidate(listen.ip.to_string(), protocol, local.port(), lower));
            }
        }
        candidates
    }

    /// Forgets the paths of a transport that is gone, and closes its sockets.
    fn close_link(&mut self, key: TransportKey, link: &Link) {
        let (tuples, sockets): (Vec<Tuple>, Vec<SocketId>) = match link {
            Link::WebRtc(link) => {
                let sockets = match &link.sockets {
                    LinkSockets::Own(sockets) => sockets.clone(),
                    LinkSockets::Server(id) => {
                        if let Some(server) = self.servers.get_mut(id) {
                            server.transports.retain(|&other| other != key);
                            server.ufrags.retain(|_, &mut other| other != key);
                        }
                        Vec::new()
                    }
                };
                (link.ice.tuples().collect(), sockets)
            }
            Link::Plain(link) => (link.tuples().collect(), link.sockets().collect()),
            Link::Pipe(link) => (link.tuple().into_iter().collect(), vec![link.socket]),
            Link::Direct => (Vec::new(), Vec::new()),
        };
        // Listeners before the connections that they have accepted, so that none comes in between.
        for socket in sockets {
            self.latching.remove(&socket);
            self.close_socket(socket);
        }
        for tuple in tuples {
            self.tuples.remove(&tuple);
            self.on_path_removed(tuple);
        }
    }
}

fn check_udp(info: &ListenInfo, otherwise: &str) -> Result<(), RequestError> {
    if info.protocol != Protocol::Udp {
        return Err(RequestError::Invalid(otherwise.to_owned()));
    }
    Worker::check_listen_infos(std::slice::from_ref(info))
}

fn wrong_kind(id: &TransportId, expected: &str) -> RequestError {
    RequestError::Invalid(format!("transport {id} is no {expected}"))
}

fn candidate(address: String, protocol: Protocol, port: u16, priority: u32) -> IceCandidate {
    let (foundation, tcp_type) = match protocol {
        Protocol::Udp => ("udpcandidate", None),
        // RFC 6544 §4.5: the other side opens the connection.
        Protocol::Tcp => ("tcpcandidate", Some(IceCandidateTcpType::Passive)),
    };
    IceCandidate {
        foundation: foundation.to_owned(),
        priority,
        address,
        protocol,
        port,
        r#type: IceCandidateType::Host,
        tcp_type,
    }
}
