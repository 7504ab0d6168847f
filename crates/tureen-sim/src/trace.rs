//! Text record of an engine's outputs, by which two versions of the engine can be compared.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tureen_engine::api::{Notification, TransportEvent};
use tureen_rtc::demux::{PacketKind, classify};
use tureen_rtc::wire::rtp::RtpHeader;

/// Lines of text: one for each datagram, response and notification of the engine, in order.
///
/// Keys and DTLS records differ between runs, because the DTLS library uses its own random numbers. A line therefore
/// contains only those parts of a datagram that the seed determines: all bytes of STUN and of unencrypted packets, the
/// header and length of SRTP, the first header and length of SRTCP, and nothing of DTLS.
#[derive(Debug, Default)]
pub struct Trace {
    text: String,
    lines: usize,
}

impl Trace {
    /// All lines as one text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Number of lines.
    pub fn lines(&self) -> usize {
        self.lines
    }

    pub(crate) fn datagram(&mut self, at: Duration, to: SocketAddr, datagram: &[u8], encrypted: bool) {
        let len = datagram.len();
        let kind = classify(datagram);
        let len_of_stable_part = match (kind, encrypted) {
            (PacketKind::Dtls, _) => return self.line(at, format_args!("{to} dtls")),
            (PacketKind::Rtp, true) => RtpHeader::parse(datagram).map_or(12, |header| header.len()),
            (PacketKind::Rtcp, true) => 8,
            _ => len,
        };
        let stable = datagram.get(..len_of_stable_part).unwrap_or(datagram);
        let name = match kind {
            PacketKind::Stun => "stun",
            PacketKind::Rtp => "rtp",
            PacketKind::Rtcp => "rtcp",
            PacketKind::Dtls | PacketKind::Unknown => "other",
        };
        let mut hex = String::new();
        for byte in stable.iter().take(48) {
            write!(hex, "{byte:02x}").expect("writing to a string never fails");
        }
        self.line(at, format_args!("{to} {name} {len} {hex} {:08x}", crc32fast::hash(stable)));
    }

    pub(crate) fn notification(&mut self, at: Duration, notification: &Notification) {
        match notification {
            // The remote certificate differs between runs.
            Notification::Transport(id, TransportEvent::DtlsState { state, .. }) => {
                self.line(at, format_args!("{id:?} {state:?}"));
            }
            _ => self.line(at, format_args!("{notification:?}")),
        }
    }

    pub(crate) fn response(&mut self, at: Duration, request: u64, refused: Option<&dyn std::fmt::Display>) {
        match refused {
            None => self.line(at, format_args!("response {request}")),
            Some(error) => self.line(at, format_args!("response {request}: {error}")),
        }
    }

    fn line(&mut self, at: Duration, rest: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{:>10}.{:03} {rest}", at.as_micros(), at.subsec_nanos() % 1000)
            .expect("writing to a string never fails");
        self.lines += 1;
    }
}
