use std::borrow::Cow;

/// A data channel message on direct transports.
#[derive(Debug, Clone)]
pub enum WebRtcMessage<'a> {
    /// Non-empty text in UTF-8.
    String(Cow<'a, [u8]>),
    /// Non-empty binary data.
    Binary(Cow<'a, [u8]>),
    /// Empty text.
    EmptyString,
    /// Empty binary data.
    EmptyBinary,
}

/// A [`WebRtcMessage`] that owns its bytes.
#[derive(Debug, Clone)]
pub enum OwnedWebRtcMessage {
    /// Non-empty text in UTF-8.
    String(Vec<u8>),
    /// Non-empty binary data.
    Binary(Vec<u8>),
    /// Empty text.
    EmptyString,
    /// Empty binary data.
    EmptyBinary,
}

// SCTP payload protocol identifiers (RFC 8831 §8).
const PPID_STRING: u32 = 51;
const PPID_BINARY: u32 = 53;
const PPID_STRING_EMPTY: u32 = 56;
const PPID_BINARY_EMPTY: u32 = 57;

impl<'a> WebRtcMessage<'a> {
    /// Creates a message from an SCTP payload protocol identifier and payload. An unknown identifier is returned as the
    /// error.
    pub fn new(ppid: u32, payload: Cow<'a, [u8]>) -> Result<Self, u32> {
        match ppid {
            PPID_STRING => Ok(Self::String(payload)),
            PPID_BINARY => Ok(Self::Binary(payload)),
            PPID_STRING_EMPTY => Ok(Self::EmptyString),
            PPID_BINARY_EMPTY => Ok(Self::EmptyBinary),
            _ => Err(ppid),
        }
    }

    /// SCTP payload protocol identifier and payload of the message.
    pub fn into_ppid_and_payload(self) -> (u32, Cow<'a, [u8]>) {
        // RFC 8831 §6.6: SCTP cannot send an empty message, so it is sent as one zero byte under a separate identifier.
        const EMPTY: Cow<'static, [u8]> = Cow::Borrowed(&[0]);
        match self {
            Self::String(payload) => (PPID_STRING, payload),
            Self::Binary(payload) => (PPID_BINARY, payload),
            Self::EmptyString => (PPID_STRING_EMPTY, EMPTY),
            Self::EmptyBinary => (PPID_BINARY_EMPTY, EMPTY),
        }
    }

    /// Copies the bytes if they are borrowed.
    pub fn into_owned(self) -> OwnedWebRtcMessage {
        match self {
            Self::String(payload) => OwnedWebRtcMessage::String(payload.into_owned()),
            Self::Binary(payload) => OwnedWebRtcMessage::Binary(payload.into_owned()),
            Self::EmptyString => OwnedWebRtcMessage::EmptyString,
            Self::EmptyBinary => OwnedWebRtcMessage::EmptyBinary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_payloads_survive_a_round_trip() {
        for (ppid, payload) in [(51, b"text".as_slice()), (53, &[0, 1]), (56, &[0]), (57, &[0])] {
            let message = WebRtcMessage::new(ppid, payload.into()).unwrap();
            assert_eq!(message.into_ppid_and_payload(), (ppid, payload.into()));
        }
    }

    #[test]
    fn deprecated_and_control_identifiers_are_refused() {
        for ppid in [0, 50, 52, 54] {
            assert_eq!(WebRtcMessage::new(ppid, Cow::Borrowed(&[])).err(), Some(ppid));
        }
    }
}
