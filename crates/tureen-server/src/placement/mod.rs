//! Where rooms live: the rooms by their ids, and the media worker that each new one gets.

pub(crate) mod rooms;
pub(crate) mod workers;
