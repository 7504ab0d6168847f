//! Log of transports and producers, detailed enough to see why media does not flow. It contains addresses, ports and
//! states, and no secrets.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tracing::{debug, warn};
use tureen::{
    plain_transport::PlainTransport,
    prelude::*,
    producer::ProducerScore,
    types::data_structures::{DtlsState, IceState, TransportTuple},
    webrtc_transport::WebRtcTransport,
};

/// Time after which a transport or producer that has received nothing is logged.
const SILENCE: Duration = Duration::from_secs(5);

/// Minimum time between two warnings of blocked media; others are written to the debug log.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// Logs the states of a participant's transport.
pub(super) fn watch_transport(owner: &str, transport: &WebRtcTransport) {
    let id = transport.id();
    debug!(owner, transport = %id, candidates = %candidates(transport), "transport created");
    let name: Arc<str> = owner.into();

    let owner = Arc::clone(&name);
    let on_ice = move |state: IceState| debug!(%owner, transport = %id, ?state, "ICE");
    transport.on_ice_state_change(on_ice).detach();
    let owner = Arc::clone(&name);
    let on_tuple = move |tuple: &TransportTuple| {
        debug!(%owner, transport = %id, path = %path(tuple), "media goes this way");
    };
    transport.on_ice_selected_tuple_change(on_tuple).detach();
    let owner = Arc::clone(&name);
    let on_dtls = move |state: DtlsState| debug!(%owner, transport = %id, ?state, "DTLS");
    transport.on_dtls_state_change(on_dtls).detach();
    let owner = Arc::clone(&name);
    transport.on_sctp_state_change(move |state| debug!(%owner, transport = %id, ?state, "SCTP")).detach();
    let owner = name;
    transport.on_close(Box::new(move || debug!(%owner, transport = %id, "transport closed"))).detach();
}

/// Logs an error if the client of `transport`, which starts to connect now, does not connect in time.
pub(super) fn expect_connection(owner: &str, transport: &WebRtcTransport) {
    debug!(owner, transport = %transport.id(), "the client connects");
    let (owner, weak) = (owner.to_owned(), transport.downgrade());
    tokio::spawn(async move {
        tokio::time::sleep(SILENCE).await;
        let Some(transport) = weak.upgrade().filter(|transport| !transport.closed()) else { return };
        let (id, ice, dtls) = (transport.id(), transport.ice_state(), transport.dtls_state());
        let offered = candidates(&transport);
        drop(transport);
        if ice == IceState::New {
            let seconds = SILENCE.as_secs();
            if may_warn() {
                warn!(
                    owner, transport = %id, %offered,
                    "no connectivity check has come within {seconds} s: media is blocked. Can the client reach these \
                     addresses (firewall, rtc.announce)?"
                );
            } else {
                debug!(owner, transport = %id, %offered, "no connectivity check has come within {seconds} s");
            }
        } else if dtls != DtlsState::Connected {
            debug!(owner, transport = %id, ?ice, ?dtls, "ICE has a path, but DTLS is not connected");
        }
    });
}

/// Logs the states of a broadcaster's plain transport.
pub(super) fn watch_plain_transport(owner: &str, transport: &PlainTransport) {
    let id = transport.id();
    let rtcp_port = transport.rtcp_tuple().map(|tuple| tuple.local_port());
    debug!(owner, transport = %id, path = %path(&transport.tuple()), ?rtcp_port, "plain transport created");
    let name = owner.to_owned();
    let on_tuple = move |tuple: &TransportTuple| {
        debug!(owner = name, transport = %id, path = %path(tuple), "plain transport hears from there");
    };
    transport.on_tuple(on_tuple).detach();
    let owner = owner.to_owned();
    transport.on_close(Box::new(move || debug!(owner, transport = %id, "plain transport closed"))).detach();
}

/// Logs the first packet of a producer, or that none has arrived.
pub(super) fn watch_producer(owner: &str, producer: &Producer) {
    let (id, kind) = (producer.id(), producer.kind());
    debug!(owner, producer = %id, ?kind, "producer made");
    let has_come = Arc::new(AtomicBool::new(false));
    let (name, come) = (owner.to_owned(), Arc::clone(&has_come));
    // Scores are reported from the first packet on.
    let on_score = move |score: &[ProducerScore]| {
        if !score.is_empty() && !come.swap(true, Ordering::Relaxed) {
            let ssrcs: Vec<_> = score.iter().map(|score| score.ssrc).collect();
            debug!(owner = name, producer = %id, ?ssrcs, "first packet");
        }
    };
    producer.on_score(on_score).detach();
    let (owner, weak) = (owner.to_owned(), producer.downgrade());
    tokio::spawn(async move {
        tokio::time::sleep(SILENCE).await;
        let Some(producer) = weak.upgrade().filter(|producer| !producer.closed()) else { return };
        if !has_come.load(Ordering::Relaxed) {
            let seconds = SILENCE.as_secs();
            let (transport, paused) = (producer.transport().id(), producer.paused());
            debug!(owner, producer = %id, %transport, paused, "no packet has come within {seconds} s");
        }
    });
}

/// Candidates that were sent to the client.
fn candidates(transport: &WebRtcTransport) -> String {
    let of_one = |candidate: &IceCandidate| {
        let protocol = if candidate.protocol == Protocol::Udp { "udp" } else { "tcp" };
        format!("{protocol} {}", end(&candidate.address, candidate.port))
    };
    let all: Vec<_> = transport.ice_candidates().iter().map(of_one).collect();
    all.join(", ")
}

/// Local and remote address of a path.
fn path(tuple: &TransportTuple) -> String {
    let protocol = if tuple.protocol() == Protocol::Udp { "udp" } else { "tcp" };
    let local = end(tuple.local_address(), tuple.local_port());
    match (tuple.remote_ip(), tuple.remote_port()) {
        (Some(ip), Some(port)) => format!("{protocol} {local} from {}", end(&ip.to_string(), port)),
        _ => format!("{protocol} {local}"),
    }
}

fn end(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// True if a warning may be logged. Their rate is limited, because strangers can cause them.
fn may_warn() -> bool {
    static LAST: std::sync::Mutex<Option<Instant>> = std::sync::Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let now = Instant::now();
    let is_due = last.is_none_or(|last| now - last >= BETWEEN_WARNINGS);
    if is_due {
        *last = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_both_ends() {
        let local = TransportTuple::LocalOnly {
            local_address: "sfu.example".into(),
            local_port: 1,
            protocol: Protocol::Udp,
        };
        assert_eq!(path(&local), "udp sfu.example:1");
        let both = TransportTuple::WithRemote {
            local_address: "2001:db8::1".into(),
            local_port: 1,
            remote_ip: "2001:db8::2".parse().unwrap(),
            remote_port: 2,
            protocol: Protocol::Tcp,
        };
        assert_eq!(path(&both), "tcp [2001:db8::1]:1 from [2001:db8::2]:2");
    }
}
