//! protoo: requests, responses and notifications as JSON texts over a WebSocket, in both directions.

mod connection;
mod link;
mod message;
mod ordering;
pub(crate) mod schema;

#[cfg(test)]
pub(crate) use self::link::Queue;
pub(crate) use self::{
    connection::{DriveOptions, drive},
    link::{Close, Link, LinkOptions},
    message::{Refusal, Request, notification},
};
