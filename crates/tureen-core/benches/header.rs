//! Two ways to write the header of a forwarded packet: element by element, as consumers do, and from a template of the
//! consumer's stream in which only what changes is filled in.
//!
//! The extensions are those that browsers negotiate, in the order in which consumers write them: MID, abs-send-time,
//! transport-wide sequence number.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tureen_core::units::{PayloadType, Ssrc};
use tureen_core::wire::rtp::{RtpFields, RtpHeaderWriter};

const MID: (u8, &[u8]) = (1, b"0");
const ABS_SEND_TIME: u8 = 4;
const TRANSPORT_SEQ: u8 = 5;

/// What differs from packet to packet.
#[derive(Clone, Copy)]
struct Changing {
    marker: bool,
    payload_type: u8,
    sequence_number: u16,
    timestamp: u32,
    send_time: [u8; 3],
    transport_seq: u16,
}

impl Changing {
    fn next(&mut self) -> Self {
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.transport_seq = self.transport_seq.wrapping_add(1);
        black_box(*self)
    }
}

const FIRST: Changing = Changing {
    marker: true,
    payload_type: 96,
    sequence_number: 1,
    timestamp: 2,
    send_time: [1, 2, 3],
    transport_seq: 4,
};

fn by_elements(buffer: &mut [u8], packet: Changing) -> usize {
    let fields = RtpFields {
        marker: packet.marker,
        has_padding: false,
        payload_type: PayloadType(packet.payload_type),
        sequence_number: packet.sequence_number,
        timestamp: packet.timestamp,
        ssrc: Ssrc(3),
    };
    let mut writer = RtpHeaderWriter::new(buffer, &fields).expect("a large buffer");
    writer.push(MID.0, MID.1).expect("a large buffer");
    writer.push(ABS_SEND_TIME, &packet.send_time).expect("a large buffer");
    writer.push(TRANSPORT_SEQ, &packet.transport_seq.to_be_bytes()).expect("a large buffer");
    writer.finish().expect("a large buffer").len
}

/// The header of a stream, made once by the writer; longer ones are written by elements.
struct Template {
    bytes: [u8; 32],
    len: usize,
    send_time_at: usize,
    transport_seq_at: usize,
}

impl Template {
    fn new() -> Self {
        let mut bytes = [0; 32];
        let mut writer = RtpHeaderWriter::new(
            &mut bytes,
            &RtpFields {
                marker: false,
                has_padding: false,
                payload_type: PayloadType(0),
                sequence_number: 0,
                timestamp: 0,
                ssrc: Ssrc(3),
            },
        )
        .expect("a large buffer");
        writer.push(MID.0, MID.1).expect("a large buffer");
        let send_time = writer.push(ABS_SEND_TIME, &[0; 3]).expect("a large buffer");
        let transport_seq = writer.push(TRANSPORT_SEQ, &[0; 2]).expect("a large buffer");
        let header = writer.finish().expect("a large buffer");
        let (send_time_at, transport_seq_at) = (header.offset_of(send_time), header.offset_of(transport_seq));
        Self { bytes, len: header.len, send_time_at, transport_seq_at }
    }

    fn write(&self, buffer: &mut [u8], packet: Changing) -> Option<usize> {
        let out: &mut [u8; 32] = buffer.first_chunk_mut()?;
        *out = self.bytes;
        out[1] = u8::from(packet.marker) << 7 | packet.payload_type;
        out[2..4].copy_from_slice(&packet.sequence_number.to_be_bytes());
        out[4..8].copy_from_slice(&packet.timestamp.to_be_bytes());
        out[self.send_time_at..][..3].copy_from_slice(&packet.send_time);
        out[self.transport_seq_at..][..2].copy_from_slice(&packet.transport_seq.to_be_bytes());
        Some(self.len)
    }
}

fn header(c: &mut Criterion) {
    let (mut one, mut other) = ([0; 64], [0; 64]);
    let template = Template::new();
    let len = by_elements(&mut one, FIRST);
    assert_eq!(template.write(&mut other, FIRST), Some(len));
    assert_eq!(one[..len], other[..len], "both ways write the same");

    let mut packet = FIRST;
    c.bench_function("header by elements", |b| b.iter(|| by_elements(black_box(&mut one), packet.next())));
    c.bench_function("header from a template", |b| {
        b.iter(|| template.write(black_box(&mut other), packet.next()))
    });
}

criterion_group!(benches, header);
criterion_main!(benches);
