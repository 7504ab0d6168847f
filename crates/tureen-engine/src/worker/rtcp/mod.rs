//! RTCP of transports, in and out.

pub(crate) mod feedback;
pub(crate) mod incoming;
pub(crate) mod reports;
pub(crate) mod send;
