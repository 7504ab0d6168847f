//! Groups packets by the time they were sent and compares how groups left with how they arrived
//! (draft-ietf-rmcat-gcc-02 §5.2).

use super::Micros;
use super::history::Arrival;

/// Packets sent within this time of a group's first packet belong to the group, because pacers send bursts of this
/// length.
const GROUP_LENGTH: Micros = 5_000;

/// A packet that arrives this close to the previous one, and closer than it was sent, waited in the same queue and
/// joins its group.
const BURST_GAP: Micros = 5_000;

/// Longest group under that rule.
const MAX_BURST: Micros = 100_000;

/// After this many reordered groups in a row the remote clock counts as reset.
const MAX_REORDERED_GROUPS: u32 = 3;

/// Advance of the remote clock over ours that counts as a clock change.
const CLOCK_JUMP: Micros = 3_000_000;

/// Computes send and arrival deltas of packet groups.
#[derive(Debug, Default)]
pub(crate) struct InterArrival {
    current: Option<Group>,
    previous: Option<Group>,
    reordered: u32,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: Micros,
    last_sent: Micros,
    first_received: Micros,
    last_received: Micros,
    /// Local time of the feedback.
    reported: Micros,
}

/// Deltas between two neighbouring groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spacing {
    /// Send time delta.
    pub sent: Micros,
    /// Arrival time delta.
    pub received: Micros,
}

impl InterArrival {
    /// Adds the next packet in order of arrival. Returns the deltas of the last two complete groups when it starts a
    /// new one.
    pub(super) fn on_arrival(&mut self, now: Micros, packet: &Arrival) -> Option<Spacing> {
        let group = Group {
            first_sent: packet.sent_at,
            last_sent: packet.sent_at,
            first_received: packet.received_at,
            last_received: packet.received_at,
            reported: now,
        };
        let Some(current) = &mut self.current else {
            self.current = Some(group);
            return None;
        };
        if packet.sent_at < current.first_sent {
            return None; // Overtaken by a later group.
        }
        if current.includes(packet) {
            current.last_sent = current.last_sent.max(packet.sent_at);
            current.last_received = packet.received_at;
            current.reported = now;
            return None;
        }
        let finished = *current;
        let spacing = self.previous.map(|previous| finished.after(&previous));
        match spacing {
            Some((spacing, reported)) if spacing.received - reported >= CLOCK_JUMP => {
                *self = Self::default();
                return None;
            }
            Some((spacing, _)) if spacing.received < 0 => {
                self.reordered += 1;
                if self.reordered >= MAX_REORDERED_GROUPS {
                    *self = Self::default();
                }
                return None;
            }
            _ => self.reordered = 0,
        }
        self.previous = Some(finished);
        self.current = Some(group);
        spacing.map(|(spacing, _)| spacing)
    }
}

impl Group {
    fn includes(&self, packet: &Arrival) -> bool {
        let sent = packet.sent_at - self.last_sent;
        let received = packet.received_at - self.last_received;
        let queued =
            received < sent && received <= BURST_GAP && packet.received_at - self.first_received < MAX_BURST;
        sent == 0 || queued || packet.sent_at - self.first_sent <= GROUP_LENGTH
    }

    /// Deltas to the previous group, and the time between the feedback of both.
    fn after(&self, previous: &Group) -> (Spacing, Micros) {
        let spacing = Spacing {
            sent: self.last_sent - previous.last_sent,
            received: self.last_received - previous.last_received,
        };
        (spacing, self.reported - previous.reported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sent_ms: i64, received_ms: i64) -> Arrival {
        Arrival {
            sent_at: sent_ms * 1000,
            received_at: received_ms * 1000,
            size: 1000,
            probe: 0,
            was_lost: false,
        }
    }

    fn spacings(packets: &[(i64, i64)]) -> Vec<(i64, i64)> {
        let mut inter_arrival = InterArrival::default();
        let feed = packets.iter().filter_map(|&(sent, received)| {
            inter_arrival.on_arrival(received * 1000, &packet(sent, received))
        });
        feed.map(|spacing| (spacing.sent / 1000, spacing.received / 1000)).collect()
    }

    #[test]
    fn groups_are_compared_by_their_last_packets() {
        let frames = [(0, 50), (1, 52), (20, 70), (22, 80), (40, 100), (60, 120)];
        assert_eq!(spacings(&frames), [(21, 28), (18, 20)]);
    }

    #[test]
    fn packets_that_queued_together_are_one_group() {
        // Sent 10 ms apart, but delivered by the network in one burst.
        assert_eq!(
            spacings(&[(0, 50), (10, 100), (20, 101), (30, 102), (60, 132), (90, 162)]),
            [(30, 52), (30, 30)]
        );
    }

    #[test]
    fn overtaken_packet_is_left_out() {
        assert_eq!(spacings(&[(0, 50), (20, 70), (10, 71), (40, 90), (60, 110)]), [(20, 20), (20, 20)]);
    }

    #[test]
    fn clock_change_restarts_the_measurement() {
        let mut inter_arrival = InterArrival::default();
        assert_eq!(inter_arrival.on_arrival(0, &packet(0, 0)), None);
        assert_eq!(inter_arrival.on_arrival(20_000, &packet(20, 20)), None);
        assert!(inter_arrival.on_arrival(40_000, &packet(40, 9_000)).is_some());
        assert_eq!(inter_arrival.on_arrival(60_000, &packet(60, 9_020)), None, "the jump is no delay");
        assert_eq!(inter_arrival.on_arrival(80_000, &packet(80, 9_040)), None);
    }
}
