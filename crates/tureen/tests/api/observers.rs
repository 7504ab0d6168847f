//! RTP observers.

use std::num::NonZeroU16;
use std::sync::{Mutex, mpsc};

use futures_lite::future::{block_on, poll_once};
use tureen::prelude::*;
use tureen::router::NewRtpObserver;

use super::*;

async fn observer(router: &Router) -> AudioLevelObserver {
    router.create_audio_level_observer(AudioLevelObserverOptions::default()).await.unwrap()
}

fn adding(producer: &Producer) -> RtpObserverAddProducerOptions {
    RtpObserverAddProducerOptions::new(producer.id())
}

#[test]
fn observer_is_made_with_its_options() {
    block_on(async {
        let router = router().await;
        let (made, new_observers) = mpsc::channel();
        let made = Mutex::new(made);
        let _handler = router.on_new_rtp_observer(move |observer| {
            assert!(matches!(observer, NewRtpObserver::AudioLevel(_)));
            made.lock().unwrap().send(observer.id()).unwrap();
        });
        let defaults = AudioLevelObserverOptions::default();
        assert_eq!(
            (defaults.max_entries, defaults.threshold, defaults.interval),
            (NonZeroU16::MIN, -80, 1000)
        );
        let mut options = defaults.clone();
        options.app_data = AppData::new("speakers");
        let observer = router.create_audio_level_observer(options).await.unwrap();
        assert_eq!(new_observers.recv().unwrap(), observer.id());
        assert_eq!(observer.app_data().downcast_ref(), Some(&"speakers"));
        assert_eq!(observer.router().id(), router.id());
        assert!(!observer.paused() && !observer.closed());
        assert!(router.dump().await.unwrap().rtp_observer_ids.contains(&observer.id()));

        let mut options = defaults;
        options.threshold = 1;
        let error = router.create_audio_level_observer(options).await.unwrap_err();
        assert_eq!(error.to_string(), "Received response error: invalid threshold value 1");
        assert_eq!(router.dump().await.unwrap().rtp_observer_ids.len(), 1);
    });
}

#[test]
fn observer_of_speakers_is_made_with_its_options() {
    block_on(async {
        let router = router().await;
        let (made, new_observers) = mpsc::channel();
        let made = Mutex::new(made);
        let _handler = router.on_new_rtp_observer(move |observer| {
            assert!(matches!(observer, NewRtpObserver::ActiveSpeaker(_)));
            made.lock().unwrap().send(observer.id()).unwrap();
        });
        let mut options = ActiveSpeakerObserverOptions::default();
        assert_eq!(options.interval, 300);
        options.app_data = AppData::new("speakers");
        let observer = router.create_active_speaker_observer(options).await.unwrap();
        assert_eq!(new_observers.recv().unwrap(), observer.id());
        assert_eq!(observer.app_data().downcast_ref(), Some(&"speakers"));
        assert_eq!(observer.router().id(), router.id());
        assert!(router.dump().await.unwrap().rtp_observer_ids.contains(&observer.id()));
        observer.pause().await.unwrap();
        assert!(observer.paused());
        let weak = observer.downgrade();
        drop(observer);
        assert!(weak.upgrade().is_none());
        assert!(router.dump().await.unwrap().rtp_observer_ids.is_empty());
    });
}

#[test]
fn only_speaker_is_the_dominant_one() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let options = ActiveSpeakerObserverOptions::default();
        let observer = router.create_active_speaker_observer(options).await.unwrap();
        let (speakers, dominant) = mpsc::channel();
        let speakers = Mutex::new(speakers);
        let _handler = observer.on_dominant_speaker(move |speaker| {
            speakers.lock().unwrap().send(speaker.producer.id()).unwrap();
        });
        let [first, second] = [
            transport.produce(audio("0", 1)).await.unwrap(),
            transport.produce(audio("1", 2)).await.unwrap(),
        ];
        observer.add_producer(adding(&first)).await.unwrap();
        assert_eq!(dominant.recv().unwrap(), first.id());
        observer.add_producer(adding(&second)).await.unwrap();
        observer.remove_producer(first.id()).await.unwrap();
        assert_eq!(dominant.recv().unwrap(), second.id());
    });
}

#[test]
fn audio_producers_are_added_and_removed() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let observer = observer(&router).await;
        let (events, received) = mpsc::channel();
        let (added, removed) = (Mutex::new(events.clone()), Mutex::new(events));
        let _handlers = [
            observer.on_add_producer(Box::new(move |producer| {
                added.lock().unwrap().send(("added", producer.id())).unwrap();
            })),
            observer.on_remove_producer(Box::new(move |producer| {
                removed.lock().unwrap().send(("removed", producer.id())).unwrap();
            })),
        ];
        let microphone = transport.produce(audio("0", 1)).await.unwrap();
        let camera = transport.produce(video("1", 2)).await.unwrap();
        let error = observer.add_producer(adding(&camera)).await.unwrap_err();
        let expected = format!("Received response error: not an audio Producer [id:{}]", camera.id());
        assert_eq!(error.to_string(), expected);
        assert_eq!(received.try_recv().ok(), None);

        let is_observed = async || {
            let dump = router.dump().await.unwrap();
            let observers = dump.map_producer_id_observer_ids.get(&microphone.id());
            observers.is_some_and(|observers| observers.contains(&observer.id()))
        };
        for _ in 0..2 {
            observer.add_producer(adding(&microphone)).await.unwrap();
            assert_eq!(received.try_recv().ok(), Some(("added", microphone.id())));
            assert!(is_observed().await);
        }
        observer.remove_producer(microphone.id()).await.unwrap();
        assert_eq!(received.try_recv().ok(), Some(("removed", microphone.id())));
        assert!(!is_observed().await);

        let gone = adding(&camera);
        drop(camera);
        observer.add_producer(gone).await.unwrap();
        assert_eq!(received.try_recv().ok(), None);
    });
}

#[test]
fn producers_of_another_router_are_ignored() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let other = router.worker().create_router(RouterOptions::new(vec![opus()])).await.unwrap();
        let observer = observer(&other).await;
        let microphone = transport.produce(audio("0", 1)).await.unwrap();
        observer.add_producer(adding(&microphone)).await.unwrap();
        let dump = router.dump().await.unwrap();
        assert!(dump.map_producer_id_observer_ids[&microphone.id()].is_empty());
    });
}

#[test]
fn observer_is_paused_and_resumed() {
    block_on(async {
        let observer = observer(&router().await).await;
        let (events, received) = mpsc::channel();
        let (paused, resumed) = (Mutex::new(events.clone()), Mutex::new(events));
        let _handlers = [
            observer.on_pause(Box::new(move || paused.lock().unwrap().send("paused").unwrap())),
            observer.on_resume(Box::new(move || resumed.lock().unwrap().send("resumed").unwrap())),
        ];
        for _ in 0..2 {
            observer.pause().await.unwrap();
            assert!(observer.paused());
        }
        for _ in 0..2 {
            observer.resume().await.unwrap();
            assert!(!observer.paused());
        }
        assert_eq!(received.try_iter().collect::<Vec<_>>(), ["paused", "resumed"]);
    });
}

#[test]
fn dropped_observer_is_closed_in_the_worker() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let microphone = transport.produce(audio("0", 1)).await.unwrap();
        let observer = observer(&router).await;
        observer.add_producer(adding(&microphone)).await.unwrap();
        let (closed, is_closed) = mpsc::channel();
        observer.on_close(Box::new(move || closed.send(()).unwrap())).detach();
        let weak = observer.downgrade();
        assert_eq!(weak.upgrade().unwrap().id(), observer.id());
        drop(observer);
        is_closed.try_recv().unwrap();
        assert!(weak.upgrade().is_none());
        let dump = router.dump().await.unwrap();
        assert!(dump.rtp_observer_ids.is_empty());
        assert!(dump.map_producer_id_observer_ids[&microphone.id()].is_empty());
    });
}

#[test]
fn observer_keeps_its_router_alive_but_no_producer() {
    block_on(async {
        let (router, transport, _) = transports().await;
        let id = router.id();
        let microphone = transport.produce(audio("0", 1)).await.unwrap();
        let observer = observer(&router).await;
        observer.add_producer(adding(&microphone)).await.unwrap();
        let weak = microphone.downgrade();
        drop((router, transport, microphone));
        assert!(weak.upgrade().is_none());
        let dump = observer.router().dump().await.unwrap();
        assert_eq!((dump.id, dump.map_producer_id_observer_ids.len()), (id, 0));
    });
}

#[test]
fn abandoned_observer_is_not_created() {
    block_on(async {
        let router = router().await;
        for _ in 0..20 {
            let options = AudioLevelObserverOptions::default();
            // If the worker answers that fast, the handle is dropped, which closes the observer too.
            drop(poll_once(router.create_audio_level_observer(options)).await);
        }
        assert!(router.dump().await.unwrap().rtp_observer_ids.is_empty());
    });
}
