//! RTP observers: their requests, and what producers tell them.

use std::time::Instant;

use super::control::not_found;
use super::{Output, Timer, Worker};
use crate::api::{
    CreateAudioLevelObserver, Notification, ProducerId, RequestError, RouterId, RtpObserverEvent,
    RtpObserverId,
};
use crate::keys::{ObserverKey, ProducerKey};
use crate::observers::audio_level::{AudioLevelObserver, AudioReport};
use crate::types::rtp_parameters::MediaKind;
use crate::wire::rtp::RtpHeader;
use crate::wire::rtp::extensions::AudioLevel;

/// One RTP observer of a router.
#[derive(Debug)]
pub(super) struct RtpObserver {
    pub(super) id: RtpObserverId,
    router: RouterId,
    levels: AudioLevelObserver,
}

impl Worker {
    pub(super) fn create_audio_level_observer(
        &mut self,
        now: Instant,
        options: CreateAudioLevelObserver,
    ) -> Result<(), RequestError> {
        let CreateAudioLevelObserver { router_id, id, options } = options;
        let router = self.routers.get_mut(&router_id).ok_or_else(|| not_found("Router", &router_id))?;
        if self.observer_ids.contains_key(&id) {
            return Err(RequestError::Duplicate { kind: "RtpObserver", id: id.to_string() });
        }
        let levels = AudioLevelObserver::new(now, options)?;
        let key = self.observers.insert(RtpObserver { id: id.clone(), router: router_id, levels });
        router.observers.push(key);
        self.observer_ids.insert(id, key);
        self.arm_audio_level_timer(key);
        Ok(())
    }

    pub(super) fn close_observer(&mut self, key: ObserverKey) {
        let Some(observer) = self.observers.remove(key) else { return };
        self.observer_ids.remove(&observer.id);
        self.timers.disarm(Timer::AudioLevel(key));
        for producer in observer.levels.producers() {
            if let Some(producer) = self.producers.get_mut(producer) {
                producer.observers.retain(|&other| other != key);
            }
        }
        if let Some(router) = self.routers.get_mut(&observer.router) {
            router.observers.retain(|&other| other != key);
        }
    }

    pub(super) fn pause_observer(&mut self, id: &RtpObserverId) -> Result<(), RequestError> {
        let key = self.find_observer(id)?;
        let report = self.observers[key].levels.pause();
        self.timers.disarm(Timer::AudioLevel(key));
        self.notify_audio_report(key, report);
        Ok(())
    }

    pub(super) fn resume_observer(&mut self, now: Instant, id: &RtpObserverId) -> Result<(), RequestError> {
        let key = self.find_observer(id)?;
        self.observers[key].levels.resume(now);
        self.arm_audio_level_timer(key);
        Ok(())
    }

    pub(super) fn observe_producer(
        &mut self,
        observer: &RtpObserverId,
        producer: &ProducerId,
    ) -> Result<(), RequestError> {
        let (observer_key, producer_key) = self.find_observed(observer, producer)?;
        let producer = &mut self.producers[producer_key];
        if producer.kind != MediaKind::Audio {
            return Err(RequestError::Invalid(format!("not an audio Producer [id:{}]", producer.id)));
        }
        if self.observers[observer_key].levels.add_producer(producer_key) {
            producer.observers.push(observer_key);
        }
        Ok(())
    }

    pub(super) fn unobserve_producer(
        &mut self,
        observer: &RtpObserverId,
        producer: &ProducerId,
    ) -> Result<(), RequestError> {
        let (observer_key, producer_key) = self.find_observed(observer, producer)?;
        self.observers[observer_key].levels.remove_producer(producer_key);
        self.producers[producer_key].observers.retain(|&other| other != observer_key);
        Ok(())
    }

    pub(super) fn find_observer(&self, id: &RtpObserverId) -> Result<ObserverKey, RequestError> {
        self.observer_ids.get(id).copied().ok_or_else(|| not_found("RtpObserver", id))
    }

    /// What was heard of a producer before its pause does not count after it.
    pub(super) fn on_observed_producer_paused(&mut self, key: ProducerKey) {
        for &observer in &self.producers[key].observers {
            self.observers[observer].levels.producer_paused(key);
        }
    }

    pub(super) fn on_observed_producer_closed(&mut self, key: ProducerKey, observers: &[ObserverKey]) {
        for &observer in observers {
            self.observers[observer].levels.remove_producer(key);
        }
    }

    /// Shows a packet of a producer to its observers. Called for observed producers only.
    pub(super) fn observe_packet(&mut self, key: ProducerKey, header: &RtpHeader, packet: &[u8]) {
        let producer = &self.producers[key];
        let Some(level) = header.read::<AudioLevel>(packet, producer.extension_ids().ssrc_audio_level) else {
            return;
        };
        for &observer in &producer.observers {
            self.observers[observer].levels.handle_packet(key, level);
        }
    }

    pub(super) fn on_audio_level_timer(&mut self, now: Instant, key: ObserverKey) {
        let Some(observer) = self.observers.get_mut(key) else { return };
        let report = observer.levels.handle_timeout(now);
        self.arm_audio_level_timer(key);
        self.notify_audio_report(key, report);
    }

    fn arm_audio_level_timer(&mut self, key: ObserverKey) {
        if let Some(at) = self.observers[key].levels.poll_timeout() {
            self.timers.arm(Timer::AudioLevel(key), at);
        }
    }

    fn notify_audio_report(&mut self, key: ObserverKey, report: Option<AudioReport>) {
        let event = match report {
            Some(AudioReport::Volumes(volumes)) => {
                let named = |(key, volume)| Some((self.producers.get(key)?.id.clone(), volume));
                RtpObserverEvent::Volumes(volumes.into_iter().filter_map(named).collect())
            }
            Some(AudioReport::Silence) => RtpObserverEvent::Silence,
            None => return,
        };
        let notification = Notification::RtpObserver(self.observers[key].id.clone(), event);
        self.outputs.push_back(Output::Notification(notification));
    }

    /// An observer and a producer of the same router.
    fn find_observed(
        &self,
        observer: &RtpObserverId,
        producer: &ProducerId,
    ) -> Result<(ObserverKey, ProducerKey), RequestError> {
        let observer_key = self.find_observer(observer)?;
        let producer_key = self.find_producer(producer)?;
        let transport = self.transports.get(self.producers[producer_key].transport);
        if transport.is_none_or(|transport| transport.router != self.observers[observer_key].router) {
            return Err(not_found("Producer", producer));
        }
        Ok((observer_key, producer_key))
    }
}
