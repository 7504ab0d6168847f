//! Dumps and statistics.

use std::time::Instant;

use crate::api::{
    ConsumerDump, ConsumerId, IpPort, LinkDump, LinkStats, PipeTransportDump, PlainTransportDump,
    PlainTransportStats, ProducerId, RequestError, RouterDump, RouterId, RtpListenerDump, RtpStreamStats,
    StreamType, TransportDump, TransportId, TransportStats, WebRtcServerDump, WebRtcServerId,
    WebRtcTransportStats, WorkerDump,
};
use crate::keys::TransportKey;
use crate::transport::link::Link;
use crate::worker::arena::Media;
use crate::worker::data;
use crate::worker::out::Out;
use crate::worker::paths::sockets::Sockets;
use crate::worker::paths::{Paths, servers};
use tureen_rtc::units::Bitrate;
use tureen_types::data_structures::{IceRole, Protocol};

pub(crate) fn dump_worker(media: &Media, paths: &Paths) -> WorkerDump {
    WorkerDump {
        webrtc_server_ids: paths.servers.keys().cloned().collect(),
        router_ids: media.routers.keys().cloned().collect(),
        transport_ids: media.transports.ids().cloned().collect(),
        producer_ids: media.producers.ids().cloned().collect(),
        consumer_ids: media.consumers.ids().cloned().collect(),
        rtp_observer_ids: media.observers.ids().cloned().collect(),
        data_producer_ids: media.data_producers.ids().cloned().collect(),
        data_consumer_ids: media.data_consumers.ids().cloned().collect(),
    }
}

pub(crate) fn dump_server(
    media: &Media,
    paths: &Paths,
    id: &WebRtcServerId,
) -> Result<WebRtcServerDump, RequestError> {
    servers::find_server(paths, id)?;
    let server = &paths.servers[id];
    let bound = |protocol| {
        let sockets = server.sockets.iter().filter_map(|&socket| paths.sockets.get(socket));
        let locals =
            sockets.filter(|socket| socket.listen.protocol == protocol).filter_map(|socket| socket.local);
        locals.map(|local| IpPort { ip: local.ip(), port: local.port() }).collect()
    };
    let name = |key| media.transports.live(key).map(|t| t.id.clone());
    Ok(WebRtcServerDump {
        id: id.clone(),
        udp_sockets: bound(Protocol::Udp),
        tcp_servers: bound(Protocol::Tcp),
        webrtc_transport_ids: server.transports.iter().filter_map(|&key| name(key)).collect(),
        local_ice_username_fragments: server
            .ufrags
            .iter()
            .filter_map(|(ufrag, &key)| Some((ufrag.clone(), name(key)?)))
            .collect(),
    })
}

pub(crate) fn dump_router(media: &Media, id: &RouterId) -> Result<RouterDump, RequestError> {
    let router =
        media.routers.get(id).ok_or_else(|| RequestError::NotFound { kind: "Router", id: id.to_string() })?;
    let transports = || router.transports.iter().filter_map(|&key| media.transports.live(key));
    let producers = || transports().flat_map(|t| &t.producers).filter_map(|&key| media.producers.live(key));
    let consumers = |keys: &[crate::keys::ConsumerKey]| {
        keys.iter().filter_map(|&key| media.consumers.live(key)).map(|c| c.id.clone()).collect()
    };
    let observers = |keys: &[crate::keys::ObserverKey]| {
        keys.iter().filter_map(|&key| media.observers.live(key)).map(|o| o.id.clone()).collect()
    };
    let mut dump = RouterDump {
        id: id.clone(),
        transport_ids: transports().map(|t| t.id.clone()).collect(),
        producer_consumers: producers().map(|p| (p.id.clone(), consumers(&p.consumers))).collect(),
        rtp_observer_ids: observers(&router.observers),
        producer_observers: producers().map(|p| (p.id.clone(), observers(&p.observers))).collect(),
        data_producer_consumers: Vec::new(),
    };
    data::fill_router_dump(media, &mut dump, &router.transports);
    Ok(dump)
}

pub(crate) fn dump_transport(media: &Media, paths: &Paths, key: TransportKey) -> TransportDump {
    let transport = &media.transports[key];
    let (max_send_message_size, max_receive_message_size) = transport.data.max_message_sizes();
    let producer_id = |key| media.producers.live(key).map(|p| p.id.clone());
    let consumer_id = |key| media.consumers.live(key).map(|c| c.id.clone());
    let consumers = || transport.consumers.iter().filter_map(|&key| media.consumers.live(key));
    TransportDump {
        id: transport.id.clone(),
        producer_ids: transport.producers.iter().filter_map(|&key| producer_id(key)).collect(),
        consumer_ids: transport.consumers.iter().filter_map(|&key| consumer_id(key)).collect(),
        ssrc_consumers: consumers()
            .flat_map(|c| c.send_streams.iter().map(|o| (o.stats.ssrc.0, c.id.clone())))
            .collect(),
        rtx_ssrc_consumers: consumers()
            .flat_map(|c| c.send_streams.iter().filter_map(|o| Some((o.rtx_ssrc()?.0, c.id.clone()))))
            .collect(),
        recv_rtp_header_extensions: transport.recv_ids,
        rtp_listener: RtpListenerDump {
            ssrc_table: transport
                .listener
                .ssrcs()
                .filter_map(|(ssrc, key)| Some((ssrc.0, producer_id(key)?)))
                .collect(),
            mid_table: named(transport.listener.mids(), producer_id),
            rid_table: named(transport.listener.rids(), producer_id),
        },
        data_producer_ids: data::data_producer_names(media, &transport.data),
        data_consumer_ids: data::data_consumer_names(media, &transport.data.consumers),
        max_send_message_size,
        max_receive_message_size,
        sctp: data::dump_sctp(media, &transport.data),
        trace: transport.trace,
        link: dump_link(paths, &transport.link),
    }
}

pub(crate) fn transport_stats(
    media: &mut Media,
    paths: &mut Paths,
    out: &mut Out,
    now: Instant,
    id: &TransportId,
) -> Result<TransportStats, RequestError> {
    let key = media.transports.find(id)?;
    let timestamp_ms = out.clock.unix_ms(now);
    let transport = &mut media.transports[key];
    let limits = transport.bitrates;
    let limit = |rate: Bitrate| (!rate.is_zero()).then_some(rate.as_bps());
    let control = transport.send_control.as_mut();
    let (available_outgoing_bitrate, probation_sent) = match control {
        Some(control) => (Some(control.target().as_bps()), control.probe_traffic(now)),
        None => (None, crate::api::Traffic::default()),
    };
    let traffic = &mut transport.traffic;
    let (rtp_sent, rtx_sent) = (traffic.rtp_sent.read(now), traffic.rtx_sent.read(now));
    Ok(TransportStats {
        transport_id: id.clone(),
        timestamp_ms,
        received: traffic.received.read(now),
        sent: traffic.other_sent.read(now) + rtp_sent + rtx_sent + probation_sent,
        rtp_received: traffic.rtp_received.read(now),
        rtp_sent,
        rtx_received: traffic.rtx_received.read(now),
        rtx_sent,
        probation_sent,
        available_outgoing_bitrate,
        available_incoming_bitrate: transport.incoming_estimate(now).map(Bitrate::as_bps),
        max_incoming_bitrate: limit(limits.max_incoming),
        max_outgoing_bitrate: limit(limits.max_outgoing),
        min_outgoing_bitrate: limit(limits.min_outgoing),
        round_trip_time_ms: transport.quality.round_trip_ms(),
        rtp_packet_loss_received: transport.quality.loss_received.read(),
        rtp_packet_loss_sent: transport.quality.loss_sent.read(),
        sctp_state: transport.data.sctp().map(|sctp| sctp.state()),
        link: link_stats(&paths.sockets, &transport.link),
    })
}

fn dump_link(paths: &Paths, link: &Link) -> LinkDump {
    let sockets = &paths.sockets;
    match link {
        Link::WebRtc(link) => LinkDump::WebRtc(link.dump(|tuple| sockets.api_tuple(tuple))),
        Link::Plain(link) => LinkDump::Plain(PlainTransportDump {
            rtcp_mux: link.rtcp_mux,
            comedia: link.comedia,
            tuple: sockets.tuple_or_local(link.tuple(), link.rtp_socket),
            rtcp_tuple: link.rtcp_socket.map(|s| sockets.tuple_or_local(link.rtcp_tuple(), s)),
            srtp_parameters: link.srtp_parameters(),
        }),
        Link::Pipe(link) => LinkDump::Pipe(PipeTransportDump {
            tuple: sockets.tuple_or_local(link.tuple(), link.socket),
            rtx: link.rtx,
            srtp_parameters: link.srtp_parameters(),
        }),
        Link::Direct => LinkDump::Direct,
    }
}

pub(crate) fn producer_stats(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &ProducerId,
) -> Result<Vec<RtpStreamStats>, RequestError> {
    let timestamp_ms = out.clock.unix_ms(now);
    let producer = media.producers.find_mut(id)?;
    let kind = producer.kind;
    Ok(producer.streams.iter_mut().map(|stream| stream.api_stats(now, timestamp_ms, kind)).collect())
}

pub(crate) fn consumer_stats(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &ConsumerId,
) -> Result<Vec<RtpStreamStats>, RequestError> {
    let timestamp_ms = out.clock.unix_ms(now);
    let key = media.consumers.find(id)?;
    let consumer = &mut media.consumers[key];
    let mut stats = consumer.stats(now, timestamp_ms);
    let stream_type = consumer.stream_type;
    let source = consumer.layers.as_ref().map(|layers| layers.source());
    if let Some(producer) = media.producers.live_mut(consumer.producer) {
        let kind = producer.kind;
        // As in mediasoup: statistics of the Producer stream that is sent; none for a pipe consumer.
        let is_read = |encoding: usize| match source {
            Some(source) => source.map(usize::from) == Some(encoding),
            None => stream_type == StreamType::Simple,
        };
        let read = producer.streams.iter_mut().filter(|s| is_read(s.encoding_idx));
        stats.extend(read.map(|s| s.api_stats(now, timestamp_ms, kind)));
    }
    Ok(stats)
}

pub(crate) fn dump_consumer(media: &Media, id: &ConsumerId) -> Result<ConsumerDump, RequestError> {
    let consumer = &media.consumers[media.consumers.find(id)?];
    let producer = media.producers.live(consumer.producer).map(|p| p.id.clone());
    Ok(consumer.dump(producer.unwrap_or_else(|| ProducerId::from(""))))
}

fn link_stats(sockets: &Sockets, link: &Link) -> LinkStats {
    match link {
        Link::WebRtc(link) => LinkStats::WebRtc(WebRtcTransportStats {
            ice_role: IceRole::Controlled,
            ice_state: link.ice_state(),
            ice_selected_tuple: link.selected_tuple().map(|tuple| sockets.api_tuple(tuple)),
            dtls_state: link.dtls_state,
        }),
        Link::Plain(link) => LinkStats::Plain(PlainTransportStats {
            rtcp_mux: link.rtcp_mux,
            comedia: link.comedia,
            tuple: sockets.tuple_or_local(link.tuple(), link.rtp_socket),
            // As in mediasoup: `None` before the tuple is known.
            rtcp_tuple: link.rtcp_socket.and(link.rtcp_tuple()).map(|tuple| sockets.api_tuple(tuple)),
        }),
        Link::Pipe(link) => LinkStats::Pipe { tuple: sockets.tuple_or_local(link.tuple(), link.socket) },
        Link::Direct => LinkStats::Direct,
    }
}

fn named<'a, K>(
    table: impl Iterator<Item = (&'a str, K)>,
    id: impl Fn(K) -> Option<ProducerId>,
) -> Vec<(String, ProducerId)> {
    table.filter_map(|(name, key)| Some((name.to_owned(), id(key)?))).collect()
}
