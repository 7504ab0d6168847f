//! Estimate of what may be sent, by the server's feedback, and the pacing that goes with it.

use std::time::Instant;

use tureen_rtc::bwe::{BweConfig, CongestionController};
use tureen_rtc::units::{Bitrate, Ssrc};
use tureen_rtc::wire::rtcp::TransportCc;

use super::{Event, Session};

/// Change of the target that is told, as a share of the last one told.
const TOLD_CHANGE: f64 = 0.02;

/// Congestion control of what a session sends.
#[derive(Debug)]
pub(super) struct Estimate {
    controller: CongestionController,
    /// The target that was told last.
    told: Bitrate,
    /// Bytes of a probe that are to be sent at once.
    probe_due: usize,
    /// When video may go on.
    paced_until: Option<Instant>,
    /// The last packet that can be sent again, for probes.
    recent: Option<(Ssrc, u64)>,
}

impl Session {
    /// Estimates from now on what may be sent, and paces video by it. The target comes as
    /// [`Event::TargetBitrate`], whenever it has changed by 2 % or more, and is not enforced: the caller's frames must
    /// follow it. It holds for all that is sent, with 28 bytes of each packet for UDP and IPv4.
    ///
    /// It needs outgoing streams with the transport-wide sequence number extension, and probes by retransmissions (RTX);
    /// without feedback the target follows REMBs and the loss in reports.
    pub fn estimate_bitrate(&mut self, now: Instant, config: BweConfig) {
        self.now = now;
        self.estimate_config = Some(config);
        if self.srtp.is_some() {
            self.start_estimate();
        }
    }

    /// What the caller would send if it could, all streams together. Probes look for that much and hardly more.
    pub fn set_desired_bitrate(&mut self, now: Instant, desired: Bitrate) {
        self.now = now;
        self.desired_bitrate = desired;
        if let Some(estimate) = &mut self.estimate {
            estimate.controller.set_desired(now, desired);
        }
    }

    /// What may be sent by the estimate, if there is one.
    pub fn target_bitrate(&self) -> Option<Bitrate> {
        self.estimate.as_ref().map(|estimate| estimate.controller.target())
    }

    /// DTLS is connected: begins to estimate if that was asked for.
    pub(super) fn start_estimate(&mut self) {
        let Some(config) = self.estimate_config.filter(|_| self.estimate.is_none()) else { return };
        let mut controller = CongestionController::new(self.now, config);
        controller.start_probing(self.now);
        controller.set_desired(self.now, self.desired_bitrate);
        let told = Bitrate::ZERO;
        let estimate = Estimate { controller, told, probe_due: 0, paced_until: None, recent: None };
        self.estimate = Some(Box::new(estimate));
        self.tell_target();
    }

    pub(super) fn on_transport_cc(&mut self, feedback: &TransportCc<'_>) {
        let Some(estimate) = &mut self.estimate else { return };
        if estimate.controller.on_feedback(self.now, feedback) {
            self.tell_target();
        }
    }

    pub(super) fn on_remb(&mut self, bitrate: Bitrate) {
        self.remb = bitrate;
        let Some(estimate) = &mut self.estimate else { return };
        if estimate.controller.on_remb(self.now, bitrate) {
            self.tell_target();
        }
    }

    pub(super) fn on_estimate_rtt(&mut self, rtt: std::time::Duration) {
        if let Some(estimate) = &mut self.estimate {
            estimate.controller.on_rtt(rtt);
        }
    }

    pub(super) fn on_loss_report(&mut self, lost: u64, expected: u64) {
        if let Some(estimate) = &mut self.estimate {
            estimate.controller.on_loss_report(self.now, lost, expected);
        }
    }

    pub(super) fn estimate_timeout(&self) -> Option<Instant> {
        let estimate = self.estimate.as_ref()?;
        let next = estimate.controller.poll_timeout();
        Some(estimate.paced_until.map_or(next, |at| at.min(next)))
    }

    pub(super) fn handle_estimate_timeout(&mut self) {
        let Some(estimate) = &mut self.estimate else { return };
        estimate.paced_until = estimate.paced_until.filter(|at| *at > self.now);
        if estimate.controller.handle_timeout(self.now) {
            self.tell_target();
        }
    }

    /// The next media packet, and whether it is sent again: audio, then video as far as the pacer lets it, then
    /// retransmissions, then probes.
    pub(super) fn next_media(&mut self) -> Option<(bool, (Ssrc, u64))> {
        if let Some(next) = self.audio_queue.pop_front() {
            return Some((false, next));
        }
        let Some(estimate) = &mut self.estimate else {
            let next = self.queue.pop_front().map(|next| (false, next));
            return next.or_else(|| self.resends.pop_front().map(|next| (true, next)));
        };
        if let Some(shot) =
            (estimate.probe_due == 0).then(|| estimate.controller.poll_probe(self.now)).flatten()
        {
            estimate.probe_due = shot.bytes;
        }
        if !self.queue.is_empty() {
            if estimate.probe_due > 0 || estimate.controller.allowance(self.now) > 0 {
                return self.queue.pop_front().map(|next| (false, next));
            }
            estimate.paced_until = Some(estimate.controller.next_burst(self.now));
        }
        if let Some(next) = self.resends.pop_front() {
            return Some((true, next));
        }
        if estimate.probe_due == 0 {
            return None;
        }
        match estimate.recent {
            Some(recent) => Some((true, recent)),
            None => {
                // Without retransmissions there is nothing to probe with but media.
                estimate.probe_due = 0;
                estimate.controller.cancel_probes();
                None
            }
        }
    }

    /// A media packet of `size` bytes leaves.
    pub(super) fn on_media_sent(&mut self, sent: (Ssrc, u64), seq: Option<u16>, size: usize, has_rtx: bool) {
        let Some(estimate) = &mut self.estimate else { return };
        let mut run = estimate.controller.start_run(self.now, seq.is_some());
        run.on_packet(seq, size);
        run.finish();
        estimate.probe_due = estimate.probe_due.saturating_sub(size);
        if has_rtx && seq.is_some() {
            estimate.recent = Some(sent);
        }
    }

    /// A stream is gone, and with it what could be sent again.
    pub(super) fn forget_recent(&mut self, ssrc: Ssrc) {
        if let Some(estimate) = &mut self.estimate {
            estimate.recent = estimate.recent.filter(|(recent, _)| *recent != ssrc);
        }
    }

    /// The packet for a probe is gone.
    pub(super) fn drop_recent(&mut self) {
        if let Some(estimate) = &mut self.estimate {
            estimate.recent = None;
        }
    }

    fn tell_target(&mut self) {
        let Some(estimate) = &mut self.estimate else { return };
        let target = estimate.controller.target();
        let (new, told) = (target.as_bps() as f64, estimate.told.as_bps() as f64);
        if (new - told).abs() < told * TOLD_CHANGE {
            return;
        }
        estimate.told = target;
        // A caller who does not read events finds the latest target.
        self.events.retain(|event| !matches!(event, Event::TargetBitrate(_)));
        self.events.push_back(Event::TargetBitrate(target));
    }
}
