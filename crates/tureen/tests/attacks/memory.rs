//! How much memory the process has allocated.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

// SAFETY: everything is passed on to the system's allocator; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller's duties are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often attackers and victim take turns.
const ROUNDS: usize = 200;
/// After these everything has its size.
const WARM_UP: usize = 40;
/// What comes and goes, in bytes: connections of the last round, mostly. An attack has several times that to leave
/// behind.
const TOLERANCE: isize = 1 << 20;

/// Whoever holds it is the only test that runs.
pub(crate) struct Alone {
    _guard: MutexGuard<'static, ()>,
}

impl Alone {
    pub(crate) fn wait() -> Self {
        Self { _guard: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Lets attackers and their victim take turns. Nothing that an attacker does may add up in memory.
    pub(crate) fn assert_undisturbed(&self, mut attack: impl FnMut(), mut exchange: impl FnMut()) {
        let mut before = 0;
        for round in 0..ROUNDS {
            if round == WARM_UP {
                before = LIVE.load(Ordering::Relaxed);
            }
            attack();
            exchange();
        }
        let growth = LIVE.load(Ordering::Relaxed) - before;
        println!("{growth} bytes more than before");
        assert!(growth < TOLERANCE, "{growth} bytes more than before");
    }
}
