//! Receiving: one batch of datagrams at a time.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::{mem, slice};

use crate::framing::PREFIX;
use crate::net::NetConfig;
use crate::stats::NetStats;
use crate::sys;

/// A received datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Token of the socket that received it.
    pub token: u32,
    /// Source address, in IPv4 form also on a dual-stack socket.
    pub source: SocketAddr,
    /// Payload, which may be changed in place.
    pub data: &'a mut [u8],
}

/// The datagrams of one receive call on one socket, in the order of arrival.
#[derive(Debug)]
pub struct Batch<'a> {
    token: u32,
    messages: slice::Iter<'a, Message>,
    /// Receive buffer from `offset` on.
    rest: &'a mut [u8],
    offset: usize,
    /// Rest of the current message.
    run: &'a mut [u8],
    segment_size: usize,
    source: SocketAddr,
}

/// Position of one message: one datagram, or a GRO run of datagrams of one source and size, of which the last may be
/// shorter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// Offset in the receive buffer.
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Size of each datagram, at least 1.
    pub(crate) segment_size: usize,
    pub(crate) source: SocketAddr,
}

/// Layout of the receive buffer: slot `i` is `size` bytes at `i * stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    pub(crate) count: usize,
    pub(crate) size: usize,
    pub(crate) stride: usize,
}

/// The receive buffer, shared by all sockets of a worker.
#[derive(Debug)]
pub(crate) struct Receiver {
    slots: Slots,
    datagram_size: usize,
    buffer: Box<[u8]>,
    messages: Vec<Message>,
}

/// Distance of consecutive slots beyond a multiple of the page size, in bytes: a typical datagram in whole cache
/// lines. With a stride of 64 KiB all datagrams of a batch would compete for the same few sets of the cache.
const STAGGER: usize = 1344;

/// Maximum of bytes that one read takes from a TCP stream, so that streams and sockets take turns.
const STREAM_READ: usize = 128 << 10;

impl Receiver {
    pub(crate) fn new(config: &NetConfig) -> Self {
        // One byte more than the largest datagram, to detect truncation. A GRO run is never truncated.
        let size = if config.gro && sys::HAS_GRO { 65_536 } else { config.datagram_size + 1 };
        let stride = size.next_multiple_of(64) + if size > 4096 { STAGGER } else { 64 };
        let slots = Slots { count: config.receive_batch, size, stride };
        // Room for the start of a frame that the last read of a stream has left.
        let stream = 2 * (config.stream_frame_size + PREFIX);
        Self {
            slots,
            datagram_size: config.datagram_size,
            buffer: vec![0; (slots.count * slots.stride).max(stream)].into_boxed_slice(),
            messages: Vec::with_capacity(slots.count),
        }
    }

    /// Fills the buffer by one system call. Returns true if the socket is drained.
    pub(crate) fn receive(
        &mut self,
        socket: &UdpSocket,
        scratch: &mut sys::Scratch,
        stats: &mut NetStats,
    ) -> io::Result<bool> {
        self.messages.clear();
        let calls = &mut stats.receive_calls;
        let drained = sys::receive(socket, scratch, &mut self.buffer, self.slots, &mut self.messages, calls)?;
        self.messages.retain_mut(|message| {
            let mut datagrams = message.len.div_ceil(message.segment_size).max(1);
            if message.len.min(message.segment_size) > self.datagram_size {
                // The last datagram of a run may be within the limit.
                let last = message.len % message.segment_size;
                let fits = usize::from((1..=self.datagram_size).contains(&last));
                stats.dropped_truncated += (datagrams - fits) as u64;
                message.start += message.len - last;
                message.len = last;
                datagrams = fits;
            }
            stats.datagrams_in += datagrams as u64;
            stats.bytes_in += if datagrams > 0 { message.len as u64 } else { 0 };
            datagrams > 0
        });
        Ok(drained)
    }

    /// Buffer and list of messages, for a TCP stream to fill.
    pub(crate) fn for_stream(&mut self) -> (&mut [u8], &mut Vec<Message>) {
        let len = self.buffer.len().min(STREAM_READ);
        (&mut self.buffer[..len], &mut self.messages)
    }

    pub(crate) fn has_messages(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Batch of the last receive.
    pub(crate) fn batch(&mut self, token: u32) -> Batch<'_> {
        Batch::new(token, &self.messages, &mut self.buffer)
    }
}

impl<'a> Batch<'a> {
    /// Messages in ascending order of their position in `buffer`.
    pub(crate) fn new(token: u32, messages: &'a [Message], buffer: &'a mut [u8]) -> Self {
        Self {
            token,
            messages: messages.iter(),
            rest: buffer,
            offset: 0,
            run: &mut [],
            segment_size: 1,
            source: SocketAddr::from(([0, 0, 0, 0], 0)),
        }
    }

    /// Token of the socket that received the batch.
    pub fn token(&self) -> u32 {
        self.token
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Datagram<'a>;

    fn next(&mut self) -> Option<Datagram<'a>> {
        if self.run.is_empty() {
            let message = self.messages.next()?;
            let (_, rest) = mem::take(&mut self.rest).split_at_mut(message.start - self.offset);
            (self.run, self.rest) = rest.split_at_mut(message.len);
            self.offset = message.start + message.len;
            self.segment_size = message.segment_size;
            self.source = message.source;
        }
        let len = self.segment_size.min(self.run.len());
        let (data, run) = mem::take(&mut self.run).split_at_mut(len);
        self.run = run;
        Some(Datagram { token: self.token, source: self.source, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_splits_runs_and_keeps_empty_datagrams() {
        let source = SocketAddr::from(([127, 0, 0, 1], 5000));
        let message = |start, len, segment_size| Message { start, len, segment_size, source };
        let config = NetConfig { receive_batch: 4, gro: false, datagram_size: 99, ..NetConfig::default() };
        let mut receiver = Receiver::new(&config);
        for (i, byte) in receiver.buffer.iter_mut().enumerate() {
            *byte = i as u8;
        }
        receiver.messages.extend([message(0, 5, 2), message(100, 0, 1), message(200, 3, 9)]);
        let datagrams: Vec<Vec<u8>> = receiver.batch(7).map(|datagram| datagram.data.to_vec()).collect();
        assert_eq!(datagrams, [vec![0, 1], vec![2, 3], vec![4], vec![], vec![200, 201, 202]]);
    }
}
