//! An association that is up: the library's, with our limits on what waits to be sent.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sctp_proto::{
    AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Payload,
    PayloadProtocolIdentifier, ReliabilityType, StreamEvent, TransportConfig,
};

use super::wire::{Init, Packet, Ports};
use super::{Event, MAX_PACKET, SendError};
use crate::api::SctpOptions;
use crate::types::sctp_parameters::SctpStreamParameters;

/// Common header and DATA chunk header.
const OVERHEAD: u32 = 28;
/// How long a stream that was reset waits for the peer to reset its direction too before it is used again.
const RESET_PATIENCE: Duration = Duration::from_secs(2);
/// Retransmission timeouts in milliseconds, those of mediasoup.
const RTO_INITIAL: u64 = 500;
const RTO_MIN: u64 = 400;
const RTO_MAX: u64 = 60_000;

/// The library's association of two sides that have shaken hands.
pub(super) struct Association {
    endpoint: Endpoint,
    handle: AssociationHandle,
    inner: sctp_proto::Association,
    /// The peer can reset streams.
    can_reset: bool,
    max_receive_message_size: usize,
    /// Streams that were reset, and until when they wait for the peer's reset.
    closing: BTreeMap<u16, Instant>,
    /// What was given to the library and what has left it, of streams with something under way.
    progress: BTreeMap<u16, Progress>,
    /// Transmission sequence number of the last DATA chunk that left for the first time.
    last_tsn: Option<u32>,
}

/// Bytes of one stream.
#[derive(Debug, Default)]
struct Progress {
    written: u64,
    left: u64,
}

/// What the library has to say.
#[derive(Debug)]
pub(super) enum Happening {
    /// For the owner.
    Event(Event),
    /// The association is over.
    Lost(String),
}

/// A message that can't be sent yet.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) parameters: SctpStreamParameters,
    pub(super) ppid: u32,
    pub(super) payload: Bytes,
}

impl Association {
    /// `None` if the library refuses what both sides said.
    pub(super) fn new(options: &SctpOptions, ports: Ports, local: &Init, peer: &Init) -> Option<Self> {
        let mut endpoint = EndpointConfig::new();
        endpoint.max_payload_size(MAX_PACKET as u32 - OVERHEAD);
        let transport = TransportConfig::default()
            .with_local_port(ports.source)
            .with_remote_port(ports.destination)
            .with_max_receive_buffer_size(options.max_receiver_window_buffer_size)
            .with_max_send_message_size(options.max_send_message_size)
            // The library ends an association whose message is too long; we drop the message, as mediasoup does.
            .with_max_receive_message_size(options.max_receiver_window_buffer_size)
            .with_max_num_outbound_streams(local.outbound_streams)
            .with_max_num_inbound_streams(local.inbound_streams)
            .with_rto_initial_ms(RTO_INITIAL)
            .with_rto_min_ms(RTO_MIN)
            .with_rto_max_ms(RTO_MAX);
        let mut config = ClientConfig::new().with_snap(local.chunk().into(), peer.chunk().into());
        config.transport = Arc::new(transport);
        let mut endpoint = Endpoint::new(Arc::new(endpoint), None);
        let (handle, inner) = endpoint.connect(config, remote()).ok()?;
        Some(Self {
            endpoint,
            handle,
            inner,
            can_reset: peer.re_config,
            max_receive_message_size: options.max_receive_message_size as usize,
            closing: BTreeMap::new(),
            progress: BTreeMap::new(),
            last_tsn: None,
        })
    }

    /// Takes a packet that is no INIT.
    pub(super) fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        if let Some((handle, DatagramEvent::AssociationEvent(event))) =
            self.endpoint.handle(now, remote(), None, None, packet)
            && handle == self.handle
        {
            self.inner.handle_event(event);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
        self.closing.retain(|_, &mut until| until > now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout().into_iter().chain(self.closing.values().copied()).min()
    }

    /// Moves the packets that may be sent now into `out`.
    pub(super) fn drain_packets(&mut self, now: Instant, out: &mut VecDeque<Bytes>) {
        while let Some(transmit) = self.inner.poll_transmit(now) {
            if let Payload::RawEncode(packets) = transmit.payload {
                for packet in packets {
                    self.count_sent(&packet);
                    out.push_back(packet);
                }
            }
        }
    }

    /// Moves what happened into `out`.
    pub(super) fn drain_events(&mut self, out: &mut VecDeque<Happening>) {
        while let Some(event) = self.inner.poll() {
            match event {
                sctp_proto::Event::Stream(StreamEvent::Readable { id }) => self.read(id, out),
                sctp_proto::Event::Stream(StreamEvent::Finished { id }) => {
                    out.push_back(Happening::Event(Event::StreamReset(id)));
                }
                sctp_proto::Event::Stream(
                    StreamEvent::ResetComplete { id } | StreamEvent::ResetFailed { id, .. },
                ) => {
                    self.closing.remove(&id);
                }
                sctp_proto::Event::Stream(StreamEvent::BufferedAmountLow { id }) => {
                    out.push_back(Happening::Event(Event::BufferedAmountLow(id)));
                }
                sctp_proto::Event::HandshakeFailed { reason }
                | sctp_proto::Event::AssociationLost { reason } => {
                    out.push_back(Happening::Lost(reason.to_string()));
                }
                _ => {}
            }
        }
        // Streams that the peer opened need no acceptance here; only the library's list of them must not grow.
        while self.inner.accept_stream().is_some() {}
        while self.inner.poll_endpoint_event().is_some() {}
    }

    /// Makes a stream known, so that a reset by the peer is heard of before anything was sent on it.
    pub(super) fn open(&mut self, stream: u16) {
        // Known already, or still being reset: then the first message opens it.
        let _ = self.inner.open_stream(stream, PayloadProtocolIdentifier::Binary);
    }

    /// Whether a message for this stream can be given to [`Association::send`] now.
    pub(super) fn is_writable(&mut self, stream: u16) -> bool {
        if self.closing.contains_key(&stream) {
            return false;
        }
        if let Ok(stream) = self.inner.stream(stream) {
            return stream.is_writable();
        }
        self.inner.open_stream(stream, PayloadProtocolIdentifier::Binary).is_ok()
    }

    /// Queues a message on a writable stream.
    pub(super) fn send(&mut self, message: &Message, low_threshold: u32) -> Result<(), SendError> {
        let SctpStreamParameters { stream_id, ordered, max_packet_life_time, max_retransmits } =
            message.parameters;
        let (reliability, value) = match (max_packet_life_time, max_retransmits) {
            _ if ordered => (ReliabilityType::Reliable, 0),
            (Some(life_time), _) => (ReliabilityType::Timed, u32::from(life_time)),
            (None, Some(retransmits)) => (ReliabilityType::Rexmit, u32::from(retransmits)),
            (None, None) => (ReliabilityType::Reliable, 0),
        };
        let mut stream = self.inner.stream(stream_id).map_err(|_| SendError::Closed)?;
        // What the messages before were sent with stays as it is.
        let sent = stream
            .set_reliability_params(!ordered, reliability, value)
            .and_then(|()| stream.set_buffered_amount_low_threshold(low_threshold as usize))
            .and_then(|()| stream.set_default_payload_type(message.ppid.into()))
            .and_then(|()| stream.write_chunks(&mut [message.payload.clone()]));
        sent.map_err(|_| SendError::Closed)?;
        self.progress.entry(stream_id).or_default().written += message.payload.len() as u64;
        Ok(())
    }

    /// Closes a data channel from this side (RFC 8831 §6.7).
    pub(super) fn reset(&mut self, now: Instant, stream: u16) {
        if !self.can_reset || !self.is_writable(stream) {
            return;
        }
        // Only the reading half is closed by our word: the writing half is usable again as soon as the reset is done.
        if let Ok(mut open) = self.inner.stream(stream)
            && open.stop().is_ok()
        {
            self.closing.insert(stream, now + RESET_PATIENCE);
        }
    }

    /// Bytes of a stream that wait to be sent or acknowledged.
    pub(super) fn unacknowledged(&mut self, stream: u16) -> usize {
        self.inner.stream(stream).and_then(|stream| stream.buffered_amount()).unwrap_or_default()
    }

    /// Bytes of a stream that were not sent yet. What the library gave up before it was sent counts until all of the
    /// stream is acknowledged.
    pub(super) fn unsent(&mut self, stream: u16) -> usize {
        let unacknowledged = self.unacknowledged(stream);
        if unacknowledged == 0 {
            self.progress.remove(&stream);
        }
        let unsent = self.progress.get(&stream).map_or(0, |of| of.written.saturating_sub(of.left));
        unacknowledged.min(unsent as usize)
    }

    /// Notes which DATA chunks (RFC 9260 §3.3.1) leave for the first time: first sendings are in order of their numbers.
    fn count_sent(&mut self, packet: &[u8]) {
        for chunk in Packet::parse(packet).into_iter().flat_map(|packet| packet.chunks()) {
            let Some(data) = chunk.data() else { continue };
            if self.last_tsn.is_none_or(|last| data.tsn.wrapping_sub(last).cast_signed() > 0) {
                self.last_tsn = Some(data.tsn);
                self.progress.entry(data.stream).or_default().left += data.len as u64;
            }
        }
    }

    fn read(&mut self, id: u16, out: &mut VecDeque<Happening>) {
        while let Ok(mut stream) = self.inner.stream(id)
            && let Ok(Some(mut chunks)) = stream.read_sctp()
        {
            let len = chunks.len();
            let ppid = chunks.ppi as u32;
            if len > self.max_receive_message_size {
                out.push_back(Happening::Event(Event::MessageTooLong(id)));
                continue;
            }
            if let Some(message) = chunks.next(len) {
                out.push_back(Happening::Event(Event::Message { stream: id, ppid, payload: message.bytes }));
            }
        }
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association").field("closing", &self.closing).finish_non_exhaustive()
    }
}

/// The library wants an address; there is but one peer.
fn remote() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 5000))
}
