//! Cost of congestion control, for each sent packet and for each feedback packet.
#![allow(missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use tureen_engine::allocator::{Candidate, share};
use tureen_rtc::bwe::Budget;
use tureen_rtc::bwe::{BweConfig, CongestionController};
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket, TransportCcHeader, write_transport_cc};

/// Packets between two feedback packets: 100 ms at 6 Mbit/s.
const PACKETS: u16 = 60;

fn bwe(c: &mut Criterion) {
    let start = Instant::now();
    let mut controller = CongestionController::new(start, BweConfig::default());
    let mut seq = 0u16;
    c.bench_function("record a run of 8 sent packets", |b| {
        b.iter(|| {
            let mut run = controller.start_run(black_box(start) + Duration::from_micros(seq.into()), true);
            for _ in 0..8 {
                seq = seq.wrapping_add(1);
                run.on_packet(Some(seq), 1200);
            }
            run.finish();
        });
    });

    let mut controller = CongestionController::new(start, BweConfig::default());
    let mut round = 0u64;
    let mut bytes = Vec::new();
    c.bench_function("send 60 packets and take their feedback", |b| {
        b.iter(|| {
            let now = start + Duration::from_millis(100 * round);
            let base = (round * u64::from(PACKETS)) as u16;
            for i in 0..PACKETS {
                let at = now + Duration::from_micros(1600) * u32::from(i);
                let mut run = controller.start_run(at, true);
                run.on_packet(Some(base.wrapping_add(i)), 1200);
                run.finish();
            }
            let header = TransportCcHeader {
                sender_ssrc: Ssrc(1),
                media_ssrc: Ssrc(2),
                base_sequence_number: base,
                reference_time: (round * 100 / 64) as i32 & 0x7f_ffff,
                feedback_count: round as u8,
            };
            bytes.clear();
            write_transport_cc(&mut bytes, &header, &[Some(6); PACKETS as usize], 1200);
            if let Some(Ok(RtcpPacket::TransportCc(feedback))) = RtcpCompound::new(&bytes).next() {
                controller.on_feedback(now + Duration::from_millis(100), &feedback);
            }
            round += 1;
        });
    });

    let prices = [0, 100, 400, 1200].map(Bitrate::kbps);
    let candidate =
        Candidate { weight: 1, prices: prices.as_slice().into(), may_climb: true, ..Candidate::default() };
    let mut candidates = vec![candidate; 20];
    c.bench_function("share a bitrate among 20 consumers", |b| {
        b.iter(|| share(black_box(Budget::lasting(Bitrate::mbps(8))), &mut candidates, 0));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = bwe
}
criterion_main!(benches);
