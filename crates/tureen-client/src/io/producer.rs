//! Media that the application sends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_listener_primitives::{Bag, HandlerId};
use parking_lot::Mutex;
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtp::extension::AudioLevel;
use tureen_types::data_structures::AppData;
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

use super::client_io::{Call, Command, ObjectKey};
use super::error::{SendFrameError, TransportError};
use super::peer::{FrameCommand, guarded};
use super::transport::Registration;
use crate::frames::{FrameInfo, OutgoingFrame};
use crate::send_stream::SendStats;
use crate::session::SessionError;

/// A frame to send, as [`frames`](crate::frames) says of its codec.
#[derive(Clone, Debug, Default)]
pub struct EncodedFrame {
    /// Its bytes. Whether it is a key frame is read from them.
    pub data: Bytes,
    /// Media time: that of its capture since any start, the same for all encodings of a producer.
    pub time: Duration,
    /// Its temporal layer, 0–3 for VP8 and 0–7 for VP9; the same for all frames or for none of a stream. H265 and AV1
    /// say it in their bytes, H264 nowhere.
    pub temporal_layer: Option<u8>,
    /// With a temporal layer above 0: the frame depends on the base layer alone (VP8's Y bit).
    pub layer_sync: bool,
    /// VP9 with spatial layers: the layer of this layer frame, 0–7. Layer frames of a picture have the same time and
    /// come lowest first.
    pub spatial_layer: Option<u8>,
    /// With a spatial layer: more layer frames of the picture follow.
    pub more_layers: bool,
    /// Loudness of audio, sent if the extension was negotiated (RFC 6464).
    pub audio_level: Option<AudioLevel>,
}

/// Counters of a producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStats {
    /// Of each encoding.
    pub encodings: Vec<SendStats>,
    /// Round trip time to the server by the last reports, once known.
    pub rtt: Option<Duration>,
    /// Frames sent.
    pub frames: u64,
    /// Key frames among them; all of them with audio.
    pub key_frames: u64,
    /// Frames that were not sent: before the transport was connected, while the producer was paused, or because of an
    /// error.
    pub frames_refused: u64,
    /// The last error of a frame.
    pub last_error: Option<SessionError>,
}

/// Audio or video that the application sends. A cheap clone.
///
/// It is closed when its last handle is dropped. Signalling of pausing and closing is the application's.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    kind: MediaKind,
    rtp_parameters: RtpParameters,
    app_data: AppData,
    registration: Registration,
    key: ObjectKey,
    shared: Arc<ProducerShared>,
    clock_rate: u32,
    timeline: Mutex<Timeline>,
}

/// The arguments of [`Producer::new`].
pub(super) struct NewProducer {
    pub(super) id: String,
    pub(super) kind: MediaKind,
    pub(super) rtp_parameters: RtpParameters,
    pub(super) app_data: AppData,
    pub(super) registration: Registration,
    pub(super) key: ObjectKey,
    pub(super) shared: Arc<ProducerShared>,
    pub(super) clock_rate: u32,
    pub(super) first_timestamp: u32,
}

/// What the I/O thread knows of a producer.
#[derive(Debug)]
pub(super) struct ProducerShared {
    paused: AtomicBool,
    /// The highest encoding that is sent.
    max_encoding: AtomicUsize,
    /// Part of each encoding in the estimate.
    targets: Mutex<Vec<Option<Bitrate>>>,
    key_frame_requests: Bag<Arc<dyn Fn(usize) + Send + Sync>>,
    target_bitrates: Bag<Arc<dyn Fn(usize, Bitrate) + Send + Sync>>,
    frames: AtomicU64,
    key_frames: AtomicU64,
    frames_refused: AtomicU64,
    last_error: Mutex<Option<SessionError>>,
}

/// RTP timestamps by media time.
#[derive(Debug)]
struct Timeline {
    /// RTP timestamp of media time zero.
    offset: u32,
    /// The latest timestamp, and when it was given.
    last: Option<(u32, Instant)>,
    /// Another source begins with the next frame.
    replaced: bool,
}

impl EncodedFrame {
    /// A frame of a stream without layers.
    pub fn new(data: impl Into<Bytes>, time: Duration) -> Self {
        Self { data: data.into(), time, ..Self::default() }
    }
}

impl Producer {
    pub(super) fn new(new: NewProducer) -> Self {
        Self {
            inner: Arc::new(Inner {
                id: new.id,
                kind: new.kind,
                rtp_parameters: new.rtp_parameters,
                app_data: new.app_data,
                registration: new.registration,
                key: new.key,
                shared: new.shared,
                clock_rate: new.clock_rate,
                timeline: Mutex::new(Timeline { offset: new.first_timestamp, last: None, replaced: false }),
            }),
        }
    }

    /// Its id on the server.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// What is sent.
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner.rtp_parameters
    }

    /// The application's own data, from the options.
    pub fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    /// True if the producer or its transport is closed.
    pub fn closed(&self) -> bool {
        self.inner.registration.is_closed()
    }

    /// True if frames are dropped instead of sent.
    pub fn paused(&self) -> bool {
        self.inner.shared.paused.load(Ordering::Relaxed)
    }

    /// Drops the frames from now on.
    pub fn pause(&self) {
        self.inner.shared.paused.store(true, Ordering::Relaxed);
        self.share_bitrate();
    }

    /// Sends frames again. The next one should be a key frame.
    pub fn resume(&self) {
        self.inner.shared.paused.store(false, Ordering::Relaxed);
        self.share_bitrate();
    }

    /// The highest encoding that is sent, counted from zero (mediasoup-client's `maxSpatialLayer`). Frames of those above
    /// are dropped. At first all are sent.
    pub fn set_max_spatial_layer(&self, encoding: usize) {
        self.inner.shared.max_encoding.store(encoding, Ordering::Relaxed);
        self.share_bitrate();
    }

    /// The highest encoding that is sent.
    pub fn max_spatial_layer(&self) -> usize {
        self.inner.shared.max_encoding.load(Ordering::Relaxed)
    }

    /// Goes on with another source (mediasoup-client's `replaceTrack`): the media time of the next frame is where the time
    /// since the last one has led to, so that RTP timestamps go on. The next frame should be a key frame.
    pub fn replace(&self) {
        self.inner.timeline.lock().replaced = true;
    }

    /// What an encoding may send by the estimate, without headers; zero for one that should not be sent. `None` while
    /// there is no estimate: there is one once the transport is connected, if video is produced with transport-wide
    /// feedback.
    pub fn target_bitrate(&self, encoding: usize) -> Option<Bitrate> {
        self.inner.shared.targets.lock().get(encoding).copied().flatten()
    }

    /// Calls `callback` with an encoding and what it may send from now on, as
    /// [`target_bitrate`](Self::target_bitrate) says it, on the I/O thread, until the returned id is dropped.
    #[must_use = "the callback is removed when the id is dropped"]
    pub fn on_target_bitrate(&self, callback: impl Fn(usize, Bitrate) + Send + Sync + 'static) -> HandlerId {
        self.inner.shared.target_bitrates.add(Arc::new(callback))
    }

    /// Sends a frame of an encoding, counted from zero in the order of the RTP parameters. Does not wait: the frame is
    /// cut, sealed and sent on the I/O thread. What goes wrong there is counted in [`ProducerStats::frames_refused`].
    ///
    /// A key frame is wanted at first, and whenever [`on_key_frame_request`](Self::on_key_frame_request) says so.
    ///
    /// # Errors
    /// See [`SendFrameError`].
    pub fn send_frame(&self, encoding: usize, frame: EncodedFrame) -> Result<(), SendFrameError> {
        let inner = &self.inner;
        let encodings = inner.shared.targets.lock().len();
        if encoding >= encodings {
            return Err(SendFrameError::NoEncoding { encoding, encodings });
        }
        if self.closed() {
            return Err(SendFrameError::Closed);
        }
        if !inner.shared.sends(encoding) {
            inner.shared.frames_refused.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let timestamp = inner.timeline.lock().timestamp(frame.time, inner.clock_rate, now());
        let EncodedFrame {
            data,
            temporal_layer,
            layer_sync,
            spatial_layer,
            more_layers,
            audio_level,
            time: _,
        } = frame;
        let frame = OutgoingFrame {
            data: &[],
            timestamp,
            temporal_layer,
            layer_sync,
            spatial_layer,
            more_layers,
            audio_level,
        };
        let (thread, peer) = inner.registration.base().thread();
        thread.try_send(Command::Frame(peer, FrameCommand { producer: inner.key, encoding, data, frame }))
    }

    /// Calls `callback` with the encoding of which the server wants a key frame (PLI or FIR), on the I/O thread, until the
    /// returned id is dropped.
    #[must_use = "the callback is removed when the id is dropped"]
    pub fn on_key_frame_request(&self, callback: impl Fn(usize) + Send + Sync + 'static) -> HandlerId {
        self.inner.shared.key_frame_requests.add(Arc::new(callback))
    }

    /// Calls `callback` when the transport is closed (mediasoup-client's `transportclose`), until the returned id is dropped.
    #[must_use = "the callback is removed when the id is dropped"]
    pub fn on_transport_close(&self, callback: impl FnOnce() + Send + 'static) -> HandlerId {
        self.inner.registration.base().shared().on_close(Box::new(callback))
    }

    /// Counters.
    ///
    /// # Errors
    /// [`TransportError::Closed`].
    pub async fn stats(&self) -> Result<ProducerStats, TransportError> {
        let key = self.inner.key;
        let stats = self.inner.registration.base().call(move |peer, _| peer.producer_stats(key)).await?;
        stats.ok_or(TransportError::Closed)
    }

    /// Stops sending. Frames that were sent before leave first.
    pub fn close(&self) {
        self.inner.registration.discard();
    }
}

impl Producer {
    /// Has the estimate shared anew. If the queue is full, that is done with the next change of the estimate.
    fn share_bitrate(&self) {
        let (thread, peer) = self.inner.registration.base().thread();
        let work: Call = Box::new(|peer, now| peer.share_bitrate(now));
        let _ = thread.try_send(Command::Call(peer, work));
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("id", &self.inner.id)
            .field("kind", &self.inner.kind)
            .field("paused", &self.paused())
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}

impl Timeline {
    fn timestamp(&mut self, time: Duration, clock_rate: u32, now: Instant) -> u32 {
        let time = ticks(time, clock_rate);
        if std::mem::take(&mut self.replaced)
            && let Some((last, at)) = self.last
        {
            let since = ticks(now.saturating_duration_since(at), clock_rate).max(1);
            self.offset = last.wrapping_add(since).wrapping_sub(time);
        }
        let timestamp = self.offset.wrapping_add(time);
        self.last = Some((timestamp, now));
        timestamp
    }
}

impl ProducerShared {
    pub(super) fn new(encodings: usize) -> Self {
        Self {
            paused: AtomicBool::new(false),
            max_encoding: AtomicUsize::new(encodings.saturating_sub(1)),
            targets: Mutex::new(vec![None; encodings]),
            key_frame_requests: Bag::default(),
            target_bitrates: Bag::default(),
            frames: AtomicU64::new(0),
            key_frames: AtomicU64::new(0),
            frames_refused: AtomicU64::new(0),
            last_error: Mutex::default(),
        }
    }

    /// True if frames of an encoding are sent.
    pub(super) fn sends(&self, encoding: usize) -> bool {
        !self.paused.load(Ordering::Relaxed) && encoding <= self.max_encoding.load(Ordering::Relaxed)
    }

    pub(super) fn set_target_bitrate(&self, encoding: usize, bitrate: Bitrate) {
        let before = self.targets.lock().get_mut(encoding).and_then(|target| target.replace(bitrate));
        if before != Some(bitrate) {
            guarded("target bitrate handler", || {
                self.target_bitrates.call(|callback| callback(encoding, bitrate));
            });
        }
    }

    pub(super) fn on_frame_sent(&self, info: FrameInfo) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.key_frames.fetch_add(info.key_frame.into(), Ordering::Relaxed);
    }

    pub(super) fn on_frame_refused(&self, error: &SessionError) {
        self.frames_refused.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock() = Some(error.clone());
    }

    pub(super) fn on_key_frame_request(&self, encoding: usize) {
        guarded("key frame request handler", || self.key_frame_requests.call(|callback| callback(encoding)));
    }

    /// The counters that do not come from the session.
    pub(super) fn stats(&self) -> ProducerStats {
        ProducerStats {
            encodings: Vec::new(),
            rtt: None,
            frames: self.frames.load(Ordering::Relaxed),
            key_frames: self.key_frames.load(Ordering::Relaxed),
            frames_refused: self.frames_refused.load(Ordering::Relaxed),
            last_error: self.last_error.lock().clone(),
        }
    }
}

/// Media time in units of the RTP clock; RTP timestamps wrap.
fn ticks(time: Duration, clock_rate: u32) -> u32 {
    (time.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

#[expect(clippy::disallowed_methods, reason = "frames are given in real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_go_on_where_the_source_is_replaced() {
        let start = now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timeline = Timeline { offset: u32::MAX - 89_999, last: None, replaced: false };
        assert_eq!(timeline.timestamp(Duration::from_secs(1), 90_000, at(0)), 0, "they wrap");
        timeline.replaced = true;
        assert_eq!(timeline.timestamp(Duration::from_secs(77), 90_000, at(40)), 3600);
        assert_eq!(timeline.timestamp(Duration::from_millis(77_020), 90_000, at(60)), 5400);
        timeline.replaced = true;
        assert_eq!(timeline.timestamp(Duration::ZERO, 90_000, at(60)), 5401, "not twice the same");
    }
}
