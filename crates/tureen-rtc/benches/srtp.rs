//! Cost of sealing and opening one packet for each suite, with a plain copy for comparison.
//!
//! `cargo bench -p tureen-rtc --bench srtp`

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use tureen_rtc::srtp::{SrtpOpener, SrtpSealer, SrtpSuite};
use tureen_rtc::units::Ssrc;

/// Payload sizes in bytes: an Opus packet of about 60 kbit/s and a full video packet.
const SIZES: [usize; 2] = [160, 1200];

/// An RTP header with an extension of 8 bytes.
const HEADER: [u8; 24] = [0x90; 24];

/// A rewritten VP8 descriptor.
const DESCRIPTOR: [u8; 6] = [0xb0; 6];

const SSRC: Ssrc = Ssrc(0x1234_5678);

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    copy(&mut criterion);
    seal(&mut criterion);
    open(&mut criterion);
    criterion.final_summary();
}

fn copy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("memcpy");
    for size in SIZES {
        let payload = vec![7; size];
        let mut out = vec![0; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| black_box(&mut out).copy_from_slice(black_box(&payload)));
        });
    }
}

fn seal(criterion: &mut Criterion) {
    for (name, descriptor) in [("seal", &[][..]), ("seal with descriptor", &DESCRIPTOR)] {
        let mut group = criterion.benchmark_group(name);
        for suite in SrtpSuite::ALL {
            let sealer = SrtpSealer::new(suite, &key(suite), &salt(suite)).expect("lengths are the suite's");
            for size in SIZES {
                let rest = vec![7; size - descriptor.len()];
                let mut out = vec![0; 1500];
                let mut index = 0;
                group.throughput(Throughput::Bytes(size as u64));
                group.bench_function(BenchmarkId::new(suite.as_str(), size), |b| {
                    b.iter(|| {
                        index += 1;
                        let (rest, out) = (black_box(&rest), black_box(&mut out));
                        sealer.seal_rtp(SSRC, index, &HEADER, black_box(descriptor), rest, out)
                    });
                });
            }
        }
    }
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    for suite in SrtpSuite::ALL {
        let sealer = SrtpSealer::new(suite, &key(suite), &salt(suite)).expect("lengths are the suite's");
        for size in SIZES {
            let mut opener =
                SrtpOpener::new(suite, &key(suite), &salt(suite), 16).expect("lengths are the suite's");
            let mut index = 0;
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new(suite.as_str(), size), |b| {
                b.iter_batched_ref(
                    || {
                        index += 1;
                        let mut packet = vec![0; HEADER.len() + size + suite.rtp_tag_len()];
                        sealer
                            .seal_rtp(SSRC, index, &HEADER, &[], &vec![7; size], &mut packet)
                            .expect("the buffer has the packet's length");
                        (index as u16, packet)
                    },
                    |(seq, packet)| {
                        opener.open_rtp(packet, SSRC, *seq, HEADER.len()).expect("each packet is new")
                    },
                    // So few that they stay in the cache.
                    BatchSize::NumIterations(16),
                );
            });
        }
    }
}

fn key(suite: SrtpSuite) -> Vec<u8> {
    vec![1; suite.key_len()]
}

fn salt(suite: SrtpSuite) -> Vec<u8> {
    vec![2; suite.salt_len()]
}
