//! One session on its I/O thread, with its producers and consumers.

mod bitrates;
mod data;
mod paths;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tureen_rtc::bwe::BweConfig;
use tureen_rtc::units::Bitrate;
use tureen_rtc::wire::rtp::Extension;
use tureen_types::data_structures::IceParameters;
use tureen_types::rtp_parameters::{MediaKind, RtpParameters};

use self::bitrates::{Demand, desired, max_bitrates, share};
use self::data::DataChannels;
pub(super) use self::data::MessageCommand;
pub(super) use self::paths::{Path, Paths, Remote};
use super::client_io::{ObjectKey, PeerKey};
use super::consumer::ConsumerStats;
use super::error::TransportError;
use super::producer::{ProducerShared, ProducerStats};
use super::sink::{Delivery, FrameSink, Sink};
use super::transport::{ConnectionState, TransportShared, TransportStats};
use crate::frames::OutgoingFrame;
use crate::recv_stream::RecvStreamConfig;
use crate::send_stream::SendStreamConfig;
use crate::session::{Event, Session, SessionConfig, SessionError};

/// A session to open.
pub(super) struct OpenPeer {
    pub(super) key: PeerKey,
    /// With no candidates.
    pub(super) config: SessionConfig,
    /// SCTP streams that both sides have.
    pub(super) streams: u16,
    /// The candidates, best first.
    pub(super) remotes: Vec<Remote>,
    pub(super) shared: Arc<TransportShared>,
    pub(super) reply: oneshot::Sender<Result<(), TransportError>>,
}

/// A producer to add.
pub(super) struct NewProducer {
    pub(super) key: ObjectKey,
    pub(super) kind: MediaKind,
    pub(super) rtp_parameters: RtpParameters,
    /// Of its encodings.
    pub(super) streams: Vec<SendStreamConfig>,
    pub(super) shared: Arc<ProducerShared>,
}

/// A frame to send.
#[derive(Debug)]
pub(super) struct FrameCommand {
    pub(super) producer: ObjectKey,
    pub(super) encoding: usize,
    pub(super) data: Bytes,
    /// The frame without its bytes.
    pub(super) frame: OutgoingFrame<'static>,
}

/// A session and what belongs to it.
pub(super) struct Peer {
    session: Session,
    pub(super) paths: Paths,
    /// Connections that are not needed any more.
    spare: Vec<u32>,
    /// Its entry among the timers.
    pub(super) scheduled: Option<Instant>,
    shared: Arc<TransportShared>,
    producers: Vec<PeerProducer>,
    consumers: Vec<PeerConsumer>,
    data: DataChannels,
    traffic: Traffic,
}

/// Datagrams of all kinds.
#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    datagrams_sent: u64,
    bytes_sent: u64,
    datagrams_received: u64,
    bytes_received: u64,
}

struct PeerProducer {
    key: ObjectKey,
    /// Of each encoding.
    ssrcs: Vec<u32>,
    kind: MediaKind,
    /// Most that each encoding takes.
    max_bitrates: Vec<Bitrate>,
    shared: Arc<ProducerShared>,
}

struct PeerConsumer {
    key: ObjectKey,
    ssrc: u32,
    sink: Sink,
    paused: bool,
}

impl Peer {
    pub(super) fn new(
        config: SessionConfig,
        streams: u16,
        paths: Paths,
        shared: Arc<TransportShared>,
        now: Instant,
        unix: Duration,
    ) -> Result<Self, TransportError> {
        let session = Session::new(config, now, unix)?;
        shared.set_state(ConnectionState::Connecting);
        let (producers, consumers) = (Vec::new(), Vec::new());
        Ok(Self {
            session,
            paths,
            spare: Vec::new(),
            scheduled: None,
            shared,
            producers,
            consumers,
            data: DataChannels::new(streams),
            traffic: Traffic::default(),
        })
    }

    /// Takes a datagram that came from `source` to the socket `token`.
    pub(super) fn handle_datagram(&mut self, now: Instant, token: u32, source: SocketAddr, data: &mut [u8]) {
        let from = self.paths.address_of(token, source).unwrap_or(source);
        self.traffic.datagrams_received += 1;
        self.traffic.bytes_received += data.len() as u64;
        self.session.handle_datagram(now, from, data);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
    }

    /// A TCP connection is gone.
    pub(super) fn on_connection_closed(&mut self, now: Instant, token: u32) {
        if let Some(address) = self.paths.lose(token) {
            self.session.lose_path(now, address);
        }
    }

    /// Connections that are to be closed.
    pub(super) fn take_spare_connections(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.spare)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }

    pub(super) fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let to = self.session.poll_transmit(out)?;
        self.traffic.datagrams_sent += 1;
        self.traffic.bytes_sent += out.len() as u64;
        Some(to)
    }

    /// Gives the frames that are due to their sinks.
    pub(super) fn deliver_frames(&mut self, now: Instant, data: &mut Vec<u8>) {
        while let Some((ssrc, frame)) = self.session.poll_frame(now, data) {
            let Some(consumer) = self.consumers.iter_mut().find(|consumer| consumer.ssrc == ssrc) else {
                continue;
            };
            if !consumer.paused && consumer.sink.deliver(now, data, &frame) == Delivery::NeedsKeyFrame {
                // The stream is there, and its frames came with the session's keys.
                let _ = self.session.request_key_frame(now, ssrc);
            }
        }
    }

    /// Acts on the session's events. False after the end of the session.
    pub(super) fn handle_events(&mut self, now: Instant) -> bool {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::IceConnected(address) => {
                    self.spare.extend(self.paths.take_spare_connections(address));
                    // Before DTLS is connected, nothing else follows from a path.
                    if self.session.is_connected() {
                        self.shared.set_state(ConnectionState::Connected);
                    }
                }
                Event::Connected(_) => self.shared.set_state(ConnectionState::Connected),
                Event::IceDisconnected => self.shared.set_state(ConnectionState::Disconnected),
                Event::KeyFrameRequested { ssrc } => self.on_key_frame_request(ssrc),
                Event::TargetBitrate(_) => self.share_bitrate(now),
                Event::Failed(reason) => {
                    tracing::debug!(transport = self.shared.id(), %reason, "a transport failed");
                    self.shared.set_failed(reason);
                    return false;
                }
                Event::Closed => {
                    self.shared.set_state(ConnectionState::Closed);
                    return false;
                }
                Event::Message { stream, ppid, payload } => self.data.on_message(stream, ppid, payload),
                Event::StreamReset(stream) => self.data.on_reset(stream),
                // Data channels open by themselves, and what waits for them is looked at after each change.
                Event::Sctp(_) | Event::BufferedAmountLow(_) => {}
            }
        }
        true
    }

    /// Connects anew by new ICE parameters of the server.
    pub(super) fn restart_ice(&mut self, now: Instant, remote: &IceParameters) -> Result<(), SessionError> {
        self.session.restart_ice(now, remote, &self.paths.addresses())?;
        if self.shared.state() == ConnectionState::Disconnected {
            self.shared.set_state(ConnectionState::Connecting);
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> TransportStats {
        let selected = self.session.remote_address().and_then(|address| self.paths.get(address));
        TransportStats {
            connection_state: self.shared.state(),
            selected: selected.map(|path| path.remote),
            protocol: selected.map(|path| path.protocol),
            rtt: self.session.rtt(),
            target_bitrate: self.session.target_bitrate(),
            max_outgoing_bitrate: self.session.max_outgoing_bitrate(),
            datagrams_sent: self.traffic.datagrams_sent,
            bytes_sent: self.traffic.bytes_sent,
            datagrams_received: self.traffic.datagrams_received,
            bytes_received: self.traffic.bytes_received,
            datagrams_dropped: self.session.dropped(),
        }
    }

    /// Ends the session; what tells the server so is still to be sent.
    pub(super) fn close(&mut self, now: Instant) {
        self.session.close(now);
    }

    /// Adds the streams of a producer: all or none.
    pub(super) fn add_producer(&mut self, now: Instant, new: NewProducer) -> Result<(), SessionError> {
        let NewProducer { key, kind, rtp_parameters, streams, shared } = new;
        let ssrcs: Vec<u32> = streams.iter().map(|stream| stream.ssrc).collect();
        let is_numbered =
            |stream: &SendStreamConfig| stream.extension_ids[Extension::TransportWideCcDraft01].is_some();
        if kind == MediaKind::Video && streams.iter().any(is_numbered) {
            self.session.estimate_bitrate(now, BweConfig::default());
        }
        for (at, stream) in streams.into_iter().enumerate() {
            if let Err(error) = self.session.add_send_stream(stream) {
                ssrcs[..at].iter().for_each(|ssrc| self.remove_send_stream(*ssrc));
                return Err(error);
            }
        }
        let max_bitrates = max_bitrates(kind, &rtp_parameters);
        self.producers.push(PeerProducer { key, ssrcs, kind, max_bitrates, shared });
        self.share_bitrate(now);
        Ok(())
    }

    /// Removes the streams of a producer, whose end the server is told by RTCP BYE.
    pub(super) fn close_producer(&mut self, now: Instant, key: ObjectKey) {
        if let Some(at) = self.producers.iter().position(|producer| producer.key == key) {
            let producer = self.producers.swap_remove(at);
            let ended = producer.ssrcs.iter().try_for_each(|ssrc| self.session.end_send_stream(now, *ssrc));
            ended.expect("the producer has added them");
            self.share_bitrate(now);
        }
    }

    /// Tells each producer its part of the estimate, and the estimate what all of them want.
    pub(super) fn share_bitrate(&mut self, now: Instant) {
        let demands: Vec<Demand> = self.producers.iter().flat_map(PeerProducer::demands).collect();
        self.session.set_desired_bitrate(now, desired(&demands));
        let Some(target) = self.session.target_bitrate() else { return };
        let mut shares = share(target, &demands).into_iter();
        for producer in &self.producers {
            let shares = shares.by_ref().take(producer.ssrcs.len()).enumerate();
            shares.for_each(|(encoding, bitrate)| producer.shared.set_target_bitrate(encoding, bitrate));
        }
    }

    /// Sends a frame. What can't be sent is counted.
    pub(super) fn send_frame(&mut self, now: Instant, command: &FrameCommand) {
        let Some(producer) = self.producers.iter().find(|producer| producer.key == command.producer) else {
            return;
        };
        let Some(ssrc) = producer.ssrcs.get(command.encoding) else { return };
        let frame = OutgoingFrame { data: &command.data, ..command.frame };
        match self.session.send_frame(now, *ssrc, &frame) {
            Ok(info) => producer.shared.on_frame_sent(info),
            Err(error) => producer.shared.on_frame_refused(&error),
        }
    }

    pub(super) fn producer_stats(&self, key: ObjectKey) -> Option<ProducerStats> {
        let producer = self.producers.iter().find(|producer| producer.key == key)?;
        let encodings = producer.ssrcs.iter().filter_map(|ssrc| self.session.send_stats(*ssrc)).collect();
        Some(ProducerStats { encodings, rtt: self.session.rtt(), ..producer.shared.stats() })
    }

    pub(super) fn add_consumer(
        &mut self,
        key: ObjectKey,
        stream: RecvStreamConfig,
        sink: Sink,
    ) -> Result<(), SessionError> {
        let ssrc = stream.ssrc;
        self.session.add_recv_stream(stream)?;
        self.consumers.push(PeerConsumer { key, ssrc, sink, paused: false });
        Ok(())
    }

    pub(super) fn close_consumer(&mut self, key: ObjectKey) {
        if let Some(at) = self.consumers.iter().position(|consumer| consumer.key == key) {
            let ssrc = self.consumers.swap_remove(at).ssrc;
            self.session.remove_recv_stream(ssrc).expect("the consumer has added it");
        }
    }

    pub(super) fn set_sink(&mut self, key: ObjectKey, sink: Box<dyn FrameSink>) {
        if let Some(consumer) = self.consumer(key) {
            consumer.sink = Sink::Application(sink);
        }
    }

    pub(super) fn pause_consumer(&mut self, key: ObjectKey, paused: bool) {
        if let Some(consumer) = self.consumer(key) {
            consumer.paused = paused;
        }
    }

    /// Asks for a key frame of a consumer's stream.
    pub(super) fn request_key_frame(&mut self, now: Instant, key: ObjectKey) -> Result<(), SessionError> {
        match self.consumer(key).map(|consumer| consumer.ssrc) {
            Some(ssrc) => self.session.request_key_frame(now, ssrc),
            None => Err(SessionError::Ended),
        }
    }

    pub(super) fn consumer_stats(&self, key: ObjectKey) -> Option<ConsumerStats> {
        let ssrc = self.consumers.iter().find(|consumer| consumer.key == key)?.ssrc;
        Some(ConsumerStats {
            packets: self.session.recv_stats(ssrc)?,
            frames: self.session.frame_stats(ssrc).unwrap_or_default(),
            frames_not_read: 0,
        })
    }

    fn consumer(&mut self, key: ObjectKey) -> Option<&mut PeerConsumer> {
        self.consumers.iter_mut().find(|consumer| consumer.key == key)
    }

    fn remove_send_stream(&mut self, ssrc: u32) {
        self.session.remove_send_stream(ssrc).expect("the producer has added it");
    }

    fn on_key_frame_request(&self, ssrc: u32) {
        for producer in &self.producers {
            if let Some(encoding) = producer.ssrcs.iter().position(|own| *own == ssrc) {
                producer.shared.on_key_frame_request(encoding);
            }
        }
    }
}

impl PeerProducer {
    fn demands(&self) -> impl Iterator<Item = Demand> {
        self.max_bitrates.iter().enumerate().map(|(encoding, max)| {
            let max = if self.shared.sends(encoding) { *max } else { Bitrate::ZERO };
            Demand { kind: self.kind, encoding, max }
        })
    }
}

impl Drop for Peer {
    /// Nothing more comes, also when the thread has panicked.
    fn drop(&mut self) {
        self.shared.set_ended();
    }
}

/// Calls code of the application; false if it panicked, which must not end the other peers of the thread.
pub(super) fn guarded(what: &'static str, callback: impl FnOnce()) -> bool {
    let result = std::panic::catch_unwind(AssertUnwindSafe(callback));
    if result.is_err() {
        tracing::error!("the application's {what} has panicked");
    }
    result.is_ok()
}
