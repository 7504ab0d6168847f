//! Transports: the common part, and each kind.

use tureen_engine::api::PIPE_SUITE;
use tureen_engine::api::{
    ConnectPipe, ConnectPlain, CreateDirectTransport, CreatePipeTransport, CreatePlainTransport,
    CreateWebRtcTransport, LinkDump, LinkStats, Listen, PlainConnected, RouterId, SctpDump, TransportDump,
    TransportId, TransportStats, TransportTrace, WebRtcServerDump,
};
use tureen_rtc::ice::consent_timeout_from_seconds;
use tureen_rtc::sctp::MAX_STREAMS;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtp::Extension;
use tureen_types::data_structures as api;
use tureen_types::data_structures::{DtlsFingerprint, ListenInfo, Protocol, SocketFlags, TransportTuple};
use tureen_types::sctp_parameters::{SctpNegotiatedCapabilities, SctpStreamParameters};
use tureen_types::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};

use super::schema::{
    common, direct_transport, pipe_transport, plain_transport, response, sctp_association, sctp_parameters,
    srtp_parameters, transport as wire, webrtc_server, webrtc_transport,
};
use super::{Parse, ids, invalid, list};
use crate::parts::read_ip;

pub(super) fn read_webrtc_options(
    router_id: RouterId,
    id: TransportId,
    from: webrtc_transport::WebRtcTransportOptions,
) -> Parse<CreateWebRtcTransport> {
    Ok(CreateWebRtcTransport {
        router_id,
        id,
        listen: match from.listen {
            webrtc_transport::Listen::ListenIndividual(listen) => {
                Listen::Individual(read_listen_infos(listen.listen_infos)?)
            }
            webrtc_transport::Listen::ListenServer(listen) => Listen::Server(listen.web_rtc_server_id.into()),
        },
        enable_udp: from.enable_udp,
        enable_tcp: from.enable_tcp,
        prefer_udp: from.prefer_udp,
        prefer_tcp: from.prefer_tcp,
        ice_consent_timeout: consent_timeout_from_seconds(from.ice_consent_timeout),
        initial_available_outgoing_bitrate: initial_bitrate(&from.base).unwrap_or(Bitrate::ZERO),
        sctp: read_sctp_options(&from.base),
    })
}

pub(super) fn read_plain_options(
    router_id: RouterId,
    id: TransportId,
    from: plain_transport::PlainTransportOptions,
) -> Parse<CreatePlainTransport> {
    let suite = from.srtp_crypto_suite.unwrap_or(srtp_parameters::SrtpCryptoSuite::AesCm128HmacSha180);
    Ok(CreatePlainTransport {
        router_id,
        id,
        listen_info: read_listen_info(*from.listen_info)?,
        rtcp_listen_info: from.rtcp_listen_info.map(|info| read_listen_info(*info)).transpose()?,
        rtcp_mux: from.rtcp_mux,
        comedia: from.comedia,
        srtp: from.enable_srtp.then(|| read_suite(suite)),
        initial_available_outgoing_bitrate: initial_bitrate(&from.base),
        sctp: read_sctp_options(&from.base),
    })
}

pub(super) fn read_pipe_options(
    router_id: RouterId,
    id: TransportId,
    from: pipe_transport::PipeTransportOptions,
) -> Parse<CreatePipeTransport> {
    Ok(CreatePipeTransport {
        router_id,
        id,
        listen_info: read_listen_info(*from.listen_info)?,
        in_process: false,
        enable_rtx: from.enable_rtx,
        srtp: from.enable_srtp.then_some(PIPE_SUITE),
        sctp: read_sctp_options(&from.base),
    })
}

pub(super) fn read_direct_options(
    router_id: RouterId,
    id: TransportId,
    from: direct_transport::DirectTransportOptions,
) -> CreateDirectTransport {
    CreateDirectTransport { router_id, id, max_message_size: from.base.max_send_message_size }
}

pub(super) fn read_plain_connect(from: plain_transport::ConnectRequest) -> Parse<ConnectPlain> {
    Ok(ConnectPlain {
        ip: from.ip.map(|ip| read_ip(&ip)).transpose()?,
        port: from.port,
        rtcp_port: from.rtcp_port,
        srtp_parameters: from.srtp_parameters.map(|parameters| read_srtp(*parameters)),
        await_datagram: false,
    })
}

pub(super) fn read_pipe_connect(from: pipe_transport::ConnectRequest) -> Parse<ConnectPipe> {
    Ok(ConnectPipe {
        ip: read_ip(&from.ip)?,
        port: from.port.ok_or_else(|| invalid("missing port"))?,
        srtp_parameters: from.srtp_parameters.map(|parameters| read_srtp(*parameters)),
    })
}

pub(super) fn read_dtls_parameters(from: webrtc_transport::DtlsParameters) -> Parse<api::DtlsParameters> {
    Ok(api::DtlsParameters {
        role: match from.role {
            webrtc_transport::DtlsRole::Auto => api::DtlsRole::Auto,
            webrtc_transport::DtlsRole::Client => api::DtlsRole::Client,
            webrtc_transport::DtlsRole::Server => api::DtlsRole::Server,
        },
        fingerprints: from.fingerprints.into_iter().map(read_fingerprint).collect::<Parse<_>>()?,
    })
}

pub(super) fn read_listen_infos(from: Vec<wire::ListenInfo>) -> Parse<Vec<ListenInfo>> {
    from.into_iter().map(read_listen_info).collect()
}

pub(super) fn read_trace(from: Vec<wire::TraceEventType>) -> TransportTrace {
    TransportTrace {
        probation: from.contains(&wire::TraceEventType::Probation),
        bwe: from.contains(&wire::TraceEventType::Bwe),
    }
}

pub(super) fn write_dump(mut from: TransportDump) -> response::Body {
    use response::Body;
    let direct = matches!(from.link, LinkDump::Direct);
    let link = std::mem::replace(&mut from.link, LinkDump::Direct);
    let base = Box::new(write_base_dump(from, direct));
    match link {
        LinkDump::WebRtc(link) => {
            Body::WebRtcTransportDumpResponse(Box::new(webrtc_transport::DumpResponse {
                base,
                ice_role: write_ice_role(link.ice_role),
                ice_parameters: Box::new(webrtc_transport::IceParameters {
                    username_fragment: link.ice_parameters.username_fragment,
                    password: link.ice_parameters.password,
                    ice_lite: link.ice_parameters.ice_lite.unwrap_or(false),
                }),
                ice_candidates: list(link.ice_candidates, write_candidate),
                ice_state: write_ice_state(link.ice_state),
                ice_selected_tuple: link.ice_selected_tuple.map(write_tuple),
                dtls_parameters: Box::new(webrtc_transport::DtlsParameters {
                    fingerprints: list(link.dtls_parameters.fingerprints, write_fingerprint),
                    role: write_dtls_role(link.dtls_parameters.role),
                }),
                dtls_state: write_dtls_state(link.dtls_state),
            }))
        }
        LinkDump::Plain(link) => Body::PlainTransportDumpResponse(Box::new(plain_transport::DumpResponse {
            base,
            rtcp_mux: link.rtcp_mux,
            comedia: link.comedia,
            tuple: write_tuple(link.tuple),
            rtcp_tuple: link.rtcp_tuple.map(write_tuple),
            srtp_parameters: link.srtp_parameters.map(write_srtp),
        })),
        LinkDump::Pipe(link) => Body::PipeTransportDumpResponse(Box::new(pipe_transport::DumpResponse {
            base,
            tuple: write_tuple(link.tuple),
            rtx: link.rtx,
            srtp_parameters: link.srtp_parameters.map(write_srtp),
        })),
        LinkDump::Direct => {
            Body::DirectTransportDumpResponse(Box::new(direct_transport::DumpResponse { base }))
        }
    }
}

pub(super) fn write_stats(mut from: TransportStats) -> response::Body {
    use response::Body;
    let link = std::mem::replace(&mut from.link, LinkStats::Direct);
    let base = Box::new(write_base_stats(from));
    match link {
        LinkStats::WebRtc(link) => {
            Body::WebRtcTransportGetStatsResponse(Box::new(webrtc_transport::GetStatsResponse {
                base,
                ice_role: write_ice_role(link.ice_role),
                ice_state: write_ice_state(link.ice_state),
                ice_selected_tuple: link.ice_selected_tuple.map(write_tuple),
                dtls_state: write_dtls_state(link.dtls_state),
            }))
        }
        LinkStats::Plain(link) => {
            Body::PlainTransportGetStatsResponse(Box::new(plain_transport::GetStatsResponse {
                base,
                rtcp_mux: link.rtcp_mux,
                comedia: link.comedia,
                tuple: write_tuple(link.tuple),
                rtcp_tuple: link.rtcp_tuple.map(write_tuple),
            }))
        }
        LinkStats::Pipe { tuple } => {
            let tuple = write_tuple(tuple);
            Body::PipeTransportGetStatsResponse(Box::new(pipe_transport::GetStatsResponse { base, tuple }))
        }
        LinkStats::Direct => {
            Body::DirectTransportGetStatsResponse(Box::new(direct_transport::GetStatsResponse { base }))
        }
    }
}

pub(super) fn write_plain_connected(from: PlainConnected) -> plain_transport::ConnectResponse {
    plain_transport::ConnectResponse {
        tuple: Some(write_tuple(from.tuple)),
        rtcp_tuple: from.rtcp_tuple.map(write_tuple),
        srtp_parameters: from.srtp_parameters.map(write_srtp),
    }
}

pub(super) fn write_server_dump(from: WebRtcServerDump) -> webrtc_server::DumpResponse {
    let address = |address: tureen_engine::api::IpPort| webrtc_server::IpPort {
        ip: address.ip.to_string(),
        port: address.port,
    };
    webrtc_server::DumpResponse {
        id: from.id.into(),
        udp_sockets: list(from.udp_sockets, address),
        tcp_servers: list(from.tcp_servers, address),
        web_rtc_transport_ids: ids(from.webrtc_transport_ids),
        local_ice_username_fragments: list(from.local_ice_username_fragments, |(ufrag, transport)| {
            webrtc_server::IceUserNameFragment {
                local_ice_username_fragment: ufrag,
                web_rtc_transport_id: transport.into(),
            }
        }),
    }
}

pub(super) fn write_tuple(from: TransportTuple) -> Box<wire::Tuple> {
    Box::new(wire::Tuple {
        local_address: from.local_address().clone(),
        local_port: from.local_port(),
        remote_ip: from.remote_ip().map(|ip| ip.to_string()),
        remote_port: from.remote_port().unwrap_or(0),
        protocol: write_protocol(from.protocol()),
    })
}

pub(super) fn write_ice_state(from: api::IceState) -> webrtc_transport::IceState {
    match from {
        api::IceState::New => webrtc_transport::IceState::New,
        api::IceState::Connected => webrtc_transport::IceState::Connected,
        api::IceState::Completed => webrtc_transport::IceState::Completed,
        api::IceState::Disconnected => webrtc_transport::IceState::Disconnected,
    }
}

pub(super) fn write_dtls_state(from: api::DtlsState) -> webrtc_transport::DtlsState {
    match from {
        api::DtlsState::New => webrtc_transport::DtlsState::New,
        api::DtlsState::Connecting => webrtc_transport::DtlsState::Connecting,
        api::DtlsState::Connected => webrtc_transport::DtlsState::Connected,
        api::DtlsState::Failed => webrtc_transport::DtlsState::Failed,
        api::DtlsState::Closed => webrtc_transport::DtlsState::Closed,
    }
}

pub(super) fn write_dtls_role(from: api::DtlsRole) -> webrtc_transport::DtlsRole {
    match from {
        api::DtlsRole::Auto => webrtc_transport::DtlsRole::Auto,
        api::DtlsRole::Client => webrtc_transport::DtlsRole::Client,
        api::DtlsRole::Server => webrtc_transport::DtlsRole::Server,
    }
}

pub(super) fn write_sctp_state(from: api::SctpState) -> sctp_association::SctpState {
    match from {
        api::SctpState::New => sctp_association::SctpState::New,
        api::SctpState::Connecting => sctp_association::SctpState::Connecting,
        api::SctpState::Connected => sctp_association::SctpState::Connected,
        api::SctpState::Failed => sctp_association::SctpState::Failed,
        api::SctpState::Closed => sctp_association::SctpState::Closed,
    }
}

pub(super) fn write_negotiated(
    from: SctpNegotiatedCapabilities,
) -> Box<sctp_association::SctpNegotiatedCapabilities> {
    Box::new(sctp_association::SctpNegotiatedCapabilities {
        negotiated_max_outbound_streams: from.negotiated_max_outbound_streams,
        negotiated_max_inbound_streams: from.negotiated_max_inbound_streams,
    })
}

pub(super) fn write_stream_parameters(
    from: SctpStreamParameters,
) -> Box<sctp_parameters::SctpStreamParameters> {
    Box::new(sctp_parameters::SctpStreamParameters {
        stream_id: from.stream_id,
        ordered: Some(from.ordered),
        max_packet_life_time: from.max_packet_life_time,
        max_retransmits: from.max_retransmits,
    })
}

fn write_base_dump(from: TransportDump, direct: bool) -> wire::Dump {
    let pair = |(ssrc, consumer): (u32, tureen_engine::api::ConsumerId)| common::Uint32String {
        key: ssrc,
        value: consumer.into(),
    };
    let named = |(name, producer): (String, tureen_engine::api::ProducerId)| common::StringString {
        key: name,
        value: producer.into(),
    };
    let extensions = from.recv_rtp_header_extensions;
    let trace_events = [
        (from.trace.probation, wire::TraceEventType::Probation),
        (from.trace.bwe, wire::TraceEventType::Bwe),
    ];
    let mut dump = wire::Dump {
        id: from.id.into(),
        direct,
        producer_ids: ids(from.producer_ids),
        consumer_ids: ids(from.consumer_ids),
        map_ssrc_consumer_id: list(from.ssrc_consumers, pair),
        map_rtx_ssrc_consumer_id: list(from.rtx_ssrc_consumers, pair),
        data_producer_ids: ids(from.data_producer_ids),
        data_consumer_ids: ids(from.data_consumer_ids),
        recv_rtp_header_extensions: Box::new(wire::RecvRtpHeaderExtensions {
            mid: extensions[Extension::Mid].map(Into::into),
            rid: extensions[Extension::RtpStreamId].map(Into::into),
            rrid: extensions[Extension::RepairRtpStreamId].map(Into::into),
            abs_send_time: extensions[Extension::AbsSendTime].map(Into::into),
            transport_wide_cc01: extensions[Extension::TransportWideCcDraft01].map(Into::into),
        }),
        rtp_listener: Box::new(wire::RtpListener {
            ssrc_table: list(from.rtp_listener.ssrc_table, |(ssrc, producer)| common::Uint32String {
                key: ssrc,
                value: producer.into(),
            }),
            mid_table: list(from.rtp_listener.mid_table, named),
            rid_table: list(from.rtp_listener.rid_table, named),
        }),
        max_send_message_size: from.max_send_message_size,
        max_receive_message_size: from.max_receive_message_size,
        trace_event_types: trace_events.into_iter().filter(|event| event.0).map(|event| event.1).collect(),
        ..wire::Dump::default()
    };
    if let Some(sctp) = from.sctp {
        add_sctp(&mut dump, sctp);
    }
    dump
}

fn add_sctp(dump: &mut wire::Dump, from: SctpDump) {
    let parameters = from.parameters;
    dump.sctp_parameters = Some(Box::new(sctp_parameters::SctpParameters {
        port: parameters.port,
        max_send_message_size: parameters.max_send_message_size,
        max_receive_message_size: parameters.max_receive_message_size,
        send_buffer_size: parameters.send_buffer_size,
        per_stream_send_queue_limit: parameters.per_stream_send_queue_limit,
        max_receiver_window_buffer_size: parameters.max_receiver_window_buffer_size,
        is_data_channel: parameters.is_data_channel,
    }));
    dump.sctp_state = Some(write_sctp_state(from.state));
    // mediasoup has zeros before they are known.
    let unknown =
        SctpNegotiatedCapabilities { negotiated_max_outbound_streams: 0, negotiated_max_inbound_streams: 0 };
    let negotiated = from.negotiated_capabilities.unwrap_or(unknown);
    dump.sctp_negotiated_capabilities = Some(write_negotiated(negotiated));
    dump.sctp_listener = Some(Box::new(wire::SctpListener {
        stream_id_table: list(from.stream_ids, |(stream, producer)| common::Uint16String {
            key: stream,
            value: producer.into(),
        }),
    }));
}

fn write_base_stats(from: TransportStats) -> wire::Stats {
    wire::Stats {
        transport_id: from.transport_id.into(),
        timestamp: from.timestamp_ms,
        sctp_state: from.sctp_state.map(write_sctp_state),
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
    }
}

fn initial_bitrate(base: &wire::Options) -> Option<Bitrate> {
    base.initial_available_outgoing_bitrate.map(Bitrate::bps)
}

fn read_sctp_options(base: &wire::Options) -> Option<SctpOptions> {
    base.enable_sctp.then_some(SctpOptions {
        max_send_message_size: base.max_send_message_size,
        max_receive_message_size: base.max_receive_message_size,
        send_buffer_size: base.sctp_send_buffer_size,
        per_stream_send_queue_limit: base.sctp_per_stream_send_queue_limit,
        max_receiver_window_buffer_size: base.sctp_max_receiver_window_buffer_size,
        default_buffered_amount_low_threshold: base.sctp_default_stream_buffered_amount_low_threshold,
        outbound_streams: MAX_STREAMS,
        inbound_streams: MAX_STREAMS,
    })
}

fn read_listen_info(from: wire::ListenInfo) -> Parse<ListenInfo> {
    let given = |value: u32| (value > 0).then_some(value);
    let range = from.port_range;
    Ok(ListenInfo {
        protocol: match from.protocol {
            wire::Protocol::Udp => Protocol::Udp,
            wire::Protocol::Tcp => Protocol::Tcp,
        },
        ip: read_ip(&from.ip)?,
        announced_address: from.announced_address.filter(|address| !address.is_empty()),
        expose_internal_ip: from.expose_internal_ip,
        port: (from.port > 0).then_some(from.port),
        port_range: (range.min > 0 || range.max > 0).then_some(range.min..=range.max),
        flags: Some(SocketFlags {
            ipv6_only: from.flags.ipv6_only,
            udp_reuse_port: from.flags.udp_reuse_port,
        }),
        send_buffer_size: given(from.send_buffer_size),
        recv_buffer_size: given(from.recv_buffer_size),
    })
}

fn write_protocol(from: Protocol) -> wire::Protocol {
    match from {
        Protocol::Udp => wire::Protocol::Udp,
        Protocol::Tcp => wire::Protocol::Tcp,
    }
}

fn write_ice_role(from: api::IceRole) -> webrtc_transport::IceRole {
    match from {
        api::IceRole::Controlled => webrtc_transport::IceRole::Controlled,
        api::IceRole::Controlling => webrtc_transport::IceRole::Controlling,
    }
}

fn write_candidate(from: api::IceCandidate) -> webrtc_transport::IceCandidate {
    webrtc_transport::IceCandidate {
        foundation: from.foundation,
        priority: from.priority,
        address: from.address,
        protocol: write_protocol(from.protocol),
        port: from.port,
        // A server with an announced address has no other address.
        type_: webrtc_transport::IceCandidateType::Host,
        tcp_type: from.tcp_type.map(|tcp_type| match tcp_type {
            api::IceCandidateTcpType::Passive => webrtc_transport::IceCandidateTcpType::Passive,
        }),
    }
}

fn read_fingerprint(from: webrtc_transport::Fingerprint) -> Parse<DtlsFingerprint> {
    use webrtc_transport::FingerprintAlgorithm as Algorithm;
    let algorithm = match from.algorithm {
        Algorithm::Sha1 => "sha-1",
        Algorithm::Sha224 => "sha-224",
        Algorithm::Sha256 => "sha-256",
        Algorithm::Sha384 => "sha-384",
        Algorithm::Sha512 => "sha-512",
    };
    DtlsFingerprint::parse(algorithm, &from.value).map_err(invalid)
}

fn write_fingerprint(from: DtlsFingerprint) -> webrtc_transport::Fingerprint {
    use webrtc_transport::FingerprintAlgorithm as Algorithm;
    webrtc_transport::Fingerprint {
        algorithm: match from {
            DtlsFingerprint::Sha1 { .. } => Algorithm::Sha1,
            DtlsFingerprint::Sha224 { .. } => Algorithm::Sha224,
            DtlsFingerprint::Sha256 { .. } => Algorithm::Sha256,
            DtlsFingerprint::Sha384 { .. } => Algorithm::Sha384,
            DtlsFingerprint::Sha512 { .. } => Algorithm::Sha512,
        },
        value: from.value_string(),
    }
}

fn read_srtp(from: srtp_parameters::SrtpParameters) -> SrtpParameters {
    SrtpParameters { crypto_suite: read_suite(from.crypto_suite), key_base64: from.key_base64 }
}

fn write_srtp(from: SrtpParameters) -> Box<srtp_parameters::SrtpParameters> {
    use srtp_parameters::SrtpCryptoSuite as Wire;
    Box::new(srtp_parameters::SrtpParameters {
        crypto_suite: match from.crypto_suite {
            SrtpCryptoSuite::AeadAes256Gcm => Wire::AeadAes256Gcm,
            SrtpCryptoSuite::AeadAes128Gcm => Wire::AeadAes128Gcm,
            SrtpCryptoSuite::AesCm128HmacSha180 => Wire::AesCm128HmacSha180,
            SrtpCryptoSuite::AesCm128HmacSha132 => Wire::AesCm128HmacSha132,
        },
        key_base64: from.key_base64,
    })
}

fn read_suite(from: srtp_parameters::SrtpCryptoSuite) -> SrtpCryptoSuite {
    use srtp_parameters::SrtpCryptoSuite as Wire;
    match from {
        Wire::AeadAes256Gcm => SrtpCryptoSuite::AeadAes256Gcm,
        Wire::AeadAes128Gcm => SrtpCryptoSuite::AeadAes128Gcm,
        Wire::AesCm128HmacSha180 => SrtpCryptoSuite::AesCm128HmacSha180,
        Wire::AesCm128HmacSha132 => SrtpCryptoSuite::AesCm128HmacSha132,
    }
}
