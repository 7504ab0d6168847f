//! Plan of the transport that is being drained: packets and their headers, ready to be sealed.

use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::media::consumer::Written;
use crate::media::producer::packet_buffer::StoredPacket;
use crate::transport::link::Path;
use tureen_rtc::units::Ssrc;
use tureen_types::data_structures::RtpPacketTraceInfo;

/// Maximum length of a written header: the fixed part, and extensions with a large dependency descriptor.
const MAX_HEADER: usize = 512;

/// Packets to send for the transport that is being drained.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    /// Packets in the order in which they are sent.
    pub(crate) plan: Vec<Planned>,
    pub(crate) next: usize,
    pub(crate) planned_for: Option<(TransportKey, Path)>,
    /// Consumers that need a key frame, and the stream that they need one of.
    pub(crate) key_frames_wanted: Vec<(ConsumerKey, Ssrc)>,
    /// Packets of consumers with packet traces.
    pub(crate) traces: Vec<(ConsumerKey, RtpPacketTraceInfo)>,
    /// Buffer for a payload whose parts are too many to be sealed in one pass.
    pub(crate) joined: Vec<u8>,
    /// Headers of the plan.
    pub(crate) headers: HeaderArena,
    /// Producers whose packets of this batch are being sent.
    pub(crate) producers: Vec<ProducerKey>,
}

/// Written headers, one behind the other. The memory is reused by the next transport.
#[derive(Debug, Default)]
pub(crate) struct HeaderArena {
    pub(crate) bytes: Vec<u8>,
    used: usize,
}

impl HeaderArena {
    /// Space for the next header.
    #[inline]
    fn space(&mut self) -> &mut [u8] {
        let end = self.used + MAX_HEADER;
        if self.bytes.len() < end {
            self.grow(end);
        }
        &mut self.bytes[self.used..end]
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        self.bytes.resize(len, 0);
    }

    /// Copies a header to the start of `out`. Short headers, nearly all of them, are copied with a constant length,
    /// which compiles to two moves; the bytes behind the header are not written yet and may be overwritten.
    #[inline]
    pub(crate) fn copy(&self, at: usize, len: usize, out: &mut [u8]) {
        const SHORT: usize = 32;
        let from = &self.bytes[at..];
        match (from.first_chunk::<SHORT>(), out.first_chunk_mut::<SHORT>()) {
            (Some(from), Some(out)) if len <= SHORT => *out = *from,
            _ => out[..len].copy_from_slice(&from[..len]),
        }
    }

    /// Header of a planned packet.
    pub(crate) fn header(&self, planned: &Planned) -> &[u8] {
        &self.bytes[planned.header_at..planned.header_at + planned.written.header_len]
    }

    /// Keeps the first `len` bytes of the space. Returns their position.
    fn take(&mut self, len: usize) -> usize {
        let at = self.used;
        self.used += len;
        at
    }
}

/// Origin of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Consumer that sends the packet.
    pub(crate) consumer: ConsumerKey,
    /// Producer that received the packet.
    pub(crate) producer: ProducerKey,
    /// Index of the Producer's stream.
    pub(crate) stream: usize,
    /// Index of the consumer's send stream.
    pub(crate) send_stream: usize,
}

/// Packet that is about to be sealed.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) origin: Origin,
    /// Sequence number of the stored packet with the payload; `None` for padding.
    pub(crate) source: Option<u64>,
    /// Position of the header, followed by the bytes between header and payload.
    pub(crate) header_at: usize,
    pub(crate) written: Written,
    pub(crate) payload_len: usize,
    /// Length without the SRTP tag.
    pub(crate) len: usize,
    pub(crate) purpose: Purpose,
    /// Transport-wide sequence number, if the packet has its own.
    pub(crate) transport_seq: Option<u16>,
}

/// Purpose of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Media that is never repeated: its retransmissions, if any, are RTX packets, sealed as such.
    Media,
    /// Media without an RTX stream. A retransmission repeats the packet bit for bit, because both have the same nonce.
    RepeatableMedia,
    /// Retransmission that was requested, or is sent proactively.
    Retransmission,
    /// Probe for bandwidth.
    Probe,
}

impl Planned {
    /// True if the packet may be padded to the size of others. A packet that is sealed more than once must have the
    /// same bytes each time, but the padding depends on the other packets of the run.
    pub(crate) fn can_grow(&self) -> bool {
        self.purpose == Purpose::Media
    }
}

impl Egress {
    /// Adds a Producer whose batch ends once everything is drained.
    pub(crate) fn producer_to_end(&mut self, producer: ProducerKey) {
        self.producers.push(producer);
    }

    /// Starts a new plan.
    pub(crate) fn start_plan(&mut self) {
        self.plan.clear();
        self.headers.used = 0;
        self.next = 0;
        self.planned_for = None;
    }

    /// Space for the next header.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.headers.space()
    }

    /// Adds a packet to the plan, unless its header could not be written. Returns its length without the SRTP tag.
    #[inline]
    pub(crate) fn push(
        &mut self,
        origin: Origin,
        packet: Option<&StoredPacket<'_>>,
        written: Option<Written>,
        purpose: Purpose,
        transport_seq: Option<u16>,
    ) -> usize {
        let Some(written) = written else { return 0 };
        let in_front = written.header_len + written.front_len;
        let payload_len = packet.map_or(0, |packet| packet.payload.len());
        let len = in_front + payload_len - written.replaced;
        self.plan.push(Planned {
            origin,
            source: packet.map(|packet| packet.info.seq),
            header_at: self.headers.take(in_front),
            written,
            payload_len,
            len,
            purpose,
            transport_seq,
        });
        len
    }
}
