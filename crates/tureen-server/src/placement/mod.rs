//! Placement of rooms: table of rooms by id, and choice of the media worker of a new room.

pub(crate) mod rooms;
pub(crate) mod workers;
