//! DTLS of WebRtcTransports: datagrams, keys, end of the session.

use std::time::Instant;

use crate::api::TransportEvent;
use crate::keys::TransportKey;
use crate::transport::link::Link;
use crate::transport::protection::{Opener, Sealer};
use crate::worker::arena::Media;
use crate::worker::data::association;
use crate::worker::out::Out;
use crate::worker::timer::Timer;
use crate::worker::{connection, drops};
use tureen_rtc::dtls::{self, SrtpKeys};
use tureen_rtc::log;
use tureen_rtc::srtp::{SrtpError, SrtpSealer};
use tureen_types::data_structures::DtlsState;

pub(crate) fn on_dtls_timer(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let link = media.transports.live_mut(key).and_then(|t| t.link.webrtc_mut());
    let Some(dtls) = link.and_then(|link| link.dtls.as_mut()) else { return };
    dtls.handle_timeout(now);
    drain_dtls(media, out, now, key);
}

/// Notifies the application of the start of DTLS, or of its failure to start.
pub(crate) fn on_dtls_started(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) {
    let Some(link) = media.transports.live(key).and_then(|t| t.link.webrtc()) else { return };
    let state = link.dtls_state;
    out.notify_transport(media, key, TransportEvent::DtlsState { state, remote_certificate: None });
    drain_dtls(media, out, now, key);
}

/// Handles the output of DTLS. Returns true if authenticated data was received.
pub(crate) fn drain_dtls(media: &mut Media, out: &mut Out, now: Instant, key: TransportKey) -> bool {
    let mut has_data = false;
    let mut buffer = std::mem::take(&mut out.scratch.dtls);
    while let Some(transport) = media.transports.live_mut(key)
        && let Link::WebRtc(link) = &mut transport.link
        && let Some(dtls) = link.dtls.as_mut()
    {
        match dtls.poll_output(&mut buffer) {
            dtls::Output::Datagram(datagram) => {
                if let Some(tuple) = link.ice.selected_tuple() {
                    transport.traffic.other_sent.add(now, 1, datagram.len());
                    out.control.queue(tuple, datagram);
                }
            }
            dtls::Output::Connected { srtp, remote_certificate_pem } => {
                let state = match srtp.as_ref().map(srtp_pair) {
                    Some(Ok((sealer, mut opener))) => {
                        opener.set_max_streams(out.limits.srtp_streams_per_transport);
                        transport.sealer = Some(sealer);
                        transport.opener = Some(opener);
                        DtlsState::Connected
                    }
                    // The session carries only data.
                    None if transport.data.sctp().is_some() => DtlsState::Connected,
                    // RFC 5764 §4.1: without a common SRTP profile there is no media, and the transport needs media
                    // only.
                    None | Some(Err(_)) => DtlsState::Failed,
                };
                link.dtls_state = state;
                let has_media = transport.sealer.is_some();
                let certificate = (state == DtlsState::Connected).then_some(remote_certificate_pem);
                out.notify_transport(
                    media,
                    key,
                    TransportEvent::DtlsState { state, remote_certificate: certificate },
                );
                if state == DtlsState::Connected {
                    if has_media {
                        connection::on_transport_connected(media, out, now, key);
                    } else {
                        association::start_sctp(media, out, now, key);
                    }
                }
            }
            dtls::Output::ApplicationData(packet) => {
                has_data = true;
                association::handle_sctp(media, out, now, key, packet);
            }
            dtls::Output::Failed(error) => {
                tracing::warn!(target: log::DTLS, transport = %transport.id, %error, "DTLS failed");
                end_dtls(media, out, key, DtlsState::Failed);
                break;
            }
            dtls::Output::Closed => {
                end_dtls(media, out, key, DtlsState::Closed);
                break;
            }
            dtls::Output::Idle { timeout } => {
                if let Some(at) = timeout {
                    out.timers.arm(Timer::Dtls(key), at);
                }
                break;
            }
        }
    }
    out.scratch.dtls = buffer;
    has_data
}

fn end_dtls(media: &mut Media, out: &mut Out, key: TransportKey, state: DtlsState) {
    // The counters are kept first, because they are part of the SRTP state that is discarded below.
    drops::keep_counts(media, out, key);
    let Some(transport) = media.transports.live_mut(key) else { return };
    if let Some(link) = transport.link.webrtc_mut() {
        link.dtls = None;
        link.dtls_state = state;
    }
    transport.opener = None;
    transport.sealer = None;
    out.notify_transport(media, key, TransportEvent::DtlsState { state, remote_certificate: None });
    association::end_sctp(media, out, key);
    connection::on_transport_disconnected(media, out, key);
}

fn srtp_pair(keys: &SrtpKeys) -> Result<(Sealer, Opener), SrtpError> {
    let sealer = SrtpSealer::new(keys.suite, &keys.local.key, &keys.local.salt)?;
    let opener = Opener::srtp(keys.suite, &keys.remote.key, &keys.remote.salt)?;
    Ok((Sealer::Srtp(sealer), opener))
}
