//! What a transport is made from.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::sync::oneshot;
use tureen_rtc::dtls::Role;
use tureen_types::data_structures::{AppData, DtlsParameters, DtlsRole, IceCandidate, IceParameters};
use tureen_types::sctp_parameters::SctpParameters;

use crate::io::error::TransportError;
use crate::io::peer::Remote;
use crate::session::Identity;

/// Parameters of a transport: those of the server's WebRtcTransport, and our own choices.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// Id of the server's transport.
    pub id: String,
    /// Its ICE parameters.
    pub ice_parameters: IceParameters,
    /// Its ICE candidates.
    pub ice_candidates: Vec<IceCandidate>,
    /// Its DTLS parameters.
    pub dtls_parameters: DtlsParameters,
    /// Its SCTP parameters, if it carries data channels.
    pub sctp_parameters: Option<SctpParameters>,
    /// Our DTLS role where the server leaves the choice. Default: client, as in mediasoup-client.
    pub dtls_role: Role,
    /// Our certificate. Default: that of the [`ClientIo`](crate::io::ClientIo).
    pub identity: Option<Identity>,
    /// RTCP canonical name (RFC 7022). Default: a random one. That of produced RTP parameters should be the same.
    pub cname: Option<String>,
    /// The application's own.
    pub app_data: AppData,
}

impl TransportOptions {
    /// Options for a server's transport, with defaults otherwise.
    pub fn new(
        id: impl Into<String>,
        ice_parameters: IceParameters,
        ice_candidates: Vec<IceCandidate>,
        dtls_parameters: DtlsParameters,
    ) -> Self {
        Self {
            id: id.into(),
            ice_parameters,
            ice_candidates,
            dtls_parameters,
            sctp_parameters: None,
            dtls_role: Role::Client,
            identity: None,
            cname: None,
            app_data: AppData::default(),
        }
    }

    /// Our role: the other one than the server's, if it has chosen.
    pub(super) fn local_role(&self) -> Role {
        match self.dtls_parameters.role {
            DtlsRole::Auto => self.dtls_role,
            DtlsRole::Client => Role::Server,
            DtlsRole::Server => Role::Client,
        }
    }
}

/// The candidates that we can connect to, those of the highest priority first.
pub(super) async fn resolve(candidates: &[IceCandidate]) -> Result<Vec<Remote>, TransportError> {
    let mut candidates: Vec<&IceCandidate> = candidates.iter().collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
    let mut remotes = Vec::new();
    for &IceCandidate { ref address, port, protocol, .. } in candidates {
        let addresses = match address.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::from((ip, port))],
            Err(_) => resolve_name(address, port).await?,
        };
        remotes.extend(addresses.into_iter().map(|address| Remote { protocol, address }));
    }
    Ok(remotes)
}

/// Addresses of a host name, found on a thread of its own, because the system's resolver blocks.
async fn resolve_name(name: &str, port: u16) -> Result<Vec<SocketAddr>, TransportError> {
    let failed = |error| TransportError::Resolve { address: name.to_owned(), error };
    let (reply, result) = oneshot::channel();
    let host = name.to_owned();
    let resolver = std::thread::Builder::new().name("tureen-resolver".to_owned()).spawn(move || {
        let _ = reply.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect));
    });
    resolver.map_err(failed)?;
    result.await.map_err(|_| TransportError::Closed)?.map_err(failed)
}
