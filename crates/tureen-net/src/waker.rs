//! Waking a worker thread from other threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::sys::Notifier;

/// Ends the current or the next [`Net::wait`](crate::Net::wait) of one worker.
///
/// Post to the worker's queue first, then wake. Only the first wake of a sleeping worker costs a system call; waking
/// a worker that runs or was woken before is one atomic operation.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<Shared>,
}

struct Shared {
    state: AtomicU8,
    notifier: Notifier,
}

/// The worker runs. It reads its queues before it sleeps, if it was woken.
const AWAKE: u8 = 0;
/// The worker sleeps or is about to: whoever changes this state must notify the poller.
const SLEEPING: u8 = 1;
/// The worker was woken since its last wait ended.
const NOTIFIED: u8 = 2;

impl Waker {
    pub(crate) fn new(notifier: Notifier) -> Self {
        Self { shared: Arc::new(Shared { state: AtomicU8::new(AWAKE), notifier }) }
    }

    /// Wakes the worker. Earlier writes of this thread are visible to the worker when its wait has returned `true`.
    pub fn wake(&self) {
        // Acquire and release on both sides: the worker's swap in `end_sleep` reads this store or a later wake's, which
        // continues its release sequence.
        if self.shared.state.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING {
            self.shared.notifier.notify();
        }
    }

    /// Announces that the worker is about to wait. False if it must not block, because it was woken before.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.shared.state.compare_exchange(AWAKE, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Announces that the wait is over. Returns true if the worker was woken since the last one.
    pub(crate) fn end_sleep(&self) -> bool {
        self.shared.state.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("state", &self.shared.state).finish_non_exhaustive()
    }
}
