//! libwebrtc's congestion control, which runs in a separate program: `crates/tureen-sim/reference`.
//!
//! Each event is sent to the program as a line, which it answers with a line before virtual time goes on; `main.cc`
//! documents the format. This module is the sender around it: it sends a tick every 25 ms, and paces packets at the
//! rate that the program returns, as libwebrtc does.

use std::fmt::{Debug, Write as _};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use tureen_rtc::bwe::BweConfig;
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtcp::{PacketStatus, TransportCc, TransportCcHeader};

use super::controller::{Burst, Controller};

/// Time in microseconds at which both clocks start. It is not zero, because libwebrtc reads zero as an unset time.
const EPOCH: i64 = 100_000_000;
/// Interval of libwebrtc's process calls.
const TICK: Duration = Duration::from_millis(25);
/// Duration of a burst of the pacer at its rate.
const BURST: Duration = Duration::from_millis(5);
/// Upper limit of the target in multiples of the desired bitrate.
const MAX_BY_DESIRED: f64 = 1.35;

/// Controller that forwards every event to the program.
#[derive(Debug)]
pub(super) struct Reference {
    peer: Box<dyn Peer>,
    epoch: Instant,
    overhead: u32,
    answer: Answer,
    next_tick: Instant,
    /// Number of packets sent so far.
    sent: u64,
    /// Transport-wide sequence number of the next packet.
    next_seq: u16,
    /// Bytes that were sent ahead of the pacing rate.
    debt: f64,
    drained_at: Instant,
    error: Option<io::Error>,
}

/// Program that answers lines.
pub(super) trait Peer: Debug {
    /// Sends a line and waits for the answer, both without the line end.
    fn ask(&mut self, line: &str) -> io::Result<String>;
}

/// Last answer of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    target: Bitrate,
    pacing: Bitrate,
    /// Time of the next burst of a probe in microseconds, and its minimum size in bytes.
    probe: Option<(i64, usize)>,
}

impl Reference {
    pub(super) fn spawn(
        program: &Path,
        now: Instant,
        config: BweConfig,
        desired: Bitrate,
    ) -> io::Result<Self> {
        Self::new(Box::new(Process::spawn(program)?), now, config, desired)
    }

    fn new(mut peer: Box<dyn Peer>, now: Instant, config: BweConfig, desired: Bitrate) -> io::Result<Self> {
        let BweConfig { initial, min, max, overhead } = config;
        let max = max.min(desired * MAX_BY_DESIRED);
        let rates = [initial, min, max, desired].map(Bitrate::as_bps);
        let [initial, min, max, desired] = rates;
        let answer = peer.ask(&format!("start {EPOCH} {initial} {min} {max} {desired}"))?.parse()?;
        Ok(Self {
            peer,
            epoch: now,
            overhead,
            answer,
            next_tick: now + TICK,
            sent: 0,
            next_seq: 0,
            debt: 0.0,
            drained_at: now,
            error: None,
        })
    }

    fn tell(&mut self, line: &str) {
        if self.error.is_some() {
            return;
        }
        match self.peer.ask(line).and_then(|answer| answer.parse()) {
            Ok(answer) => self.answer = answer,
            Err(error) => self.error = Some(error),
        }
    }

    fn micros(&self, now: Instant) -> i64 {
        EPOCH + now.saturating_duration_since(self.epoch).as_micros() as i64
    }

    fn drain(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(std::mem::replace(&mut self.drained_at, now));
        self.debt = (self.debt - self.answer.pacing.as_bps() as f64 / 8.0 * elapsed.as_secs_f64()).max(0.0);
    }
}

impl Controller for Reference {
    fn target(&self) -> Bitrate {
        self.answer.target
    }

    fn on_sent(&mut self, now: Instant, seq: u16, size: usize) {
        let size = size as u64 + u64::from(self.overhead);
        self.drain(now);
        self.debt += size as f64;
        self.tell(&format!("sent {} {} {size}", self.micros(now), self.sent));
        self.sent += 1;
        self.next_seq = seq.wrapping_add(1);
    }

    fn on_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>) {
        let mut line = format!("feedback {}", self.micros(now));
        let unit = TransportCcHeader::REFERENCE_TIME_UNIT.as_micros() as i64;
        let mut arrival = EPOCH + i64::from(feedback.header.reference_time) * unit;
        for PacketStatus { sequence_number, delta } in feedback.statuses() {
            let behind = self.next_seq.wrapping_sub(sequence_number);
            let Some(number) = self.sent.checked_sub(u64::from(behind)) else { continue };
            let written = match delta {
                Some(delta) => {
                    arrival += i64::from(delta) * PacketStatus::DELTA_UNIT.as_micros() as i64;
                    write!(line, " {number}:{arrival}")
                }
                None => write!(line, " {number}:-"),
            };
            written.expect("writing to a string never fails");
        }
        self.tell(&line);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.next_tick {
            self.next_tick += TICK;
            self.tell(&format!("tick {}", self.micros(now)));
        }
    }

    fn allowance(&mut self, now: Instant) -> usize {
        self.drain(now);
        // During a probe all packets are sent at the probe's rate.
        match self.answer.probe {
            Some(_) => 0,
            None => (self.answer.pacing.bytes_in(BURST) as f64 - self.debt).max(0.0) as usize,
        }
    }

    fn next_burst(&mut self, now: Instant) -> Instant {
        self.drain(now);
        let bytes_per_second = (self.answer.pacing.as_bps() as f64 / 8.0).max(1.0);
        now + Duration::from_secs_f64((self.debt / bytes_per_second).min(1.0))
    }

    fn poll_probe(&mut self, now: Instant) -> Option<Burst> {
        let (due, bytes) = self.answer.probe?;
        (due <= self.micros(now) && self.error.is_none()).then_some(Burst { bytes, media_first: true })
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

impl FromStr for Answer {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let words: Vec<_> = line.split(' ').collect();
        let parsed = || {
            let [target, pacing, due, bytes] = words[..] else { return None };
            let rate = |word: &str| word.parse().ok().map(Bitrate::bps);
            let probe = match due {
                "-" => None,
                due => Some((due.parse().ok()?, bytes.parse().ok().filter(|&bytes| bytes > 0)?)),
            };
            Some(Self { target: rate(target)?, pacing: rate(pacing)?, probe })
        };
        parsed().ok_or_else(|| io::Error::other(format!("not an answer: {line:?}")))
    }
}

/// Child process, which ends when its input is closed.
#[derive(Debug)]
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn spawn(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output was piped"));
        Ok(Self { child, input, output })
    }
}

impl Peer for Process {
    fn ask(&mut self, line: &str) -> io::Result<String> {
        let input = self.input.as_mut().expect("the input is taken only in drop");
        // One write for the whole line, because two would wake up the program twice.
        input.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        answer.strip_suffix('\n').map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        // A failure cannot be reported here.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;
    use tureen_rtc::units::Ssrc;
    use tureen_rtc::wire::rtcp::{RtcpCompound, RtcpPacket, write_transport_cc};

    /// Test program that gives prepared answers in order, and keeps the lines that it receives.
    #[derive(Clone, Debug)]
    struct Script {
        asked: Arc<Mutex<Vec<String>>>,
        answers: VecDeque<&'static str>,
    }

    impl Peer for Script {
        fn ask(&mut self, line: &str) -> io::Result<String> {
            self.asked.lock().unwrap().push(line.to_owned());
            self.answers.pop_front().map(str::to_owned).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn scripted(answers: &[&'static str]) -> (Reference, Arc<Mutex<Vec<String>>>, Instant) {
        let script = Script { asked: Arc::default(), answers: answers.iter().copied().collect() };
        let (asked, now) = (script.asked.clone(), now());
        let reference = Reference::new(Box::new(script), now, BweConfig::default(), Bitrate::mbps(10));
        (reference.unwrap(), asked, now)
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time begins now")]
    fn now() -> Instant {
        Instant::now()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const IDLE: &str = "600000 1500000 - 0";

    #[test]
    fn each_event_is_a_line() {
        let (mut reference, asked, now) = scripted(&[IDLE; 6]);
        reference.on_sent(now + millis(1), 0xffff, 1200);
        reference.on_sent(now + millis(2), 0, 80);
        reference.on_sent(now + millis(3), 1, 80);
        let header = TransportCcHeader {
            sender_ssrc: Ssrc(1),
            media_ssrc: Ssrc(2),
            base_sequence_number: 0xffff,
            reference_time: 2,
            feedback_count: 0,
        };
        let mut bytes = Vec::new();
        write_transport_cc(&mut bytes, &header, &[Some(4), None, Some(-1)], 1200);
        let Some(Ok(RtcpPacket::TransportCc(feedback))) = RtcpCompound::new(&bytes).next() else { panic!() };
        reference.on_feedback(now + millis(60), &feedback);
        reference.handle_timeout(now + millis(60));
        let expected = [
            "start 100000000 600000 5000 13500000 10000000",
            "sent 100001000 0 1228",
            "sent 100002000 1 108",
            "sent 100003000 2 108",
            "feedback 100060000 0:100129000 1:- 2:100128750",
            "tick 100060000",
        ];
        assert_eq!(*asked.lock().unwrap(), expected);
        assert!(reference.take_error().is_none());
    }

    #[test]
    fn answers_set_target_and_pace() {
        let (mut reference, _, now) = scripted(&[IDLE, "1000000 2000000 - 0"]);
        assert_eq!(reference.target(), Bitrate::kbps(600));
        reference.on_sent(now, 1, 2_472);
        assert_eq!(reference.target(), Bitrate::mbps(1));
        assert_eq!(reference.allowance(now), 0);
        assert_eq!(reference.next_burst(now), now + millis(10), "2500 bytes at 2 Mbit/s");
        assert_eq!(reference.allowance(now + millis(10)), 1250);
    }

    #[test]
    fn probe_stops_other_media_and_is_sent_when_due() {
        let (mut reference, _, now) = scripted(&["600000 1500000 100002000 450", IDLE]);
        assert_eq!(reference.allowance(now), 0);
        assert_eq!(reference.poll_probe(now + millis(1)), None);
        let burst = Burst { bytes: 450, media_first: true };
        assert_eq!(reference.poll_probe(now + millis(2)), Some(burst));
        reference.on_sent(now + millis(2), 1, 450);
        assert_eq!(reference.poll_probe(now + millis(2)), None);
    }

    #[test]
    fn invalid_answer_is_an_error_and_ends_the_exchange() {
        for line in ["", "600000", "600000 1500000 -", "a b - 0", "1 2 3 0", "1 2 - 0 5"] {
            assert!(line.parse::<Answer>().is_err(), "{line:?}");
        }
        let (mut reference, asked, now) = scripted(&[IDLE, "what?"]);
        reference.handle_timeout(now + millis(25));
        reference.handle_timeout(now + millis(50));
        assert_eq!(asked.lock().unwrap().len(), 2);
        assert!(reference.take_error().is_some_and(|error| error.to_string().contains("what?")));
    }
}
