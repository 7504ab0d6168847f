//! Data producers and data consumers of a peer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tureen_rtc::sctp::SendError;
use tureen_types::sctp_parameters::SctpStreamParameters;

use super::Peer;
use crate::io::client_io::ObjectKey;
use crate::io::data_producer::DataProducerShared;
use crate::io::error::TransportError;
use crate::io::message::{DataSink, Message, MessageSink};
use crate::session::SessionError;

/// A message to send.
#[derive(Debug)]
pub(in crate::io) struct MessageCommand {
    pub(in crate::io) producer: ObjectKey,
    pub(in crate::io) ppid: u32,
    pub(in crate::io) payload: Bytes,
}

/// Data channels of a peer.
#[derive(Default)]
pub(super) struct DataChannels {
    producers: Vec<PeerDataProducer>,
    consumers: Vec<PeerDataConsumer>,
    /// Where to look for the next free stream. Streams are used again as late as possible, because the server may not
    /// have closed the former DataProducer of one yet.
    next_stream: u16,
    /// Streams that both sides have.
    streams: u16,
}

struct PeerDataProducer {
    key: ObjectKey,
    stream: SctpStreamParameters,
    shared: Arc<DataProducerShared>,
    /// Messages that SCTP has no room for. The data producer's bound counts their bytes.
    waiting: VecDeque<(u32, Bytes)>,
    waiting_bytes: usize,
    /// It is to be closed when nothing waits any more.
    closing: bool,
}

struct PeerDataConsumer {
    key: ObjectKey,
    stream: u16,
    sink: DataSink,
    closed: Arc<AtomicBool>,
}

impl DataChannels {
    pub(super) fn new(streams: u16) -> Self {
        Self { streams, ..Self::default() }
    }

    /// A message came. Those of no data consumer, and those that are no data channel's, are dropped.
    pub(super) fn on_message(&mut self, stream: u16, ppid: u32, payload: Bytes) {
        let consumer = self.consumers.iter_mut().find(|consumer| consumer.stream == stream);
        if let (Some(consumer), Some(message)) = (consumer, Message::from_sctp(ppid, payload)) {
            consumer.sink.deliver(message);
        }
    }

    /// The server has closed the channel of a stream.
    pub(super) fn on_reset(&mut self, stream: u16) {
        self.consumers.retain(|consumer| consumer.stream != stream);
        self.producers.retain(|producer| producer.stream.stream_id != stream);
    }

    fn next_free_stream(&mut self) -> Option<u16> {
        let in_use = |stream: &u16| self.producers.iter().any(|p| p.stream.stream_id == *stream);
        let candidates = (self.next_stream..self.streams).chain(0..self.next_stream);
        let stream = candidates.into_iter().find(|stream| !in_use(stream))?;
        self.next_stream = (stream + 1) % self.streams;
        Some(stream)
    }
}

impl Peer {
    /// Adds a data producer on the next free stream, and returns its parameters.
    pub(in crate::io) fn add_data_producer(
        &mut self,
        key: ObjectKey,
        stream: SctpStreamParameters,
        shared: Arc<DataProducerShared>,
    ) -> Result<SctpStreamParameters, TransportError> {
        let stream_id =
            self.data.next_free_stream().ok_or(TransportError::NoStreamLeft(self.data.streams))?;
        let stream = SctpStreamParameters { stream_id, ..stream };
        self.session.open_stream(stream_id);
        let waiting = VecDeque::new();
        let producer = PeerDataProducer { key, stream, shared, waiting, waiting_bytes: 0, closing: false };
        self.data.producers.push(producer);
        Ok(stream)
    }

    /// Closes a data producer once SCTP has taken what waits.
    pub(in crate::io) fn close_data_producer(&mut self, now: Instant, key: ObjectKey) {
        if let Some(producer) = self.data.producers.iter_mut().find(|producer| producer.key == key) {
            producer.closing = true;
        }
        self.flush_messages(now);
    }

    pub(in crate::io) fn send_message(&mut self, now: Instant, command: MessageCommand) {
        let MessageCommand { producer, ppid, payload } = command;
        let Some(producer) = self.data.producers.iter_mut().find(|other| other.key == producer) else {
            return;
        };
        producer.shared.on_taken(payload.len());
        producer.waiting_bytes += payload.len();
        producer.waiting.push_back((ppid, payload));
        self.flush_messages(now);
    }

    /// Gives SCTP the messages that it has room for.
    pub(in crate::io) fn flush_messages(&mut self, now: Instant) {
        let session = &mut self.session;
        for producer in &mut self.data.producers {
            while let Some((ppid, payload)) = producer.waiting.front() {
                let len = payload.len();
                let sent = session.send_message(now, producer.stream, *ppid, payload.clone());
                if sent == Err(SessionError::Data(SendError::BufferFull)) {
                    break;
                }
                producer.waiting.pop_front();
                producer.waiting_bytes -= len;
                producer.shared.on_given(len, sent.is_ok());
            }
            let unsent = session.buffered_amount(producer.stream.stream_id);
            producer.shared.set_waiting(producer.waiting_bytes + unsent);
        }
        self.data.producers.retain(|producer| {
            let done = producer.closing && producer.waiting.is_empty();
            if done {
                session.close_stream(now, producer.stream.stream_id);
            }
            !done
        });
    }

    pub(in crate::io) fn add_data_consumer(
        &mut self,
        key: ObjectKey,
        stream: u16,
        sink: DataSink,
        closed: Arc<AtomicBool>,
    ) -> Result<(), TransportError> {
        if self.data.consumers.iter().any(|consumer| consumer.stream == stream) {
            return Err(TransportError::StreamTaken(stream));
        }
        self.session.open_stream(stream);
        self.data.consumers.push(PeerDataConsumer { key, stream, sink, closed });
        Ok(())
    }

    pub(in crate::io) fn close_data_consumer(&mut self, now: Instant, key: ObjectKey) {
        if let Some(at) = self.data.consumers.iter().position(|consumer| consumer.key == key) {
            let stream = self.data.consumers.swap_remove(at).stream;
            self.session.close_stream(now, stream);
        }
    }

    pub(in crate::io) fn set_message_sink(&mut self, key: ObjectKey, sink: Box<dyn MessageSink>) {
        if let Some(consumer) = self.data.consumers.iter_mut().find(|consumer| consumer.key == key) {
            consumer.sink = DataSink::Application(sink);
        }
    }
}

impl Drop for PeerDataProducer {
    fn drop(&mut self) {
        self.shared.set_closed();
    }
}

impl Drop for PeerDataConsumer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_used_in_turn() {
        let mut data = DataChannels::new(3);
        let streams: Vec<_> = std::iter::repeat_with(|| data.next_free_stream()).take(4).collect();
        assert_eq!(streams, [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(DataChannels::new(0).next_free_stream(), None);
    }
}
