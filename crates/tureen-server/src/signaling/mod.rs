//! Signalling between clients and rooms: protoo over WebSockets, and HTTP for broadcasters. Rooms are independent of
//! both.

pub(crate) mod broadcaster_http;
pub(crate) mod codes;
pub(crate) mod json;
pub(crate) mod protoo;
