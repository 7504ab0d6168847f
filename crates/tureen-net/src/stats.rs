//! Counters of one worker's sockets.

/// Totals since the creation of the [`Net`](crate::Net). Every datagram that was not delivered or not sent is counted
/// by exactly one of the `dropped_*` counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Datagrams received, without dropped ones.
    pub datagrams_in: u64,
    /// Payload bytes of the same.
    pub bytes_in: u64,
    /// Datagrams that the kernel or a pipe has accepted.
    pub datagrams_out: u64,
    /// Payload bytes of the same.
    pub bytes_out: u64,

    /// System calls that wait for readiness.
    pub wait_calls: u64,
    /// System calls that receive, including those without a result.
    pub receive_calls: u64,
    /// System calls that send, including failed ones.
    pub send_calls: u64,
    /// Wakes that ended a wait or kept it from blocking.
    pub wakes: u64,

    /// Received datagrams larger than `NetConfig::datagram_size`.
    pub dropped_truncated: u64,
    /// Datagrams not sent because the send buffer of the socket, the send queue of a TCP stream or a pipe was full.
    pub dropped_send_buffer_full: u64,
    /// Datagrams dropped because they waited longer than
    /// [`NetConfig::stream_queue_time`](crate::NetConfig::stream_queue_time) for a TCP stream. They are counted in
    /// `datagrams_out` too.
    pub dropped_late: u64,
    /// Datagrams not sent because the kernel refused them (destination unreachable, larger than the path's MTU,
    /// forbidden by a firewall, port 0) or the other end of a pipe is closed.
    pub dropped_send_error: u64,
    /// Datagrams committed for a token without a socket.
    pub dropped_no_socket: u64,

    /// TCP streams that ended other than by [`Net::close`](crate::Net::close).
    pub streams_ended: u64,
    /// TCP connections that the operating system had no resources for.
    pub accept_errors: u64,

    /// Receive calls that failed, mostly because of a pending ICMP error on a connected socket.
    pub receive_errors: u64,
    /// Runs that the kernel refused as one GSO message, so that they were sent datagram by datagram.
    pub gso_fallbacks: u64,
    /// Messages sent, also by pipes, by number of datagrams: 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64. A datagram sent
    /// without GSO is a message of 1.
    pub run_lengths: [u64; 7],
}

impl NetStats {
    /// Counts one message of `datagrams` datagrams that the kernel has accepted.
    pub(crate) fn record_sent(&mut self, datagrams: usize, bytes: usize) {
        self.datagrams_out += datagrams as u64;
        self.bytes_out += bytes as u64;
        let bucket = datagrams.max(1).next_power_of_two().trailing_zeros() as usize;
        self.run_lengths[bucket.min(self.run_lengths.len() - 1)] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_lengths_fall_in_their_buckets() {
        let mut stats = NetStats::default();
        for datagrams in [1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64] {
            stats.record_sent(datagrams, 100);
        }
        assert_eq!(stats.run_lengths, [1, 1, 2, 2, 2, 2, 2]);
        assert_eq!(stats.datagrams_out, 194);
        assert_eq!(stats.bytes_out, 1200);
    }
}
