//! Data channels of a session.

use std::time::Instant;

use bytes::Bytes;
use tureen_rtc::sctp;
use tureen_types::sctp_parameters::SctpStreamParameters;

use super::{Event, Session, SessionError};

impl Session {
    /// Opens a data channel whose stream id both sides have agreed on (`negotiated` in browsers). Messages can be sent
    /// without this call. It is needed for [`Event::StreamReset`] on a channel on which nothing was sent.
    pub fn open_stream(&mut self, stream: u16) {
        if let Some(sctp) = &mut self.sctp {
            sctp.open_stream(stream);
        }
    }

    /// Sends a message on a data channel. Before SCTP is connected the message is queued.
    ///
    /// # Errors
    /// [`SessionError::NotConnected`] without data channels or after the end of the session, [`SessionError::Data`] if
    /// the message cannot be sent.
    pub fn send_message(
        &mut self,
        now: Instant,
        parameters: SctpStreamParameters,
        ppid: u32,
        payload: Bytes,
    ) -> Result<(), SessionError> {
        self.now = now;
        let sctp = self.sctp.as_mut().ok_or(SessionError::NotConnected)?;
        sctp.send(parameters, ppid, payload)?;
        self.drain_sctp();
        Ok(())
    }

    /// Closes a data channel after its queued messages were delivered (RFC 8831 §6.7).
    pub fn close_stream(&mut self, now: Instant, stream: u16) {
        self.now = now;
        if let Some(sctp) = &mut self.sctp {
            sctp.reset_stream(now, stream);
        }
        self.drain_sctp();
    }

    /// Bytes of a stream that are queued or not acknowledged yet.
    pub fn buffered_amount(&mut self, stream: u16) -> usize {
        self.sctp.as_mut().map_or(0, |sctp| sctp.buffered_amount(stream))
    }

    /// Sends application data over DTLS. For tests that bring their own SCTP implementation to a session without SCTP,
    /// as a hostile peer does.
    ///
    /// # Errors
    /// [`SessionError::NotConnected`] if DTLS is not connected or refuses the data.
    #[doc(hidden)]
    pub fn send_application_data(&mut self, now: Instant, data: &[u8]) -> Result<(), SessionError> {
        self.now = now;
        let dtls = self.dtls.as_mut().ok_or(SessionError::NotConnected)?;
        dtls.send(data).map_err(|_| SessionError::NotConnected)?;
        self.drain_dtls();
        Ok(())
    }

    /// Next application data that a session without SCTP received over DTLS.
    #[doc(hidden)]
    pub fn poll_application_data(&mut self) -> Option<Vec<u8>> {
        self.application_data.pop_front()
    }

    pub(super) fn start_sctp(&mut self) {
        if let Some(sctp) = &mut self.sctp {
            sctp.connect(self.now);
        }
    }

    pub(super) fn close_sctp(&mut self) {
        if let Some(sctp) = &mut self.sctp {
            sctp.close();
        }
        self.drain_sctp();
        while self.queue_sctp_packet() {}
    }

    /// Turns SCTP's events into events of the session.
    pub(super) fn drain_sctp(&mut self) {
        while let Some(event) = self.sctp.as_mut().and_then(|sctp| sctp.poll_event()) {
            self.events.extend(match event {
                sctp::Event::State(state) => Some(Event::Sctp(state)),
                sctp::Event::Message { stream, ppid, payload } => {
                    Some(Event::Message { stream, ppid, payload })
                }
                sctp::Event::StreamReset(stream) => Some(Event::StreamReset(stream)),
                sctp::Event::BufferedAmountLow(stream) => Some(Event::BufferedAmountLow(stream)),
                sctp::Event::MessageTooLong(_) => None,
            });
        }
    }

    /// Queues the next SCTP packet. Returns false if there is none.
    pub(super) fn queue_sctp_packet(&mut self) -> bool {
        let Some(packet) = self.sctp.as_mut().and_then(|sctp| sctp.poll_packet(self.now)) else {
            self.drain_sctp();
            return false;
        };
        // A packet that DTLS refuses counts as lost; SCTP retransmits it.
        if self.dtls.as_mut().is_some_and(|dtls| dtls.send(&packet).is_ok()) {
            self.drain_dtls();
        }
        true
    }
}
