//! Costs of the single parts of the packet path. SRTP has its own benchmark (`srtp`), as does the whole path with real
//! sockets (`cargo bench -p tureen --bench fanout`).
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::iter;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};

use tureen_engine::internals::FrameInfo;
use tureen_engine::internals::SeqRewriter;
use tureen_engine::internals::{PacketBuffer, PacketBufferConfig, PacketInfo};
use tureen_rtc::demux::classify;
use tureen_rtc::rate::RateMeter;
use tureen_rtc::receive::nack_generator::NackGenerator;
use tureen_rtc::receive::twcc_receiver::TwccReceiver;
use tureen_rtc::units::{PayloadType, Ssrc};
use tureen_rtc::wire::rtp::{RtpFields, RtpHeader, RtpHeaderWriter};

const FIELDS: RtpFields = RtpFields {
    marker: true,
    has_padding: false,
    payload_type: PayloadType(96),
    sequence_number: 7,
    timestamp: 90_000,
    ssrc: Ssrc(1111),
};

/// A packet of 1200 bytes with the extensions that browsers send: MID, abs-send-time, transport-wide number.
fn packet() -> Vec<u8> {
    let mut packet = vec![0x5a; 1240];
    write_header(&mut packet);
    packet
}

fn write_header(buffer: &mut [u8]) -> usize {
    let mut writer = RtpHeaderWriter::new(buffer, &FIELDS).expect("a large buffer");
    for (id, value) in [(1, &b"0"[..]), (2, &[1, 2, 3]), (3, &[4, 5])] {
        writer.push(id, value).expect("a large buffer");
    }
    writer.finish().expect("a large buffer").len
}

fn parts(c: &mut Criterion) {
    let packet = packet();
    c.bench_function("classify a datagram", |b| b.iter(|| classify(black_box(&packet))));
    c.bench_function("parse a header, find an extension", |b| {
        b.iter(|| {
            let header = RtpHeader::parse(black_box(&packet)).expect("a valid packet");
            black_box(header.extension(&packet, 3));
            header
        });
    });
    let mut buffer = [0; 256];
    c.bench_function("write a header with three extensions", |b| {
        b.iter(|| write_header(black_box(&mut buffer)))
    });

    let start = Instant::now();
    let config =
        PacketBufferConfig { initial_bytes: 1 << 14, max_bytes: 1 << 21, retention: Duration::from_secs(2) };
    let mut store = PacketBuffer::new(config);
    let mut seq = 70_000;
    c.bench_function("store a packet of 1200 bytes and read it", |b| {
        b.iter(|| {
            seq += 1;
            store.start_batch();
            let info = PacketInfo {
                seq,
                timestamp: 0,
                marker: false,
                payload_type: 96,
                key_frame: false,
                frame: FrameInfo::default(),
            };
            let now = start + Duration::from_millis(seq * 4);
            store.insert(now, info, iter::empty(), &packet[..1200]);
            black_box(store.get(seq).map(|p| p.payload.len()))
        });
    });

    let mut rewriter = SeqRewriter::new(100);
    rewriter.sync(70_000);
    let mut source = 70_000;
    c.bench_function("rewrite a sequence number", |b| {
        b.iter(|| {
            source += 1;
            rewriter.forward(black_box(source))
        });
    });

    let mut nack = NackGenerator::new(Duration::ZERO);
    let mut seq = 70_000;
    c.bench_function("NACK generator, nothing lost", |b| {
        b.iter(|| {
            seq += 1;
            nack.handle_packet(start + Duration::from_millis(seq), seq, false, false)
        });
    });

    let mut twcc = TwccReceiver::new();
    let mut seq = 0u64;
    c.bench_function("transport-wide feedback, per packet", |b| {
        b.iter(|| {
            seq += 1;
            let now = start + Duration::from_millis(seq);
            twcc.handle_packet(now, seq as u16);
            if seq.is_multiple_of(100) {
                twcc.handle_timeout(now);
                while twcc.poll_feedback().is_some() {}
            }
        });
    });

    let mut meter = RateMeter::default();
    let mut ms = 0;
    c.bench_function("rate meter", |b| {
        b.iter(|| {
            ms += 4;
            meter.add(start + Duration::from_millis(ms), 1200);
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = parts
}
criterion_main!(benches);
