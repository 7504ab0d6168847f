//! Responses and events for the parent.

use tureen_engine::api::{
    BweSource, ConsumerEvent, DataConsumerEvent, Notification, ProducerEvent, Response, RouterDump,
    RtpObserverEvent, TransportEvent, WorkerDump,
};
use tureen_net::ResourceUsage;
use tureen_types::data_structures::TraceEventDirection;

use super::schema::notification::{Body as EventBody, Event, Notification as WireNotification};
use super::schema::request::Method;
use super::schema::response::Body;
use super::schema::{
    active_speaker_observer, audio_level_observer, common, consumer, data_consumer, direct_transport,
    pipe_transport, plain_transport, producer, router, transport as wire, webrtc_transport, worker,
};
use super::{data, ids, list, media, rtp, transport};

/// Body of a response, `None` if the response has no content. `method` is the method of the request, if known.
pub(super) fn write_response(from: Response, method: Option<Method>, pid: u32) -> Option<Body> {
    use Response as R;
    Some(match from {
        // Never requested by the library.
        R::Done | R::WorkerDrops(_) => return None,
        R::WorkerDump(dump) => Body::WorkerDumpResponse(Box::new(write_worker_dump(dump, pid))),
        R::WebRtcServerDump(dump) => {
            Body::WebRtcServerDumpResponse(Box::new(transport::write_server_dump(dump)))
        }
        R::RouterDump(dump) => Body::RouterDumpResponse(Box::new(write_router_dump(dump))),
        R::Connected { dtls_local_role } => {
            let dtls_local_role = transport::write_dtls_role(dtls_local_role);
            Body::WebRtcTransportConnectResponse(Box::new(webrtc_transport::ConnectResponse {
                dtls_local_role,
            }))
        }
        R::PlainConnected(connected) => {
            Body::PlainTransportConnectResponse(Box::new(transport::write_plain_connected(connected)))
        }
        R::PipeConnected { tuple } => {
            let tuple = transport::write_tuple(tuple);
            Body::PipeTransportConnectResponse(Box::new(pipe_transport::ConnectResponse { tuple }))
        }
        R::IceParameters(parameters) => {
            Body::TransportRestartIceResponse(Box::new(wire::RestartIceResponse {
                username_fragment: parameters.username_fragment,
                password: parameters.password,
                ice_lite: parameters.ice_lite.unwrap_or(false),
            }))
        }
        R::TransportDump(dump) => transport::write_dump(*dump),
        R::TransportStats(stats) => transport::write_stats(*stats),
        R::Produced { stream_type } => Body::TransportProduceResponse(Box::new(wire::ProduceResponse {
            type_: rtp::write_stream_type(stream_type),
        })),
        R::ProducerDump(dump) => Body::ProducerDumpResponse(Box::new(media::write_producer_dump(*dump))),
        R::RtpStreamStats(stats) => {
            let stats = list(stats, media::write_stream_stats);
            match method {
                Some(Method::ConsumerGetStats) => {
                    Body::ConsumerGetStatsResponse(Box::new(consumer::GetStatsResponse { stats }))
                }
                _ => Body::ProducerGetStatsResponse(Box::new(producer::GetStatsResponse { stats })),
            }
        }
        R::Consumed(consumed) => Body::TransportConsumeResponse(Box::new(media::write_consumed(consumed))),
        R::ConsumerDump(dump) => Body::ConsumerDumpResponse(Box::new(media::write_consumer_dump(*dump))),
        R::PreferredLayers(layers) => {
            Body::ConsumerSetPreferredLayersResponse(Box::new(consumer::SetPreferredLayersResponse {
                preferred_layers: layers.map(rtp::write_layers),
            }))
        }
        R::Priority(priority) => {
            Body::ConsumerSetPriorityResponse(Box::new(consumer::SetPriorityResponse { priority }))
        }
        R::DataProducerDump(dump) => {
            Body::DataProducerDumpResponse(Box::new(data::write_producer_dump(*dump)))
        }
        R::DataProducerStats(stats) => {
            Body::DataProducerGetStatsResponse(Box::new(data::write_producer_stats(stats)))
        }
        R::DataConsumerDump(dump) => {
            Body::DataConsumerDumpResponse(Box::new(data::write_consumer_dump(*dump)))
        }
        R::DataConsumerStats(stats) => {
            Body::DataConsumerGetStatsResponse(Box::new(data::write_consumer_stats(stats)))
        }
        R::BufferedAmount(buffered_amount) => match method {
            Some(Method::DataconsumerSend) => {
                Body::DataConsumerSendResponse(Box::new(data_consumer::SendResponse { buffered_amount }))
            }
            _ => Body::DataConsumerGetBufferedAmountResponse(Box::new(
                data_consumer::GetBufferedAmountResponse { buffered_amount },
            )),
        },
        R::Subchannels(subchannels) => match method {
            Some(Method::DataconsumerAddSubchannel) => {
                Body::DataConsumerAddSubchannelResponse(Box::new(data_consumer::AddSubchannelResponse {
                    subchannels,
                }))
            }
            Some(Method::DataconsumerRemoveSubchannel) => Body::DataConsumerRemoveSubchannelResponse(
                Box::new(data_consumer::RemoveSubchannelResponse { subchannels }),
            ),
            _ => Body::DataConsumerSetSubchannelsResponse(Box::new(data_consumer::SetSubchannelsResponse {
                subchannels,
            })),
        },
    })
}

pub(super) fn write_resource_usage(from: ResourceUsage) -> Body {
    Body::WorkerResourceUsageResponse(Box::new(worker::ResourceUsageResponse {
        ru_utime: from.user_time_ms,
        ru_stime: from.system_time_ms,
        ru_maxrss: from.max_rss,
        ru_ixrss: from.shared_memory,
        ru_idrss: from.unshared_data,
        ru_isrss: from.unshared_stack,
        ru_minflt: from.minor_faults,
        ru_majflt: from.major_faults,
        ru_nswap: from.swaps,
        ru_inblock: from.block_inputs,
        ru_oublock: from.block_outputs,
        ru_msgsnd: from.messages_sent,
        ru_msgrcv: from.messages_received,
        ru_nsignals: from.signals,
        ru_nvcsw: from.voluntary_switches,
        ru_nivcsw: from.involuntary_switches,
    }))
}

pub(super) fn write_notification(from: Notification) -> Option<WireNotification> {
    let (handler_id, event, body) = match from {
        Notification::Transport(id, event) => {
            let (event, body) = write_transport_event(event)?;
            (id.into(), event, body)
        }
        Notification::Producer(id, event) => {
            let (event, body) = write_producer_event(event);
            (id.into(), event, Some(body))
        }
        Notification::Consumer(id, event) => {
            let (event, body) = write_consumer_event(event);
            (id.into(), event, body)
        }
        Notification::DataConsumer(id, event) => {
            let (event, body) = write_data_consumer_event(event);
            (id.into(), event, body)
        }
        Notification::RtpObserver(id, event) => {
            let (event, body) = write_observer_event(event);
            (id.into(), event, body)
        }
    };
    Some(WireNotification { handler_id, event, body })
}

fn write_transport_event(from: TransportEvent) -> Option<(Event, Option<EventBody>)> {
    use TransportEvent as E;
    let (event, body) = match from {
        E::IceState(state) => {
            let ice_state = transport::write_ice_state(state);
            let body = webrtc_transport::IceStateChangeNotification { ice_state };
            let body = EventBody::WebRtcTransportIceStateChangeNotification(Box::new(body));
            (Event::WebrtctransportIceStateChange, body)
        }
        E::IceSelectedTuple(tuple) => {
            let tuple = transport::write_tuple(tuple);
            let body = webrtc_transport::IceSelectedTupleChangeNotification { tuple };
            let body = EventBody::WebRtcTransportIceSelectedTupleChangeNotification(Box::new(body));
            (Event::WebrtctransportIceSelectedTupleChange, body)
        }
        E::DtlsState { state, remote_certificate } => {
            let body = webrtc_transport::DtlsStateChangeNotification {
                dtls_state: transport::write_dtls_state(state),
                remote_cert: remote_certificate,
            };
            let body = EventBody::WebRtcTransportDtlsStateChangeNotification(Box::new(body));
            (Event::WebrtctransportDtlsStateChange, body)
        }
        // Left out, because Node's library keeps the transports of a WebRtcServer itself.
        E::ListenServerClosed => return None,
        E::Tuple(tuple) => {
            let body = plain_transport::TupleNotification { tuple: transport::write_tuple(tuple) };
            (Event::PlaintransportTuple, EventBody::PlainTransportTupleNotification(Box::new(body)))
        }
        E::RtcpTuple(tuple) => {
            let body = plain_transport::RtcpTupleNotification { tuple: transport::write_tuple(tuple) };
            (Event::PlaintransportRtcpTuple, EventBody::PlainTransportRtcpTupleNotification(Box::new(body)))
        }
        E::SctpState(state) => {
            let body = wire::SctpStateChangeNotification { sctp_state: transport::write_sctp_state(state) };
            let body = EventBody::TransportSctpStateChangeNotification(Box::new(body));
            (Event::TransportSctpStateChange, body)
        }
        E::SctpNegotiatedCapabilities(capabilities) => {
            let body = wire::SctpNegotiatedCapabilitiesNotification {
                negotiated_capabilities: Some(transport::write_negotiated(capabilities)),
            };
            let body = EventBody::TransportSctpNegotiatedCapabilitiesNotification(Box::new(body));
            (Event::TransportSctpNegotiatedCapabilities, body)
        }
        E::Rtcp(data) => {
            let body = direct_transport::RtcpNotification { data };
            (Event::DirecttransportRtcp, EventBody::DirectTransportRtcpNotification(Box::new(body)))
        }
        E::Probation { timestamp_ms, .. } => {
            (Event::TransportTrace, transport_trace(wire::TraceEventType::Probation, timestamp_ms, None))
        }
        E::Bwe { timestamp_ms, info } => {
            let info = wire::BweTraceInfo {
                bwe_type: match info.source {
                    BweSource::TransportCc => wire::BweType::TransportCc,
                    BweSource::Remb => wire::BweType::Remb,
                },
                desired_bitrate: info.desired_bitrate,
                effective_desired_bitrate: info.effective_desired_bitrate,
                min_bitrate: info.min_bitrate,
                max_bitrate: info.max_bitrate,
                start_bitrate: info.start_bitrate,
                max_padding_bitrate: info.max_padding_bitrate,
                available_bitrate: info.available_bitrate,
            };
            let info = Some(wire::TraceInfo::BweTraceInfo(Box::new(info)));
            (Event::TransportTrace, transport_trace(wire::TraceEventType::Bwe, timestamp_ms, info))
        }
    };
    Some((event, Some(body)))
}

fn transport_trace(type_: wire::TraceEventType, timestamp: u64, info: Option<wire::TraceInfo>) -> EventBody {
    let direction = media::write_direction(TraceEventDirection::Out);
    EventBody::TransportTraceNotification(Box::new(wire::TraceNotification {
        type_,
        timestamp,
        direction,
        info,
    }))
}

fn write_producer_event(from: ProducerEvent) -> (Event, EventBody) {
    match from {
        ProducerEvent::Score(scores) => {
            let body = producer::ScoreNotification { scores: list(scores, media::write_producer_score) };
            (Event::ProducerScore, EventBody::ProducerScoreNotification(Box::new(body)))
        }
        ProducerEvent::VideoOrientation(orientation) => {
            let body = producer::VideoOrientationChangeNotification {
                camera: orientation.back_camera,
                flip: orientation.flip,
                rotation: orientation.rotation(),
            };
            let body = EventBody::ProducerVideoOrientationChangeNotification(Box::new(body));
            (Event::ProducerVideoOrientationChange, body)
        }
        ProducerEvent::Trace(trace) => {
            let body = media::write_producer_trace(trace);
            (Event::ProducerTrace, EventBody::ProducerTraceNotification(Box::new(body)))
        }
    }
}

fn write_consumer_event(from: ConsumerEvent) -> (Event, Option<EventBody>) {
    match from {
        ConsumerEvent::ProducerPause => (Event::ConsumerProducerPause, None),
        ConsumerEvent::ProducerResume => (Event::ConsumerProducerResume, None),
        ConsumerEvent::ProducerClose => (Event::ConsumerProducerClose, None),
        ConsumerEvent::Score(score) => {
            let body = consumer::ScoreNotification { score: rtp::write_consumer_score(score) };
            (Event::ConsumerScore, Some(EventBody::ConsumerScoreNotification(Box::new(body))))
        }
        ConsumerEvent::LayersChange(layers) => {
            let body = consumer::LayersChangeNotification { layers: layers.map(rtp::write_layers) };
            (Event::ConsumerLayersChange, Some(EventBody::ConsumerLayersChangeNotification(Box::new(body))))
        }
        ConsumerEvent::Trace(trace) => {
            let body = media::write_consumer_trace(trace);
            (Event::ConsumerTrace, Some(EventBody::ConsumerTraceNotification(Box::new(body))))
        }
        ConsumerEvent::Rtp(data) => {
            let body = consumer::RtpNotification { data };
            (Event::ConsumerRtp, Some(EventBody::ConsumerRtpNotification(Box::new(body))))
        }
    }
}

fn write_data_consumer_event(from: DataConsumerEvent) -> (Event, Option<EventBody>) {
    match from {
        DataConsumerEvent::DataProducerPause => (Event::DataconsumerDataproducerPause, None),
        DataConsumerEvent::DataProducerResume => (Event::DataconsumerDataproducerResume, None),
        DataConsumerEvent::DataProducerClose => (Event::DataconsumerDataproducerClose, None),
        DataConsumerEvent::SctpSendBufferFull => (Event::DataconsumerSctpSendbufferFull, None),
        DataConsumerEvent::BufferedAmountLow(buffered_amount) => {
            let body = data_consumer::BufferedAmountLowNotification { buffered_amount };
            let body = EventBody::DataConsumerBufferedAmountLowNotification(Box::new(body));
            (Event::DataconsumerBufferedAmountLow, Some(body))
        }
        DataConsumerEvent::Message(message) => {
            let body = data_consumer::MessageNotification { ppid: message.ppid, data: message.payload };
            (Event::DataconsumerMessage, Some(EventBody::DataConsumerMessageNotification(Box::new(body))))
        }
    }
}

fn write_observer_event(from: RtpObserverEvent) -> (Event, Option<EventBody>) {
    match from {
        RtpObserverEvent::Volumes(volumes) => {
            let volumes = list(volumes, |(producer, volume)| audio_level_observer::Volume {
                producer_id: producer.into(),
                volume,
            });
            let body = audio_level_observer::VolumesNotification { volumes };
            let body = EventBody::AudioLevelObserverVolumesNotification(Box::new(body));
            (Event::AudiolevelobserverVolumes, Some(body))
        }
        RtpObserverEvent::Silence => (Event::AudiolevelobserverSilence, None),
        RtpObserverEvent::DominantSpeaker(producer) => {
            let body = active_speaker_observer::DominantSpeakerNotification { producer_id: producer.into() };
            let body = EventBody::ActiveSpeakerObserverDominantSpeakerNotification(Box::new(body));
            (Event::ActivespeakerobserverDominantSpeaker, Some(body))
        }
    }
}

fn write_worker_dump(from: WorkerDump, pid: u32) -> worker::DumpResponse {
    let mut requests = ids(from.webrtc_server_ids.clone());
    requests.extend(ids(from.router_ids.clone()));
    requests.extend(ids(from.rtp_observer_ids));
    requests.extend(ids(from.consumer_ids));
    requests.extend(ids(from.data_consumer_ids));
    // These objects also take notifications: packets and messages of the application.
    let mut notifications = ids(from.transport_ids);
    notifications.extend(ids(from.producer_ids));
    notifications.extend(ids(from.data_producer_ids));
    requests.extend(notifications.iter().cloned());
    worker::DumpResponse {
        pid,
        web_rtc_server_ids: ids(from.webrtc_server_ids),
        router_ids: ids(from.router_ids),
        channel_message_handlers: Box::new(worker::ChannelMessageHandlers {
            channel_request_handlers: requests,
            channel_notification_handlers: notifications,
        }),
    }
}

fn write_router_dump(from: RouterDump) -> router::DumpResponse {
    fn several<K: Into<String>, V: Into<String>>(map: Vec<(K, Vec<V>)>) -> Vec<common::StringStringArray> {
        list(map, |(key, values)| common::StringStringArray { key: key.into(), values: ids(values) })
    }
    fn turned<K: Into<String> + Clone, V: Into<String> + Clone>(
        map: &[(K, Vec<V>)],
    ) -> Vec<common::StringString> {
        let pairs = map.iter().flat_map(|(key, values)| values.iter().map(move |value| (value, key)));
        pairs
            .map(|(value, key)| common::StringString { key: value.clone().into(), value: key.clone().into() })
            .collect()
    }
    router::DumpResponse {
        id: from.id.into(),
        transport_ids: ids(from.transport_ids),
        rtp_observer_ids: ids(from.rtp_observer_ids),
        map_consumer_id_producer_id: turned(&from.producer_consumers),
        map_producer_id_consumer_ids: several(from.producer_consumers),
        map_producer_id_observer_ids: several(from.producer_observers),
        map_data_consumer_id_data_producer_id: turned(&from.data_producer_consumers),
        map_data_producer_id_data_consumer_ids: several(from.data_producer_consumers),
    }
}
