//! Media in a router: from one Producer to its Consumers.

pub(crate) mod consumer;
pub(crate) mod layers;
pub(crate) mod producer;
