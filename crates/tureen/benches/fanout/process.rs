//! Counters of the kernel and the allocator for this process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// Allocator that counts the allocations of the [counted](count_this_thread) thread.
struct Counting;

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static COUNTED_TID: AtomicI32 = AtomicI32::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    if COUNTED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller meets the contract of GlobalAlloc.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Counts the allocations and the CPU time of the calling thread from now on.
pub(crate) fn count_this_thread() {
    COUNTED.set(true);
    COUNTED_TID.store(this_thread(), Ordering::Relaxed);
}

/// The thread that is counted.
pub(crate) fn counted_thread() -> i32 {
    COUNTED_TID.load(Ordering::Relaxed)
}

/// Allocations of the counted thread.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

pub(crate) fn this_thread() -> i32 {
    // SAFETY: gettid has no preconditions.
    unsafe { libc::gettid() }
}

/// Keeps the calling thread, and those it starts, on one CPU.
pub(crate) fn pin(cpu: usize) {
    // SAFETY: an all-zero cpu_set_t is valid, and the call reads no more than its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

/// Nanoseconds that a thread of this process has run.
pub(crate) fn thread_cpu_ns(tid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat")).expect("a running thread");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("schedstat begins with nanoseconds")
}

/// Ticks of user and system time of a thread.
pub(crate) fn thread_ticks(tid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("a running thread");
    let fields: Vec<&str> = text.rsplit(") ").next().expect("a name in brackets").split(' ').collect();
    let number = |index: usize| fields[index].parse().expect("a number of ticks");
    (number(11), number(12))
}

/// Resident memory of this process in bytes.
pub(crate) fn rss() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = text.split(' ').nth(1).and_then(|p| p.parse().ok()).expect("pages");
    // SAFETY: sysconf has no preconditions.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64
}
