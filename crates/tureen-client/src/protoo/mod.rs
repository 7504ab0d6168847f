//! The signalling of mediasoup-demo: protoo over WebSocket.
//!
//! [`Room`] has its requests and events as types. [`Peer`] below it is the protocol alone, as protoo-client's: requests and
//! notifications in both directions.

mod connection;
mod message;
mod options;
mod peer;
mod room;
mod schema;
#[cfg(test)]
mod tests;

pub use self::message::Refusal;
pub use self::options::{ConnectError, PeerOptions, Reconnect};
pub use self::peer::{CloseReason, IncomingRequest, Peer, PeerEvent, PeerEvents, PeerStats, RequestError};
pub use self::room::{Answer, Room, RoomError, RoomEvent, RoomEvents};
pub use self::schema::{
    ConsumerScore, CreateTransport, DownlinkBwe, Join, Layers, NewConsumer, NewDataConsumer, PeerInfo,
    Produce, ProduceData, ProducerScore,
};
