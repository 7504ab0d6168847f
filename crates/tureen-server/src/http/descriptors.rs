//! File descriptors of the process, and their division between connections and media.

use tracing::{debug, warn};

use crate::config::ServerConfig;

/// Descriptors reserved for each media worker: sockets, poller, waker, and TCP streams of clients (ICE over TCP).
const PER_WORKER: usize = 512;
/// Descriptors reserved for everything else: files, the runtime.
const SPARE: usize = 64;

/// Descriptors for each purpose, so that connections never take those of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) connections: usize,
    pub(crate) plain_sockets: usize,
}

/// Raises the process's soft limit to the need of the configuration, as far as the hard limit lets it, and divides the
/// descriptors. Logs a warning if the system allows fewer than the configuration.
pub(crate) fn plan(config: &ServerConfig) -> Budget {
    let asked =
        Budget { connections: config.limits.max_connections, plain_sockets: config.limits.max_plain_sockets };
    let kept = config.worker_count() * PER_WORKER + SPARE + open_now();
    let needed = asked.connections.saturating_add(asked.plain_sockets).saturating_add(kept);
    let Some(allowed) = raise(needed) else { return asked };
    let budget = divide(allowed, kept, asked);
    if budget != asked {
        let Budget { connections, plain_sockets } = budget;
        warn!(
            allowed,
            needed,
            connections,
            plain_sockets,
            "the system allows fewer file descriptors than limits.max_connections and limits.max_plain_sockets need: \
             raise the hard limit (ulimit -Hn, LimitNOFILE)"
        );
    }
    budget
}

/// Divides `allowed` descriptors, of which `kept` are reserved. Both parts have at least one, because a server without
/// connections is useless.
fn divide(allowed: usize, kept: usize, asked: Budget) -> Budget {
    let plain_sockets = asked.plain_sockets.min(allowed / 4).max(1);
    // The reserved number is an estimate for a large server. A small limit is divided into halves.
    let rest = allowed.saturating_sub(kept + plain_sockets).max((allowed - plain_sockets) / 2);
    Budget { connections: asked.connections.min(rest).max(1), plain_sockets }
}

/// Number of descriptors that the process has open.
fn open_now() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(SPARE, Iterator::count)
}

/// Raises the soft limit to `needed`, or as far as it goes, and returns it; `None` if there is none.
#[cfg(unix)]
fn raise(needed: usize) -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let current = current?;
    let wanted = (needed as u64).min(maximum.unwrap_or(u64::MAX));
    let mut allowed = current;
    if wanted > current {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
            Ok(()) => {
                debug!(from = current, to = wanted, "limit of file descriptors raised");
                allowed = wanted;
            }
            Err(error) => warn!(%error, current, wanted, "the limit of file descriptors can't be raised"),
        }
    }
    Some(usize::try_from(allowed).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn raise(_needed: usize) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Budget = Budget { connections: 10_000, plain_sockets: 1024 };

    #[test]
    fn connections_leave_descriptors_to_media() {
        assert_eq!(divide(20_000, 1200, ASKED), ASKED);
        assert_eq!(
            divide(4096, 1200, ASKED),
            Budget { connections: 4096 - 1200 - 1024, plain_sockets: 1024 }
        );
        let Budget { connections, plain_sockets } = divide(1024, 1200, ASKED);
        assert_eq!((connections, plain_sockets), (384, 256));
        let least = divide(16, 1200, ASKED);
        assert!(least.connections >= 1 && least.plain_sockets >= 1, "{least:?}");
    }
}
