//! The plan of the transport whose turn it is: packets and their headers, ready to be sealed.

use crate::keys::{ConsumerKey, ProducerKey, TransportKey};
use crate::media::consumer::Written;
use crate::media::producer::packet_buffer::StoredPacket;
use crate::transport::link::Path;
use tureen_rtc::units::Ssrc;
use tureen_types::data_structures::RtpPacketTraceInfo;

/// Longest header that is written: fixed part, and extensions with a large dependency descriptor.
const MAX_HEADER: usize = 512;

/// What the transport whose turn it is sends.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    /// What the transport at the front sends, in order.
    pub(crate) plan: Vec<Planned>,
    pub(crate) next: usize,
    pub(crate) planned_for: Option<(TransportKey, Path)>,
    /// Consumers that want a key frame, and of which stream.
    pub(crate) key_frames_wanted: Vec<(ConsumerKey, Ssrc)>,
    /// Packets of consumers that trace them.
    pub(crate) traces: Vec<(ConsumerKey, RtpPacketTraceInfo)>,
    /// Puts parts of a payload together, where there are too many to seal them in one pass.
    pub(crate) joined: Vec<u8>,
    /// Headers of the plan.
    pub(crate) headers: HeaderArena,
    /// Producers whose packets of this batch are being sent.
    pub(crate) producers: Vec<ProducerKey>,
}

/// Written headers, one behind the other; the memory is kept from one transport to the next.
#[derive(Debug, Default)]
pub(crate) struct HeaderArena {
    pub(crate) bytes: Vec<u8>,
    used: usize,
}

impl HeaderArena {
    /// Where the next header goes.
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

    /// Copies a header to the start of `out`. Short ones, nearly all, are copied by a length known beforehand, which makes
    /// that two moves; what comes behind the header is not written yet.
    #[inline]
    pub(crate) fn copy(&self, at: usize, len: usize, out: &mut [u8]) {
        const SHORT: usize = 32;
        let from = &self.bytes[at..];
        match (from.first_chunk::<SHORT>(), out.first_chunk_mut::<SHORT>()) {
            (Some(from), Some(out)) if len <= SHORT => *out = *from,
            _ => out[..len].copy_from_slice(&from[..len]),
        }
    }

    /// The header of a planned packet.
    pub(crate) fn header(&self, planned: &Planned) -> &[u8] {
        &self.bytes[planned.header_at..planned.header_at + planned.written.header_len]
    }

    /// Keeps the first `len` bytes of the space. Gives where they are.
    fn take(&mut self, len: usize) -> usize {
        let at = self.used;
        self.used += len;
        at
    }
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Who sends it.
    pub(crate) consumer: ConsumerKey,
    /// Who received it.
    pub(crate) producer: ProducerKey,
    /// In which of its streams.
    pub(crate) stream: usize,
    /// Which of the consumer's streams it becomes part of.
    pub(crate) send_stream: usize,
}

/// A packet about to be sealed.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) origin: Origin,
    /// Number of the stored packet whose payload it has; nothing for one that is all header and filler.
    pub(crate) source: Option<u64>,
    /// Where its header is, and behind it what comes between that and the payload.
    pub(crate) header_at: usize,
    pub(crate) written: Written,
    pub(crate) payload_len: usize,
    /// Length without a tag.
    pub(crate) len: usize,
    pub(crate) purpose: Purpose,
    /// Its transport-wide sequence number, if it has one of its own.
    pub(crate) transport_seq: Option<u16>,
}

/// Why a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be played. Should it be lost, an RTX packet repeats it, which is sealed as what it is.
    Media,
    /// To be played. Should it be lost, it is sent again itself, bit for bit: it is the same nonce.
    RepeatableMedia,
    /// It was asked for again.
    Retransmission,
    /// To probe the path.
    Probe,
}

impl Planned {
    /// Whether it may be padded to the size of others. What is not sealed for the only time must always be the same, and
    /// its padding is decided on here, by what happens to leave with it.
    pub(crate) fn can_grow(&self) -> bool {
        self.purpose == Purpose::Media
    }
}

impl Egress {
    /// Notes a producer whose batch ends when everything is drained.
    pub(crate) fn producer_to_end(&mut self, producer: ProducerKey) {
        self.producers.push(producer);
    }

    /// Begins a plan.
    pub(crate) fn start_plan(&mut self) {
        self.plan.clear();
        self.headers.used = 0;
        self.next = 0;
        self.planned_for = None;
    }

    /// Where the next header goes.
    #[inline]
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.headers.space()
    }

    /// Adds a packet to the plan, unless its header could not be written. Gives its length without a tag.
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
