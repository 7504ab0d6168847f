//! Transports of every kind: creation, dump and statistics.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tureen_engine::api::{
    ConnectAny, ConnectPlain, ConsumerId, CreateDirectTransport, CreatePipeTransport, CreatePlainTransport,
    CreateWebRtcTransport, DataConsumerId, DataProducerId, IpPort, LinkDump, LinkStats, Listen,
    PlainConnected, ProducerId, RouterId, SctpDump, TransportDump, TransportId, TransportStats,
    WebRtcServerDump, WebRtcServerId,
};
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtp::Extension;
use tureen_types::data_structures as api;
use tureen_types::data_structures::{
    DtlsFingerprint, DtlsRole, DtlsState, IceParameters, IceRole, IceState, ListenInfo, Protocol, SctpState,
    TransportTuple, deserialize_known_fingerprints,
};
use tureen_types::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};

use super::{Generation, Local, Table, list, names};
use crate::parts::{Parse, invalid, read_ip};

/// Receive window of SCTP: the default of later versions, because these versions have no option for it.
const RECEIVE_WINDOW: u32 = 5 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebRtcOptions {
    #[serde(default)]
    listen_ips: Vec<ListenIp>,
    port: Option<u16>,
    #[serde(default = "yes")]
    enable_udp: bool,
    #[serde(default)]
    enable_tcp: bool,
    #[serde(default)]
    prefer_udp: bool,
    #[serde(default)]
    prefer_tcp: bool,
    #[serde(default)]
    initial_available_outgoing_bitrate: u64,
    #[serde(flatten)]
    sctp: Sctp,
}

impl WebRtcOptions {
    pub(super) fn read(
        self,
        router_id: RouterId,
        id: TransportId,
        server: Option<WebRtcServerId>,
    ) -> Parse<CreateWebRtcTransport> {
        let listen = match server {
            Some(server) => Listen::Server(server),
            None => {
                let mut infos = Vec::new();
                for ip in &self.listen_ips {
                    for (enabled, protocol) in
                        [(self.enable_udp, Protocol::Udp), (self.enable_tcp, Protocol::Tcp)]
                    {
                        if enabled {
                            infos.push(ip.listen_info(protocol, self.port)?);
                        }
                    }
                }
                Listen::Addresses(infos)
            }
        };
        Ok(CreateWebRtcTransport {
            router_id,
            id,
            listen,
            enable_udp: self.enable_udp,
            enable_tcp: self.enable_tcp,
            prefer_udp: self.prefer_udp,
            prefer_tcp: self.prefer_tcp,
            // Disabled, because these versions have no such check, and their applications don't expect its result.
            ice_consent_timeout: None,
            initial_available_outgoing_bitrate: Bitrate::bps(self.initial_available_outgoing_bitrate),
            sctp: self.sctp.read()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlainOptions {
    listen_ip: ListenIp,
    port: Option<u16>,
    #[serde(default = "yes")]
    rtcp_mux: bool,
    #[serde(default)]
    comedia: bool,
    #[serde(default)]
    enable_srtp: bool,
    #[serde(default)]
    srtp_crypto_suite: SrtpCryptoSuite,
    #[serde(flatten)]
    sctp: Sctp,
}

impl PlainOptions {
    pub(super) fn read(self, router_id: RouterId, id: TransportId) -> Parse<CreatePlainTransport> {
        Ok(CreatePlainTransport {
            router_id,
            id,
            listen_info: self.listen_ip.listen_info(Protocol::Udp, self.port)?,
            rtcp_listen_info: None,
            rtcp_mux: self.rtcp_mux,
            comedia: self.comedia,
            srtp: self.enable_srtp.then_some(self.srtp_crypto_suite),
            initial_available_outgoing_bitrate: None,
            sctp: self.sctp.read()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PipeOptions {
    listen_ip: ListenIp,
    port: Option<u16>,
    #[serde(default)]
    enable_rtx: bool,
    #[serde(default)]
    enable_srtp: bool,
    #[serde(flatten)]
    sctp: Sctp,
}

impl PipeOptions {
    pub(super) fn read(
        self,
        router_id: RouterId,
        id: TransportId,
        generation: Generation,
    ) -> Parse<CreatePipeTransport> {
        Ok(CreatePipeTransport {
            router_id,
            id,
            listen_info: self.listen_ip.listen_info(Protocol::Udp, self.port)?,
            in_process: false,
            enable_rtx: self.enable_rtx,
            srtp: self.enable_srtp.then(|| generation.pipe_suite()),
            sctp: self.sctp.read()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DirectOptions {
    max_message_size: u32,
}

impl DirectOptions {
    pub(super) fn read(self, router_id: RouterId, id: TransportId) -> CreateDirectTransport {
        CreateDirectTransport { router_id, id, max_message_size: self.max_message_size }
    }
}

/// Remote side of a transport of any kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connect {
    dtls_parameters: Option<RemoteDtlsParameters>,
    ip: Option<String>,
    port: Option<u16>,
    rtcp_port: Option<u16>,
    srtp_parameters: Option<SrtpParameters>,
}

#[derive(Deserialize)]
struct RemoteDtlsParameters {
    #[serde(default)]
    role: DtlsRole,
    #[serde(deserialize_with = "deserialize_known_fingerprints")]
    fingerprints: Vec<DtlsFingerprint>,
}

impl Connect {
    pub(super) fn read(self) -> Parse<ConnectAny> {
        Ok(ConnectAny {
            dtls_parameters: self
                .dtls_parameters
                .map(|from| api::DtlsParameters { role: from.role, fingerprints: from.fingerprints }),
            plain: ConnectPlain {
                ip: self.ip.map(|ip| read_ip(&ip)).transpose()?,
                port: self.port,
                rtcp_port: self.rtcp_port,
                srtp_parameters: self.srtp_parameters,
                await_datagram: false,
            },
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerOptions {
    listen_infos: Vec<ServerListenInfo>,
}

#[derive(Deserialize)]
struct ServerListenInfo {
    protocol: Protocol,
    #[serde(flatten)]
    ip: ListenIp,
    port: Option<u16>,
}

impl ServerOptions {
    pub(super) fn read(self) -> Parse<Vec<ListenInfo>> {
        self.listen_infos.iter().map(|info| info.ip.listen_info(info.protocol, info.port)).collect()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListenIp {
    ip: String,
    announced_ip: Option<String>,
}

impl ListenIp {
    fn listen_info(&self, protocol: Protocol, port: Option<u16>) -> Parse<ListenInfo> {
        Ok(ListenInfo {
            protocol,
            ip: read_ip(&self.ip)?,
            announced_address: self.announced_ip.clone().filter(|address| !address.is_empty()),
            expose_internal_ip: false,
            port: port.filter(|&port| port > 0),
            port_range: None,
            flags: None,
            send_buffer_size: None,
            recv_buffer_size: None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sctp {
    #[serde(default)]
    enable_sctp: bool,
    num_sctp_streams: Option<NumSctpStreams>,
    max_sctp_message_size: Option<u32>,
    /// Since 3.6.
    sctp_send_buffer_size: Option<u32>,
}

#[derive(Deserialize)]
struct NumSctpStreams {
    #[serde(rename = "OS")]
    os: u16,
    #[serde(rename = "MIS")]
    mis: u16,
}

impl Sctp {
    fn read(self) -> Parse<Option<SctpOptions>> {
        if !self.enable_sctp {
            return Ok(None);
        }
        let streams = self.num_sctp_streams.ok_or_else(|| invalid("missing numSctpStreams"))?;
        let max_message = self.max_sctp_message_size.ok_or_else(|| invalid("missing maxSctpMessageSize"))?;
        let send_buffer_size = self.sctp_send_buffer_size.unwrap_or(max_message);
        Ok(Some(SctpOptions {
            max_send_message_size: max_message,
            max_receive_message_size: max_message,
            send_buffer_size,
            per_stream_send_queue_limit: send_buffer_size,
            max_receiver_window_buffer_size: RECEIVE_WINDOW,
            default_buffered_amount_low_threshold: 0,
            outbound_streams: streams.os,
            inbound_streams: streams.mis,
        }))
    }
}

/// A transport. Fields with `None` are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dump {
    id: TransportId,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct: Option<bool>,
    producer_ids: Vec<Local<ProducerId>>,
    consumer_ids: Vec<ConsumerId>,
    map_ssrc_consumer_id: Table<u32, ConsumerId>,
    map_rtx_ssrc_consumer_id: Table<u32, ConsumerId>,
    data_producer_ids: Vec<Local<DataProducerId>>,
    data_consumer_ids: Vec<DataConsumerId>,
    recv_rtp_header_extensions: HeaderExtensions,
    rtp_listener: RtpListener,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_message_size: Option<u32>,
    #[serde(flatten)]
    sctp: Option<SctpPart>,
    trace_event_types: String,
    #[serde(flatten)]
    link: LinkPart,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeaderExtensions {
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    abs_send_time: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_wide_cc01: Option<u8>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RtpListener {
    ssrc_table: Table<u32, Local<ProducerId>>,
    mid_table: Table<String, Local<ProducerId>>,
    rid_table: Table<String, Local<ProducerId>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SctpPart {
    sctp_parameters: SctpParameters,
    sctp_state: SctpState,
    sctp_listener: SctpListener,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SctpParameters {
    port: u16,
    #[serde(rename = "OS")]
    os: u16,
    #[serde(rename = "MIS")]
    mis: u16,
    max_message_size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_buffer_size: Option<u32>,
    /// Shown by the library with its value at the transport's creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp_buffered_amount: Option<u32>,
    is_data_channel: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SctpListener {
    stream_id_table: Table<u16, Local<DataProducerId>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LinkPart {
    #[serde(rename_all = "camelCase")]
    WebRtc {
        ice_role: IceRole,
        ice_parameters: IceParameters,
        ice_candidates: Vec<IceCandidate>,
        ice_state: IceState,
        #[serde(skip_serializing_if = "Option::is_none")]
        ice_selected_tuple: Option<Tuple>,
        dtls_parameters: api::DtlsParameters,
        dtls_state: DtlsState,
    },
    #[serde(rename_all = "camelCase")]
    Plain {
        rtcp_mux: bool,
        comedia: bool,
        tuple: Tuple,
        #[serde(skip_serializing_if = "Option::is_none")]
        rtcp_tuple: Option<Tuple>,
        #[serde(skip_serializing_if = "Option::is_none")]
        srtp_parameters: Option<SrtpParameters>,
    },
    #[serde(rename_all = "camelCase")]
    Pipe {
        tuple: Tuple,
        rtx: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        srtp_parameters: Option<SrtpParameters>,
    },
    Direct {},
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IceCandidate {
    foundation: String,
    priority: u32,
    ip: String,
    protocol: Protocol,
    port: u16,
    r#type: api::IceCandidateType,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_type: Option<api::IceCandidateTcpType>,
}

/// A tuple.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tuple {
    local_ip: String,
    local_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_port: Option<u16>,
    protocol: Protocol,
}

impl From<TransportTuple> for Tuple {
    fn from(from: TransportTuple) -> Self {
        Self {
            local_ip: from.local_address().clone(),
            local_port: from.local_port(),
            remote_ip: from.remote_ip(),
            remote_port: from.remote_port(),
            protocol: from.protocol(),
        }
    }
}

impl Dump {
    pub(super) fn new(from: TransportDump, generation: Generation) -> Self {
        let extensions = from.recv_rtp_header_extensions;
        Self {
            id: from.id,
            direct: generation.since_direct(matches!(from.link, LinkDump::Direct)),
            producer_ids: list(from.producer_ids, Local),
            consumer_ids: from.consumer_ids,
            map_ssrc_consumer_id: Table(from.ssrc_consumers),
            map_rtx_ssrc_consumer_id: Table(from.rtx_ssrc_consumers),
            data_producer_ids: list(from.data_producer_ids, Local),
            data_consumer_ids: from.data_consumer_ids,
            recv_rtp_header_extensions: HeaderExtensions {
                mid: extensions[Extension::Mid].map(Into::into),
                rid: extensions[Extension::RtpStreamId].map(Into::into),
                rrid: extensions[Extension::RepairRtpStreamId].map(Into::into),
                abs_send_time: extensions[Extension::AbsSendTime].map(Into::into),
                transport_wide_cc01: extensions[Extension::TransportWideCcDraft01].map(Into::into),
            },
            rtp_listener: RtpListener {
                ssrc_table: Table::local(from.rtp_listener.ssrc_table),
                mid_table: Table::local(from.rtp_listener.mid_table),
                rid_table: Table::local(from.rtp_listener.rid_table),
            },
            max_message_size: generation.since_direct(from.max_receive_message_size),
            sctp: from.sctp.map(|sctp| SctpPart::new(sctp, generation)),
            trace_event_types: names(&[(from.trace.probation, "probation"), (from.trace.bwe, "bwe")]),
            link: from.link.into(),
        }
    }
}

impl SctpPart {
    fn new(from: SctpDump, generation: Generation) -> Self {
        Self {
            sctp_parameters: SctpParameters {
                port: from.parameters.port,
                os: from.parameters.os,
                mis: from.parameters.mis,
                max_message_size: from.parameters.max_receive_message_size,
                send_buffer_size: generation.since_direct(from.parameters.send_buffer_size),
                sctp_buffered_amount: generation.since_direct(0),
                is_data_channel: from.parameters.is_data_channel,
            },
            sctp_state: from.state,
            sctp_listener: SctpListener { stream_id_table: Table::local(from.stream_ids) },
        }
    }
}

impl From<LinkDump> for LinkPart {
    fn from(from: LinkDump) -> Self {
        match from {
            LinkDump::WebRtc(from) => Self::WebRtc {
                ice_role: from.ice_role,
                ice_parameters: from.ice_parameters,
                ice_candidates: list(from.ice_candidates, |candidate| IceCandidate {
                    foundation: candidate.foundation,
                    priority: candidate.priority,
                    ip: candidate.address,
                    protocol: candidate.protocol,
                    port: candidate.port,
                    r#type: candidate.r#type,
                    tcp_type: candidate.tcp_type,
                }),
                ice_state: from.ice_state,
                ice_selected_tuple: from.ice_selected_tuple.map(Into::into),
                dtls_parameters: from.dtls_parameters,
                dtls_state: from.dtls_state,
            },
            LinkDump::Plain(from) => Self::Plain {
                rtcp_mux: from.rtcp_mux,
                comedia: from.comedia,
                tuple: from.tuple.into(),
                rtcp_tuple: from.rtcp_tuple.map(Into::into),
                srtp_parameters: from.srtp_parameters,
            },
            LinkDump::Pipe(from) => {
                Self::Pipe { tuple: from.tuple.into(), rtx: from.rtx, srtp_parameters: from.srtp_parameters }
            }
            LinkDump::Direct => Self::Direct {},
        }
    }
}

/// Statistics of a transport.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stats {
    transport_id: TransportId,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sctp_state: Option<SctpState>,
    bytes_received: u64,
    recv_bitrate: u64,
    bytes_sent: u64,
    send_bitrate: u64,
    rtp_bytes_received: u64,
    rtp_recv_bitrate: u64,
    rtp_bytes_sent: u64,
    rtp_send_bitrate: u64,
    rtx_bytes_received: u64,
    rtx_recv_bitrate: u64,
    rtx_bytes_sent: u64,
    rtx_send_bitrate: u64,
    probation_bytes_sent: u64,
    probation_send_bitrate: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_outgoing_bitrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_incoming_bitrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_incoming_bitrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_outgoing_bitrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_outgoing_bitrate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtp_packet_loss_received: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtp_packet_loss_sent: Option<f64>,
    #[serde(flatten)]
    link: LinkStatsPart,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum LinkStatsPart {
    #[serde(rename = "webrtc-transport", rename_all = "camelCase")]
    WebRtc {
        ice_role: IceRole,
        ice_state: IceState,
        #[serde(skip_serializing_if = "Option::is_none")]
        ice_selected_tuple: Option<Tuple>,
        dtls_state: DtlsState,
    },
    #[serde(rename = "plain-rtp-transport", rename_all = "camelCase")]
    Plain {
        rtcp_mux: bool,
        comedia: bool,
        tuple: Tuple,
        #[serde(skip_serializing_if = "Option::is_none")]
        rtcp_tuple: Option<Tuple>,
    },
    #[serde(rename = "pipe-transport")]
    Pipe { tuple: Tuple },
    #[serde(rename = "direct-transport")]
    Direct,
}

impl From<TransportStats> for Stats {
    fn from(from: TransportStats) -> Self {
        Self {
            transport_id: from.transport_id,
            timestamp: from.timestamp_ms,
            sctp_state: from.sctp_state,
            bytes_received: from.received.bytes,
            recv_bitrate: from.received.bitrate,
            bytes_sent: from.sent.bytes,
            send_bitrate: from.sent.bitrate,
            rtp_bytes_received: from.rtp_received.bytes,
            rtp_recv_bitrate: from.rtp_received.bitrate,
            rtp_bytes_sent: from.rtp_sent.bytes,
            rtp_send_bitrate: from.rtp_sent.bitrate,
            rtx_bytes_received: from.rtx_received.bytes,
            rtx_recv_bitrate: from.rtx_received.bitrate,
            rtx_bytes_sent: from.rtx_sent.bytes,
            rtx_send_bitrate: from.rtx_sent.bitrate,
            probation_bytes_sent: from.probation_sent.bytes,
            probation_send_bitrate: from.probation_sent.bitrate,
            available_outgoing_bitrate: from.available_outgoing_bitrate,
            available_incoming_bitrate: from.available_incoming_bitrate,
            max_incoming_bitrate: from.max_incoming_bitrate,
            max_outgoing_bitrate: from.max_outgoing_bitrate,
            min_outgoing_bitrate: from.min_outgoing_bitrate,
            rtp_packet_loss_received: from.rtp_packet_loss_received,
            rtp_packet_loss_sent: from.rtp_packet_loss_sent,
            link: match from.link {
                LinkStats::WebRtc(from) => LinkStatsPart::WebRtc {
                    ice_role: from.ice_role,
                    ice_state: from.ice_state,
                    ice_selected_tuple: from.ice_selected_tuple.map(Into::into),
                    dtls_state: from.dtls_state,
                },
                LinkStats::Plain(from) => LinkStatsPart::Plain {
                    rtcp_mux: from.rtcp_mux,
                    comedia: from.comedia,
                    tuple: from.tuple.into(),
                    // Present once the remote side is known.
                    rtcp_tuple: from.rtcp_tuple.filter(|tuple| tuple.remote_ip().is_some()).map(Into::into),
                },
                LinkStats::Pipe { tuple } => LinkStatsPart::Pipe { tuple: tuple.into() },
                LinkStats::Direct => LinkStatsPart::Direct,
            },
        }
    }
}

/// A connected PlainTransport or PipeTransport.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connected {
    pub(super) tuple: Tuple,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtcp_tuple: Option<Tuple>,
    #[serde(skip_serializing_if = "Option::is_none")]
    srtp_parameters: Option<SrtpParameters>,
}

impl From<PlainConnected> for Connected {
    fn from(from: PlainConnected) -> Self {
        Self {
            tuple: from.tuple.into(),
            rtcp_tuple: from.rtcp_tuple.map(Into::into),
            srtp_parameters: from.srtp_parameters,
        }
    }
}

/// A WebRtcServer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerDump {
    id: WebRtcServerId,
    udp_sockets: Vec<Address>,
    tcp_servers: Vec<Address>,
    web_rtc_transport_ids: Vec<TransportId>,
    local_ice_username_fragments: Vec<UsernameFragment>,
    /// Always empty: hash tables of mediasoup's own.
    tuple_hashes: [(); 0],
}

#[derive(Serialize)]
struct Address {
    ip: IpAddr,
    port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsernameFragment {
    local_ice_username_fragment: String,
    web_rtc_transport_id: TransportId,
}

impl From<WebRtcServerDump> for ServerDump {
    fn from(from: WebRtcServerDump) -> Self {
        let address = |IpPort { ip, port }| Address { ip, port };
        Self {
            id: from.id,
            udp_sockets: list(from.udp_sockets, address),
            tcp_servers: list(from.tcp_servers, address),
            web_rtc_transport_ids: from.webrtc_transport_ids,
            local_ice_username_fragments: list(from.local_ice_username_fragments, |(fragment, id)| {
                UsernameFragment { local_ice_username_fragment: fragment, web_rtc_transport_id: id }
            }),
            tuple_hashes: [],
        }
    }
}

fn yes() -> bool {
    true
}
