//! The events of a plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Churn, Plan, Seat};

/// What a peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It joins.
    Join,
    /// It leaves, and says so.
    Leave,
    /// It falls silent for good.
    Vanish,
    /// It loses its connections without a word and joins again at once under the same name.
    Reconnect,
}

/// An event of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When, since the start.
    pub at: Duration,
    /// Whose seat.
    pub seat: Seat,
    /// How many had the seat before.
    pub generation: u32,
    /// What happens.
    pub action: Action,
}

/// The events of a [`Plan`] in order, made one after the other. It takes memory for each seat, not for each event.
#[derive(Debug)]
pub struct Schedule {
    rooms: u32,
    ramp_up: Duration,
    end: Duration,
    churn: Churn,
    rng: StdRng,
    /// Peers that have joined during the ramp-up.
    joined: u32,
    /// How many had each seat, the present one included.
    generations: Vec<u32>,
    /// Where each seat is in `taken` or `free`.
    places: Vec<usize>,
    taken: Vec<u32>,
    free: Vec<u32>,
    next_join: Option<Duration>,
    next_leave: Option<Duration>,
    next_reconnect: Option<Duration>,
    /// When peers vanish: seat and its generation.
    vanishing: BinaryHeap<Reverse<(Duration, u32, u32)>>,
}

impl Schedule {
    pub(super) fn new(plan: &Plan) -> Self {
        let seats = plan.rooms * plan.peers;
        let mut schedule = Self {
            rooms: plan.rooms,
            ramp_up: plan.ramp_up,
            end: plan.ramp_up + plan.duration,
            churn: plan.churn,
            rng: StdRng::seed_from_u64(plan.seed),
            joined: 0,
            generations: vec![0; seats as usize],
            places: (0..seats as usize).collect(),
            taken: Vec::new(),
            free: (0..seats).collect(),
            next_join: None,
            next_leave: None,
            next_reconnect: None,
            vanishing: BinaryHeap::new(),
        };
        schedule.next_join = schedule.after(plan.ramp_up, plan.churn.join_rate);
        schedule.next_leave = schedule.after(plan.ramp_up, plan.churn.leave_rate);
        schedule.next_reconnect = schedule.after(plan.ramp_up, plan.churn.reconnect_rate);
        schedule
    }

    /// Random time of the next event of a kind with this rate.
    fn after(&mut self, at: Duration, rate: f64) -> Option<Duration> {
        (rate > 0.0).then(|| at + Duration::from_secs_f64(self.exponential() / rate))
    }

    /// Exponentially distributed with mean 1, at most 37.
    fn exponential(&mut self) -> f64 {
        -(1.0 - self.rng.random::<f64>()).ln()
    }

    /// Time of the next join of the ramp-up. Rooms fill evenly: each gets its first peer, then its second.
    fn next_of_ramp_up(&self) -> Option<Duration> {
        let seats = self.generations.len() as u32;
        (self.joined < seats).then(|| self.ramp_up * self.joined / seats)
    }

    fn join(&mut self, at: Duration, index: u32) -> Planned {
        swap(&mut self.free, &mut self.taken, &mut self.places, index);
        self.generations[index as usize] += 1;
        let generation = self.generations[index as usize];
        if let Some(mean) = self.churn.kill_after {
            let until = at + mean.mul_f64(self.exponential());
            self.vanishing.push(Reverse((until, index, generation)));
        }
        self.planned(at, index, Action::Join)
    }

    fn part(&mut self, at: Duration, index: u32, action: Action) -> Planned {
        swap(&mut self.taken, &mut self.free, &mut self.places, index);
        self.planned(at, index, action)
    }

    fn planned(&self, at: Duration, index: u32, action: Action) -> Planned {
        let seat = Seat { room: index % self.rooms, number: index / self.rooms };
        Planned { at, seat, generation: self.generations[index as usize] - 1, action }
    }

    fn random(&mut self, of: fn(&Self) -> &Vec<u32>) -> Option<u32> {
        let len = of(self).len();
        (len > 0).then(|| self.rng.random_range(0..len)).map(|at| of(self)[at])
    }

    fn is_taken(&self, index: u32) -> bool {
        self.taken.get(self.places[index as usize]) == Some(&index)
    }

    /// The event of `kind`, which is due at `at`; none if there is nobody that it can happen to.
    fn happen(&mut self, at: Duration, kind: Kind) -> Option<Planned> {
        match kind {
            Kind::RampUp => {
                self.joined += 1;
                Some(self.join(at, self.joined - 1))
            }
            Kind::Vanish => {
                let Reverse((_, index, generation)) = self.vanishing.pop()?;
                let is_there = self.is_taken(index) && self.generations[index as usize] == generation;
                is_there.then(|| self.part(at, index, Action::Vanish))
            }
            Kind::Join => {
                self.next_join = self.after(at, self.churn.join_rate);
                self.random(|schedule| &schedule.free).map(|index| self.join(at, index))
            }
            Kind::Leave => {
                self.next_leave = self.after(at, self.churn.leave_rate);
                self.random(|schedule| &schedule.taken).map(|index| self.part(at, index, Action::Leave))
            }
            Kind::Reconnect => {
                self.next_reconnect = self.after(at, self.churn.reconnect_rate);
                let index = self.random(|schedule| &schedule.taken)?;
                Some(self.planned(at, index, Action::Reconnect))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    RampUp,
    Vanish,
    Join,
    Leave,
    Reconnect,
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        loop {
            let vanish = self.vanishing.peek().map(|Reverse((at, ..))| *at);
            let due = [
                (self.next_of_ramp_up(), Kind::RampUp),
                (vanish, Kind::Vanish),
                (self.next_join, Kind::Join),
                (self.next_leave, Kind::Leave),
                (self.next_reconnect, Kind::Reconnect),
            ];
            let next = due.into_iter().filter_map(|(at, kind)| Some((at?, kind))).min();
            let (at, kind) = next.filter(|(at, _)| *at < self.end)?;
            if let Some(planned) = self.happen(at, kind) {
                return Some(planned);
            }
        }
    }
}

/// Moves a seat from one list to the other.
fn swap(from: &mut Vec<u32>, to: &mut Vec<u32>, places: &mut [usize], index: u32) {
    let at = places[index as usize];
    from.swap_remove(at);
    if let Some(moved) = from.get(at) {
        places[*moved as usize] = at;
    }
    places[index as usize] = to.len();
    to.push(index);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn plan(churn: Churn) -> Plan {
        let (ramp_up, duration) = (Duration::from_secs(10), Duration::from_secs(600));
        Plan { rooms: 5, peers: 4, ramp_up, duration, churn, ..Plan::default() }
    }

    const BUSY: Churn = Churn {
        join_rate: 2.0,
        leave_rate: 1.0,
        reconnect_rate: 0.5,
        kill_after: Some(Duration::from_secs(40)),
    };

    fn count(events: &[Planned], action: Action) -> usize {
        events.iter().filter(|event| event.action == action).count()
    }

    #[test]
    fn ramp_up_fills_all_rooms_evenly() {
        let events: Vec<_> = plan(Churn::default()).schedule().collect();
        assert_eq!(events.len(), 20);
        for (at, event) in events.iter().enumerate() {
            assert_eq!(event.action, Action::Join);
            assert_eq!(event.at, Duration::from_millis(500) * at as u32);
            assert_eq!((event.seat.room, event.seat.number), (at as u32 % 5, at as u32 / 5));
        }
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let events = |seed| Plan { seed, ..plan(BUSY) }.schedule().collect::<Vec<_>>();
        assert_eq!(events(3), events(3));
        assert_ne!(events(3), events(4));
    }

    #[test]
    fn rates_are_kept() {
        let churn = Churn { join_rate: 2.0, leave_rate: 2.0, reconnect_rate: 0.5, kill_after: None };
        let events: Vec<_> = plan(churn).schedule().collect();
        assert!((1100..1300).contains(&count(&events, Action::Leave)), "2 a second of 600 s");
        assert!((250..350).contains(&count(&events, Action::Reconnect)), "0.5 a second");
        assert_eq!(count(&events, Action::Vanish), 0);
        let (joins, leaves) = (count(&events, Action::Join), count(&events, Action::Leave));
        assert!(joins <= leaves + 20 && joins + 100 > leaves, "{joins} joins, {leaves} leaves");
    }

    #[test]
    fn killed_peers_last_their_mean_time() {
        let kill_after = Some(Duration::from_secs(40));
        let churn = Churn { join_rate: 1000.0, kill_after, ..Churn::default() };
        let events: Vec<_> = plan(churn).schedule().collect();
        // 20 seats that are always filled again, 600 s of 40 s each.
        let vanished = count(&events, Action::Vanish);
        assert!((240..370).contains(&vanished), "{vanished}");
    }

    #[test]
    fn every_event_happens_to_a_peer_that_can_do_it() {
        for seed in 0..20 {
            let plan = Plan { seed, ..plan(BUSY) };
            let mut present: HashMap<Seat, u32> = HashMap::new();
            let mut last = Duration::ZERO;
            let mut generations: HashMap<Seat, u32> = HashMap::new();
            for event in plan.schedule() {
                assert!(event.at >= last && event.at < plan.ramp_up + plan.duration, "{event:?}");
                last = event.at;
                match event.action {
                    Action::Join => {
                        assert_eq!(present.insert(event.seat, event.generation), None, "{event:?}");
                        let before = generations.insert(event.seat, event.generation);
                        assert_eq!(event.generation, before.map_or(0, |before| before + 1), "{event:?}");
                    }
                    Action::Leave | Action::Vanish => {
                        assert_eq!(present.remove(&event.seat), Some(event.generation), "{event:?}");
                    }
                    Action::Reconnect => {
                        assert_eq!(present.get(&event.seat), Some(&event.generation), "{event:?}");
                    }
                }
            }
            assert!(generations.values().all(|generation| *generation > 0), "all seats change hands");
        }
    }
}
