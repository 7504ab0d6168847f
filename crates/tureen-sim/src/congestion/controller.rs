//! What decides how much a flow sends: Tureen's congestion control, or the one it is compared with.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use tureen_rtc::bwe::Budget;
use tureen_rtc::bwe::{BweConfig, CongestionController};
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtcp::TransportCc;

use super::reference::Reference;

/// Which congestion control a sender has.
#[derive(Clone, Debug)]
pub enum Algorithm {
    /// Tureen's.
    Tureen,
    /// libwebrtc's, in the program that `scripts/reference-gcc` builds.
    Reference(PathBuf),
}

impl Algorithm {
    /// A controller of a flow that begins now and has a use for `desired`. Fails if the program does.
    pub(super) fn controller(&self, now: Instant, desired: Bitrate) -> io::Result<Box<dyn Controller>> {
        let config = BweConfig::default();
        match self {
            Self::Tureen => {
                let mut controller = CongestionController::new(now, config);
                controller.set_desired(now, desired);
                controller.start_probing(now);
                Ok(Box::new(controller))
            }
            Self::Reference(program) => Ok(Box::new(Reference::spawn(program, now, config, desired)?)),
        }
    }
}

/// A sender's congestion control.
pub(super) trait Controller: Debug {
    /// How much may be sent in all, including overhead below RTP.
    fn target(&self) -> Bitrate;

    /// What there is to share among consumers.
    fn budget(&self, _now: Instant) -> Budget {
        Budget::lasting(self.target())
    }

    /// Packet `seq` leaves, which has `size` bytes without overhead.
    fn on_sent(&mut self, now: Instant, seq: u16, size: usize);

    /// Feedback came.
    fn on_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>);

    /// Time passed.
    fn handle_timeout(&mut self, now: Instant);

    /// How many bytes may be sent now.
    fn allowance(&mut self, now: Instant) -> usize;

    /// When more may be sent, if nothing may be now.
    fn next_burst(&mut self, now: Instant) -> Instant;

    /// What to send now to probe the path: ask again after that.
    fn poll_probe(&mut self, now: Instant) -> Option<Burst>;

    /// What went wrong with the program behind it, if anything did: then it says nothing new any more.
    fn take_error(&mut self) -> Option<io::Error> {
        None
    }
}

/// A part of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Burst {
    /// At least so many bytes.
    pub bytes: usize,
    /// Packets that wait for the pacer come first, and padding only makes up the rest.
    pub media_first: bool,
}

impl Controller for CongestionController {
    fn target(&self) -> Bitrate {
        self.target()
    }

    fn budget(&self, now: Instant) -> Budget {
        self.budget(now)
    }

    fn on_sent(&mut self, now: Instant, seq: u16, size: usize) {
        let mut run = self.start_run(now, true);
        run.on_packet(Some(seq), size);
        run.finish();
    }

    fn on_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>) {
        self.on_feedback(now, feedback);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn allowance(&mut self, now: Instant) -> usize {
        self.allowance(now)
    }

    fn next_burst(&mut self, now: Instant) -> Instant {
        self.next_burst(now)
    }

    fn poll_probe(&mut self, now: Instant) -> Option<Burst> {
        // Media that is sent meanwhile counts by itself.
        self.poll_probe(now).map(|shot| Burst { bytes: shot.bytes, media_first: false })
    }
}
