//! Streams of a session, and the handling of RTP and RTCP in both directions.

use std::time::Instant;

use rand::Rng;
use tureen_rtc::units::Ssrc;
use tureen_rtc::wire::codecs::CodecKind;
use tureen_rtc::wire::rtcp::{
    RtcpCompound, RtcpPacket, write_bye, write_nack, write_pli, write_receiver_report, write_sdes_cname,
};
use tureen_rtc::wire::rtp::extension::{AbsSendTime, TransportSequenceNumber};
use tureen_rtc::wire::rtp::{Extension, RtpHeader};

use super::{Event, MAX_STREAMS, Received, Session, SessionError};
use crate::recv_stream::{RecvStats, RecvStream, RecvStreamConfig};
use crate::send_stream::{HopValues, OutgoingRtp, SendStats, SendStream, SendStreamConfig};

/// Number of SSRCs of removed outgoing streams whose next SRTP index is kept, so that a stream added with the same SSRC
/// continues it.
const MAX_ENDED_STREAMS: usize = 1 << 16;
/// Number of retransmissions that can be queued.
const MAX_RESENDS: usize = 512;
/// Highest random first sequence number. RFC 3711 §3.3.1: receivers may miss a wrap among the first packets.
const MAX_FIRST_SEQ: u16 = 0x7fff;
/// Picture ids have 15 bits (RFC 7741 §4.2, RFC 9628 §4.2).
const MAX_PICTURE_ID: u16 = 0x7fff;

impl Session {
    /// Adds an outgoing stream. A stream with an SSRC that was sent before continues its sequence numbers, whatever the
    /// settings say, because both use the same SRTP key.
    ///
    /// # Errors
    /// An SSRC is in use, MID or RID is invalid, or too many SSRCs were sent over the session's lifetime.
    pub fn add_send_stream(&mut self, config: SendStreamConfig) -> Result<(), SessionError> {
        for ssrc in [Some(config.ssrc), config.rtx.map(|rtx| rtx.ssrc)].into_iter().flatten() {
            if self.send.iter().any(|stream| stream.has_ssrc(Ssrc(ssrc))) {
                return Err(SessionError::SsrcTaken(ssrc));
            }
        }
        if config.rtx.is_some_and(|rtx| rtx.ssrc == config.ssrc) {
            return Err(SessionError::SsrcTaken(config.ssrc));
        }
        let sealer = self.srtp.as_ref().map(|srtp| &srtp.sealer);
        if sealer.is_some_and(|sealer| sealer.ended_streams() >= MAX_ENDED_STREAMS) {
            return Err(SessionError::TooManyStreams(MAX_ENDED_STREAMS));
        }
        let [first, first_rtx] = std::array::from_fn(|_| self.rng.random_range(1..=MAX_FIRST_SEQ));
        // Only streams with a codec draw a random number here, so that others keep their sequence of random numbers.
        let first_picture_id =
            if config.codec == CodecKind::Other { 0 } else { self.rng.random_range(0..=MAX_PICTURE_ID) };
        let mut stream = SendStream::new(config, first, first_rtx, first_picture_id)?;
        if let Some(sealer) = sealer {
            stream.continue_from(|ssrc| sealer.next_index(ssrc));
        }
        self.send.push(stream);
        Ok(())
    }

    /// Removes an outgoing stream and its queued packets.
    ///
    /// # Errors
    /// [`SessionError::NoStream`].
    pub fn remove_send_stream(&mut self, ssrc: u32) -> Result<(), SessionError> {
        let at = self.send.iter().position(|s| s.ssrc().0 == ssrc).ok_or(SessionError::NoStream(ssrc))?;
        let removed = self.send.swap_remove(at);
        if let Some(srtp) = &mut self.srtp {
            removed.next_indices().for_each(|(ssrc, next)| srtp.sealer.end_stream(ssrc, next));
        }
        self.queue.retain(|(stream, _)| stream.0 != ssrc);
        self.audio_queue.retain(|(stream, _)| stream.0 != ssrc);
        self.forget_recent(Ssrc(ssrc));
        self.resends.retain(|(stream, _)| stream.0 != ssrc);
        Ok(())
    }

    /// As [`remove_send_stream`](Self::remove_send_stream), and tells the server of the end by RTCP BYE.
    ///
    /// # Errors
    /// [`SessionError::NoStream`].
    pub fn end_send_stream(&mut self, now: Instant, ssrc: u32) -> Result<(), SessionError> {
        self.now = now;
        let stream = self.send.iter().find(|s| s.ssrc().0 == ssrc).ok_or(SessionError::NoStream(ssrc))?;
        if stream.stats().packets > 0 {
            let ssrcs: Vec<Ssrc> = stream.next_indices().map(|(ssrc, _)| ssrc).collect();
            // Packets that wait are dropped with the stream. Without keys nothing was sent.
            let _ = self.with_rtcp(|session, out| {
                // RFC 3550 §6.1: a compound packet begins with a report.
                write_receiver_report(out, ssrcs[0], &[]);
                write_sdes_cname(out, &[(ssrcs[0], session.cname.as_bytes())]);
                write_bye(out, &ssrcs);
            });
        }
        self.remove_send_stream(ssrc)
    }

    /// Adds an incoming stream. Packets of SSRCs without a stream are dropped.
    ///
    /// # Errors
    /// An SSRC is in use, there are too many, or frames of the codec are not supported.
    pub fn add_recv_stream(&mut self, config: RecvStreamConfig) -> Result<(), SessionError> {
        let twcc_id = config.extension_ids[Extension::TransportWideCcDraft01];
        let stream = RecvStream::new(config)?;
        if let Some(taken) = stream.ssrcs().find(|ssrc| self.recv_index.contains_key(ssrc)) {
            return Err(SessionError::SsrcTaken(taken.0));
        }
        if self.recv_index.len() + 2 > MAX_STREAMS {
            return Err(SessionError::TooManyStreams(MAX_STREAMS));
        }
        self.twcc_id = twcc_id.or(self.twcc_id);
        self.recv_index.extend(stream.ssrcs().map(|ssrc| (ssrc, self.recv.len())));
        self.recv.push(stream);
        Ok(())
    }

    /// Removes an incoming stream.
    ///
    /// # Errors
    /// [`SessionError::NoStream`].
    pub fn remove_recv_stream(&mut self, ssrc: u32) -> Result<(), SessionError> {
        let at = self.recv.iter().position(|s| s.ssrc().0 == ssrc).ok_or(SessionError::NoStream(ssrc))?;
        let removed = self.recv.swap_remove(at);
        for ssrc in removed.ssrcs() {
            self.recv_index.remove(&ssrc);
            if let Some(srtp) = &mut self.srtp {
                srtp.opener.end_stream(ssrc);
            }
        }
        if let Some(moved) = self.recv.get(at) {
            self.recv_index.extend(moved.ssrcs().map(|ssrc| (ssrc, at)));
        }
        Ok(())
    }

    /// Counters of an outgoing stream.
    pub fn send_stats(&self, ssrc: u32) -> Option<SendStats> {
        self.send.iter().find(|stream| stream.ssrc().0 == ssrc).map(|stream| *stream.stats())
    }

    /// Counters of an incoming stream.
    pub fn recv_stats(&self, ssrc: u32) -> Option<RecvStats> {
        self.recv.iter().find(|stream| stream.ssrc().0 == ssrc).map(RecvStream::stats)
    }

    /// Queues a packet on an outgoing stream and returns its sequence number.
    ///
    /// # Errors
    /// [`SessionError::NotConnected`], [`SessionError::NoStream`], [`SessionError::PayloadTooLong`] or
    /// [`SessionError::Backlog`].
    pub fn send_rtp(
        &mut self,
        now: Instant,
        ssrc: u32,
        packet: &OutgoingRtp<'_>,
    ) -> Result<u16, SessionError> {
        self.now = now;
        if !self.is_connected() {
            return Err(SessionError::NotConnected);
        }
        let stream = self.send.iter_mut().find(|s| s.ssrc().0 == ssrc).ok_or(SessionError::NoStream(ssrc))?;
        let index = stream.push(now, packet)?;
        let queue = if self.estimate.is_some() && stream.is_audio() {
            &mut self.audio_queue
        } else {
            &mut self.queue
        };
        queue.push_back((Ssrc(ssrc), index));
        Ok(index as u16)
    }

    /// Requests a key frame of an incoming stream by PLI.
    ///
    /// # Errors
    /// [`SessionError::NotConnected`] or [`SessionError::NoStream`].
    pub fn request_key_frame(&mut self, now: Instant, ssrc: u32) -> Result<(), SessionError> {
        self.now = now;
        let stream = self.recv.iter_mut().find(|s| s.ssrc().0 == ssrc).ok_or(SessionError::NoStream(ssrc))?;
        if self.srtp.is_none() {
            return Err(SessionError::NotConnected);
        }
        stream.on_pli_sent();
        let reporter = self.rtcp_sender();
        self.with_rtcp(|_, out| write_pli(out, reporter, Ssrc(ssrc)))
    }

    /// Encrypts and sends `packet`, a whole compound RTCP packet, without changes.
    ///
    /// # Errors
    /// [`SessionError::NotConnected`], or [`SessionError::Srtp`] if the packet is shorter than 8 bytes.
    pub fn send_raw_rtcp(&mut self, now: Instant, packet: &[u8]) -> Result<(), SessionError> {
        self.now = now;
        self.with_rtcp(|_, out| out.extend_from_slice(packet))
    }

    /// Encrypts and queues the compound packet that `write` writes, unless it is empty.
    pub(super) fn with_rtcp(
        &mut self,
        write: impl FnOnce(&mut Self, &mut Vec<u8>),
    ) -> Result<(), SessionError> {
        let mut packet = std::mem::take(&mut self.scratch.rtcp);
        packet.clear();
        write(self, &mut packet);
        let result = self.seal_rtcp(&mut packet);
        self.scratch.rtcp = packet;
        result
    }

    pub(super) fn seal_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SessionError> {
        if packet.is_empty() {
            return Ok(());
        }
        let srtp = self.srtp.as_mut().ok_or(SessionError::NotConnected)?;
        srtp.sealer.seal_rtcp(packet)?;
        self.control.push(packet);
        Ok(())
    }

    /// SSRC of the sender of this session's RTCP packets.
    pub(super) fn rtcp_sender(&self) -> Ssrc {
        self.send.first().map_or(self.reporter, SendStream::ssrc)
    }

    /// Replaces `out` by the next media packet. Returns false if there is none.
    pub(super) fn write_media(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            if self.srtp.is_none() {
                return false;
            }
            let Some((resend, next)) = self.next_media() else { return false };
            let (ssrc, index) = next;
            let Some(srtp) = &self.srtp else { return false };
            let Some(stream) = self.send.iter_mut().find(|stream| stream.ssrc() == ssrc) else {
                self.forget_recent(ssrc);
                continue;
            };
            let hop = HopValues {
                abs_send_time: AbsSendTime::from_duration(self.clock.unix(self.now)),
                transport_seq: TransportSequenceNumber(self.next_transport_seq),
            };
            let written = if resend {
                stream.write_rtx(index, hop, &srtp.sealer, out)
            } else {
                stream.write(index, hop, &srtp.sealer, out)
            };
            if written {
                let seq = stream.uses_transport_seq().then_some(self.next_transport_seq);
                let has_rtx = stream.has_rtx();
                self.next_transport_seq = self.next_transport_seq.wrapping_add(seq.is_some().into());
                self.on_media_sent(next, seq, out.len(), has_rtx);
                return true;
            }
            if resend {
                self.drop_recent();
            }
        }
    }

    pub(super) fn handle_rtp<'a>(&mut self, data: &'a mut [u8]) -> Option<Received<'a>> {
        let header = RtpHeader::parse(data).ok()?;
        let opener = &mut self.srtp.as_mut()?.opener;
        let opened = opener.open_rtp(data, header.ssrc, header.sequence_number, header.len()).ok()?;
        let packet = &data[..opened.len];
        if let Some(TransportSequenceNumber(seq)) = header.read(packet, self.twcc_id) {
            self.twcc.handle_packet(self.now, seq);
        }
        let at = *self.recv_index.get(&header.ssrc)?;
        let received = self.recv[at].handle_packet(self.now, &header, packet);
        self.ask_for_missing(at);
        // A discarded packet was counted by its stream.
        Some(received.map_or(Received::Nothing, Received::Rtp))
    }

    /// Sends a stream's NACKs and its pending key frame request.
    pub(super) fn ask_for_missing(&mut self, at: usize) {
        let mut seqs = std::mem::take(&mut self.scratch.seqs);
        seqs.clear();
        let stream = &mut self.recv[at];
        let ssrc = stream.ssrc();
        let needs_key_frame = stream.poll_nacks(self.now, &mut seqs);
        if needs_key_frame {
            stream.on_pli_sent();
        }
        if needs_key_frame || !seqs.is_empty() {
            let reporter = self.rtcp_sender();
            // Cannot fail: packets were received only because SRTP has keys.
            let _ = self.with_rtcp(|_, out| {
                write_nack(out, reporter, ssrc, &seqs);
                if needs_key_frame {
                    write_pli(out, reporter, ssrc);
                }
            });
        }
        self.scratch.seqs = seqs;
    }

    pub(super) fn handle_rtcp<'a>(&mut self, data: &'a mut [u8]) -> Option<RtcpCompound<'a>> {
        let len = self.srtp.as_mut()?.opener.open_rtcp(data).ok()?;
        let compound = RtcpCompound::new(&data[..len]);
        for packet in compound.clone().flatten() {
            self.handle_rtcp_packet(&packet);
        }
        Some(compound)
    }

    fn handle_rtcp_packet(&mut self, packet: &RtcpPacket<'_>) {
        match packet {
            RtcpPacket::SenderReport(report) => {
                if let Some(&at) = self.recv_index.get(&report.sender_ssrc) {
                    let (sender, info) = (report.sender_ssrc, report.info);
                    self.recv[at].on_sender_report(self.now, sender, info.ntp_time.0, info.rtp_timestamp);
                }
                report.reports.iter().for_each(|block| self.on_report_block(&block));
            }
            RtcpPacket::ReceiverReport(report) => {
                report.reports.iter().for_each(|block| self.on_report_block(&block));
            }
            RtcpPacket::Nack(nack) => self.on_nack(nack.media_ssrc, nack.lost()),
            RtcpPacket::Pli(pli) => self.on_key_frame_request(pli.media_ssrc),
            RtcpPacket::Fir(fir) => {
                fir.entries.iter().for_each(|entry| self.on_key_frame_request(entry.ssrc))
            }
            RtcpPacket::Xr(report) => self.on_extended_report(report),
            RtcpPacket::Remb(remb) => self.on_remb(remb.bitrate),
            RtcpPacket::TransportCc(feedback) => self.on_transport_cc(feedback),
            RtcpPacket::Sdes(_) | RtcpPacket::Bye(_) | RtcpPacket::Unknown { .. } => {}
        }
    }

    fn on_nack(&mut self, ssrc: Ssrc, lost: impl Iterator<Item = u16>) {
        let Some(stream) = self.send.iter_mut().find(|stream| stream.ssrc() == ssrc) else { return };
        stream.on_nack_message();
        let rtt = self.rtt.unwrap_or_default();
        for seq in lost {
            if self.resends.len() == MAX_RESENDS {
                return;
            }
            self.resends.extend(stream.on_nack(self.now, seq, rtt).map(|index| (ssrc, index)));
        }
    }

    fn on_key_frame_request(&mut self, ssrc: Ssrc) {
        let Some(stream) = self.send.iter_mut().find(|stream| stream.ssrc() == ssrc) else { return };
        stream.on_key_frame_request();
        let event = Event::KeyFrameRequested { ssrc: ssrc.0 };
        // The event is queued once for each stream, so that the queue stays bounded if the caller does not poll events.
        if !self.events.contains(&event) {
            self.events.push_back(event);
        }
    }
}
