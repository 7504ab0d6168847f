//! Active speaker: the loudest participant of the room, told to all peers.

use std::sync::{Arc, Weak};

use tracing::warn;
use tureen::{prelude::*, worker::RequestError};

use super::{
    Room,
    events::{RoomEvent, Speaker},
    state::State,
};
use crate::tally::Shown;

/// Names the loudest producer, as often as mediasoup-demo does.
pub(super) async fn audio_level_observer(router: &Router) -> Result<AudioLevelObserver, RequestError> {
    let mut options = AudioLevelObserverOptions::default();
    options.threshold = -80;
    options.interval = 800;
    router.create_audio_level_observer(options).await
}

impl Room {
    /// Starts to tell peers the active speaker.
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

    /// Measures the level of a producer from now on, if it is audio.
    pub(super) async fn measure_level(&self, producer: &Producer) {
        if producer.kind() != MediaKind::Audio {
            return;
        }
        let options = RtpObserverAddProducerOptions::new(producer.id());
        if let Err(error) = self.audio_levels.add_producer(options).await {
            // The call goes on without the mark.
            if self.tally().may_log() {
                warn!(room = %Shown(&self.id), producer = %producer.id(), %error, "level is not measured");
            }
        }
    }
}

impl State {
    /// Tells who the loudest producer belongs to; nothing of one whose participant has just left.
    fn tell_speaker(&mut self, producer: ProducerId, volume: i8) {
        let speaker = match self.publisher(producer) {
            Some((id, member)) if member.is_peer() => Speaker::Peer { peer_id: id.clone(), volume },
            Some(_) => Speaker::Broadcaster { volume },
            None => return,
        };
        self.broadcast_to_all(RoomEvent::ActiveSpeaker(speaker));
    }

    fn tell_silence(&mut self) {
        self.broadcast_to_all(RoomEvent::ActiveSpeaker(Speaker::Nobody));
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU8, NonZeroU32};

    use super::*;
    use crate::{
        access::Source,
        codecs::media_codecs,
        opaque::Opaque,
        room::{
            events::testing::Recorder,
            member::{ProducerEntry, Profile, testing::peer},
            state::SharedState,
        },
    };

    /// Adds a peer to the room and records its events.
    fn enter(state: &SharedState, id: &str, joined: bool) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        let mut member = peer(id, recorder.clone());
        member.profile = joined.then(|| Profile::for_test(id));
        state.lock().members.insert(id.to_owned(), member);
        recorder
    }

    async fn microphone() -> Producer {
        let worker = WorkerManager::new().create_worker(WorkerSettings::default()).await.unwrap();
        let router = worker.create_router(RouterOptions::new(media_codecs())).await.unwrap();
        let listen = ListenInfo {
            protocol: Protocol::Udp,
            ip: "127.0.0.1".parse().unwrap(),
            announced_address: None,
            expose_internal_ip: false,
            port: None,
            port_range: None,
            flags: None,
            send_buffer_size: None,
            recv_buffer_size: None,
        };
        let listen = WebRtcTransportListenInfos::new(listen);
        let transport = router.create_webrtc_transport(WebRtcTransportOptions::new(listen)).await.unwrap();
        let opus = RtpCodecParameters::Audio {
            mime_type: MimeTypeAudio::Opus,
            payload_type: 111,
            clock_rate: NonZeroU32::new(48_000).unwrap(),
            channels: NonZeroU8::new(2).unwrap(),
            parameters: RtpCodecParametersParameters::default(),
            rtcp_feedback: vec![],
        };
        let encoding = RtpEncodingParameters { ssrc: Some(1), ..RtpEncodingParameters::default() };
        let parameters =
            RtpParameters { codecs: vec![opus], encodings: vec![encoding], ..RtpParameters::default() };
        transport.produce(ProducerOptions::new(MediaKind::Audio, parameters)).await.unwrap()
    }

    #[tokio::test]
    async fn speaker_and_silence_are_sent_to_all_joined_peers() {
        let state = SharedState::default();
        let alice = enter(&state, "alice", true);
        let bob = enter(&state, "bob", true);
        let carol = enter(&state, "carol", false);
        let producer = microphone().await;
        let id = producer.id();
        let entry = ProducerEntry { producer, source: Source::Microphone, app_data: Opaque::default() };
        state.lock().members.get_mut("bob").unwrap().producers.insert(id, entry);

        state.lock().tell_speaker(id, -30);
        state.lock().tell_silence();
        for recorder in [&alice, &bob] {
            let told = recorder.take();
            let speaker = Speaker::Peer { peer_id: "bob".to_owned(), volume: -30 };
            assert!(
                matches!(&told[..], [RoomEvent::ActiveSpeaker(first), RoomEvent::ActiveSpeaker(Speaker::Nobody)]
                    if *first == speaker),
                "{told:?}"
            );
        }

        let left = state.lock().remove("bob");
        let told = alice.take();
        assert!(matches!(&told[..], [RoomEvent::PeerLeft { .. }]), "{told:?}");
        state.lock().tell_speaker(id, -30);
        assert!(alice.take().is_empty(), "the speaker has left");
        assert!(carol.take().is_empty(), "she has not joined");
        drop(left);
    }
}
