//! Requests about transports of each kind: create, connect, close.

use std::time::Instant;

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
use crate::transport::protection::{Opener, Sealer};
use crate::transport::webrtc::{LinkSockets, Preferences, WebRtcLink};
use crate::transport::{Bitrates, Transport};
use crate::worker::arena::Media;
use crate::worker::control::{Answer, consumers, producers, stats};
use crate::worker::out::Out;
use crate::worker::paths::servers::Pending;
use crate::worker::paths::sockets::SocketOwner;
use crate::worker::paths::{Paths, dtls, ice, servers, sockets, tcp};
use crate::worker::rtcp::feedback;
use crate::worker::timer::Timer;
use crate::worker::{arena, connection, data, drops};
use tureen_rtc::dtls::Role;
use tureen_rtc::ice::{
    CONSENT_TIMEOUTS, IceConfig, IceCredentials, IceServer, candidate_priority, local_preference,
};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_rtc::units::Bitrate;
use tureen_types::data_structures::{
    DtlsParameters, DtlsRole, IceCandidate, IceCandidateTcpType, IceCandidateType, ListenInfo, Protocol,
};

pub(crate) fn create_webrtc_transport(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    request: RequestId,
    options: CreateWebRtcTransport,
) -> Result<(), RequestError> {
    check_new_transport(media, &options.router_id, &options.id)?;
    match &options.listen {
        Listen::Individual(infos) | Listen::Addresses(infos) => sockets::check_listen_infos(infos)?,
        Listen::Server(server) => servers::find_server(paths, server)?,
    }
    if let Some(timeout) = options.ice_consent_timeout.filter(|time| !CONSENT_TIMEOUTS.contains(time)) {
        let text = format!("iceConsentTimeout {timeout:?} is not between 10 and 60 s");
        return Err(RequestError::Invalid(text));
    }
    let data = data::data_side(out, now, options.sctp.as_ref(), SctpPurpose::DataChannels)?;
    let on_server = matches!(options.listen, Listen::Server(_));
    let ice = IceConfig {
        consent_timeout: options.ice_consent_timeout,
        max_tuples: out.limits.tuples_per_transport,
    };
    let ice = IceServer::new(IceCredentials::generate(&mut out.rng), ice);
    let ufrag = ice.local_credentials().username_fragment.clone();
    let key = media.transports.insert({
        let link = WebRtcLink::new(ice, paths.dtls_config.clone(), LinkSockets::Own(Vec::new()));
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
    enter_transport(media, key);
    // mediasoup applies preferences only on a WebRtcServer; with own sockets the order of listen infos decides.
    let preferring = !matches!(options.listen, Listen::Individual(_));
    let preferences = Preferences {
        // As in mediasoup: with own sockets only the listen infos decide.
        enable_udp: options.enable_udp || !on_server,
        enable_tcp: options.enable_tcp || !on_server,
        prefer_udp: options.prefer_udp && preferring,
        prefer_tcp: options.prefer_tcp && preferring,
    };
    let sockets = match &options.listen {
        Listen::Individual(infos) | Listen::Addresses(infos) => {
            let owner = SocketOwner::Transport(key);
            LinkSockets::Own(
                infos.iter().map(|info| sockets::open_socket(paths, out, &owner, info)).collect(),
            )
        }
        Listen::Server(id) => {
            if let Some(server) = paths.servers.get_mut(id) {
                server.transports.push(key);
                server.ufrags.insert(ufrag, key);
            }
            LinkSockets::Server(id.clone())
        }
    };
    let unbound = if let LinkSockets::Own(own) = &sockets { own.len() } else { 0 };
    if let Some(link) = media.transports[key].link.webrtc_mut() {
        link.sockets = sockets;
        link.preferences = preferences;
    }
    await_sockets(media, paths, out, key, request, unbound);
    Ok(())
}

pub(crate) fn create_plain_transport(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    request: RequestId,
    options: &CreatePlainTransport,
) -> Result<(), RequestError> {
    check_new_transport(media, &options.router_id, &options.id)?;
    let rtcp_info = (!options.rtcp_mux).then(|| {
        // Two sockets cannot share one port.
        let like_rtp = || ListenInfo { port: None, ..options.listen_info.clone() };
        options.rtcp_listen_info.clone().unwrap_or_else(like_rtp)
    });
    check_udp(&options.listen_info, "unsupported listen protocol")?;
    if let Some(info) = &rtcp_info {
        check_udp(info, "unsupported RTCP listen protocol")?;
    }
    let data = data::data_side(out, now, options.sctp.as_ref(), SctpPurpose::Plain)?;
    let initial_outgoing = options.initial_available_outgoing_bitrate.unwrap_or(Bitrate::ZERO);
    let bitrates = Bitrates { initial_outgoing, ..Bitrates::default() };
    // The transport is inserted before its link exists, because its sockets are opened with its key.
    let key = media.transports.insert({
        Transport::new(options.id.clone(), options.router_id.clone(), Link::Direct, bitrates, data)
    });
    let owner = SocketOwner::Transport(key);
    let rtp_socket = sockets::open_socket(paths, out, &owner, &options.listen_info);
    let rtcp_socket = rtcp_info.map(|info| sockets::open_socket(paths, out, &owner, &info));
    let link = PlainLink::new(options, rtp_socket, rtcp_socket, &mut out.rng);
    if link.comedia {
        paths.latching.extend(link.sockets().map(|socket| (socket, key)));
    }
    let sockets = link.sockets().count();
    let transport = &mut media.transports[key];
    if !link.has_srtp() {
        transport.set_protection(Sealer::Plain, Opener::Plain);
    }
    transport.link = Link::Plain(Box::new(link));
    enter_transport(media, key);
    await_sockets(media, paths, out, key, request, sockets);
    Ok(())
}

pub(crate) fn create_pipe_transport(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    request: RequestId,
    options: &CreatePipeTransport,
) -> Result<(), RequestError> {
    check_new_transport(media, &options.router_id, &options.id)?;
    check_udp(&options.listen_info, "unsupported listen protocol")?;
    let data = data::data_side(out, now, options.sctp.as_ref(), SctpPurpose::Pipe)?;
    let key = media.transports.insert({
        let (id, router) = (options.id.clone(), options.router_id.clone());
        Transport::new(id, router, Link::Direct, Bitrates::default(), data)
    });
    let owner = SocketOwner::Transport(key);
    let socket = if options.in_process {
        sockets::open_pipe(paths, out, &owner, &options.listen_info)
    } else {
        sockets::open_socket(paths, out, &owner, &options.listen_info)
    };
    let link = PipeLink::new(socket, options.enable_rtx, options.srtp, &mut out.rng);
    let transport = &mut media.transports[key];
    if !link.has_srtp() {
        transport.set_protection(Sealer::Plain, Opener::Plain);
    }
    transport.link = Link::Pipe(Box::new(link));
    enter_transport(media, key);
    await_sockets(media, paths, out, key, request, 1);
    Ok(())
}

pub(crate) fn create_direct_transport(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    options: CreateDirectTransport,
) -> Answer {
    check_new_transport(media, &options.router_id, &options.id)?;
    let data = DataSide::new(DataPath::Direct { max_message_size: options.max_message_size });
    let (id, router) = (options.id, options.router_id);
    let mut transport = Transport::new(id, router, Link::Direct, Bitrates::default(), data);
    transport.set_protection(Sealer::Plain, Opener::Plain);
    let key = media.transports.insert(transport);
    enter_transport(media, key);
    connection::on_transport_connected(media, out, now, key);
    Ok(Response::TransportDump(Box::new(stats::dump_transport(media, paths, key))))
}

/// Responds to the request that created a transport, because all its sockets are bound.
pub(crate) fn finish_transport(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    key: TransportKey,
    request: RequestId,
) {
    let Some(transport) = media.transports.live(key) else { return };
    if let Some(link) = transport.link.webrtc() {
        let candidates = candidates(paths, link);
        if let Some(link) = media.transports[key].link.webrtc_mut() {
            link.candidates = candidates;
        }
    }
    let dump = stats::dump_transport(media, paths, key);
    out.respond(request, Ok(Response::TransportDump(Box::new(dump))));
}

pub(crate) fn connect_webrtc(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
    parameters: &DtlsParameters,
) -> Answer {
    let key = media.transports.find(id)?;
    let Some(link) = media.transports[key].link.webrtc_mut() else {
        return Err(wrong_kind(id, "WebRtcTransport"));
    };
    let role = link.connect(parameters)?;
    if link.may_start_dtls(now) {
        dtls::on_dtls_started(media, out, now, key);
    }
    let dtls_local_role = match role {
        Role::Client => DtlsRole::Client,
        Role::Server => DtlsRole::Server,
    };
    Ok(Response::Connected { dtls_local_role })
}

pub(crate) fn connect_plain(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
    remote: &ConnectPlain,
) -> Answer {
    let key = media.transports.find(id)?;
    let declared = producers::declared_streams(media, key);
    let transport = &mut media.transports[key];
    let Link::Plain(link) = &mut transport.link else {
        return Err(wrong_kind(id, "PlainTransport"));
    };
    let connection = link.connect(remote, &mut out.rng)?;
    let connected = PlainConnected {
        tuple: paths.sockets.tuple_or_local(link.tuple(), link.rtp_socket),
        rtcp_tuple: link.rtcp_socket.and(link.rtcp_tuple()).map(|tuple| paths.sockets.api_tuple(tuple)),
        srtp_parameters: link.srtp_parameters(),
    };
    if remote.await_datagram {
        paths.latching.extend(link.sockets().map(|socket| (socket, key)));
    }
    if let Some((sealer, mut opener)) = connection.protection {
        opener.set_max_streams(out.limits.srtp_streams_by(&transport.link, declared));
        transport.set_protection(sealer, opener);
    }
    paths.tuples.extend(connection.tuples.into_iter().map(|tuple| (tuple, key)));
    if media.transports[key].is_connected() {
        connection::on_transport_connected(media, out, now, key);
    }
    Ok(Response::PlainConnected(connected))
}

/// Returns true for a datagram from the announced tuple of a PlainTransport that waits for its first datagram. The
/// tuple then belongs to the transport.
pub(crate) fn confirm_awaited(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
    tuple: Tuple,
) -> bool {
    let Some(Link::Plain(link)) = media.transports.live_mut(key).map(|transport| &mut transport.link) else {
        return false;
    };
    if !link.awaits(tuple) {
        return false;
    }
    let was_connected = link.tuple().is_some();
    link.latch(tuple, Evidence::Proof);
    let is_rtcp = Some(tuple.socket) == link.rtcp_socket;
    paths.latching.remove(&tuple.socket);
    paths.tuples.insert(tuple, key);
    let tuple = paths.sockets.api_tuple(tuple);
    let event = if is_rtcp { TransportEvent::RtcpTuple(tuple) } else { TransportEvent::Tuple(tuple) };
    out.notify_transport(media, key, event);
    if !was_connected && !is_rtcp {
        connection::on_transport_connected(media, out, now, key);
    }
    true
}

pub(crate) fn connect_pipe(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
    remote: &ConnectPipe,
) -> Answer {
    let key = media.transports.find(id)?;
    let declared = producers::declared_streams(media, key);
    let transport = &mut media.transports[key];
    let Link::Pipe(link) = &mut transport.link else {
        return Err(wrong_kind(id, "PipeTransport"));
    };
    let (tuple, protection) = link.connect(remote)?;
    if let Some((sealer, mut opener)) = protection {
        opener.set_max_streams(out.limits.srtp_streams_by(&transport.link, declared));
        transport.set_protection(sealer, opener);
    }
    paths.tuples.insert(tuple, key);
    connection::on_transport_connected(media, out, now, key);
    Ok(Response::PipeConnected { tuple: paths.sockets.api_tuple(tuple) })
}

pub(crate) fn connect_any(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
    remote: ConnectAny,
) -> Answer {
    let missing = |name: &str| RequestError::Invalid(format!("missing {name}"));
    match media.transports[media.transports.find(id)?].link {
        Link::WebRtc(_) => {
            let parameters = remote.dtls_parameters.ok_or_else(|| missing("dtlsParameters"))?;
            connect_webrtc(media, out, now, id, &parameters)
        }
        Link::Plain(_) => connect_plain(media, paths, out, now, id, &remote.plain),
        Link::Pipe(_) => {
            let ConnectPlain { ip, port, srtp_parameters, .. } = remote.plain;
            let ip = ip.ok_or_else(|| missing("ip"))?;
            let port = port.ok_or_else(|| missing("port"))?;
            connect_pipe(media, paths, out, now, id, &ConnectPipe { ip, port, srtp_parameters })
        }
        Link::Direct => Err(RequestError::Failed("a DirectTransport has nothing to connect to".to_owned())),
    }
}

pub(crate) fn restart_ice(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
) -> Answer {
    let key = media.transports.find(id)?;
    let Some(link) = media.transports[key].link.webrtc_mut() else {
        return Err(wrong_kind(id, "WebRtcTransport"));
    };
    let credentials = IceCredentials::generate(&mut out.rng);
    if let LinkSockets::Server(server) = &link.sockets
        && let Some(server) = paths.servers.get_mut(server)
    {
        server.ufrags.insert(credentials.username_fragment.clone(), key);
    }
    link.ice.restart(now, credentials);
    let parameters = link.ice_parameters();
    ice::drain_ice(media, paths, out, now, key);
    Ok(Response::IceParameters(parameters))
}

pub(crate) fn close_transport(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    key: TransportKey,
) {
    data::close_data(media, out, now, key);
    let Some(transport) = media.transports.live_mut(key) else { return };
    let (producers, consumers) = (transport.producers.clone(), transport.consumers.clone());
    if let Some(dtls) = transport.link.webrtc_mut().and_then(|link| link.dtls.as_mut()) {
        dtls.close();
    }
    dtls::drain_dtls(media, out, now, key);
    for producer in producers {
        producers::close_producer(media, out, now, producer);
    }
    for consumer in consumers {
        consumers::close_consumer(media, out, consumer);
    }
    drops::keep_counts(media, out, key);
    let Some(transport) = media.transports.remove(key) else { return };
    paths.pending_transports.remove(&key);
    if let Some(router) = media.routers.get_mut(&transport.router) {
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
        out.timers.disarm(timer(key));
    }
    close_link(paths, out, key, &transport.link);
}

pub(crate) fn set_max_incoming_bitrate(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
    bitrate: Bitrate,
) -> Result<(), RequestError> {
    let key = media.transports.find(id)?;
    let transport = &mut media.transports[key];
    transport.set_max_incoming(now, bitrate, &out.limits);
    feedback::send_remb(media, out, now, key);
    Ok(())
}

fn check_new_transport(media: &Media, router: &RouterId, id: &TransportId) -> Result<(), RequestError> {
    if !media.routers.contains_key(router) {
        return Err(arena::not_found("Router", router));
    }
    media.transports.check_new(id)
}

/// Adds a new transport to its router.
fn enter_transport(media: &mut Media, key: TransportKey) {
    let transport = &media.transports[key];
    if let Some(router) = media.routers.get_mut(&transport.router) {
        router.transports.push(key);
    }
}

/// Responds to the request that created a transport once its sockets are bound.
fn await_sockets(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    key: TransportKey,
    request: RequestId,
    unbound: usize,
) {
    if unbound > 0 {
        paths.pending_transports.insert(key, Pending { request, unbound });
    } else {
        finish_transport(media, paths, out, key, request);
    }
}

fn candidates(paths: &Paths, link: &WebRtcLink) -> Vec<IceCandidate> {
    let preferences = link.preferences;
    let sockets: &[SocketId] = match &link.sockets {
        LinkSockets::Own(sockets) => sockets,
        LinkSockets::Server(id) => paths.servers.get(id).map_or(&[], |s| s.sockets.as_slice()),
    };
    let mut candidates = Vec::new();
    for (index, &socket) in sockets.iter().enumerate() {
        let Some(socket) = paths.sockets.get(socket) else { continue };
        let (listen, protocol) = (&socket.listen, socket.listen.protocol);
        let Some(local) = socket.local.filter(|_| preferences.enables(protocol)) else { continue };
        let priority = candidate_priority(local_preference(index, preferences.prefers(protocol)));
        candidates.push(candidate(sockets::advertised(listen), protocol, local.port(), priority));
        if listen.expose_internal_ip && listen.announced_address.is_some() {
            let lower = priority - tureen_rtc::ice::EXPOSED_INTERNAL_IP_PRIORITY_DECREMENT;
            candidates.push(candidate(listen.ip.to_string(), protocol, local.port(), lower));
        }
    }
    candidates
}

/// Removes the tuples of a closed transport, and closes its sockets.
fn close_link(paths: &mut Paths, out: &mut Out, key: TransportKey, link: &Link) {
    let (tuples, sockets): (Vec<Tuple>, Vec<SocketId>) = match link {
        Link::WebRtc(link) => {
            let sockets = match &link.sockets {
                LinkSockets::Own(sockets) => sockets.clone(),
                LinkSockets::Server(id) => {
                    if let Some(server) = paths.servers.get_mut(id) {
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
    // Listeners are closed before their accepted streams, so that no new stream is accepted in between.
    for socket in sockets {
        paths.latching.remove(&socket);
        sockets::close_socket(paths, out, socket);
    }
    for tuple in tuples {
        paths.tuples.remove(&tuple);
        tcp::on_path_removed(paths, out, tuple);
    }
}

fn check_udp(info: &ListenInfo, otherwise: &str) -> Result<(), RequestError> {
    if info.protocol != Protocol::Udp {
        return Err(RequestError::Invalid(otherwise.to_owned()));
    }
    sockets::check_listen_infos(std::slice::from_ref(info))
}

fn wrong_kind(id: &TransportId, expected: &str) -> RequestError {
    RequestError::Invalid(format!("transport {id} is no {expected}"))
}

fn candidate(address: String, protocol: Protocol, port: u16, priority: u32) -> IceCandidate {
    let (foundation, tcp_type) = match protocol {
        Protocol::Udp => ("udpcandidate", None),
        // RFC 6544 §4.5: the remote endpoint opens the connection.
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
