//! Who speaks: the loudest peer of the room, told to all of them.

use std::sync::{Arc, Weak};

use tracing::warn;
use tureen::{prelude::*, worker::RequestError};

use super::{Room, State};
use crate::{signaling::protoo::schema::ActiveSpeaker, tally::Shown};

/// Names the loudest producer, as often as mediasoup-demo does.
pub(super) async fn audio_level_observer(router: &Router) -> Result<AudioLevelObserver, RequestError> {
    let mut options = AudioLevelObserverOptions::default();
    options.threshold = -80;
    options.interval = 800;
    router.create_audio_level_observer(options).await
}

impl Room {
    /// Tells peers from now on who speaks.
    pub(super) fn tell_who_speaks(self: &Arc<Self>) {
        let weak: Weak<Self> = Arc::downgrade(self);
        let on_volumes = {
            let weak = weak.clone();
            move |volumes: &[AudioLevelObserverVolume]| {
                if let (Some(room), [loudest, ..]) = (weak.upgrade(), volumes) {
                    room.lock().tell_speaker(loudest.producer.id(), loudest.volume);
                }
            }
        };
        self.audio_levels.on_volumes(on_volumes).detach();
        let on_silence = move || {
            if let Some(room) = weak.upgrade() {
                room.lock().tell_silence();
            }
        };
        self.audio_levels.on_silence(on_silence).detach();
    }

    /// Takes a producer into account, if it is audio.
    pub(super) async fn hear(&self, producer: &Producer) {
        if producer.kind() != MediaKind::Audio {
            return;
        }
        let options = RtpObserverAddProducerOptions::new(producer.id());
        if let Err(error) = self.audio_levels.add_producer(options).await {
            // The call goes on without the mark.
            if self.tally().may_log() {
                warn!(room = %Shown(&self.id), producer = %producer.id(), %error, "producer is not heard");
            }
        }
    }
}

impl State {
    /// The loudest producer is this one. Nothing is told of one whose peer has just left.
    fn tell_speaker(&self, producer: ProducerId, volume: i8) {
        let speaker = self.peers.iter().find(|(_, peer)| peer.producers.contains_key(&producer));
        if let Some((peer_id, _)) = speaker {
            self.tell_all("activeSpeaker", &ActiveSpeaker::Peer { peer_id, volume });
        } else if self.has_producer(producer) {
            self.tell_all("activeSpeaker", &ActiveSpeaker::Broadcaster { volume });
        }
    }

    fn tell_silence(&self) {
        self.tell_all("activeSpeaker", &ActiveSpeaker::Nobody { peer_id: () });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{
        codecs::media_codecs,
        room::{Joined, Peer, ProducerEntry},
        signaling::protoo::{Link, LinkOptions, Queue},
        tally::Tally,
    };

    /// Lets a peer in; what it is told comes out of the queue.
    fn enter(state: &mut State, id: &str, joined: bool) -> Queue {
        let options = LinkOptions {
            max_queued_messages: 8,
            max_queued_bytes: 10_000,
            request_timeout: std::time::Duration::from_secs(1),
        };
        let (link, told) = Link::new(id.to_owned(), options, Tally::for_test());
        let mut peer = Peer::new(0, link);
        peer.joined = joined.then(|| Joined {
            display_name: id.to_owned(),
            device: Value::Null,
            rtp_capabilities: None,
            hears_data: false,
        });
        state.peers.insert(id.to_owned(), peer);
        told
    }

    fn told(queue: &mut Queue) -> Option<(String, Value)> {
        let mut text: Value = serde_json::from_str(&queue.try_next()?).unwrap();
        Some((text["method"].as_str().unwrap().to_owned(), text["data"].take()))
    }

    async fn microphone() -> Producer {
        let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await.unwrap();
        let router = worker.create_router(RouterOptions::new(media_codecs())).await.unwrap();
        let listen = json!({ "protocol": "udp", "ip": "127.0.0.1" });
        let listen = WebRtcTransportListenInfos::new(serde_json::from_value(listen).unwrap());
        let transport = router.create_webrtc_transport(WebRtcTransportOptions::new(listen)).await.unwrap();
        let parameters = json!({
            "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }],
            "encodings": [{ "ssrc": 1 }],
            "headerExtensions": [],
            "rtcp": {},
        });
        let options = ProducerOptions::new(MediaKind::Audio, serde_json::from_value(parameters).unwrap());
        transport.produce(options).await.unwrap()
    }

    #[tokio::test]
    async fn speaker_and_silence_are_told_to_all_who_joined() {
        let mut state = State::default();
        let mut alice = enter(&mut state, "alice", true);
        let mut bob = enter(&mut state, "bob", true);
        let mut carol = enter(&mut state, "carol", false);
        let producer = microphone().await;
        let id = producer.id();
        let entry = ProducerEntry { producer, app_data: Map::new() };
        state.peers.get_mut("bob").unwrap().producers.insert(id, entry);

        state.tell_speaker(id, -30);
        state.tell_silence();
        for queue in [&mut alice, &mut bob] {
            let speaker = json!({ "peerId": "bob", "volume": -30 });
            assert_eq!(told(queue), Some(("activeSpeaker".to_owned(), speaker)));
            assert_eq!(told(queue), Some(("activeSpeaker".to_owned(), json!({ "peerId": null }))));
        }

        let left = state.remove("bob");
        assert_eq!(told(&mut alice).unwrap().0, "peerClosed");
        state.tell_speaker(id, -30);
        assert_eq!(told(&mut alice), None, "the speaker has left");
        assert_eq!(told(&mut carol), None, "she has not joined");
        drop(left);
    }
}
