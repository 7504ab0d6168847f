//! Data channels of a session.

use std::time::Instant;

use bytes::Bytes;
use tureen_rtc::sctp;
use tureen_types::sctp_parameters::SctpStreamParameters;

use super::{Event, Session, SessionError};

impl Session {
    /// Opens a data channel whose stream both sides have agreed on (`negotiated` in browsers). Messages can be sent
    /// without it; it is needed to hear that the server closes a channel on which nothing was sent.
    pub fn open_stream(&mut self, stream: u16) {
        if let Some(sctp) = &mut self.sctp {
            sctp.open_stream(stream);
        }
    }

    /// Sends a message on a data channel; before SCTP is connected it waits for that.
    ///
    /// # Errors
    /// [`SessionError::NotConnected`] without data channels or after the end, [`SessionError::Data`] if the message can't
    /// be sent.
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

    /// Closes a data channel once what was sent on it has arrived (RFC 8831 §6.7).
    pub fn close_stream(&mut self, now: Instant, stream: u16) {
        self.now = now;
        if let Some(sctp) = &mut self.sctp {
            sctp.reset_stream(now, stream);
        }
        self.drain_sctp();
    }

    /// Bytes of a stream that wait to be sent or acknowledged.
    pub fn buffered_amount(&mut self, stream: u16) -> usize {
        self.sctp.as_mut().map_or(0, |sctp| sctp.buffered_amount(stream))
    }

    /// Sends data over DTLS that is no packet of this session's: for those who bring an SCTP of their own to a session
    /// without one, as a hostile peer does.
    ///
    /// # Errors
    /// [`SessionError::NotConnected`] before DTLS is connected, or if it takes no more.
    #[doc(hidden)]
    pub fn send_application_data(&mut self, now: Instant, data: &[u8]) -> Result<(), SessionError> {
        self.now = now;
        let dtls = self.dtls.as_mut().ok_or(SessionError::NotConnected)?;
        dtls.send(data).map_err(|_| SessionError::NotConnected)?;
        self.drain_dtls();
        Ok(())
    }

    /// What came over DTLS to a session without SCTP.
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

    /// Acts on what SCTP has to say.
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

    /// Puts the next packet of SCTP in line, if there is one.
    pub(super) fn queue_sctp_packet(&mut self) -> bool {
        let Some(packet) = self.sctp.as_mut().and_then(|sctp| sctp.poll_packet(self.now)) else {
            self.drain_sctp();
            return false;
        };
        // A packet that can't be sent is lost, as on any network.
        if self.dtls.as_mut().is_some_and(|dtls| dtls.send(&packet).is_ok()) {
            self.drain_dtls();
        }
        true
    }
}
