//! Timed RTCP: sender and receiver reports, reference times, transport-wide feedback.

use std::time::{Duration, Instant};

use rand::Rng;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::rtcp::{
    DlrrEntry, NtpTime, ReportBlock, TransportCcHeader, Xr, XrBlock, compact_to_duration,
    duration_to_compact, write_receiver_report, write_sdes_cname, write_sender_report, write_transport_cc,
    write_xr_dlrr, write_xr_rrtr,
};

use super::Session;
use crate::recv_stream::RecvStream;

/// Time between reports, varied by ±50 % (RFC 3550 §6.2).
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Time between the connection and the first report.
const FIRST_REPORT: Duration = Duration::from_millis(100);
/// Size of an RTCP packet before encryption, in bytes.
const MAX_RTCP: usize = 1200;
/// A longer round trip time is discarded as the result of a clock that has jumped.
const MAX_RTT: Duration = Duration::from_secs(10);

/// The server's last receiver reference time (RFC 3611 §4.4).
#[derive(Clone, Copy, Debug)]
pub(super) struct ReferenceTime {
    ssrc: Ssrc,
    ntp: NtpTime,
    received_at: Instant,
}

impl Session {
    pub(super) fn start_reports(&mut self) {
        self.reports_at = Some(self.now + FIRST_REPORT);
    }

    pub(super) fn media_timeout(&self) -> Option<Instant> {
        self.srtp.as_ref()?;
        let streams = self.recv.iter().filter_map(RecvStream::poll_timeout);
        // A frame that is already due waits for the caller's poll and needs no timeout.
        let frames = self.recv.iter().filter_map(RecvStream::frame_due_at).filter(|&at| at > self.now);
        let estimate = self.estimate_timeout();
        streams.chain(frames).chain(self.reports_at).chain(self.twcc.poll_timeout()).chain(estimate).min()
    }

    pub(super) fn handle_media_timeout(&mut self) {
        if self.srtp.is_none() {
            return;
        }
        for at in 0..self.recv.len() {
            if self.recv[at].poll_timeout().is_some_and(|timeout| timeout <= self.now) {
                self.ask_for_missing(at);
            }
        }
        if self.twcc.poll_timeout().is_some_and(|timeout| timeout <= self.now) {
            self.send_transport_cc();
        }
        self.handle_estimate_timeout();
        if self.reports_at.is_some_and(|at| at <= self.now) {
            self.send_reports();
            let interval = REPORT_INTERVAL.mul_f64(self.rng.random_range(0.5..=1.5));
            self.reports_at = Some(self.now + interval);
        }
    }

    pub(super) fn on_report_block(&mut self, block: &ReportBlock) {
        let Some(stream) = self.send.iter_mut().find(|stream| stream.has_ssrc(block.ssrc)) else { return };
        if stream.ssrc() != block.ssrc {
            return stream.on_rtx_report();
        }
        let (lost, expected) =
            stream.on_report(block.fraction_lost, block.total_lost, block.highest_sequence_number);
        self.on_loss_report(lost, expected);
        self.note_rtt(block.last_sender_report, block.delay_since_last_sender_report);
    }

    pub(super) fn on_extended_report(&mut self, report: &Xr<'_>) {
        for block in report.blocks() {
            match block {
                XrBlock::ReceiverReferenceTime(ntp) => {
                    let (ssrc, received_at) = (report.sender_ssrc, self.now);
                    self.reference_time = Some(ReferenceTime { ssrc, ntp, received_at });
                }
                XrBlock::DelaySinceLastRr(entries) => {
                    let reporter = self.rtcp_sender();
                    for entry in entries.iter().filter(|entry| entry.ssrc == reporter) {
                        self.note_rtt(entry.last_reference_time, entry.delay);
                    }
                }
                XrBlock::Unknown { .. } => {}
            }
        }
    }

    /// Computes the round trip time from a timestamp that the server echoes; zero means none (RFC 3550 §6.4.1, RFC 3611
    /// §4.5).
    fn note_rtt(&mut self, echoed: u32, delay: u32) {
        if echoed == 0 {
            return;
        }
        let interval = self.clock.ntp(self.now).compact().wrapping_sub(echoed).wrapping_sub(delay);
        let rtt = compact_to_duration(interval);
        if rtt <= MAX_RTT {
            self.rtt = Some(rtt);
            self.on_estimate_rtt(rtt);
            self.recv.iter_mut().for_each(|stream| stream.set_rtt(rtt));
        }
    }

    /// Sends one compound for each outgoing stream, the first of which contains the report blocks of incoming streams.
    /// Without outgoing streams it is a receiver report. Sends nothing if no stream has sent or received packets.
    fn send_reports(&mut self) {
        let mut blocks = std::mem::take(&mut self.scratch.blocks);
        blocks.clear();
        self.recv.iter_mut().for_each(|stream| stream.report(self.now, &mut blocks));
        let ntp = self.clock.ntp(self.now);
        let reporter = self.rtcp_sender();
        let mut unreported = &blocks[..];
        for at in 0..self.send.len() {
            let stream = &self.send[at];
            let Some(info) = stream.sender_info(self.now, ntp) else { continue };
            let ssrc = stream.ssrc();
            let (now_reported, rest) = unreported.split_at(unreported.len().min(MAX_BLOCKS));
            unreported = rest;
            // Fails without SRTP keys only; a report is not needed then.
            let _ = self.with_rtcp(|session, out| {
                write_sender_report(out, ssrc, &info, now_reported);
                write_sdes_cname(out, &[(ssrc, session.cname.as_bytes())]);
                if let Some(reference) = &session.reference_time {
                    write_xr_dlrr(out, ssrc, &[reference.answer(session.now)]);
                }
            });
        }
        for chunk in unreported.chunks(MAX_BLOCKS) {
            let _ = self.with_rtcp(|session, out| {
                write_receiver_report(out, reporter, chunk);
                write_sdes_cname(out, &[(reporter, session.cname.as_bytes())]);
            });
        }
        if !blocks.is_empty() {
            let _ = self.with_rtcp(|_, out| {
                write_receiver_report(out, reporter, &[]);
                write_xr_rrtr(out, reporter, ntp);
            });
        }
        self.scratch.blocks = blocks;
    }

    fn send_transport_cc(&mut self) {
        let mut twcc = std::mem::take(&mut self.twcc);
        let sender_ssrc = self.rtcp_sender();
        let media_ssrc = self.recv.first().map_or(Ssrc(0), RecvStream::ssrc);
        twcc.handle_timeout(self.now);
        while let Some(feedback) = twcc.poll_feedback() {
            let header = TransportCcHeader {
                sender_ssrc,
                media_ssrc,
                base_sequence_number: feedback.base_seq,
                reference_time: feedback.reference_time as i32,
                feedback_count: feedback.feedback_count,
            };
            let _ = self.with_rtcp(|_, out| {
                write_transport_cc(out, &header, &feedback.statuses, MAX_RTCP);
            });
        }
        self.twcc = twcc;
    }
}

/// Report blocks in one compound of [`MAX_RTCP`] bytes: 24 bytes each, the rest for the CNAME.
const MAX_BLOCKS: usize = 31;

impl ReferenceTime {
    fn answer(&self, now: Instant) -> DlrrEntry {
        DlrrEntry {
            ssrc: self.ssrc,
            last_reference_time: self.ntp.compact(),
            delay: duration_to_compact(now.saturating_duration_since(self.received_at)),
        }
    }
}
