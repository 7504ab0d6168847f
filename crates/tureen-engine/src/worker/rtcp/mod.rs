//! RTCP of transports, incoming and outgoing.

pub(crate) mod feedback;
pub(crate) mod incoming;
pub(crate) mod reports;
pub(crate) mod send;
