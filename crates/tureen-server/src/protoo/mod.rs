//! protoo: requests, responses and notifications as JSON texts over a WebSocket, in both directions.

mod driver;
mod lanes;
mod link;
mod message;

#[cfg(test)]
pub(crate) use self::link::Queue;
pub(crate) use self::{
    driver::{DriveOptions, drive},
    link::{Close, Link, LinkOptions},
    message::{Refusal, Request, notification},
};
