//! Statistics of the RTX stream beside an incoming RTP stream (mediasoup: `RtxStream`).

use std::time::Instant;

use super::reception::{LossCounter, SeqTracker, SeqVerdict};
use super::recv_stream::{ReportBlock, SenderReportTiming, sender_report_echo};
use crate::units::Ssrc;

/// Reception statistics of one incoming RTX stream (RFC 4588): sequence validation and receiver reports.
#[derive(Debug)]
pub struct RtxStreamStats {
    ssrc: Ssrc,
    seq: SeqTracker,
    loss: LossCounter,
    packets: u64,
    sender_report: Option<SenderReportTiming>,
    /// Time of its last packet.
    heard_at: Option<Instant>,
}

impl RtxStreamStats {
    /// Statistics of a stream without packets.
    pub fn new(ssrc: Ssrc) -> Self {
        Self {
            ssrc,
            seq: SeqTracker::default(),
            loss: LossCounter::default(),
            packets: 0,
            sender_report: None,
            heard_at: None,
        }
    }

    /// Records the arrival of a packet.
    pub fn on_heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// Time of its last packet.
    pub fn heard_at(&self) -> Option<Instant> {
        self.heard_at
    }

    /// Validates and counts a packet by the RTX stream's own sequence number. A discarded packet must be
    /// dropped.
    pub fn handle_packet(&mut self, seq: u16) -> SeqVerdict {
        let verdict = self.seq.update(seq);
        if verdict != SeqVerdict::Discarded {
            self.packets += 1;
        }
        verdict
    }

    /// Handles a sender report; `ntp` is 32.32 fixed point seconds, zero for a sender without a clock.
    pub fn handle_sender_report(&mut self, now: Instant, ntp: u64, rtp_timestamp: u32) {
        if ntp != 0 {
            self.sender_report = Some(SenderReportTiming { ntp, rtp_timestamp, received_at: now });
        }
    }

    /// Ends the interval since the last report and returns the next one. RTX has no meaningful jitter: zero.
    pub fn report(&mut self, now: Instant) -> ReportBlock {
        let loss = self.loss.report(self.seq.expected(), self.packets, 0);
        let (last_sr, delay_since_last_sr) = sender_report_echo(self.sender_report.as_ref(), now);
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: loss.fraction_lost,
            total_lost: loss.total_lost,
            extended_highest_seq: self.seq.extended_highest(),
            jitter: 0,
            last_sr,
            delay_since_last_sr,
        }
    }

    /// The RTX stream's SSRC.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Packets accepted.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Packets dropped because their sequence number did not fit.
    pub fn packets_discarded(&self) -> u64 {
        self.seq.discarded()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn report_names_loss_and_echoes_the_sender_report() {
        let t0 = Instant::now();
        let mut rtx = RtxStreamStats::new(Ssrc(9));
        for seq in [10, 11, 13] {
            rtx.handle_packet(seq);
        }
        assert_eq!(rtx.handle_packet(30_000), SeqVerdict::Discarded);
        rtx.handle_sender_report(t0, 0x0001_0002_0003_0004, 0);
        let block = rtx.report(t0 + Duration::from_secs(1));
        assert_eq!(
            block,
            ReportBlock {
                ssrc: Ssrc(9),
                fraction_lost: 64,
                total_lost: 1,
                extended_highest_seq: 13,
                jitter: 0,
                last_sr: 0x0002_0003,
                delay_since_last_sr: 0x1_0000,
            }
        );
        assert_eq!((rtx.packets(), rtx.packets_discarded()), (3, 1));
    }
}
