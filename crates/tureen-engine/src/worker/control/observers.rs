//! RTP observers: their requests, their input and their events.

use std::time::Instant;

use crate::api::{
    CreateActiveSpeakerObserver, CreateAudioLevelObserver, Notification, ProducerId, RequestError, RouterId,
    RtpObserverEvent, RtpObserverId,
};
use crate::keys::{ObserverKey, ProducerKey};
use crate::observers::active_speaker::ActiveSpeakerObserver;
use crate::observers::audio_level::{AudioLevelObserver, AudioReport};
use crate::worker::arena;
use crate::worker::arena::Media;
use crate::worker::out::Out;
use crate::worker::timer::Timer;
use tureen_rtc::wire::rtp::extension::AudioLevel;
use tureen_rtc::wire::rtp::{Extension, RtpHeader};
use tureen_types::rtp_parameters::MediaKind;

#[derive(Debug)]
pub(crate) struct RtpObserver {
    pub(crate) id: RtpObserverId,
    router: RouterId,
    kind: Kind,
}

/// Kind of an observer, with its state.
#[derive(Debug)]
enum Kind {
    AudioLevel(AudioLevelObserver),
    ActiveSpeaker(ActiveSpeakerObserver),
}

/// Event of an observer.
enum Report {
    Audio(AudioReport),
    DominantSpeaker(ProducerKey),
}

pub(crate) fn create_audio_level_observer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    options: CreateAudioLevelObserver,
) -> Result<(), RequestError> {
    let CreateAudioLevelObserver { router_id, id, options } = options;
    let observer = AudioLevelObserver::new(now, options)?;
    add_observer(media, out, router_id, id, Kind::AudioLevel(observer))
}

pub(crate) fn create_active_speaker_observer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    options: CreateActiveSpeakerObserver,
) -> Result<(), RequestError> {
    let CreateActiveSpeakerObserver { router_id, id, options } = options;
    let observer = ActiveSpeakerObserver::new(now, options);
    add_observer(media, out, router_id, id, Kind::ActiveSpeaker(observer))
}

pub(crate) fn close_observer(media: &mut Media, out: &mut Out, key: ObserverKey) {
    let Some(observer) = media.observers.remove(key) else { return };
    out.timers.disarm(Timer::Observer(key));
    for producer in observer.kind.producers() {
        if let Some(producer) = media.producers.live_mut(producer) {
            producer.observers.retain(|&other| other != key);
        }
    }
    if let Some(router) = media.routers.get_mut(&observer.router) {
        router.observers.retain(|&other| other != key);
    }
}

pub(crate) fn pause_observer(
    media: &mut Media,
    out: &mut Out,
    id: &RtpObserverId,
) -> Result<(), RequestError> {
    let key = media.observers.find(id)?;
    let report = media.observers[key].kind.pause();
    out.timers.disarm(Timer::Observer(key));
    notify_report(media, out, key, report);
    Ok(())
}

pub(crate) fn resume_observer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    id: &RtpObserverId,
) -> Result<(), RequestError> {
    let key = media.observers.find(id)?;
    media.observers[key].kind.resume(now);
    arm_observer_timer(media, out, key);
    Ok(())
}

pub(crate) fn observe_producer(
    media: &mut Media,
    now: Instant,
    observer: &RtpObserverId,
    producer: &ProducerId,
) -> Result<(), RequestError> {
    let (observer_key, producer_key) = find_observed(media, observer, producer)?;
    let producer = &mut media.producers[producer_key];
    if producer.kind != MediaKind::Audio {
        return Err(RequestError::Invalid(format!("not an audio Producer [id:{}]", producer.id)));
    }
    if media.observers[observer_key].kind.add_producer(now, producer_key, producer.paused) {
        producer.observers.push(observer_key);
    }
    Ok(())
}

pub(crate) fn unobserve_producer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    observer: &RtpObserverId,
    producer: &ProducerId,
) -> Result<(), RequestError> {
    let (observer_key, producer_key) = find_observed(media, observer, producer)?;
    media.producers[producer_key].observers.retain(|&other| other != observer_key);
    forget_producer(media, out, now, observer_key, producer_key);
    Ok(())
}

pub(crate) fn on_observed_producer_paused(media: &mut Media, key: ProducerKey, paused: bool) {
    for &observer in &media.producers[key].observers {
        media.observers[observer].kind.producer_paused(key, paused);
    }
}

pub(crate) fn on_observed_producer_closed(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    key: ProducerKey,
    observers: &[ObserverKey],
) {
    for &observer in observers {
        forget_producer(media, out, now, observer, key);
    }
}

/// Passes the audio level of a packet to the observers of a Producer. Only called for observed Producers.
pub(crate) fn observe_packet(
    media: &mut Media,
    now: Instant,
    key: ProducerKey,
    header: &RtpHeader,
    packet: &[u8],
) {
    let producer = &media.producers[key];
    let Some(level) = header.read::<AudioLevel>(packet, producer.extension_ids()[Extension::SsrcAudioLevel])
    else {
        return;
    };
    for &observer in &producer.observers {
        media.observers[observer].kind.handle_packet(now, key, level);
    }
}

pub(crate) fn on_observer_timer(media: &mut Media, out: &mut Out, now: Instant, key: ObserverKey) {
    let Some(observer) = media.observers.live_mut(key) else { return };
    let report = observer.kind.handle_timeout(now);
    arm_observer_timer(media, out, key);
    notify_report(media, out, key, report);
}

fn add_observer(
    media: &mut Media,
    out: &mut Out,
    router_id: RouterId,
    id: RtpObserverId,
    kind: Kind,
) -> Result<(), RequestError> {
    let router = media.routers.get_mut(&router_id).ok_or_else(|| arena::not_found("Router", &router_id))?;
    media.observers.check_new(&id)?;
    let key = media.observers.insert(RtpObserver { id: id.clone(), router: router_id, kind });
    router.observers.push(key);
    arm_observer_timer(media, out, key);
    Ok(())
}

fn forget_producer(
    media: &mut Media,
    out: &mut Out,
    now: Instant,
    observer: ObserverKey,
    producer: ProducerKey,
) {
    let report = media.observers[observer].kind.remove_producer(now, producer);
    notify_report(media, out, observer, report);
}

fn arm_observer_timer(media: &mut Media, out: &mut Out, key: ObserverKey) {
    if let Some(at) = media.observers[key].kind.poll_timeout() {
        out.timers.arm(Timer::Observer(key), at);
    }
}

fn notify_report(media: &mut Media, out: &mut Out, key: ObserverKey, report: Option<Report>) {
    let name = |key| media.producers.live(key).map(|producer| producer.id.clone());
    let event = match report {
        Some(Report::Audio(AudioReport::Volumes(volumes))) => {
            let named = |(key, volume)| Some((name(key)?, volume));
            RtpObserverEvent::Volumes(volumes.into_iter().filter_map(named).collect())
        }
        Some(Report::Audio(AudioReport::Silence)) => RtpObserverEvent::Silence,
        Some(Report::DominantSpeaker(speaker)) => match name(speaker) {
            Some(id) => RtpObserverEvent::DominantSpeaker(id),
            None => return,
        },
        None => return,
    };
    let notification = Notification::RtpObserver(media.observers[key].id.clone(), event);
    out.notify(notification);
}

/// Returns an observer and a Producer of the same router.
fn find_observed(
    media: &Media,
    observer: &RtpObserverId,
    producer: &ProducerId,
) -> Result<(ObserverKey, ProducerKey), RequestError> {
    let observer_key = media.observers.find(observer)?;
    let producer_key = media.producers.find(producer)?;
    let transport = media.transports.live(media.producers[producer_key].transport);
    if transport.is_none_or(|transport| transport.router != media.observers[observer_key].router) {
        return Err(arena::not_found("Producer", producer));
    }
    Ok((observer_key, producer_key))
}

impl Kind {
    fn producers(&self) -> Vec<ProducerKey> {
        match self {
            Self::AudioLevel(observer) => observer.producers().collect(),
            Self::ActiveSpeaker(observer) => observer.producers().collect(),
        }
    }

    /// Returns false if the Producer was already observed.
    fn add_producer(&mut self, now: Instant, producer: ProducerKey, paused: bool) -> bool {
        match self {
            Self::AudioLevel(observer) => observer.add_producer(producer),
            Self::ActiveSpeaker(observer) => observer.add_producer(now, producer, paused),
        }
    }

    fn remove_producer(&mut self, now: Instant, producer: ProducerKey) -> Option<Report> {
        match self {
            Self::AudioLevel(observer) => {
                observer.remove_producer(producer);
                None
            }
            Self::ActiveSpeaker(observer) => {
                observer.remove_producer(now, producer).map(Report::DominantSpeaker)
            }
        }
    }

    fn producer_paused(&mut self, producer: ProducerKey, paused: bool) {
        match (self, paused) {
            (Self::AudioLevel(observer), true) => observer.producer_paused(producer),
            (Self::AudioLevel(_), false) => {}
            (Self::ActiveSpeaker(observer), true) => observer.producer_paused(producer),
            (Self::ActiveSpeaker(observer), false) => observer.producer_resumed(producer),
        }
    }

    fn handle_packet(&mut self, now: Instant, producer: ProducerKey, level: AudioLevel) {
        match self {
            Self::AudioLevel(observer) => observer.handle_packet(producer, level),
            Self::ActiveSpeaker(observer) => observer.handle_packet(now, producer, level),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::AudioLevel(observer) => observer.poll_timeout(),
            Self::ActiveSpeaker(observer) => observer.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Option<Report> {
        match self {
            Self::AudioLevel(observer) => observer.handle_timeout(now).map(Report::Audio),
            Self::ActiveSpeaker(observer) => observer.handle_timeout(now).map(Report::DominantSpeaker),
        }
    }

    fn pause(&mut self) -> Option<Report> {
        match self {
            Self::AudioLevel(observer) => observer.pause().map(Report::Audio),
            Self::ActiveSpeaker(observer) => {
                observer.pause();
                None
            }
        }
    }

    fn resume(&mut self, now: Instant) {
        match self {
            Self::AudioLevel(observer) => observer.resume(now),
            Self::ActiveSpeaker(observer) => observer.resume(now),
        }
    }
}
