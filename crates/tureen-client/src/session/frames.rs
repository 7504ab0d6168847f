//! Sending and receiving of whole frames.

use std::time::Instant;

use tureen_rtc::units::Ssrc;

use super::{Session, SessionError};
use crate::frames::{FrameInfo, OutgoingFrame};
use crate::jitter::{JitterStats, ReceivedFrame};
use crate::recv_stream::RecvStream;
use crate::send_stream::OutgoingRtp;

impl Session {
    /// Queues the packets of a frame, on an outgoing stream with a codec. A frame is queued as a whole or not at all:
    /// it must fit into the free part of the stream's buffer
    /// ([`SendStreamConfig::buffered_packets`](crate::SendStreamConfig::buffered_packets)).
    ///
    /// The first frame must be a key frame, as must the next one after
    /// [`Event::KeyFrameRequested`](crate::Event::KeyFrameRequested).
    ///
    /// # Errors
    /// [`SessionError::NotConnected`], [`SessionError::NoStream`], [`SessionError::Frame`],
    /// [`SessionError::PayloadTooLong`] for an Opus packet that fits no datagram, [`SessionError::FrameTooLong`], or
    /// [`SessionError::Backlog`]: the frame is lost for the receivers, and the next one should be a key frame.
    pub fn send_frame(
        &mut self,
        now: Instant,
        ssrc: u32,
        frame: &OutgoingFrame<'_>,
    ) -> Result<FrameInfo, SessionError> {
        self.now = now;
        if !self.is_connected() {
            return Err(SessionError::NotConnected);
        }
        let stream = self.send.iter_mut().find(|s| s.ssrc().0 == ssrc).ok_or(SessionError::NoStream(ssrc))?;
        let payloads = &mut self.scratch.payloads;
        let queue = if self.estimate.is_some() && stream.is_audio() {
            &mut self.audio_queue
        } else {
            &mut self.queue
        };
        let info = stream.packetize(frame, payloads)?;
        for (payload, marker) in payloads.iter() {
            let packet =
                OutgoingRtp { payload, timestamp: frame.timestamp, marker, audio_level: frame.audio_level };
            let index = stream.push(now, &packet)?;
            queue.push_back((Ssrc(ssrc), index));
        }
        Ok(info)
    }

    /// Replaces `data` by the next due frame of any incoming stream with
    /// [`max_frame_delay`](crate::RecvStreamConfig::max_frame_delay), and returns the stream's SSRC. The previous
    /// buffer of `data` is reused for a later frame.
    ///
    /// Call it until it returns `None`, after [`handle_datagram`](Self::handle_datagram) and
    /// [`handle_timeout`](Self::handle_timeout) and before [`poll_transmit`](Self::poll_transmit), because it requests
    /// key frames by PLI when dropped frames make that necessary.
    pub fn poll_frame(&mut self, now: Instant, data: &mut Vec<u8>) -> Option<(u32, ReceivedFrame)> {
        self.now = now;
        for at in 0..self.recv.len() {
            let stream = &mut self.recv[at];
            if stream.frame_due_at().is_none_or(|due| due > now) {
                continue;
            }
            let ssrc = stream.ssrc().0;
            let frame = stream.poll_frame(now, data);
            if stream.poll_key_frame_request(now) {
                // Cannot fail: the stream exists, and packets were received only because SRTP has keys.
                let _ = self.request_key_frame(now, ssrc);
            }
            if let Some(frame) = frame {
                return Some((ssrc, frame));
            }
        }
        None
    }

    /// Frame counters of an incoming stream; `None` if the stream delivers packets only.
    pub fn frame_stats(&self, ssrc: u32) -> Option<JitterStats> {
        self.recv.iter().find(|stream| stream.ssrc().0 == ssrc).and_then(RecvStream::frame_stats)
    }
}
