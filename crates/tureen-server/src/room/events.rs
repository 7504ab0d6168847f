//! Events of a room as facts, and the interface by which a participant is told of them.
//!
//! Signalling implements [`Subscriber`] and writes events in its own format.

use std::{any::Any, cell::RefCell, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tureen::{
    consumer::{Consumer, ConsumerScore},
    data_consumer::DataConsumer,
    prelude::*,
    producer::ProducerScore,
    types::data_structures::BweTraceInfo,
};

use crate::{admission::May, opaque::Opaque};

/// An event that participants are told.
#[derive(Clone, Debug)]
pub(crate) enum RoomEvent {
    PeerJoined(Description),
    PeerLeft {
        peer_id: String,
    },
    DisplayNameChanged {
        peer_id: String,
        display_name: String,
        old_display_name: String,
    },
    ActiveSpeaker(Speaker),
    NewConsumer(NewConsumer),
    ConsumerClosed(ConsumerId),
    ConsumerPaused(ConsumerId),
    ConsumerResumed(ConsumerId),
    ConsumerScore {
        consumer_id: ConsumerId,
        score: ConsumerScore,
    },
    /// `None` while nothing is sent.
    ConsumerLayersChanged {
        consumer_id: ConsumerId,
        layers: Option<ConsumerLayers>,
    },
    NewDataConsumer(NewDataConsumer),
    DataConsumerClosed(DataConsumerId),
    ProducerScore {
        producer_id: ProducerId,
        score: Vec<ProducerScore>,
    },
    /// The participant's rights have changed.
    RightsChanged(May),
    /// A producer of the participant was closed, because it may no longer publish it.
    ProducerClosed(ProducerId),
    DataProducerClosed(DataProducerId),
    /// A moderator has muted a producer of the participant.
    ProducerMuted {
        producer_id: ProducerId,
        kind: MediaKind,
        source: &'static str,
    },
    /// A moderator asks the participant to unmute what it sends of this kind.
    UnmuteRequested(MediaKind),
    /// A moderator has removed the participant.
    Removed {
        banned_until: Option<i64>,
    },
    /// Somebody waits in the lobby.
    PeerWaiting {
        peer_id: String,
        display_name: String,
    },
    /// The participant need not wait any more.
    Admitted,
    /// Bandwidth estimate of one of the participant's transports, towards the participant.
    DownlinkEstimate(BweTraceInfo),
}

/// A participant as others are told of it.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) id: String,
    pub(crate) display_name: String,
    pub(crate) device: Opaque,
}

/// The participant with the loudest audio; volumes in dBov.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    Peer { peer_id: String, volume: i8 },
    Broadcaster { volume: i8 },
    Nobody,
}

/// A consumer that was made for the participant, and waits until its client is ready.
#[derive(Clone, Debug)]
pub(crate) struct NewConsumer {
    pub(crate) publication: Publication,
    pub(crate) consumer: Consumer,
    pub(crate) producer_paused: bool,
}

/// A producer that others may consume.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) publisher: String,
    /// False for a broadcaster.
    pub(crate) is_of_peer: bool,
    pub(crate) producer_id: ProducerId,
    pub(crate) app_data: Opaque,
}

/// A data consumer that was made for the participant.
#[derive(Clone, Debug)]
pub(crate) struct NewDataConsumer {
    pub(crate) publication: DataPublication,
    pub(crate) data_consumer: DataConsumer,
    pub(crate) sctp_stream_parameters: SctpStreamParameters,
}

/// A data producer that others may consume.
#[derive(Clone, Debug)]
pub(crate) struct DataPublication {
    /// `None` for the room's bot.
    pub(crate) publisher: Option<String>,
    pub(crate) data_producer_id: DataProducerId,
    pub(crate) label: String,
    pub(crate) app_data: Opaque,
}

/// Reason for which the room ends a participant's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// Another connection proved to be the same client.
    Replaced,
    /// Another connection came with the id, and this one showed no sign of life.
    Silent,
    NotJoined,
    /// By a moderator.
    Kicked,
    /// ICE or DTLS of a transport ended.
    TransportLost,
    WorkerDied,
    Shutdown,
}

/// The connection of a participant that is told what happens.
///
/// Methods other than the futures return at once, because a slow client must not hold up its room.
pub(crate) trait Subscriber: fmt::Debug + Send + Sync {
    /// Tells the client of an event. A client that can't keep up is disconnected.
    fn notify(&self, notice: &Notice);

    /// Announces a consumer or data consumer, and waits until the client has set it up.
    fn announce<'a>(&'a self, event: &'a RoomEvent) -> BoxFuture<'a, Result<Acceptance, NotAccepted>>;

    /// Waits until many events can be told, or the connection has ended.
    fn has_room(&self) -> BoxFuture<'_, ()>;

    /// Asks the client for a sign of life; false if none comes within this time.
    fn is_alive(&self, within: Duration) -> BoxFuture<'_, bool>;

    /// Ends the connection; the first reason counts. False if it has ended already.
    fn end(&self, why: EndReason) -> bool;
}

/// Response of a client that has set up a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acceptance {
    /// Layers of the first picture; `None` is all.
    pub(crate) preferred_layers: Option<ConsumerLayers>,
}

/// Reason for which a client has not set up a consumer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotAccepted(pub(crate) String);

/// An event on its way to its receivers, which share what was written of it.
pub(crate) struct Notice {
    event: RoomEvent,
    /// The event in each format that a receiver wants.
    written: RefCell<Vec<Box<dyn Any>>>,
}

impl Notice {
    pub(crate) fn new(event: RoomEvent) -> Self {
        Self { event, written: RefCell::default() }
    }

    /// The event as `write` writes it. Only the first receiver that wants a `T` has it written.
    pub(crate) fn written<T: Clone + 'static>(&self, write: impl FnOnce(&RoomEvent) -> T) -> T {
        if let Some(text) = self.written.borrow().iter().find_map(|text| text.downcast_ref::<T>()) {
            return text.clone();
        }
        let text = write(&self.event);
        self.written.borrow_mut().push(Box::new(text.clone()));
        text
    }
}

/// An event and those who are told of it.
pub(super) struct Delivery {
    pub(super) receivers: Vec<Arc<dyn Subscriber>>,
    pub(super) event: RoomEvent,
}

impl Delivery {
    pub(super) fn send(self) {
        let notice = Notice::new(self.event);
        for receiver in &self.receivers {
            receiver.notify(&notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_written_once_for_all_its_receivers() {
        let notice = Notice::new(RoomEvent::ActiveSpeaker(Speaker::Nobody));
        let written = std::cell::Cell::new(0);
        let write = |_: &RoomEvent| {
            written.set(written.get() + 1);
            Arc::<str>::from("text")
        };
        let (first, second) = (notice.written(write), notice.written(write));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(written.get(), 1);
        assert_eq!(notice.written(|_| 7_u8), 7, "another format is another text");
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::sync::Mutex;

    use futures_util::future::FutureExt;
    use tokio::sync::Semaphore;

    use super::*;

    /// A client that is slow: it has room when there is a permit, and sets up a consumer when there is another.
    #[derive(Debug)]
    pub(crate) struct Slow {
        pub(crate) has_room: Semaphore,
        pub(crate) sets_up: Semaphore,
        pub(crate) told: Recorder,
    }

    impl Slow {
        pub(crate) fn new() -> Self {
            Self { has_room: Semaphore::new(0), sets_up: Semaphore::new(0), told: Recorder::default() }
        }
    }

    impl Subscriber for Slow {
        fn notify(&self, notice: &Notice) {
            self.told.notify(notice);
        }

        fn announce<'a>(&'a self, event: &'a RoomEvent) -> BoxFuture<'a, Result<Acceptance, NotAccepted>> {
            async {
                let accepted = self.told.announce(event).await;
                self.sets_up.acquire().await.unwrap().forget();
                accepted
            }
            .boxed()
        }

        fn has_room(&self) -> BoxFuture<'_, ()> {
            async { self.has_room.acquire().await.unwrap().forget() }.boxed()
        }

        fn is_alive(&self, within: Duration) -> BoxFuture<'_, bool> {
            self.told.is_alive(within)
        }

        fn end(&self, why: EndReason) -> bool {
            self.told.end(why)
        }
    }

    /// A subscriber that records what it is told.
    #[derive(Debug, Default)]
    pub(crate) struct Recorder(Mutex<Vec<RoomEvent>>);

    impl Recorder {
        /// Events since the last call.
        pub(crate) fn take(&self) -> Vec<RoomEvent> {
            std::mem::take(&mut self.0.lock().unwrap())
        }

        /// True if it was told an event of which `is_it` is true, since the last [`Recorder::take`].
        pub(crate) fn has(&self, is_it: impl Fn(&RoomEvent) -> bool) -> bool {
            self.0.lock().unwrap().iter().any(is_it)
        }
    }

    impl Subscriber for Recorder {
        fn notify(&self, notice: &Notice) {
            self.0.lock().unwrap().push(notice.written(RoomEvent::clone));
        }

        fn announce<'a>(&'a self, event: &'a RoomEvent) -> BoxFuture<'a, Result<Acceptance, NotAccepted>> {
            self.0.lock().unwrap().push(event.clone());
            std::future::ready(Ok(Acceptance::default())).boxed()
        }

        fn has_room(&self) -> BoxFuture<'_, ()> {
            std::future::ready(()).boxed()
        }

        fn is_alive(&self, _within: Duration) -> BoxFuture<'_, bool> {
            std::future::ready(true).boxed()
        }

        fn end(&self, _why: EndReason) -> bool {
            true
        }
    }
}
