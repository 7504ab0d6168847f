//! Media that the application receives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use event_listener_primitives::HandlerId;
use tureen_types::data_structures::AppData;
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

use super::client_io::ObjectKey;
use super::error::TransportError;
use super::sink::{Frame, FrameQueue, FrameSink};
use super::transport::Registration;
use crate::jitter::{DEFAULT_MAX_DELAY, JitterStats};
use crate::recv_stream::RecvStats;

/// What to consume: the server's Consumer.
pub struct ConsumeOptions {
    /// Its id.
    pub id: String,
    /// Id of its Producer.
    pub producer_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is received.
    pub rtp_parameters: RtpParameters,
    /// How long a frame is held back at most, for jitter and for packets that are missing. Default 1 s.
    pub max_frame_delay: Duration,
    /// Where frames go, instead of the queue of [`Consumer::next_frame`].
    pub sink: Option<Box<dyn FrameSink>>,
    /// The application's own.
    pub app_data: AppData,
}

/// Counters of a consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerStats {
    /// Packets.
    pub packets: RecvStats,
    /// Frames.
    pub frames: JitterStats,
    /// Frames that were dropped because [`Consumer::next_frame`] was not called in time. Video is dropped up to the next
    /// key frame.
    pub frames_not_read: u64,
}

/// Audio or video that the application receives. A cheap clone.
///
/// It is closed when its last handle is dropped. Signalling of pausing and closing is the application's.
#[derive(Clone)]
pub struct Consumer {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    producer_id: String,
    kind: MediaKind,
    rtp_parameters: RtpParameters,
    app_data: AppData,
    registration: Registration,
    key: ObjectKey,
    queue: FrameQueue,
}

impl ConsumeOptions {
    /// Options with defaults otherwise.
    pub fn new(
        id: impl Into<String>,
        producer_id: impl Into<String>,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
    ) -> Self {
        Self {
            id: id.into(),
            producer_id: producer_id.into(),
            kind,
            rtp_parameters,
            max_frame_delay: DEFAULT_MAX_DELAY,
            sink: None,
            app_data: AppData::default(),
        }
    }

    /// Gives the frames to `sink` on the I/O thread.
    #[must_use]
    pub fn with_sink(self, sink: impl FrameSink) -> Self {
        Self { sink: Some(Box::new(sink)), ..self }
    }
}

impl Consumer {
    pub(super) fn new(
        id: String,
        producer_id: String,
        kind: MediaKind,
        rtp_parameters: RtpParameters,
        app_data: AppData,
        registration: Registration,
        key: ObjectKey,
        queue: FrameQueue,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                id,
                producer_id,
                kind,
                rtp_parameters,
                app_data,
                registration,
                key,
                queue,
            }),
        }
    }

    /// Its id on the server.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// Id of its Producer on the server.
    pub fn producer_id(&self) -> &str {
        &self.inner.producer_id
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.inner.kind
    }

    /// What is received.
    pub fn rtp_parameters(&self) -> &RtpParameters {
        &self.inner.rtp_parameters
    }

    /// The application's own data, from the options.
    pub fn app_data(&self) -> &AppData {
        &self.inner.app_data
    }

    /// True if the consumer or its transport is closed.
    pub fn closed(&self) -> bool {
        self.inner.registration.is_closed()
    }

    /// The next frame, in order and in time; `None` when no more can come: the consumer or its transport is closed, or
    /// frames go to a sink. Several calls at once take turns; a dropped one takes nothing.
    ///
    /// At most 64 frames or 8 MiB wait. Frames beyond that are dropped and counted ([`ConsumerStats::frames_not_read`]).
    pub async fn next_frame(&self) -> Option<Frame> {
        self.inner.queue.next().await
    }

    /// Gives the frames to `sink` from now on. [`next_frame`](Self::next_frame) ends with those that waited.
    ///
    /// # Errors
    /// [`TransportError::Closed`].
    pub async fn set_sink(&self, sink: Box<dyn FrameSink>) -> Result<(), TransportError> {
        let key = self.inner.key;
        self.inner.registration.base().call(move |peer, _| peer.set_sink(key, sink)).await
    }

    /// Drops the frames from now on.
    ///
    /// # Errors
    /// [`TransportError::Closed`].
    pub async fn pause(&self) -> Result<(), TransportError> {
        self.set_paused(true).await
    }

    /// Hands frames out again.
    ///
    /// # Errors
    /// [`TransportError::Closed`].
    pub async fn resume(&self) -> Result<(), TransportError> {
        self.set_paused(false).await
    }

    /// Asks the server for a key frame by PLI. Frames that a decoder can't take without one are held back anyway, and
    /// the key frame asked for.
    ///
    /// # Errors
    /// [`TransportError::Closed`], or [`TransportError::Session`] before the transport is connected.
    pub async fn request_key_frame(&self) -> Result<(), TransportError> {
        let key = self.inner.key;
        let base = self.inner.registration.base();
        base.call(move |peer, now| peer.request_key_frame(now, key)).await?.map_err(TransportError::from)
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
    pub async fn stats(&self) -> Result<ConsumerStats, TransportError> {
        let key = self.inner.key;
        let stats = self.inner.registration.base().call(move |peer, _| peer.consumer_stats(key)).await?;
        let stats = stats.ok_or(TransportError::Closed)?;
        Ok(ConsumerStats { frames_not_read: self.inner.queue.dropped(), ..stats })
    }

    /// Stops receiving.
    pub fn close(&self) {
        self.inner.registration.discard();
    }

    async fn set_paused(&self, paused: bool) -> Result<(), TransportError> {
        let key = self.inner.key;
        self.inner.registration.base().call(move |peer, _| peer.pause_consumer(key, paused)).await
    }
}

impl fmt::Debug for ConsumeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumeOptions")
            .field("id", &self.id)
            .field("producer_id", &self.producer_id)
            .field("kind", &self.kind)
            .field("rtp_parameters", &self.rtp_parameters)
            .field("max_frame_delay", &self.max_frame_delay)
            .field("has_sink", &self.sink.is_some())
            .field("app_data", &self.app_data)
            .finish()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("id", &self.inner.id)
            .field("producer_id", &self.inner.producer_id)
            .field("kind", &self.inner.kind)
            .field("closed", &self.closed())
            .finish_non_exhaustive()
    }
}
