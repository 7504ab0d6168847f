//! Data: requests about DataProducers and DataConsumers, and the way of a message from one to the others.

use std::collections::BTreeSet;
use std::time::Instant;
use tureen_rtc::log;

use bytes::Bytes;
use rand::RngCore;

use super::control::{done, not_found};
use super::ingress::DropReason;
use super::{Output, Timer, Worker};
use crate::api::{
    ConsumeData, DataConsumerDump, DataConsumerEvent, DataConsumerId, DataMessage, DataProducerId,
    DataTransport, Notification, ProduceData, Publication, Request, RequestError, Response, RouterDump,
    SctpDump, TransportEvent,
};
use crate::data::subchannels::Subchannels;
use crate::data::{
    DataConsumer, DataPath, DataProducer, DataSide, SctpPurpose, check_sctp_options, check_stream_parameters,
};
use crate::keys::{DataConsumerKey, DataProducerKey, TransportKey};
use crate::transport::link::{Link, Path};
use tureen_rtc::dtls::DtlsError;
use tureen_rtc::sctp::SctpOptions;
use tureen_rtc::sctp::{self, Sctp, SendError};
use tureen_types::data_structures::SctpState;
use tureen_types::sctp_parameters::SctpParameters;

type Answer = Result<Response, RequestError>;

impl Worker {
    /// Carries out a request about data.
    pub(super) fn control_data(&mut self, now: Instant, request: Request) -> Answer {
        match request {
            Request::ProduceData(options) => self.produce_data(options),
            Request::CloseDataProducer(id) => {
                self.find_data_producer(&id).map(|key| self.close_data_producer(now, key)).map(done)
            }
            Request::DumpDataProducer(id) => self
                .find_data_producer(&id)
                .map(|key| Response::DataProducerDump(Box::new(self.data_producers[key].dump()))),
            Request::DataProducerStats(id) => {
                let timestamp_ms = self.clock.unix_ms(now);
                let key = self.find_data_producer(&id)?;
                Ok(Response::DataProducerStats(self.data_producers[key].stats(timestamp_ms)))
            }
            Request::PauseDataProducer(id) => self.pause_data_producer(&id, true).map(done),
            Request::ResumeDataProducer(id) => self.pause_data_producer(&id, false).map(done),
            Request::ConsumeData(options) => self.consume_data(options),
            Request::CloseDataConsumer(id) => {
                self.find_data_consumer(&id).map(|key| self.close_data_consumer(now, key)).map(done)
            }
            Request::DumpDataConsumer(id) => {
                let key = self.find_data_consumer(&id)?;
                Ok(Response::DataConsumerDump(Box::new(self.dump_data_consumer(key))))
            }
            Request::DataConsumerStats(id) => {
                let timestamp_ms = self.clock.unix_ms(now);
                let key = self.find_data_consumer(&id)?;
                let buffered_amount = self.buffered_amount(key);
                Ok(Response::DataConsumerStats(self.data_consumers[key].stats(timestamp_ms, buffered_amount)))
            }
            Request::PauseDataConsumer(id) => {
                self.data_consumer_mut(&id).map(|consumer| consumer.paused = true).map(done)
            }
            Request::ResumeDataConsumer(id) => {
                self.data_consumer_mut(&id).map(|consumer| consumer.paused = false).map(done)
            }
            Request::BufferedAmount(id) => {
                let (key, _) = self.find_sctp_data_consumer(&id)?;
                Ok(Response::BufferedAmount(self.buffered_amount(key)))
            }
            Request::SetBufferedAmountLowThreshold(id, threshold) => {
                let (key, stream) = self.find_sctp_data_consumer(&id)?;
                if let Some(sctp) = self.sctp_of(key) {
                    sctp.set_buffered_amount_low_threshold(stream, threshold);
                }
                Ok(Response::Done)
            }
            Request::SendData(id, message) => self.send_data(now, &id, message),
            Request::SetSubchannels(id, subchannels) => {
                self.change_subchannels(&id, |set| *set = subchannels.into_iter().collect())
            }
            Request::AddSubchannel(id, subchannel) => self.change_subchannels(&id, |set| {
                set.insert(subchannel);
            }),
            Request::RemoveSubchannel(id, subchannel) => self.change_subchannels(&id, |set| {
                set.remove(&subchannel);
            }),
            _ => Err(RequestError::Failed("no request about data".to_owned())),
        }
    }

    /// The data side of a new transport.
    pub(super) fn data_side(
        &mut self,
        now: Instant,
        options: Option<&SctpOptions>,
        purpose: SctpPurpose,
    ) -> Result<DataSide, RequestError> {
        let Some(options) = options else { return Ok(DataSide::new(DataPath::None)) };
        check_sctp_options(options)?;
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let sctp = Sctp::new(*options, &secret, now)
            .with_cookie_lifetime(self.limits.sctp_cookie_lifetime)
            .with_bounds(self.limits.sctp_incoming_pieces, self.limits.sctp_outgoing_messages);
        let sctp = Box::new(sctp);
        Ok(DataSide::new(DataPath::Sctp { sctp, purpose }))
    }

    /// The transport can carry SCTP from now on.
    pub(super) fn start_sctp(&mut self, now: Instant, key: TransportKey) {
        if let Some(sctp) = self.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
            sctp.connect(now);
            self.queue_sctp(key);
        }
    }

    /// The transport can carry SCTP no more.
    pub(super) fn end_sctp(&mut self, key: TransportKey) {
        if let Some(sctp) = self.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
            sctp.close();
            self.queue_sctp(key);
        }
    }

    /// Takes an SCTP packet of the remote side.
    pub(super) fn handle_sctp(&mut self, now: Instant, key: TransportKey, packet: &[u8]) {
        if let Some(sctp) = self.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
            sctp.handle_packet(now, packet);
            self.queue_sctp(key);
        }
    }

    pub(super) fn on_sctp_timer(&mut self, now: Instant, key: TransportKey) {
        if let Some(sctp) = self.transports.get_mut(key).and_then(|t| t.data.sctp_mut()) {
            sctp.handle_timeout(now);
            self.queue_sctp(key);
        }
    }

    /// Acts on what associations have to say, once after every input. What they have to send is sealed when the driver
    /// drains it.
    pub(super) fn flush_sctp(&mut self, now: Instant) {
        let mut at = 0;
        // Messages put more associations in line.
        while let Some(&key) = self.queued_sctp.get(at) {
            self.drain_sctp_events(now, key);
            at += 1;
        }
        for key in self.queued_sctp.drain(..) {
            let Some(transport) = self.transports.get_mut(key) else { continue };
            transport.data.queued = false;
            if !std::mem::replace(&mut transport.data.sending, true) {
                self.sending_sctp.push_back(key);
            }
        }
    }

    /// Seals the next packet of the associations in line. False when none has any.
    pub(super) fn seal_next_sctp(&mut self, now: Instant) -> bool {
        while let Some(&key) = self.sending_sctp.front() {
            if self.seal_sctp(now, key) {
                return true;
            }
            self.sending_sctp.pop_front();
            if let Some(transport) = self.transports.get_mut(key) {
                transport.data.sending = false;
            }
        }
        false
    }

    /// Everything of a transport that is about data goes with it.
    pub(super) fn close_data(&mut self, now: Instant, key: TransportKey) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let data = &mut transport.data;
        let (producers, consumers) =
            (std::mem::take(&mut data.producers), std::mem::take(&mut data.consumers));
        if let Some(sctp) = data.sctp_mut() {
            sctp.close();
        }
        while self.seal_sctp(now, key) {}
        for producer in producers {
            self.close_data_producer(now, producer);
        }
        for consumer in consumers {
            self.close_data_consumer(now, consumer);
        }
        self.timers.disarm(Timer::Sctp(key));
    }

    /// Takes a message of the application's own for a DataProducer.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        id: &DataProducerId,
        publication: Publication,
    ) -> Result<(), DropReason> {
        let key = self.data_producer_ids.get(id).copied().ok_or(DropReason::NoProducer)?;
        let Publication { message, subchannels, required_subchannel, ignored_subchannel } = publication;
        let transport = self.data_producers.get(key).and_then(|p| self.transports.get_mut(p.transport));
        let transport = transport.ok_or(DropReason::NoProducer)?;
        if message.payload.len() > transport.data.max_message_sizes().1 as usize {
            return Err(DropReason::MessageTooLong);
        }
        transport.traffic.received.add(now, 1, message.payload.len());
        let subchannels =
            Subchannels { any_of: subchannels, required: required_subchannel, ignored: ignored_subchannel };
        self.distribute(now, key, message.ppid, message.payload.into(), &subchannels);
        Ok(())
    }

    pub(super) fn fill_router_dump(&self, dump: &mut RouterDump, transports: &[TransportKey]) {
        let transports = transports.iter().filter_map(|&key| self.transports.get(key));
        let producers =
            transports.flat_map(|t| &t.data.producers).filter_map(|&key| self.data_producers.get(key));
        dump.data_producer_consumers =
            producers.map(|p| (p.id.clone(), self.data_consumer_names(&p.consumers))).collect();
    }

    pub(super) fn data_producer_names(&self, data: &DataSide) -> Vec<DataProducerId> {
        let producers = data.producers.iter().filter_map(|&key| self.data_producers.get(key));
        producers.map(|producer| producer.id.clone()).collect()
    }

    pub(super) fn data_consumer_names(&self, keys: &[DataConsumerKey]) -> Vec<DataConsumerId> {
        let consumers = keys.iter().filter_map(|&key| self.data_consumers.get(key));
        consumers.map(|consumer| consumer.id.clone()).collect()
    }

    pub(super) fn dump_sctp(&self, data: &DataSide) -> Option<SctpDump> {
        let sctp = data.sctp()?;
        let options = sctp.options();
        let name = |key| self.data_producers.get(key).map(|producer| producer.id.clone());
        let mut stream_ids: Vec<_> =
            data.stream_producers.iter().filter_map(|(&id, &key)| Some((id, name(key)?))).collect();
        stream_ids.sort_unstable_by_key(|(id, _)| *id);
        Some(SctpDump {
            parameters: SctpParameters {
                port: sctp::PORT,
                max_send_message_size: options.max_send_message_size,
                max_receive_message_size: options.max_receive_message_size,
                send_buffer_size: options.send_buffer_size,
                per_stream_send_queue_limit: options.per_stream_send_queue_limit,
                max_receiver_window_buffer_size: options.max_receiver_window_buffer_size,
                is_data_channel: data.has_data_channels(),
                os: options.outbound_streams,
                mis: options.inbound_streams,
                max_message_size: options.max_receive_message_size,
            },
            state: sctp.state(),
            negotiated_capabilities: sctp.negotiated(),
            stream_ids,
        })
    }

    fn produce_data(&mut self, options: ProduceData) -> Answer {
        let transport_key = self.find_transport(&options.transport_id)?;
        if self.data_producer_ids.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "DataProducer", id: options.id.to_string() });
        }
        let data = &mut self.transports[transport_key].data;
        check_path(data, &options.transport, "DataProducer")?;
        let producer = DataProducer::new(options, transport_key);
        let (id, dump, stream) = (producer.id.clone(), producer.dump(), producer.stream());
        if let Some(stream) = stream {
            let stream = stream.stream_id;
            if data.stream_producers.contains_key(&stream) {
                let text = format!("streamId already exists in SCTP listener [streamId:{stream}]");
                return Err(RequestError::Failed(text));
            }
            if let Some(sctp) = data.sctp_mut() {
                sctp.open_stream(stream);
            }
        }
        let key = self.data_producers.insert(producer);
        data.producers.push(key);
        data.stream_producers.extend(stream.map(|stream| (stream.stream_id, key)));
        self.data_producer_ids.insert(id, key);
        Ok(Response::DataProducerDump(Box::new(dump)))
    }

    fn close_data_producer(&mut self, now: Instant, key: DataProducerKey) {
        let Some(producer) = self.data_producers.remove(key) else { return };
        self.data_producer_ids.remove(&producer.id);
        if let Some(transport) = self.transports.get_mut(producer.transport) {
            let data = &mut transport.data;
            data.producers.retain(|&other| other != key);
            if let Some(stream) = producer.stream() {
                data.stream_producers.remove(&stream.stream_id);
                self.close_stream(now, producer.transport, stream.stream_id);
            }
        }
        for consumer in producer.consumers {
            self.notify_data_consumer(consumer, DataConsumerEvent::DataProducerClose);
            self.close_data_consumer(now, consumer);
        }
    }

    fn pause_data_producer(&mut self, id: &DataProducerId, pause: bool) -> Result<(), RequestError> {
        let key = self.find_data_producer(id)?;
        let producer = &mut self.data_producers[key];
        if std::mem::replace(&mut producer.paused, pause) == pause {
            return Ok(());
        }
        for consumer in producer.consumers.clone() {
            if let Some(consumer) = self.data_consumers.get_mut(consumer) {
                consumer.data_producer_paused = pause;
            }
            let event = if pause {
                DataConsumerEvent::DataProducerPause
            } else {
                DataConsumerEvent::DataProducerResume
            };
            self.notify_data_consumer(consumer, event);
        }
        Ok(())
    }

    fn consume_data(&mut self, options: ConsumeData) -> Answer {
        let transport_key = self.find_transport(&options.transport_id)?;
        if self.data_consumer_ids.contains_key(&options.id) {
            return Err(RequestError::Duplicate { kind: "DataConsumer", id: options.id.to_string() });
        }
        let producer_key = self.find_data_producer(&options.data_producer_id)?;
        let producer = &mut self.data_producers[producer_key];
        let router = self.transports.get(producer.transport).map(|t| t.router.clone());
        let transport = &mut self.transports[transport_key];
        if router.as_ref() != Some(&transport.router) {
            return Err(not_found("DataProducer", &options.data_producer_id));
        }
        let data = &mut transport.data;
        check_path(data, &options.transport, "DataConsumer")?;
        let consumer =
            DataConsumer::new(options, transport_key, producer_key, producer.paused, data.is_pipe());
        let id = consumer.id.clone();
        let stream = consumer.stream();
        if let Some(stream) = stream {
            let stream = stream.stream_id;
            if data.stream_consumers.contains_key(&stream) {
                let text = format!("an SCTP DataConsumer with same streamId {stream} already exists");
                return Err(RequestError::Failed(text));
            }
            if let Some(sctp) = data.sctp_mut() {
                sctp.open_stream(stream);
            }
        }
        let key = self.data_consumers.insert(consumer);
        data.consumers.push(key);
        data.stream_consumers.extend(stream.map(|stream| (stream.stream_id, key)));
        producer.consumers.push(key);
        self.data_consumer_ids.insert(id, key);
        Ok(Response::DataConsumerDump(Box::new(self.dump_data_consumer(key))))
    }

    fn close_data_consumer(&mut self, now: Instant, key: DataConsumerKey) {
        let Some(consumer) = self.data_consumers.remove(key) else { return };
        self.data_consumer_ids.remove(&consumer.id);
        if let Some(producer) = self.data_producers.get_mut(consumer.data_producer) {
            producer.consumers.retain(|&other| other != key);
        }
        if let Some(transport) = self.transports.get_mut(consumer.transport) {
            let data = &mut transport.data;
            data.consumers.retain(|&other| other != key);
            if let Some(stream) = consumer.stream() {
                data.stream_consumers.remove(&stream.stream_id);
                self.close_stream(now, consumer.transport, stream.stream_id);
            }
        }
    }

    /// Nobody here uses a stream any more: a data channel is closed by a reset (RFC 8831 §6.7). On other streams
    /// numbers go on where they are, so that one direction's end does not disturb the other's.
    fn close_stream(&mut self, now: Instant, key: TransportKey, stream: u16) {
        let Some(transport) = self.transports.get_mut(key) else { return };
        let resets = transport.data.has_data_channels();
        let Some(sctp) = transport.data.sctp_mut() else { return };
        if resets {
            sctp.reset_stream(now, stream);
            self.queue_sctp(key);
        } else {
            sctp.forget_stream(stream);
        }
    }

    fn dump_data_consumer(&mut self, key: DataConsumerKey) -> DataConsumerDump {
        let buffered_amount = self.buffered_amount(key);
        let stream = self.data_consumers[key].stream().map(|stream| stream.stream_id);
        let threshold = match (stream, self.sctp_of(key)) {
            (Some(stream), Some(sctp)) => sctp.buffered_amount_low_threshold(stream),
            _ => 0,
        };
        self.data_consumers[key].dump(buffered_amount, threshold)
    }

    /// Sends a message of the application's own.
    fn send_data(&mut self, now: Instant, id: &DataConsumerId, message: DataMessage) -> Answer {
        let (key, _) = self.find_sctp_data_consumer(id)?;
        let consumer = &self.data_consumers[key];
        let data = &self.transports[consumer.transport].data;
        let (limit, len) = (data.max_message_sizes().0, message.payload.len());
        if len > limit as usize {
            let text =
                format!("given message exceeds maxMessageSize value [maxMessageSize:{limit}, len:{len}]");
            return Err(RequestError::Invalid(text));
        }
        if !consumer.is_active() {
            return Err(RequestError::Failed("message send failed".to_owned()));
        }
        match self.send_message(key, message.ppid, message.payload.into(), &Subchannels::default()) {
            Ok(()) => {
                if let Some(sctp) = self.sctp_of(key) {
                    sctp.flush(now);
                }
                Ok(Response::BufferedAmount(self.buffered_amount(key)))
            }
            Err(error @ SendError::BufferFull) => Err(RequestError::Failed(error.to_string())),
            Err(_) => Err(RequestError::Failed("message send failed".to_owned())),
        }
    }

    fn change_subchannels(&mut self, id: &DataConsumerId, change: impl FnOnce(&mut BTreeSet<u16>)) -> Answer {
        let subchannels = &mut self.data_consumer_mut(id)?.subchannels;
        change(subchannels);
        Ok(Response::Subchannels(subchannels.iter().copied().collect()))
    }

    fn drain_sctp_events(&mut self, now: Instant, key: TransportKey) {
        if let Some(sctp) = self.transports.get_mut(key).and_then(|transport| transport.data.sctp_mut()) {
            self.drops.add(DropReason::TooMuchWaits, sctp.take_refused());
        }
        while let Some(transport) = self.transports.get_mut(key)
            && let Some(sctp) = transport.data.sctp_mut()
            && let Some(event) = sctp.poll_event()
        {
            match event {
                sctp::Event::State(state) => {
                    if state == SctpState::Connected
                        && let Some(negotiated) = sctp.negotiated()
                    {
                        self.notify_transport(key, TransportEvent::SctpNegotiatedCapabilities(negotiated));
                    }
                    self.notify_transport(key, TransportEvent::SctpState(state));
                }
                sctp::Event::Message { stream, ppid, payload } => {
                    let Some(&producer) = transport.data.stream_producers.get(&stream) else {
                        self.drops.count(DropReason::NoProducer);
                        continue;
                    };
                    let (subchannels, payload) = if transport.data.is_pipe() {
                        Subchannels::decode(payload)
                    } else {
                        (Subchannels::default(), payload)
                    };
                    self.distribute(now, producer, ppid, payload, &subchannels);
                }
                sctp::Event::MessageTooLong(_) => self.drops.count(DropReason::MessageTooLong),
                sctp::Event::StreamReset(stream) => {
                    // As mediasoup does, without a word to the application: its client tells it.
                    if transport.data.has_data_channels()
                        && let Some(&consumer) = transport.data.stream_consumers.get(&stream)
                    {
                        self.close_data_consumer(now, consumer);
                    }
                }
                sctp::Event::BufferedAmountLow(stream) => {
                    if let Some(&consumer) = transport.data.stream_consumers.get(&stream) {
                        let amount = self.buffered_amount(consumer);
                        self.notify_data_consumer(consumer, DataConsumerEvent::BufferedAmountLow(amount));
                    }
                }
            }
        }
    }

    /// Hands a message of a DataProducer to all DataConsumers that want it.
    fn distribute(
        &mut self,
        now: Instant,
        key: DataProducerKey,
        ppid: u32,
        payload: Bytes,
        subchannels: &Subchannels,
    ) {
        let Some(producer) = self.data_producers.get_mut(key) else { return };
        producer.count(payload.len());
        if producer.paused {
            return;
        }
        let consumers = std::mem::take(&mut producer.consumers);
        for &consumer_key in &consumers {
            let Some(consumer) = self.data_consumers.get(consumer_key) else { continue };
            if !consumer.is_active() || !consumer.wants(subchannels) {
                continue;
            }
            match consumer.stream() {
                Some(_) => {
                    // What can't be sent is told by an event, or goes with its association.
                    let _ = self.send_message(consumer_key, ppid, payload.clone(), subchannels);
                }
                None => self.deliver(now, consumer_key, ppid, &payload),
            }
        }
        if let Some(producer) = self.data_producers.get_mut(key) {
            producer.consumers = consumers;
        }
    }

    /// Puts a message into the association of a DataConsumer.
    fn send_message(
        &mut self,
        key: DataConsumerKey,
        ppid: u32,
        payload: Bytes,
        subchannels: &Subchannels,
    ) -> Result<(), SendError> {
        let consumer = self.data_consumers.get_mut(key).ok_or(SendError::Closed)?;
        let stream = consumer.stream().ok_or(SendError::Closed)?;
        let payload =
            if consumer.pipe { subchannels.encode(&consumer.subchannels, &payload) } else { payload };
        let len = payload.len();
        let transport_key = consumer.transport;
        let transport = self.transports.get_mut(transport_key).ok_or(SendError::Closed)?;
        let sctp = transport.data.sctp_mut().ok_or(SendError::Closed)?;
        let sent = sctp.send(stream, ppid, payload);
        // mediasoup counts a message that finds the buffer full, too.
        if matches!(sent, Ok(()) | Err(SendError::BufferFull)) {
            consumer.count(len);
        }
        if sent == Err(SendError::BufferFull) {
            self.notify_data_consumer(key, DataConsumerEvent::SctpSendBufferFull);
        }
        self.queue_sctp(transport_key);
        sent
    }

    /// Hands a message to the application.
    fn deliver(&mut self, now: Instant, key: DataConsumerKey, ppid: u32, payload: &Bytes) {
        let Some(consumer) = self.data_consumers.get_mut(key) else { return };
        let Some(transport) = self.transports.get_mut(consumer.transport) else { return };
        if payload.len() > transport.data.max_message_sizes().0 as usize {
            return self.drops.count(DropReason::MessageTooLong);
        }
        consumer.count(payload.len());
        transport.traffic.other_sent.add(now, 1, payload.len());
        let message = DataMessage { ppid, payload: payload.to_vec() };
        self.notify_data_consumer(key, DataConsumerEvent::Message(message));
    }

    /// Puts the next packet of an association in line. False when it has none.
    fn seal_sctp(&mut self, now: Instant, key: TransportKey) -> bool {
        let Some(transport) = self.transports.get_mut(key) else { return false };
        let Some(sctp) = transport.data.sctp_mut() else { return false };
        let Some(packet) = sctp.poll_packet(now) else {
            // What packets were made of may have left room.
            let at = if sctp.has_events() { Some(now) } else { sctp.poll_timeout() };
            if let Some(at) = at {
                self.timers.arm(Timer::Sctp(key), at);
            }
            return false;
        };
        match &mut transport.link {
            Link::WebRtc(link) => match link.dtls.as_mut().map(|dtls| dtls.send(&packet)) {
                Some(Ok(())) => {
                    self.drain_dtls(now, key);
                }
                // Lost, as on any network; the association knows what to do.
                None | Some(Err(DtlsError::NotConnected | DtlsError::SendQueueFull)) => {}
                Some(Err(error)) => {
                    tracing::debug!(target: log::SCTP, %error, "an SCTP packet can't be sent")
                }
            },
            Link::Plain(_) | Link::Pipe(_) => {
                if let Some(Path::Network(tuple)) = transport.link.rtp_path() {
                    transport.traffic.other_sent.add(now, 1, packet.len());
                    self.egress.queue_control(tuple, &packet);
                }
            }
            Link::Direct => {}
        }
        true
    }

    fn queue_sctp(&mut self, key: TransportKey) {
        if let Some(transport) = self.transports.get_mut(key)
            && !std::mem::replace(&mut transport.data.queued, true)
        {
            self.queued_sctp.push(key);
        }
    }

    fn notify_data_consumer(&mut self, key: DataConsumerKey, event: DataConsumerEvent) {
        if let Some(consumer) = self.data_consumers.get(key) {
            let notification = Notification::DataConsumer(consumer.id.clone(), event);
            self.outputs.push_back(Output::Notification(notification));
        }
    }

    /// Bytes that wait on a DataConsumer's stream.
    fn buffered_amount(&mut self, key: DataConsumerKey) -> u32 {
        let stream = self.data_consumers.get(key).and_then(DataConsumer::stream);
        let amount = match (stream, self.sctp_of(key)) {
            (Some(stream), Some(sctp)) => sctp.buffered_amount(stream.stream_id),
            _ => 0,
        };
        u32::try_from(amount).unwrap_or(u32::MAX)
    }

    fn sctp_of(&mut self, key: DataConsumerKey) -> Option<&mut Sctp> {
        let consumer = self.data_consumers.get(key)?;
        self.transports.get_mut(consumer.transport)?.data.sctp_mut()
    }

    fn find_data_producer(&self, id: &DataProducerId) -> Result<DataProducerKey, RequestError> {
        self.data_producer_ids.get(id).copied().ok_or_else(|| not_found("DataProducer", id))
    }

    fn find_data_consumer(&self, id: &DataConsumerId) -> Result<DataConsumerKey, RequestError> {
        self.data_consumer_ids.get(id).copied().ok_or_else(|| not_found("DataConsumer", id))
    }

    fn data_consumer_mut(&mut self, id: &DataConsumerId) -> Result<&mut DataConsumer, RequestError> {
        let key = self.find_data_consumer(id)?;
        Ok(&mut self.data_consumers[key])
    }

    /// A DataConsumer of type "sctp" and its stream.
    fn find_sctp_data_consumer(&self, id: &DataConsumerId) -> Result<(DataConsumerKey, u16), RequestError> {
        let key = self.find_data_consumer(id)?;
        let stream = self.data_consumers[key].stream();
        let stream = stream.ok_or_else(|| RequestError::Invalid("invalid DataConsumer type".to_owned()))?;
        Ok((key, stream.stream_id))
    }
}

/// Refuses what a transport's data side can't carry.
fn check_path(data: &DataSide, transport: &DataTransport, kind: &str) -> Result<(), RequestError> {
    let text = match (&data.path, transport) {
        (DataPath::Sctp { .. }, DataTransport::Sctp(parameters)) => {
            return check_stream_parameters(parameters);
        }
        (DataPath::Direct { .. }, DataTransport::Direct) => return Ok(()),
        (DataPath::None, _) => return Err(RequestError::Failed(NO_DATA.to_owned())),
        (DataPath::Direct { .. }, DataTransport::Sctp(_)) => {
            format!("cannot create a {kind} of type 'sctp', SCTP not enabled in this Transport")
        }
        (DataPath::Sctp { .. }, DataTransport::Direct) => {
            format!("cannot create a {kind} of type 'direct', not a direct Transport")
        }
    };
    Err(RequestError::Invalid(text))
}

const NO_DATA: &str = "SCTP not enabled and not a direct Transport";
