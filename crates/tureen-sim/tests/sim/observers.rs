//! Observers of audio levels and of active speakers.

use std::num::NonZeroU16;
use std::time::Duration;

use tureen_engine::api::AudioLevelOptions;
use tureen_engine::api::{
    ActiveSpeakerOptions, Notification, ProducerId, Request, RtpObserverEvent, RtpObserverId,
};
use tureen_sim::{AudioConfig, Call, Production, VideoConfig};

use crate::{MS, good_link};

const INTERVAL: Duration = Duration::from_millis(800);

const LOUDEST: AudioLevelOptions =
    AudioLevelOptions { max_entries: NonZeroU16::MIN, threshold: -80, interval: INTERVAL };

/// A call whose members send audio with the given levels.
fn speakers(seed: u64, levels: &[Option<u8>]) -> (Call, Vec<Production>) {
    let mut call = Call::new(seed);
    let nodes = call.join_all(&vec![good_link(); levels.len()]);
    let speak = |(node, level): (_, &Option<u8>)| {
        call.produce_audio(node, AudioConfig { level: *level, ..AudioConfig::default() })
    };
    let productions = nodes.into_iter().zip(levels).map(speak).collect();
    (call, productions)
}

/// Events of an observer after the engine's first `known` notifications.
fn events_since(call: &Call, observer: &RtpObserverId, known: usize) -> Vec<RtpObserverEvent> {
    let event = |(_, notification): &(Duration, Notification)| match notification {
        Notification::RtpObserver(of, event) if of == observer => Some(event.clone()),
        _ => None,
    };
    call.network.notifications()[known..].iter().filter_map(event).collect()
}

/// Events of an observer within `time`.
fn events_within(call: &mut Call, observer: &RtpObserverId, time: Duration) -> Vec<RtpObserverEvent> {
    let known = call.network.notifications().len();
    call.network.run_for(time);
    events_since(call, observer, known)
}

fn volumes(volumes: &[(&ProducerId, i8)]) -> RtpObserverEvent {
    RtpObserverEvent::Volumes(volumes.iter().map(|&(id, volume)| (id.clone(), volume)).collect())
}

#[test]
fn loudest_speaker_is_reported_at_each_interval_until_all_are_silent() {
    let (mut call, productions) = speakers(1, &[Some(50), Some(30), Some(40)]);
    let observer = call.observe_audio(LOUDEST, &productions.iter().collect::<Vec<_>>());
    let [a, b, c] = &productions[..] else { unreachable!("there are three") };
    assert_eq!(
        events_within(&mut call, &observer, 3 * INTERVAL + 10 * MS),
        vec![volumes(&[(&b.id, -30)]); 3]
    );

    call.network.stop_source(b.ssrc);
    assert_eq!(events_within(&mut call, &observer, 3 * INTERVAL).last(), Some(&volumes(&[(&c.id, -40)])));
    for production in [a, c] {
        call.network.stop_source(production.ssrc);
    }
    let events = events_within(&mut call, &observer, 5 * INTERVAL);
    assert_eq!(events.last(), Some(&RtpObserverEvent::Silence));
    assert_eq!(events.iter().filter(|event| **event == RtpObserverEvent::Silence).count(), 1);
}

#[test]
fn producers_without_level_or_below_the_threshold_are_not_reported() {
    let (mut call, productions) = speakers(2, &[None, Some(90)]);
    let observer = call.observe_audio(LOUDEST, &productions.iter().collect::<Vec<_>>());
    assert_eq!(events_within(&mut call, &observer, 5 * INTERVAL), []);
}

#[test]
fn paused_removed_and_closed_producers_are_not_reported() {
    let (mut call, productions) = speakers(3, &[Some(30)]);
    let [a] = &productions[..] else { unreachable!("there is one") };
    let observer = call.observe_audio(LOUDEST, &[a]);
    let steps = [
        (Request::PauseProducer(a.id.clone()), Request::ResumeProducer(a.id.clone())),
        (
            Request::RtpObserverRemoveProducer(observer.clone(), a.id.clone()),
            Request::RtpObserverAddProducer(observer.clone(), a.id.clone()),
        ),
        (Request::PauseRtpObserver(observer.clone()), Request::ResumeRtpObserver(observer.clone())),
    ];
    for (stop, start) in steps {
        assert_eq!(events_within(&mut call, &observer, 2 * INTERVAL).last(), Some(&volumes(&[(&a.id, -30)])));
        let known = call.network.notifications().len();
        call.request(stop.clone());
        call.network.run_for(3 * INTERVAL);
        assert_eq!(events_since(&call, &observer, known), [RtpObserverEvent::Silence], "after {stop:?}");
        call.request(start);
    }
    assert_eq!(events_within(&mut call, &observer, 2 * INTERVAL).last(), Some(&volumes(&[(&a.id, -30)])));
    call.request(Request::CloseProducer(a.id.clone()));
    assert_eq!(events_within(&mut call, &observer, 3 * INTERVAL), [RtpObserverEvent::Silence]);
}

#[test]
fn closed_observer_reports_nothing_and_keeps_its_producers_open() {
    let (mut call, productions) = speakers(4, &[Some(30)]);
    let closed = call.observe_audio(LOUDEST, &[&productions[0]]);
    let open = call.observe_audio(LOUDEST, &[&productions[0]]);
    call.request(Request::CloseRtpObserver(closed.clone()));
    assert_eq!(
        events_within(&mut call, &open, 2 * INTERVAL + 10 * MS),
        vec![volumes(&[(&productions[0].id, -30)]); 2]
    );
    assert_eq!(events_since(&call, &closed, 0), []);
    let error = call.network.request(Request::PauseRtpObserver(closed)).unwrap_err();
    assert_eq!(error.to_string(), "RtpObserver not found [id:observer-3]");
}

#[test]
fn video_is_refused() {
    let (mut call, productions) = speakers(5, &[Some(30)]);
    let video = call.produce_video(productions[0].node, VideoConfig::default());
    let observer = call.observe_audio(LOUDEST, &[]);
    let error =
        call.network.request(Request::RtpObserverAddProducer(observer, video.id.clone())).unwrap_err();
    assert_eq!(error.to_string(), format!("not an audio Producer [id:{}]", video.id));
}

/// Level in −dBov of a silent member, and of one who speaks.
const ROOM: u8 = 90;
const VOICE: u8 = 25;

const ACTIVE: ActiveSpeakerOptions = ActiveSpeakerOptions { interval: Duration::from_millis(300) };

/// Three silent members, after one second.
fn meeting(seed: u64) -> (Call, Vec<Production>) {
    let (mut call, productions) = speakers(seed, &[Some(ROOM); 3]);
    call.network.run_for(Duration::from_secs(1));
    (call, productions)
}

#[test]
fn dominant_speaker_follows_the_conversation() {
    let (mut call, productions) = meeting(6);
    let observer = call.observe_speaker(ACTIVE, &productions.iter().collect::<Vec<_>>());
    let first = events_within(&mut call, &observer, Duration::from_secs(1));
    assert!(
        matches!(first[..], [RtpObserverEvent::DominantSpeaker(_)]),
        "there is always a dominant speaker: {first:?}"
    );
    let first = productions.iter().position(|p| first[0] == RtpObserverEvent::DominantSpeaker(p.id.clone()));
    let first = first.expect("it is one of the producers");

    let mut silent = first;
    for speaker in [(first + 1) % 3, (first + 2) % 3, first] {
        let production = &productions[speaker];
        call.network.set_audio_level(productions[silent].ssrc, ROOM);
        call.network.set_audio_level(production.ssrc, VOICE);
        let events = events_within(&mut call, &observer, Duration::from_secs(2));
        assert_eq!(events, [RtpObserverEvent::DominantSpeaker(production.id.clone())]);
        silent = speaker;
    }
}

#[test]
fn closed_dominant_speaker_is_replaced_at_once() {
    let (mut call, productions) = meeting(7);
    let observer = call.observe_speaker(ACTIVE, &productions.iter().collect::<Vec<_>>());
    call.network.set_audio_level(productions[1].ssrc, VOICE);
    let events = events_within(&mut call, &observer, Duration::from_secs(3));
    let gone = productions[1].id.clone();
    assert_eq!(events.last(), Some(&RtpObserverEvent::DominantSpeaker(gone.clone())));

    let known = call.network.notifications().len();
    call.request(Request::CloseProducer(gone));
    let events = events_since(&call, &observer, known);
    let [RtpObserverEvent::DominantSpeaker(successor)] = &events[..] else { panic!("{events:?}") };
    assert!([&productions[0].id, &productions[2].id].contains(&successor));
}

#[test]
fn paused_active_speaker_observer_reports_nothing() {
    let (mut call, productions) = meeting(8);
    let observer = call.observe_speaker(ACTIVE, &productions.iter().collect::<Vec<_>>());
    assert_eq!(events_within(&mut call, &observer, Duration::from_secs(1)).len(), 1);
    call.request(Request::PauseRtpObserver(observer.clone()));
    for production in &productions {
        call.network.set_audio_level(production.ssrc, VOICE);
        assert_eq!(events_within(&mut call, &observer, Duration::from_secs(2)), []);
        call.network.set_audio_level(production.ssrc, ROOM);
    }
    call.request(Request::ResumeRtpObserver(observer.clone()));
    call.network.set_audio_level(productions[2].ssrc, VOICE);
    let events = events_within(&mut call, &observer, Duration::from_secs(2));
    assert_eq!(events.last(), Some(&RtpObserverEvent::DominantSpeaker(productions[2].id.clone())));
}

#[test]
fn closed_router_reports_no_new_speaker() {
    let (mut call, productions) = meeting(9);
    let observer = call.observe_speaker(ACTIVE, &productions.iter().collect::<Vec<_>>());
    assert_eq!(events_within(&mut call, &observer, Duration::from_secs(1)).len(), 1);
    let known = call.network.notifications().len();
    call.close_router();
    assert_eq!(events_since(&call, &observer, known), []);
}
