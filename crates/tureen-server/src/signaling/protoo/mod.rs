//! protoo: requests, responses and notifications as JSON texts over a WebSocket, in both directions.

mod connection;
mod entrance;
mod events;
mod link;
mod message;
mod moderation;
mod ordering;
mod requests;
mod schema;

pub(crate) use self::{entrance::open, link::Close, message::Refusal};
