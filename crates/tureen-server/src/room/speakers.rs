//! Who speaks: the loudest peer of the room, told to all of them.

use std::sync::{Arc, Weak};

use tracing::warn;
use tureen::{prelude::*, worker::RequestError};

use super::{Room, State, wire::ActiveSpeaker};

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
            warn!(room = self.id, producer = %producer.id(), %error, "producer is not heard");
        }
    }
}

impl State {
    /// The loudest producer belongs to this peer. Nothing is told of one whose peer has just left.
    fn tell_speaker(&self, producer: ProducerId, volume: i8) {
        let speaker = self.peers.iter().find(|(_, peer)| peer.producers.contains_key(&producer));
        if let Some((peer_id, _)) = speaker {
            self.tell_all("activeSpeaker", &ActiveSpeaker { peer_id: Some(peer_id), volume: Some(volume) });
        }
    }

    fn tell_silence(&self) {
        self.tell_all("activeSpeaker", &ActiveSpeaker { peer_id: None, volume: None });
    }
}
