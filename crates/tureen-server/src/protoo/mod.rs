//! protoo: requests, responses and notifications as JSON texts over a WebSocket, in both directions.

mod driver;
mod lanes;
mod link;
mod message;

pub(crate) use self::{
    driver::{DriveOptions, drive},
    link::{Close, Link},
    message::{Refusal, Request},
};
