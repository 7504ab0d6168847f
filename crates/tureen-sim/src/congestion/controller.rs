//! Interface of a flow's congestion control, implemented by Tureen's and by the reference.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use tureen_rtc::bwe::Budget;
use tureen_rtc::bwe::{BweConfig, CongestionController};
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtcp::TransportCc;

use super::reference::Reference;

/// Congestion control of a sender.
#[derive(Clone, Debug)]
pub enum Algorithm {
    /// Congestion control of Tureen.
    Tureen,
    /// Congestion control of libwebrtc, in the program at this path, which `scripts/reference-gcc` builds.
    Reference(PathBuf),
}

impl Algorithm {
    /// Creates the controller of a flow that starts now and can use up to `desired`. Fails if the program cannot be
    /// started.
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

/// Congestion control of a sender.
pub(super) trait Controller: Debug {
    /// Bitrate that may be sent in total, including overhead below RTP.
    fn target(&self) -> Bitrate;

    /// Bitrates for the allocation among consumers.
    fn budget(&self, _now: Instant) -> Budget {
        Budget::lasting(self.target())
    }

    /// Handles the sending of packet `seq`, which has `size` bytes without overhead.
    fn on_sent(&mut self, now: Instant, seq: u16, size: usize);

    /// Handles received feedback.
    fn on_feedback(&mut self, now: Instant, feedback: &TransportCc<'_>);

    /// Handles the passing of time.
    fn handle_timeout(&mut self, now: Instant);

    /// Number of bytes that may be sent now.
    fn allowance(&mut self, now: Instant) -> usize;

    /// Time at which more may be sent, if the allowance is zero.
    fn next_burst(&mut self, now: Instant) -> Instant;

    /// Next burst to send now as a probe; call again until `None`.
    fn poll_probe(&mut self, now: Instant) -> Option<Burst>;

    /// Takes the error of an external program, after which the program is not used any more.
    fn take_error(&mut self) -> Option<io::Error> {
        None
    }
}

/// Part of a probe that is sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Burst {
    /// Minimum number of bytes.
    pub bytes: usize,
    /// True if packets that wait for the pacer are sent first, with padding for the rest only.
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
        // Media that is sent in the meantime is counted separately.
        self.poll_probe(now).map(|shot| Burst { bytes: shot.bytes, media_first: false })
    }
}
