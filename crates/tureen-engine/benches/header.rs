//! Cost of writing the header of a forwarded packet in two ways: element by element, for packets with extensions of
//! their own, and by a template in which only the changing fields are written, for all others.
//!
//! The extensions are those that browsers negotiate, in the order in which consumers write them: MID, abs-send-time,
//! transport-wide sequence number.
#![allow(missing_docs)]

use std::hint::black_box;
use std::num::NonZeroU8;

use criterion::{Criterion, criterion_group, criterion_main};

use tureen_engine::internals::HeaderTemplate;
use tureen_engine::internals::HopByHopExtensions;
use tureen_rtc::units::{PayloadType, Ssrc};
use tureen_rtc::wire::rtp::extension::{AbsSendTime, TransportSequenceNumber};
use tureen_rtc::wire::rtp::{Extension, ExtensionIds, RtpFields, RtpHeaderWriter};

const MID: &[u8] = b"0";
const MID_ID: NonZeroU8 = NonZeroU8::new(1).expect("not zero");
const ABS_SEND_TIME_ID: NonZeroU8 = NonZeroU8::new(4).expect("not zero");
const TRANSPORT_SEQ_ID: NonZeroU8 = NonZeroU8::new(5).expect("not zero");

/// Fields that differ between packets.
#[derive(Clone, Copy)]
struct Changing {
    fields: RtpFields,
    hop: HopByHopExtensions,
}

impl Changing {
    fn next(&mut self) -> Self {
        self.fields.sequence_number = self.fields.sequence_number.wrapping_add(1);
        self.hop.transport_seq.0 = self.hop.transport_seq.0.wrapping_add(1);
        black_box(*self)
    }
}

const FIRST: Changing = Changing {
    fields: RtpFields {
        marker: true,
        has_padding: false,
        payload_type: PayloadType(96),
        sequence_number: 1,
        timestamp: 2,
        ssrc: Ssrc(3),
    },
    hop: HopByHopExtensions {
        abs_send_time: AbsSendTime::from_bits(0x010203),
        transport_seq: TransportSequenceNumber(4),
    },
};

fn by_elements(buffer: &mut [u8], packet: &Changing) -> usize {
    let mut writer = RtpHeaderWriter::new(buffer, &packet.fields).expect("a large buffer");
    writer.push(MID_ID.get(), MID).expect("a large buffer");
    writer.push(ABS_SEND_TIME_ID.get(), &packet.hop.abs_send_time.to_bytes()).expect("a large buffer");
    writer.push(TRANSPORT_SEQ_ID.get(), &packet.hop.transport_seq.to_bytes()).expect("a large buffer");
    writer.finish().expect("a large buffer").len
}

fn from_template(template: &HeaderTemplate, buffer: &mut [u8], packet: &Changing) -> Option<usize> {
    template.write(&packet.fields, packet.hop, buffer)
}

fn header(c: &mut Criterion) {
    let (mut one, mut other) = ([0; 64], [0; 64]);
    let ids = ExtensionIds::default()
        .with(Extension::Mid, Some(MID_ID))
        .with(Extension::AbsSendTime, Some(ABS_SEND_TIME_ID))
        .with(Extension::TransportWideCcDraft01, Some(TRANSPORT_SEQ_ID));
    let template = HeaderTemplate::new(&ids, Some((MID_ID, MID))).expect("a short header");
    let len = by_elements(&mut one, &FIRST);
    assert_eq!(from_template(&template, &mut other, &FIRST), Some(len));
    assert_eq!(one[..len], other[..len], "both ways write the same");

    let mut packet = FIRST;
    c.bench_function("header by elements", |b| b.iter(|| by_elements(black_box(&mut one), &packet.next())));
    c.bench_function("header from a template", |b| {
        b.iter(|| from_template(&template, black_box(&mut other), &packet.next()))
    });
}

criterion_group!(benches, header);
criterion_main!(benches);
