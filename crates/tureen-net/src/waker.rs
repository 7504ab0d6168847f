//! Interrupting the sleep of a worker thread from other threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::sys::Notifier;

/// Ends the [`Net::wait`](crate::Net::wait) of one worker, the present or the next one.
///
/// Post to the worker's queue first, then wake. Only the first wake of a sleeping worker costs a system call: waking a
/// worker that runs or has been woken already is one atomic operation.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<Shared>,
}

struct Shared {
    state: AtomicU8,
    notifier: Notifier,
}

/// The worker runs and will look at its queues before it sleeps, if it is told to.
const AWAKE: u8 = 0;
/// The worker sleeps or is about to: whoever moves the state on from here must notify.
const SLEEPING: u8 = 1;
/// Somebody woke the worker since its last wait ended.
const NOTIFIED: u8 = 2;

impl Waker {
    pub(crate) fn new(notifier: Notifier) -> Self {
        Self { shared: Arc::new(Shared { state: AtomicU8::new(AWAKE), notifier }) }
    }

    /// Wakes the worker. What this thread wrote before is visible to the worker once its wait has returned `true`.
    pub fn wake(&self) {
        // Acquire and release on both sides: the worker's swap in `end_sleep` reads this store or a later wake's, which
        // continues its release sequence.
        if self.shared.state.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING {
            self.shared.notifier.notify();
        }
    }

    /// Announces that the worker is about to wait. `false` if it must not block, because it was woken already.
    pub(crate) fn begin_sleep(&self) -> bool {
        self.shared.state.compare_exchange(AWAKE, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Announces that the wait is over. Whether a wake came since the last one was.
    pub(crate) fn end_sleep(&self) -> bool {
        self.shared.state.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waker").field("state", &self.shared.state).finish_non_exhaustive()
    }
}
