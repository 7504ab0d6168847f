//! Log of the packets that a rewriting consumer has sent, because a retransmission must repeat the rewritten values.

use std::time::{Duration, Instant};

/// Initial number of entries; the log grows when it would overwrite an entry younger than `RETENTION`.
const INITIAL_ENTRIES: usize = 64;
/// Maximum number of entries, 56 bytes each.
const MAX_ENTRIES: usize = 2048;
/// Time that an entry should be kept.
const RETENTION: Duration = Duration::from_secs(2);

/// Header values of one sent packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentPacket {
    /// Extended sequence number of the sent packet.
    pub(crate) output: u64,
    /// Extended sequence number in the Producer's stream.
    pub(crate) source: u64,
    /// Index of the Producer's stream.
    pub(crate) stream: u8,
    /// RTP timestamp.
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Rewritten fields of the codec's descriptor.
    pub(crate) descriptor: DescriptorRewrite,
}

/// Rewritten fields of a payload descriptor or dependency descriptor; all other fields are forwarded unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DescriptorRewrite {
    /// Picture id or frame number.
    pub(crate) number: Option<u16>,
    /// TL0PICIDX.
    pub(crate) tl0: Option<u8>,
    /// Number of decode targets, and a bit mask of those that are sent.
    pub(crate) active_targets: Option<(u8, u32)>,
}

/// Ring of the last sent packets, indexed by output number.
#[derive(Debug, Default)]
pub(crate) struct SentLog {
    entries: Vec<Option<(SentPacket, Instant)>>,
}

impl SentLog {
    /// Records a packet.
    pub(crate) fn push(&mut self, now: Instant, packet: SentPacket) {
        if self.entries.is_empty() {
            self.entries = vec![None; INITIAL_ENTRIES];
        }
        while self.entries.len() < MAX_ENTRIES
            && let Some((taken, at)) = self.entries[self.slot(packet.output)]
            && taken.output < packet.output
            && now.saturating_duration_since(at) < RETENTION
        {
            self.grow();
        }
        let slot = self.slot(packet.output);
        self.entries[slot] = Some((packet, now));
    }

    /// Packet sent with this output number, if still in the log.
    pub(crate) fn get(&self, output: u64) -> Option<&SentPacket> {
        let (packet, _) = self.entries.get(self.slot(output))?.as_ref()?;
        (packet.output == output).then_some(packet)
    }

    fn slot(&self, output: u64) -> usize {
        output as usize & (self.entries.len().max(1) - 1)
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.entries);
        self.entries = vec![None; old.len() * 2];
        for entry in old.into_iter().flatten() {
            let slot = self.slot(entry.0.output);
            self.entries[slot] = Some(entry);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    fn packet(output: u64) -> SentPacket {
        SentPacket {
            output,
            source: output * 3,
            stream: 0,
            timestamp: 0,
            marker: false,
            descriptor: DescriptorRewrite::default(),
        }
    }

    #[test]
    fn packets_stay_as_long_as_they_can_be_requested() {
        let start = Instant::now();
        let mut log = SentLog::default();
        assert_eq!(log.get(70_000), None);
        for i in 0..3000u64 {
            log.push(start + Duration::from_millis(2 * i), packet(70_000 + i));
        }
        for i in 2000..3000 {
            assert_eq!(log.get(70_000 + i), Some(&packet(70_000 + i)));
        }
        assert_eq!((log.get(70_000), log.get(73_000)), (None, None));
        assert_eq!(log.entries.len(), 1024);
    }

    #[test]
    fn log_of_a_fast_stream_is_bounded() {
        let now = Instant::now();
        let mut log = SentLog::default();
        for i in 0..10_000 {
            log.push(now, packet(70_000 + i));
        }
        assert_eq!(log.entries.len(), MAX_ENTRIES);
        assert!(log.get(79_999).is_some() && log.get(79_999 - MAX_ENTRIES as u64).is_none());
    }
}
