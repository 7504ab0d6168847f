//! Rooms in which all participants see and hear each other.
//!
//! Run `cargo run -p tureen --example videoroom`, then let pages made with mediasoup-client open
//! `ws://127.0.0.1:3000/ROOM`. The messages are those of `echo.rs`, and two notifications of the server:
//!
//! | action | content |
//! | --- | --- |
//! | `ProducerAdded` | producer of another participant, to be consumed by `Consume`; also sent for existing producers |
//! | `ProducerRemoved` | producer that was closed, and its consumer |
//!
//! A room is created with its first participant and closed with its last one.

mod endpoint;

use std::collections::HashMap;
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use endpoint::{Answer, Connection, Endpoint, Failure, Request};
use serde::Serialize;
use tokio::sync::{Mutex as AsyncMutex, broadcast};
use tureen::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await?;
    let rooms = Arc::new(Rooms { worker, rooms: AsyncMutex::default() });
    endpoint::listen(move |name, connection| participate(Arc::clone(&rooms), name, connection)).await
}

struct Rooms {
    worker: Worker,
    rooms: AsyncMutex<HashMap<String, Weak<Room>>>,
}

impl Rooms {
    /// Room with that name, created if it does not exist.
    async fn enter(&self, name: String) -> Result<Arc<Room>, Failure> {
        let mut rooms = self.rooms.lock().await;
        rooms.retain(|_, room| room.strong_count() > 0);
        if let Some(room) = rooms.get(&name).and_then(Weak::upgrade) {
            return Ok(room);
        }
        let router = self.worker.create_router(RouterOptions::new(media_codecs())).await?;
        let room = Arc::new(Room {
            router,
            producers: Mutex::default(),
            events: broadcast::channel(EVENTS_PER_PARTICIPANT).0,
        });
        rooms.insert(name, Arc::downgrade(&room));
        Ok(room)
    }
}

/// Maximum number of events that wait for one participant. A slower participant is disconnected.
const EVENTS_PER_PARTICIPANT: usize = 256;

struct Room {
    router: Router,
    /// All producers in the room, each with the transport of its participant.
    producers: Mutex<HashMap<ProducerId, TransportId>>,
    events: broadcast::Sender<(TransportId, RoomEvent)>,
}

/// Messages to all other participants about one participant.
#[derive(Clone, Serialize)]
#[serde(tag = "action", rename_all_fields = "camelCase")]
enum RoomEvent {
    ProducerAdded { producer_id: ProducerId },
    ProducerRemoved { producer_id: ProducerId },
}

impl Room {
    /// Existing producers, and a receiver of events about later ones.
    fn look(&self) -> (Vec<ProducerId>, broadcast::Receiver<(TransportId, RoomEvent)>) {
        let producers = self.producers.lock().unwrap_or_else(PoisonError::into_inner);
        (producers.keys().copied().collect(), self.events.subscribe())
    }

    /// Notifies the others of a producer, and of its end.
    fn add(self: &Arc<Self>, producer: &Producer) {
        let (producer_id, owner) = (producer.id(), producer.transport().id());
        {
            let mut producers = self.producers.lock().unwrap_or_else(PoisonError::into_inner);
            producers.insert(producer_id, owner);
            // Fails if there are no receivers.
            let _ = self.events.send((owner, RoomEvent::ProducerAdded { producer_id }));
        }
        let room = Arc::downgrade(self);
        producer
            .on_close(move || {
                let Some(room) = room.upgrade() else { return };
                room.producers.lock().unwrap_or_else(PoisonError::into_inner).remove(&producer_id);
                let _ = room.events.send((owner, RoomEvent::ProducerRemoved { producer_id }));
            })
            .detach();
    }
}

async fn participate(rooms: Arc<Rooms>, name: String, mut connection: Connection) -> Result<(), Failure> {
    let room = rooms.enter(name).await?;
    let (mut endpoint, init) = Endpoint::new(&room.router).await?;
    connection.send(&init).await?;
    let (producers, mut events) = room.look();
    for producer_id in producers {
        connection.send(&RoomEvent::ProducerAdded { producer_id }).await?;
    }
    loop {
        tokio::select! {
            request = connection.receive::<Request>() => {
                let Some(request) = request? else { return Ok(()) };
                let Some(answer) = endpoint.handle(request).await? else { continue };
                if let Answer::Produced { id } = &answer {
                    room.add(&endpoint.producers[id]);
                }
                connection.send(&answer).await?;
            }
            event = events.recv() => {
                let (owner, event) = event?;
                if let RoomEvent::ProducerRemoved { producer_id } = &event {
                    endpoint.consumers.retain(|_, consumer| consumer.producer_id() != *producer_id);
                }
                if owner != endpoint.producer_transport.id() {
                    connection.send(&event).await?;
                }
            }
        }
    }
}

fn media_codecs() -> Vec<RtpCodecCapability> {
    vec![
        RtpCodecCapability::Audio {
            mime_type: MimeTypeAudio::Opus,
            preferred_payload_type: None,
            clock_rate: NonZeroU32::new(48000).expect("not zero"),
            channels: NonZeroU8::new(2).expect("not zero"),
            parameters: RtpCodecParametersParameters::from([("useinbandfec", 1_u32.into())]),
            rtcp_feedback: vec![RtcpFeedback::TransportCc],
        },
        RtpCodecCapability::Video {
            mime_type: MimeTypeVideo::Vp8,
            preferred_payload_type: None,
            clock_rate: NonZeroU32::new(90000).expect("not zero"),
            parameters: RtpCodecParametersParameters::default(),
            rtcp_feedback: vec![
                RtcpFeedback::Nack,
                RtcpFeedback::NackPli,
                RtcpFeedback::CcmFir,
                RtcpFeedback::GoogRemb,
                RtcpFeedback::TransportCc,
            ],
        },
    ]
}
