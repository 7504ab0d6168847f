//! What a load test does: rooms, peers, what they send, and when they come and go.

mod schedule;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::schedule::{Action, Planned, Schedule};

/// Rooms and peers of a load test over time. The same plan gives the same events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Number of rooms.
    pub rooms: u32,
    /// Seats of each room: peers that are in it when it is full.
    pub peers: u32,
    /// Seats of each room that send; the others receive only.
    pub publishers: u32,
    /// Share of the publishers that send audio, 0 to 1.
    pub audio: f64,
    /// Share of the publishers that send video, 0 to 1.
    pub video: f64,
    /// Share of the publishers with video that send simulcast, 0 to 1.
    pub simulcast: f64,
    /// Time in which all peers join, evenly spread.
    #[serde(rename = "ramp_up_s", with = "seconds")]
    pub ramp_up: Duration,
    /// Time of the test after that.
    #[serde(rename = "duration_s", with = "seconds")]
    pub duration: Duration,
    /// Who comes and goes meanwhile.
    pub churn: Churn,
    /// Seed of the churn.
    pub seed: u64,
}

/// Peers that come and go, in all rooms together. Times between two events are random (exponential), from the plan's seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Churn {
    /// Joins a second, each into a random free seat; none happens while all seats are taken. After the ramp-up.
    pub join_rate: f64,
    /// Peers a second that leave. After the ramp-up.
    pub leave_rate: f64,
    /// Peers a second that lose their connections without a word and join again at once under the same name. After the
    /// ramp-up.
    pub reconnect_rate: f64,
    /// Mean time after which a peer disappears without leaving: it falls silent and its seat is free. From its join on.
    #[serde(rename = "kill_after_s", with = "optional_seconds")]
    pub kill_after: Option<Duration>,
}

/// Place of a peer in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seat {
    /// Number of the room, from 0.
    pub room: u32,
    /// Number of the seat in it, from 0.
    pub number: u32,
}

/// What the peer of a seat sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Audio.
    pub audio: bool,
    /// Video.
    pub video: bool,
    /// The video in three encodings; without [`video`](Self::video) false.
    pub simulcast: bool,
}

/// Why a plan can't be carried out. Each text names the setting and its value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// No peers.
    #[error("{0} must be at least 1")]
    None(&'static str),
    /// Too many peers.
    #[error("{rooms} rooms of {peers} peers are more than the {MAX_PEERS} peers that are possible")]
    TooManyPeers {
        /// Number of rooms.
        rooms: u32,
        /// Peers of each.
        peers: u32,
    },
    /// More publishers than peers.
    #[error("{publishers} publishers are more than the {peers} peers of a room")]
    TooManyPublishers {
        /// Publishers of each room.
        publishers: u32,
        /// Peers of each room.
        peers: u32,
    },
    /// A share that is none.
    #[error("the share of {name} is {value}, but must be from 0 to 1")]
    BadShare {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A rate that is none.
    #[error("the {name} is {value} a second, but must be from 0 to {MAX_RATE}")]
    BadRate {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// A time that is none.
    #[error("the {name} is {value:?}, but must be from {min:?} to {MAX_TIME:?}")]
    BadTime {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: Duration,
        /// The least that is possible.
        min: Duration,
    },
}

/// Peers of a plan at most.
pub const MAX_PEERS: u32 = 100_000;
/// Events of a kind a second, at most.
pub const MAX_RATE: f64 = 10_000.0;
/// Longest time of a plan: four weeks.
pub const MAX_TIME: Duration = Duration::from_secs(28 * 24 * 3600);

impl Default for Plan {
    /// One room of four peers, all of which send audio and simulcast video, for one minute after 2 s of ramp-up.
    fn default() -> Self {
        Self {
            rooms: 1,
            peers: 4,
            publishers: 4,
            audio: 1.0,
            video: 1.0,
            simulcast: 1.0,
            ramp_up: Duration::from_secs(2),
            duration: Duration::from_secs(60),
            churn: Churn::default(),
            seed: 1,
        }
    }
}

impl Plan {
    /// Checks that it can be carried out.
    ///
    /// # Errors
    /// The first setting that is out of its range.
    pub fn check(&self) -> Result<(), PlanError> {
        let (rooms, peers, publishers) = (self.rooms, self.peers, self.publishers);
        for (name, value) in [("the number of rooms", rooms), ("the number of peers", peers)] {
            if value == 0 {
                return Err(PlanError::None(name));
            }
        }
        if rooms.checked_mul(peers).is_none_or(|all| all > MAX_PEERS) {
            return Err(PlanError::TooManyPeers { rooms, peers });
        }
        if publishers > peers {
            return Err(PlanError::TooManyPublishers { publishers, peers });
        }
        let shares = [("audio", self.audio), ("video", self.video), ("simulcast", self.simulcast)];
        if let Some((name, value)) = shares.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Err(PlanError::BadShare { name, value });
        }
        let Churn { join_rate, leave_rate, reconnect_rate, kill_after } = self.churn;
        let rates =
            [("join rate", join_rate), ("leave rate", leave_rate), ("reconnect rate", reconnect_rate)];
        if let Some((name, value)) = rates.into_iter().find(|(_, value)| !(0.0..=MAX_RATE).contains(value)) {
            return Err(PlanError::BadRate { name, value });
        }
        let (ms, zero) = (Duration::from_millis(1), Duration::ZERO);
        let times = [
            ("ramp-up", Some(self.ramp_up), zero),
            ("duration", Some(self.duration), ms),
            ("mean time until peers are killed", kill_after, ms),
        ];
        for (name, value, min) in times {
            if let Some(value) = value.filter(|value| !(min..=MAX_TIME).contains(value)) {
                return Err(PlanError::BadTime { name, value, min });
            }
        }
        Ok(())
    }

    /// What the peer of a seat sends. The first seats are the publishers; shares are kept in each room, as exactly as whole
    /// peers allow.
    pub fn role(&self, seat: u32) -> Role {
        if seat >= self.publishers {
            return Role::default();
        }
        let video = is_chosen(seat, self.video);
        // Videos of the seats before this one.
        let videos = (0..seat).filter(|seat| is_chosen(*seat, self.video)).count();
        Role {
            audio: is_chosen(seat, self.audio),
            video,
            simulcast: video && is_chosen(videos as u32, self.simulcast),
        }
    }

    /// Its events in order.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(self)
    }
}

/// Whether the one with this number, from 0, is among the chosen: of the first n are n × share, rounded down.
fn is_chosen(number: u32, share: f64) -> bool {
    // A little more, because e.g. 0.1 is a little less than a tenth of ten.
    let chosen_of = |count: u32| (f64::from(count) * share + 1e-9).floor();
    chosen_of(number + 1) > chosen_of(number)
}

/// Durations as seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The same, or null.
mod optional_seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|value| value.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_in_each_room() {
        let plan =
            Plan { peers: 12, publishers: 10, audio: 1.0, video: 0.5, simulcast: 0.4, ..Plan::default() };
        let roles: Vec<_> = (0..12).map(|seat| plan.role(seat)).collect();
        let count = |is: fn(&Role) -> bool| roles.iter().filter(|role| is(role)).count();
        assert_eq!(count(|role| role.audio), 10);
        assert_eq!(count(|role| role.video), 5);
        assert_eq!(count(|role| role.simulcast), 2);
        assert!(roles.iter().all(|role| role.video || !role.simulcast));
        assert_eq!(roles[10..], [Role::default(); 2]);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let text = |plan: Plan| plan.check().unwrap_err().to_string();
        let plan = Plan::default();
        assert_eq!(plan.check(), Ok(()));
        assert!(text(Plan { rooms: 0, ..plan.clone() }).contains("rooms must be at least 1"));
        assert!(text(Plan { rooms: u32::MAX, peers: 2, ..plan.clone() }).contains("4294967295 rooms"));
        assert!(text(Plan { publishers: 5, ..plan.clone() }).contains("5 publishers"));
        assert!(text(Plan { simulcast: 1.5, ..plan.clone() }).contains("simulcast is 1.5"));
        assert!(text(Plan { audio: f64::NAN, ..plan.clone() }).contains("audio is NaN"));
        assert!(text(Plan { duration: Duration::ZERO, ..plan.clone() }).contains("duration is 0ns"));
        let churn = Churn { leave_rate: -1.0, ..Churn::default() };
        assert!(text(Plan { churn, ..plan }).contains("leave rate is -1"));
    }

    #[test]
    fn plans_survive_json() {
        let churn =
            Churn { join_rate: 0.5, kill_after: Some(Duration::from_millis(1500)), ..Churn::default() };
        let plan = Plan { churn, ..Plan::default() };
        let json = serde_json::to_string(&plan).unwrap();
        assert!(json.contains("\"ramp_up_s\":2.0") && json.contains("\"kill_after_s\":1.5"), "{json}");
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    }
}
