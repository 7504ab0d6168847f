//! Media on its way through a router: from one Producer to many Consumers.

pub mod consumer;
pub mod layers;
pub mod producer;
