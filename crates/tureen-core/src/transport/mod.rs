//! What transports share, whatever their kind.

pub mod twcc_receiver;
