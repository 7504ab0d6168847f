//! Memory allocated by the process.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

// SAFETY: every call is forwarded to the system's allocator, and counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: the caller meets the requirements of the system's allocator.
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

/// Number of rounds of attacker and victim.
const ROUNDS: usize = 200;
/// Number of rounds after which all buffers have their final size.
const WARM_UP: usize = 40;
/// Tolerated growth in bytes, mostly for connections of the last round. A leak of an attack would be several times
/// larger.
const TOLERANCE: isize = 1 << 20;

/// Lock of the only test that runs.
pub(crate) struct Alone {
    _guard: MutexGuard<'static, ()>,
}

impl Alone {
    pub(crate) fn wait() -> Self {
        Self { _guard: ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Runs attacker and victim in turn, and asserts that memory does not grow.
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
