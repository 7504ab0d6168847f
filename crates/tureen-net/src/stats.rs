//! Counters of one worker's network.

/// Totals since the [`Net`](crate::Net) was made. Every datagram that was not delivered or not sent is in exactly one of
/// the `dropped_*` counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetStats {
    /// Datagrams received, without dropped ones.
    pub datagrams_in: u64,
    /// Their payload bytes.
    pub bytes_in: u64,
    /// Datagrams that the kernel, or a pipe, took for sending.
    pub datagrams_out: u64,
    /// Their payload bytes.
    pub bytes_out: u64,

    /// System calls made to wait for readiness.
    pub wait_calls: u64,
    /// System calls made to receive, also those that found nothing.
    pub receive_calls: u64,
    /// System calls made to send, also those that failed.
    pub send_calls: u64,
    /// Times that the waker ended a wait or kept one from blocking.
    pub wakes: u64,

    /// Received datagrams larger than `NetConfig::datagram_size`.
    pub dropped_truncated: u64,
    /// Datagrams not sent because the socket's send buffer, the send queue of a TCP stream
    /// or a pipe was full.
    pub dropped_send_buffer_full: u64,
    /// Datagrams dropped because they had waited for a TCP stream longer than
    /// [`NetConfig::stream_queue_time`](crate::NetConfig::stream_queue_time). They are among `datagrams_out`, too.
    pub dropped_late: u64,
    /// Datagrams not sent because the kernel refused them: destination unreachable or refused, larger than the path's MTU
    /// allows, forbidden by a firewall, port 0; or the other end of a pipe is closed.
    pub dropped_send_error: u64,
    /// Datagrams committed for a token that names no socket.
    pub dropped_no_socket: u64,

    /// TCP streams that ended otherwise than by [`Net::close`](crate::Net::close).
    pub streams_ended: u64,
    /// Times that the operating system had no room for another TCP connection.
    pub accept_errors: u64,

    /// Receive calls that failed, mostly because an ICMP error was pending on a connected socket.
    pub receive_errors: u64,
    /// Runs that the kernel refused as one GSO message and that were sent datagram by datagram.
    pub gso_fallbacks: u64,
    /// Messages sent, also by pipes, by how many datagrams each held: 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64. A datagram that was sent
    /// without GSO is a message of 1.
    pub run_lengths: [u64; 7],
}

impl NetStats {
    /// Counts one message of `datagrams` datagrams that the kernel took.
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
