//! Resource usage of this process.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

/// Resource usage of this process so far (POSIX `getrusage`). Fields that the system does not count are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// CPU time in user code, in milliseconds.
    pub user_time_ms: u64,
    /// CPU time in the kernel, in milliseconds.
    pub system_time_ms: u64,
    /// Maximum of resident memory, in KiB (on macOS in bytes).
    pub max_rss: u64,
    /// Shared memory.
    pub shared_memory: u64,
    /// Data that is not shared.
    pub unshared_data: u64,
    /// Stack that is not shared.
    pub unshared_stack: u64,
    /// Page faults without input.
    pub minor_faults: u64,
    /// Page faults with input.
    pub major_faults: u64,
    /// Number of times that the process was swapped out.
    pub swaps: u64,
    /// Reads from a file system.
    pub block_inputs: u64,
    /// Writes to a file system.
    pub block_outputs: u64,
    /// IPC messages sent.
    pub messages_sent: u64,
    /// IPC messages received.
    pub messages_received: u64,
    /// Signals received.
    pub signals: u64,
    /// Voluntary context switches.
    pub voluntary_switches: u64,
    /// Involuntary context switches.
    pub involuntary_switches: u64,
}

impl ResourceUsage {
    /// Queries the operating system.
    pub fn now() -> Self {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is to a `rusage`, which the call fills.
        let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
        assert_eq!(result, 0, "getrusage knows this process and has room for its answer");
        // SAFETY: all bytes were zero, which is a valid value, and the call has filled them.
        let usage = unsafe { usage.assume_init() };
        let count = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
        let ms = |time: libc::timeval| count(time.tv_sec) * 1000 + time.tv_usec as u64 / 1000;
        Self {
            user_time_ms: ms(usage.ru_utime),
            system_time_ms: ms(usage.ru_stime),
            max_rss: count(usage.ru_maxrss),
            shared_memory: count(usage.ru_ixrss),
            unshared_data: count(usage.ru_idrss),
            unshared_stack: count(usage.ru_isrss),
            minor_faults: count(usage.ru_minflt),
            major_faults: count(usage.ru_majflt),
            swaps: count(usage.ru_nswap),
            block_inputs: count(usage.ru_inblock),
            block_outputs: count(usage.ru_oublock),
            messages_sent: count(usage.ru_msgsnd),
            messages_received: count(usage.ru_msgrcv),
            signals: count(usage.ru_nsignals),
            voluntary_switches: count(usage.ru_nvcsw),
            involuntary_switches: count(usage.ru_nivcsw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_has_used_memory() {
        let usage = ResourceUsage::now();
        assert!(usage.max_rss > 100, "{usage:?}");
        assert!(usage.minor_faults > 0, "{usage:?}");
    }
}
