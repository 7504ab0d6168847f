//! Media on its way through a router: from one Producer to many Consumers.

pub(crate) mod consumer;
pub(crate) mod layers;
pub(crate) mod producer;
