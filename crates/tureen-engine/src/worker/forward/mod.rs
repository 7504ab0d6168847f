//! Outgoing media: transports with something to send are drained one after the other, and each packet is sealed once,
//! directly into the driver's buffer.

pub(crate) mod backlog;
pub(crate) mod bandwidth;
pub(crate) mod coalesce;
pub(crate) mod egress;
pub(crate) mod key_frames;
pub(crate) mod layers;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod retransmission;
pub(crate) mod run;
pub(crate) mod start;

use std::time::Instant;

use crate::io::Transmit;
use crate::keys::{ConsumerKey, ProducerKey};
use crate::media::consumer::Consumer;
use crate::media::producer::Producer;
use crate::worker::arena::{Media, Table};
use crate::worker::data::association;
use crate::worker::forward::egress::Egress;
use crate::worker::out::Out;
use crate::worker::paths::Paths;

/// Forwarding state, from received packets to datagrams.
#[derive(Debug, Default)]
pub(crate) struct Forward {
    /// Producers with packets of this batch or of an incomplete frame.
    pub(crate) dirty_producers: Vec<ProducerKey>,
    pub(crate) egress: Egress,
}

/// Writes the next datagrams for one destination into `buffer`, which should hold 64 KiB or the packets of a few
/// frames; 2 KiB is the minimum. `None` once everything is sent.
pub(crate) fn poll_transmit(
    media: &mut Media,
    paths: &mut Paths,
    forward: &mut Forward,
    out: &mut Out,
    now: Instant,
    buffer: &mut [u8],
) -> Option<Transmit> {
    // Control datagrams are sent before media. Sealing an SCTP packet queues such a datagram.
    loop {
        if let Some(transmit) = out.control.pop(buffer) {
            return Some(transmit);
        }
        if !association::seal_next_sctp(media, out, now) {
            break;
        }
    }
    loop {
        if forward.egress.next < forward.egress.plan.len() {
            if let Some(transmit) = run::seal_run(media, paths, forward, out, now, buffer) {
                return Some(transmit);
            }
        } else if !plan::plan_next_transport(media, forward, out, now) {
            end_batch(media, forward);
            return None;
        }
    }
}

/// Ends the batch: everything is sent, so new packets may replace those of the batch in the buffers.
fn end_batch(media: &mut Media, forward: &mut Forward) {
    for key in forward.egress.producers.drain(..) {
        let Some(producer) = media.producers.get_mut(key) else { continue };
        producer.queued = false;
        for stream in &mut producer.streams {
            stream.end_batch();
        }
    }
}

pub(crate) type Producers = Table<ProducerKey, Producer>;

pub(crate) type Consumers = Table<ConsumerKey, Consumer>;
