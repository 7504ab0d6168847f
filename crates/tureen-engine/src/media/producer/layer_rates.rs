//! Bitrate and activity of each layer of a stream.

use std::time::{Duration, Instant};

use crate::media::producer::frames::FrameInfo;
use tureen_rtc::rate::RateMeter;
use tureen_rtc::units::Bitrate;

/// Time without packets of a layer, while others arrive, after which the layer counts as inactive (mediasoup
/// `InactivityCheckIntervalMs`).
pub(crate) const LAYER_INACTIVITY: Duration = Duration::from_millis(1500);

/// Number of pictures without a layer after which the layer counts as inactive. Time alone is not sufficient, because a
/// static screen or a canvas sends a picture every few seconds or none at all.
pub(crate) const MIN_PICTURES_WITHOUT: u32 = 3;

/// Maximum number of spatial and of temporal layers measured.
const MAX_LAYERS: u8 = 8;

/// Bitrates and activity of a stream's layers. Streams with a single layer have none.
#[derive(Debug)]
pub(crate) struct LayerRates {
    temporal_layers: u8,
    /// True if spatial layers depend on each other at key frames only.
    k_svc: bool,
    /// Rate meters by spatial, then temporal layer; 400 bytes each.
    meters: Box<[RateMeter]>,
    /// Last bitrates of the same layers, measured while the stream was not silent.
    known: Box<[Bitrate]>,
    /// Time of the last packet of each spatial layer, and the number of pictures at that time.
    spatial: Box<[Option<(Instant, u32)>]>,
    /// Bit mask of active spatial layers.
    active: u8,
}

impl LayerRates {
    /// Creates the meters for these layers. `k_svc`: spatial layers depend on each other at key frames only, so that a
    /// layer is sent without the lower ones.
    pub(crate) fn new(spatial_layers: u8, temporal_layers: u8, k_svc: bool) -> Self {
        let (spatial_layers, temporal_layers) =
            (spatial_layers.clamp(1, MAX_LAYERS), temporal_layers.clamp(1, MAX_LAYERS));
        let count = usize::from(spatial_layers) * usize::from(temporal_layers);
        let meters = if count > 1 { vec![RateMeter::default(); count] } else { Vec::new() };
        Self {
            temporal_layers,
            k_svc,
            known: vec![Bitrate::ZERO; meters.len()].into(),
            meters: meters.into(),
            spatial: if count > 1 { vec![None; usize::from(spatial_layers)] } else { Vec::new() }.into(),
            active: u8::from(count <= 1),
        }
    }

    /// Counts a packet of the picture with this number. True if its spatial layer was not active before.
    pub(crate) fn add(&mut self, now: Instant, frame: &FrameInfo, bytes: usize, picture: u32) -> bool {
        if self.meters.is_empty() {
            return false;
        }
        let spatial = usize::from(frame.spatial_layer).min(self.spatial.len() - 1);
        let temporal = usize::from(frame.temporal_layer.min(self.temporal_layers - 1));
        self.meters[spatial * usize::from(self.temporal_layers) + temporal].add(now, bytes);
        self.spatial[spatial] = Some((now, picture));
        let was = self.active;
        self.active |= 1 << spatial;
        self.active != was
    }

    /// Checks the layers for inactivity; the newest picture has this number. True if a layer has ended since the last
    /// check.
    pub(crate) fn check(&mut self, now: Instant, picture: u32) -> bool {
        let mut ended = 0;
        for (layer, last) in self.spatial.iter().enumerate() {
            let is_over = |(at, seen)| {
                now.saturating_duration_since(at) >= LAYER_INACTIVITY
                    && picture.wrapping_sub(seen) >= MIN_PICTURES_WITHOUT
            };
            ended |= u8::from(last.is_none_or(is_over)) << layer;
        }
        let was = self.active;
        self.active &= !ended;
        self.active != was
    }

    /// True if a spatial layer is active.
    pub(crate) fn is_active(&self, spatial: u8) -> bool {
        self.active >> spatial & 1 == 1
    }

    /// Bitrate of the layers up to these; zero if the topmost one is not received. While no layer is received, the last
    /// known bitrate is returned, because a silent stream may continue unchanged. `None` for a single layer.
    pub(crate) fn bitrate(&mut self, now: Instant, spatial: u8, temporal: u8) -> Option<Bitrate> {
        if self.meters.is_empty() {
            return None;
        }
        let spatial = usize::from(spatial).min(self.spatial.len() - 1);
        let temporal = usize::from(temporal.min(self.temporal_layers - 1));
        let lowest = if self.k_svc { spatial } else { 0 };
        let row = usize::from(self.temporal_layers);
        let mut rate = |s: usize, t: usize| self.meters[s * row + t].bitrate(now).unwrap_or(Bitrate::ZERO);
        let topmost = spatial * row + temporal;
        if rate(spatial, temporal).is_zero() {
            let is_silent = (0..self.spatial.len()).all(|s| (0..row).all(|t| rate(s, t).is_zero()));
            return Some(if is_silent { self.known[topmost] } else { Bitrate::ZERO });
        }
        let mut sum = Bitrate::ZERO;
        for s in lowest..=spatial {
            for t in 0..=temporal {
                sum = sum + rate(s, t);
            }
        }
        self.known[topmost] = sum;
        Some(sum)
    }

    /// Bitrate in bit/s of each layer with the layers it needs, by name (`spatial.temporal`); empty for a single layer.
    pub(crate) fn by_layer(&mut self, now: Instant) -> Vec<(String, u64)> {
        let mut rates = Vec::new();
        for spatial in 0..self.spatial.len() as u8 {
            for temporal in 0..self.temporal_layers {
                let rate = self.bitrate(now, spatial, temporal).map_or(0, Bitrate::as_bps);
                rates.push((format!("{spatial}.{temporal}"), rate));
            }
        }
        rates
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    fn frame(spatial_layer: u8, temporal_layer: u8) -> FrameInfo {
        let mut frame = FrameInfo::default();
        (frame.spatial_layer, frame.temporal_layer) = (spatial_layer, temporal_layer);
        frame
    }

    /// A second of 10 packets of 1000 bytes in each of 2 × 2 layers.
    fn filled(k_svc: bool) -> (LayerRates, Instant) {
        let start = Instant::now();
        let mut rates = LayerRates::new(2, 2, k_svc);
        let mut now = start;
        for picture in 0..50 {
            now += Duration::from_millis(100);
            for (s, t) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                rates.add(now, &frame(s, t), 1000, picture);
            }
        }
        (rates, now)
    }

    #[test]
    fn layer_includes_the_bitrates_of_its_dependencies() {
        let names = |rates: Vec<(String, u64)>| {
            rates.into_iter().map(|(name, rate)| (name, rate / 10_000)).collect::<Vec<_>>()
        };
        let expected = |rates: [u64; 4]| {
            ["0.0", "0.1", "1.0", "1.1"].map(str::to_owned).into_iter().zip(rates).collect::<Vec<_>>()
        };
        let (mut rates, now) = filled(false);
        assert_eq!(names(rates.by_layer(now)), expected([8, 16, 16, 32]));
        let (mut rates, now) = filled(true);
        assert_eq!(names(rates.by_layer(now)), expected([8, 16, 8, 16]));
    }

    #[test]
    fn layers_appear_and_disappear() {
        let start = Instant::now();
        let mut rates = LayerRates::new(3, 1, false);
        assert!(rates.add(start, &frame(0, 0), 100, 1) && rates.add(start, &frame(1, 0), 100, 1));
        assert!(!rates.add(start, &frame(1, 0), 100, 1));
        let later = start + Duration::from_secs(1);
        for picture in 2..5 {
            rates.add(later, &frame(0, 0), 100, picture);
        }
        assert!(!rates.check(later, 4));
        assert!(rates.check(start + LAYER_INACTIVITY, 4));
        assert!(rates.is_active(0) && !rates.is_active(1) && !rates.is_active(2));
    }

    #[test]
    fn layers_of_infrequent_pictures_keep_their_rate() {
        let (mut rates, start) = filled(false);
        let before = rates.bitrate(start, 1, 1);
        for picture in 50..60 {
            let now = start + Duration::from_secs(4 * (picture - 49));
            // The second layer's packets are late.
            rates.add(now, &frame(0, 0), 1000, picture as u32);
            assert!(!rates.check(now, picture as u32), "{picture}");
            assert!(rates.is_active(0) && rates.is_active(1));
            rates.add(now, &frame(1, 1), 1000, picture as u32);
        }
        let silent = start + Duration::from_secs(1000);
        let (mut rates, _) = filled(false);
        rates.bitrate(start, 1, 1);
        assert_eq!(rates.bitrate(silent, 1, 1), before);
        assert_eq!(rates.bitrate(silent, 0, 1), Some(Bitrate::ZERO), "never asked for");
    }

    #[test]
    fn single_layer_is_not_measured() {
        let mut rates = LayerRates::new(1, 1, false);
        assert!(!rates.add(Instant::now(), &frame(0, 0), 100, 1));
        assert!(rates.is_active(0) && !rates.check(Instant::now(), 1));
        assert_eq!((rates.bitrate(Instant::now(), 0, 0), rates.by_layer(Instant::now())), (None, vec![]));
    }
}
