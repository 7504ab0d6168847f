//! Where the frames of a consumer go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::frames::FrameInfo;
use crate::jitter::ReceivedFrame;

/// A received frame, as [`frames`](crate::frames) says of its codec.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its bytes.
    pub data: Bytes,
    /// Key frame, layers.
    pub info: FrameInfo,
    /// RTP timestamp.
    pub timestamp: u32,
    /// When it was captured, since the Unix epoch by the sender's clock, if known.
    pub capture_time: Option<Duration>,
    /// When the last of its packets came.
    pub received_at: Instant,
    /// Frames are missing between the one before and this one. A decoder of video can take it all the same.
    pub after_loss: bool,
}

/// A received frame whose bytes are borrowed.
#[derive(Clone, Copy, Debug)]
pub struct FrameRef<'a> {
    /// Its bytes.
    pub data: &'a [u8],
    /// Key frame, layers.
    pub info: FrameInfo,
    /// RTP timestamp.
    pub timestamp: u32,
    /// When it was captured, since the Unix epoch by the sender's clock, if known.
    pub capture_time: Option<Duration>,
    /// When the last of its packets came.
    pub received_at: Instant,
    /// Frames are missing between the one before and this one. A decoder of video can take it all the same.
    pub after_loss: bool,
}

/// Takes the frames of a consumer on the I/O thread, without a queue. It must neither block nor take long. Closures are
/// sinks too.
pub trait FrameSink: Send + 'static {
    /// A frame is due.
    fn on_frame(&mut self, frame: &FrameRef<'_>);
}

impl<F: FnMut(&FrameRef<'_>) + Send + 'static> FrameSink for F {
    fn on_frame(&mut self, frame: &FrameRef<'_>) {
        self(frame);
    }
}

/// Frames that wait for [`Consumer::next_frame`](super::Consumer::next_frame).
const MAX_FRAMES: usize = 64;
/// Bytes of these.
const MAX_BYTES: usize = 8 << 20;
/// Time between two requests for a key frame.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(500);

/// The sink of a consumer.
pub(super) enum Sink {
    Queue(QueueSink),
    Application(Box<dyn FrameSink>),
    /// The application's sink has panicked.
    Broken,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    Done,
    /// Frames were dropped. There is room again, and a key frame is needed to go on.
    NeedsKeyFrame,
}

/// Writing end of the queue for [`Consumer::next_frame`](super::Consumer::next_frame).
#[derive(Debug)]
pub(super) struct QueueSink {
    frames: mpsc::Sender<Frame>,
    counters: Arc<QueueCounters>,
    is_video: bool,
    /// A frame was dropped since the last one that was queued.
    dropped: bool,
    key_frame_requested_at: Option<Instant>,
}

/// Reading end of the queue.
#[derive(Debug)]
pub(super) struct FrameQueue {
    frames: tokio::sync::Mutex<mpsc::Receiver<Frame>>,
    counters: Arc<QueueCounters>,
}

#[derive(Debug, Default)]
struct QueueCounters {
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// Both ends of a queue. Video goes on with a key frame where a frame was dropped.
pub(super) fn frame_queue(is_video: bool) -> (QueueSink, FrameQueue) {
    let (sender, receiver) = mpsc::channel(MAX_FRAMES);
    let counters = Arc::new(QueueCounters::default());
    let sink = QueueSink {
        frames: sender,
        counters: Arc::clone(&counters),
        is_video,
        dropped: false,
        key_frame_requested_at: None,
    };
    (sink, FrameQueue { frames: tokio::sync::Mutex::new(receiver), counters })
}

impl Sink {
    /// Hands a frame over. May take the buffer out of `data`.
    pub(super) fn deliver(&mut self, now: Instant, data: &mut Vec<u8>, frame: &ReceivedFrame) -> Delivery {
        match self {
            Self::Queue(queue) => queue.push(now, data, frame),
            Self::Application(sink) => {
                let &ReceivedFrame { info, timestamp, capture_time, received_at, after_loss } = frame;
                let frame = FrameRef { data, info, timestamp, capture_time, received_at, after_loss };
                if !super::peer::guarded("frame sink", || sink.on_frame(&frame)) {
                    *self = Self::Broken;
                }
                Delivery::Done
            }
            Self::Broken => Delivery::Done,
        }
    }
}

impl QueueSink {
    fn push(&mut self, now: Instant, data: &mut Vec<u8>, frame: &ReceivedFrame) -> Delivery {
        let waiting = self.counters.bytes.load(Ordering::Relaxed);
        let has_room = self.frames.capacity() > 0 && waiting + data.len() <= MAX_BYTES;
        let is_decodable = !self.dropped || !self.is_video || frame.info.key_frame;
        if has_room && is_decodable {
            let &ReceivedFrame { info, timestamp, capture_time, received_at, after_loss } = frame;
            let after_loss = after_loss || self.dropped;
            let data = Bytes::from(std::mem::take(data));
            self.counters.bytes.fetch_add(data.len(), Ordering::Relaxed);
            let frame = Frame { data, info, timestamp, capture_time, received_at, after_loss };
            self.dropped = false;
            // Nobody reads any more if the consumer's handle is gone; then it is closed soon.
            let _ = self.frames.try_send(frame);
            return Delivery::Done;
        }
        self.dropped = true;
        self.counters.dropped.fetch_add(1, Ordering::Relaxed);
        let waits =
            self.key_frame_requested_at.is_some_and(|at| now.saturating_duration_since(at) < KEY_FRAME_RETRY);
        if !has_room || waits {
            return Delivery::Done;
        }
        self.key_frame_requested_at = Some(now);
        Delivery::NeedsKeyFrame
    }
}

impl FrameQueue {
    /// The next frame; `None` when no more can come.
    pub(super) async fn next(&self) -> Option<Frame> {
        let frame = self.frames.lock().await.recv().await?;
        self.counters.bytes.fetch_sub(frame.data.len(), Ordering::Relaxed);
        Some(frame)
    }

    /// Frames that were dropped, because the queue was full or a key frame was waited for.
    pub(super) fn dropped(&self) -> u64 {
        self.counters.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests may read the clock")]
mod tests {
    use super::*;

    fn frame(now: Instant, key_frame: bool) -> ReceivedFrame {
        let info = FrameInfo { key_frame, ..FrameInfo::default() };
        ReceivedFrame { info, timestamp: 0, capture_time: None, received_at: now, after_loss: false }
    }

    fn pop(queue: &FrameQueue) -> Frame {
        let frame = queue.frames.try_lock().unwrap().try_recv().unwrap();
        queue.counters.bytes.fetch_sub(frame.data.len(), Ordering::Relaxed);
        frame
    }

    #[test]
    fn full_queue_drops_until_a_key_frame_comes_and_asks_for_it_when_there_is_room() {
        let now = Instant::now();
        let (mut sink, queue) = frame_queue(true);
        for _ in 0..MAX_FRAMES + 3 {
            assert_eq!(sink.push(now, &mut vec![1], &frame(now, false)), Delivery::Done);
        }
        assert_eq!(queue.dropped(), 3);
        assert!(!pop(&queue).after_loss);
        assert_eq!(sink.push(now, &mut vec![1], &frame(now, false)), Delivery::NeedsKeyFrame);
        assert_eq!(sink.push(now, &mut vec![1], &frame(now, false)), Delivery::Done, "asked for just now");
        sink.push(now, &mut vec![2], &frame(now, true));
        assert_eq!(queue.dropped(), 5);
        let last = std::iter::repeat_with(|| pop(&queue)).nth(MAX_FRAMES - 1).unwrap();
        assert!(last.after_loss && last.info.key_frame && last.data[..] == [2]);
    }

    #[test]
    fn waiting_bytes_are_bounded() {
        let now = Instant::now();
        let (mut sink, queue) = frame_queue(false);
        for _ in 0..3 {
            sink.push(now, &mut vec![0; MAX_BYTES / 2], &frame(now, true));
        }
        assert_eq!(queue.dropped(), 1);
        pop(&queue);
        sink.push(now, &mut vec![0; MAX_BYTES / 2], &frame(now, true));
        assert_eq!(queue.dropped(), 1);
    }
}
