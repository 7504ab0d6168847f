//! Link of a PlainTransport: RTP and RTCP over UDP, on one port or two, with SRTP or without.

use rand::RngCore;

use super::protection::{MasterKey, Opener, Sealer};
use crate::api::{ConnectPlain, CreatePlainTransport, RequestError};
use tureen_rtc::demux::PacketKind;
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_types::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};

/// Local and remote addresses of a PlainTransport.
#[derive(Debug)]
pub(crate) struct PlainLink {
    /// True if RTP and RTCP share one port (RFC 5761).
    pub(crate) rtcp_mux: bool,
    /// True if the remote addresses are learned from the first packets that come, or seem to come, from the remote
    /// endpoint.
    pub(crate) comedia: bool,
    /// RTP socket.
    pub(crate) rtp_socket: SocketId,
    /// RTCP socket without `rtcp_mux`.
    pub(crate) rtcp_socket: Option<SocketId>,
    tuple: Option<Tuple>,
    /// Remote RTCP path without `rtcp_mux`.
    rtcp_tuple: Option<Tuple>,
    /// Paths given to `connect` that become valid with their first datagram.
    awaited: [Option<Tuple>; 2],
    /// Evidence for the latched paths; `Proof` for given ones.
    evidence: Evidence,
    rtcp_evidence: Evidence,
    /// Number of times that a path latched without proof was replaced.
    moves: u32,
    /// Local SRTP key.
    key: Option<MasterKey>,
    connect_called: bool,
}

/// Evidence that the packet by which a path is latched comes from the remote endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Valid SCTP packet, which anybody can forge.
    Sctp,
    /// Valid RTP or RTCP packet, which anybody can forge.
    Media,
    /// Authenticated packet, or one that matches a Producer, a Consumer or the SCTP association of the transport.
    Proof,
}

/// Maximum number of replacements of paths without proof, which bounds the path changes that a third party can cause.
const MAX_MOVES: u32 = 64;

/// Result of [`PlainLink::connect`].
#[derive(Debug)]
pub(crate) struct PlainConnection {
    /// Sealer and opener for all packets from now on, with SRTP.
    pub(crate) protection: Option<(Sealer, Opener)>,
    /// Known paths; none with `comedia` or while a first datagram is awaited.
    pub(crate) tuples: Vec<Tuple>,
}

impl PlainLink {
    /// Creates a link without a remote address.
    pub(crate) fn new(
        options: &CreatePlainTransport,
        rtp_socket: SocketId,
        rtcp_socket: Option<SocketId>,
        rng: &mut impl RngCore,
    ) -> Self {
        Self {
            rtcp_mux: options.rtcp_mux,
            comedia: options.comedia,
            rtp_socket,
            rtcp_socket,
            tuple: None,
            rtcp_tuple: None,
            awaited: [None; 2],
            evidence: Evidence::Proof,
            rtcp_evidence: Evidence::Proof,
            moves: 0,
            key: options.srtp.map(|suite| MasterKey::generate(suite, rng)),
            connect_called: false,
        }
    }

    /// Sockets of the link.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = SocketId> {
        [Some(self.rtp_socket), self.rtcp_socket].into_iter().flatten()
    }

    /// Remote RTP path.
    pub(crate) fn tuple(&self) -> Option<Tuple> {
        self.tuple
    }

    /// Remote RTP path, if it was given or is proven to be the remote endpoint's.
    pub(crate) fn proven_tuple(&self) -> Option<Tuple> {
        self.tuple.filter(|_| self.evidence == Evidence::Proof)
    }

    /// Remote RTCP path: that of RTP with `rtcp_mux`.
    pub(crate) fn rtcp_tuple(&self) -> Option<Tuple> {
        if self.rtcp_mux { self.tuple } else { self.rtcp_tuple }
    }

    /// Known remote paths.
    pub(crate) fn tuples(&self) -> impl Iterator<Item = Tuple> {
        [self.tuple, self.rtcp_tuple].into_iter().flatten()
    }

    /// True if the link uses SRTP.
    pub(crate) fn has_srtp(&self) -> bool {
        self.key.is_some()
    }

    /// Local SRTP parameters for the remote endpoint.
    pub(crate) fn srtp_parameters(&self) -> Option<SrtpParameters> {
        self.key.as_ref().map(MasterKey::parameters)
    }

    /// Sets the remote address and key, as mediasoup's `connect()`: with `comedia` no address is read, and the remote
    /// SRTP suite applies to both directions.
    ///
    /// # Errors
    /// Called twice; an address, port or key is missing, superfluous or invalid. Nothing is changed then.
    pub(crate) fn connect(
        &mut self,
        options: &ConnectPlain,
        rng: &mut impl RngCore,
    ) -> Result<PlainConnection, RequestError> {
        if self.connect_called {
            return Err(RequestError::Failed("connect() already called".to_owned()));
        }
        let remote_key = match (&self.key, &options.srtp_parameters) {
            (None, None) => None,
            (None, Some(_)) => return Err(invalid("invalid srtpParameters (SRTP not enabled)")),
            (Some(_), None) => return Err(invalid("missing srtpParameters (SRTP enabled)")),
            (Some(own), Some(parameters)) => {
                let remote = MasterKey::parse(parameters)?;
                own.check_differs(&remote)?;
                Some(remote)
            }
        };
        if !self.comedia {
            let ip = options.ip.ok_or_else(|| invalid("missing ip"))?.to_canonical();
            let port = options.port.ok_or_else(|| invalid("missing port"))?;
            let rtcp_tuple = match (self.rtcp_socket, options.rtcp_port) {
                (Some(socket), Some(port)) => Some(Tuple { socket, remote: (ip, port).into() }),
                (Some(_), None) => {
                    return Err(invalid("missing rtcpPort (required with rtcpMux disabled)"));
                }
                (None, Some(_)) => return Err(invalid("cannot set rtcpPort with rtcpMux enabled")),
                (None, None) => None,
            };
            let tuple = Some(Tuple { socket: self.rtp_socket, remote: (ip, port).into() });
            if options.await_datagram {
                self.awaited = [tuple, rtcp_tuple];
            } else {
                (self.tuple, self.rtcp_tuple) = (tuple, rtcp_tuple);
            }
        }
        self.connect_called = true;
        let protection =
            remote_key.map(|remote| (self.key_for(remote.suite(), rng).sealer(), remote.opener()));
        Ok(PlainConnection { protection, tuples: self.tuples().collect() })
    }

    /// True if packets of this kind are expected on this path of the link. Without `rtcp_mux` RTP and RTCP have
    /// separate paths.
    pub(crate) fn takes(&self, kind: PacketKind, tuple: Tuple) -> bool {
        match kind {
            PacketKind::Rtcp => self.rtcp_tuple() == Some(tuple),
            _ => self.tuple == Some(tuple),
        }
    }

    /// True if packets of this kind on this socket may latch the remote address.
    pub(crate) fn may_latch(&self, kind: PacketKind, socket: SocketId) -> bool {
        let expected = if kind == PacketKind::Rtcp { self.rtcp_socket } else { None };
        self.comedia && socket == expected.unwrap_or(self.rtp_socket) && self.is_waiting(socket)
    }

    /// True if a first datagram on this path confirms the given address.
    pub(crate) fn awaits(&self, tuple: Tuple) -> bool {
        self.awaited.contains(&Some(tuple)) && self.latched(tuple.socket).0.is_none()
    }

    /// True if a socket has no path yet, or one without proof.
    pub(crate) fn is_waiting(&self, socket: SocketId) -> bool {
        let (tuple, evidence) = self.latched(socket);
        tuple.is_none() || evidence != Evidence::Proof
    }

    /// True if a packet with this evidence replaces the current path of its socket. Without proof the first media path
    /// stays; media and SCTP replace each other, because a transport has only one of them, or both from one address.
    pub(crate) fn is_better(&self, socket: SocketId, evidence: Evidence) -> bool {
        let (tuple, known) = self.latched(socket);
        match (known, evidence) {
            _ if tuple.is_none() => true,
            (Evidence::Proof, _) => false,
            (_, Evidence::Proof) => true,
            (Evidence::Media, Evidence::Media) => false,
            _ => self.moves < MAX_MOVES,
        }
    }

    /// Latches the path of a packet with this evidence. Returns the previous path.
    pub(crate) fn latch(&mut self, tuple: Tuple, evidence: Evidence) -> Option<Tuple> {
        let is_rtcp = Some(tuple.socket) == self.rtcp_socket;
        let (known, basis) = if is_rtcp {
            (&mut self.rtcp_tuple, &mut self.rtcp_evidence)
        } else {
            (&mut self.tuple, &mut self.evidence)
        };
        *basis = evidence;
        let former = known.replace(tuple);
        self.moves += u32::from(former.is_some());
        former
    }

    /// Marks the path of this socket as proven.
    pub(crate) fn prove(&mut self, socket: SocketId) {
        *if Some(socket) == self.rtcp_socket { &mut self.rtcp_evidence } else { &mut self.evidence } =
            Evidence::Proof;
    }

    fn latched(&self, socket: SocketId) -> (Option<Tuple>, Evidence) {
        if Some(socket) == self.rtcp_socket {
            (self.rtcp_tuple, self.rtcp_evidence)
        } else {
            (self.tuple, self.evidence)
        }
    }

    /// Local key; a new key if the remote endpoint chose another suite.
    fn key_for(&mut self, suite: SrtpCryptoSuite, rng: &mut impl RngCore) -> &MasterKey {
        let key = self.key.take().filter(|key| key.suite() == suite);
        self.key.insert(key.unwrap_or_else(|| MasterKey::generate(suite, rng)))
    }
}

pub(super) fn invalid(text: &str) -> RequestError {
    RequestError::Invalid(text.to_owned())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use tureen_types::data_structures::{ListenInfo, Protocol};

    const RTP: SocketId = SocketId(1);
    const RTCP: SocketId = SocketId(2);

    fn options(rtcp_mux: bool, comedia: bool, srtp: Option<SrtpCryptoSuite>) -> CreatePlainTransport {
        let listen_info = ListenInfo {
            protocol: Protocol::Udp,
            ip: [127, 0, 0, 1].into(),
            announced_address: None,
            expose_internal_ip: false,
            port: None,
            port_range: None,
            flags: None,
            send_buffer_size: None,
            recv_buffer_size: None,
        };
        CreatePlainTransport {
            router_id: "router".into(),
            id: "plain".into(),
            listen_info,
            rtcp_listen_info: None,
            rtcp_mux,
            comedia,
            srtp,
            initial_available_outgoing_bitrate: None,
            sctp: None,
        }
    }

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn link(rtcp_mux: bool, comedia: bool, srtp: Option<SrtpCryptoSuite>) -> PlainLink {
        let rtcp_socket = (!rtcp_mux).then_some(RTCP);
        PlainLink::new(&options(rtcp_mux, comedia, srtp), RTP, rtcp_socket, &mut rng())
    }

    fn at(port: u16) -> ConnectPlain {
        ConnectPlain { ip: Some([10, 0, 0, 9].into()), port: Some(port), ..ConnectPlain::default() }
    }

    fn tuple(socket: SocketId, port: u16) -> Tuple {
        Tuple { socket, remote: ([10, 0, 0, 9], port).into() }
    }

    fn refusal(link: &mut PlainLink, options: &ConnectPlain) -> String {
        let error = link.connect(options, &mut rng()).unwrap_err();
        assert!(matches!(error, RequestError::Invalid(_)), "{error:?}");
        assert_eq!(link.tuples().next(), None, "a refused connect changes nothing");
        error.to_string()
    }

    #[test]
    fn connect_errors_are_those_of_mediasoup() {
        let mut muxed = link(true, false, None);
        assert_eq!(refusal(&mut muxed, &ConnectPlain::default()), "missing ip");
        assert_eq!(refusal(&mut muxed, &ConnectPlain { port: None, ..at(1) }), "missing port");
        let with_rtcp = ConnectPlain { rtcp_port: Some(2), ..at(1) };
        assert_eq!(refusal(&mut muxed, &with_rtcp), "cannot set rtcpPort with rtcpMux enabled");
        let mut split = link(false, false, None);
        assert_eq!(refusal(&mut split, &at(1)), "missing rtcpPort (required with rtcpMux disabled)");
        let key = MasterKey::generate(SrtpCryptoSuite::AeadAes128Gcm, &mut rng()).parameters();
        let with_key = ConnectPlain { srtp_parameters: Some(key), ..at(1) };
        assert_eq!(refusal(&mut muxed, &with_key), "invalid srtpParameters (SRTP not enabled)");
        let mut secret = link(true, false, Some(SrtpCryptoSuite::AeadAes128Gcm));
        assert_eq!(refusal(&mut secret, &at(1)), "missing srtpParameters (SRTP enabled)");
        let own = ConnectPlain { srtp_parameters: secret.srtp_parameters(), ..at(1) };
        assert!(refusal(&mut secret, &own).contains("key of this transport"));
        muxed.connect(&at(1), &mut rng()).unwrap();
        let again = muxed.connect(&at(2), &mut rng()).unwrap_err();
        assert_eq!(again, RequestError::Failed("connect() already called".to_owned()));
        assert_eq!(muxed.tuple(), Some(tuple(RTP, 1)));
    }

    #[test]
    fn without_mux_rtp_and_rtcp_have_separate_tuples() {
        let mut link = link(false, false, None);
        link.connect(&ConnectPlain { rtcp_port: Some(2), ..at(1) }, &mut rng()).unwrap();
        assert_eq!(link.tuples().collect::<Vec<_>>(), [tuple(RTP, 1), tuple(RTCP, 2)]);
        assert!(link.takes(PacketKind::Rtp, tuple(RTP, 1)) && link.takes(PacketKind::Rtcp, tuple(RTCP, 2)));
        assert!(!link.takes(PacketKind::Rtcp, tuple(RTP, 1)) && !link.takes(PacketKind::Rtp, tuple(RTCP, 2)));
    }

    #[test]
    fn remote_address_is_unknown_until_the_first_datagram() {
        let mut link = link(false, false, None);
        let connect = ConnectPlain { rtcp_port: Some(2), await_datagram: true, ..at(1) };
        assert!(link.connect(&connect, &mut rng()).unwrap().tuples.is_empty());
        assert_eq!(link.tuples().next(), None);
        assert!(link.awaits(tuple(RTP, 1)) && link.awaits(tuple(RTCP, 2)));
        assert!(!link.awaits(tuple(RTP, 2)) && !link.awaits(tuple(RTCP, 1)) && !link.awaits(tuple(RTP, 3)));
        assert!(!link.may_latch(PacketKind::Rtp, RTP), "nobody else's packet counts");
        link.latch(tuple(RTP, 1), Evidence::Proof);
        assert!(!link.awaits(tuple(RTP, 1)) && link.awaits(tuple(RTCP, 2)));
        assert_eq!((link.tuple(), link.rtcp_tuple()), (Some(tuple(RTP, 1)), None));
    }

    #[test]
    fn comedia_latches_each_socket_once_on_proof() {
        let mut link = link(false, true, None);
        link.connect(&at(9), &mut rng()).unwrap();
        assert_eq!(link.tuple(), None, "with comedia the address given is not read");
        assert!(link.may_latch(PacketKind::Rtp, RTP) && link.may_latch(PacketKind::Rtcp, RTCP));
        assert!(!link.may_latch(PacketKind::Rtcp, RTP) && !link.may_latch(PacketKind::Rtp, RTCP));
        link.latch(tuple(RTCP, 2), Evidence::Proof);
        assert!(!link.may_latch(PacketKind::Rtcp, RTCP) && link.may_latch(PacketKind::Rtp, RTP));
        link.latch(tuple(RTP, 1), Evidence::Proof);
        assert!(!link.may_latch(PacketKind::Rtp, RTP));
        assert_eq!((link.tuple(), link.rtcp_tuple()), (Some(tuple(RTP, 1)), Some(tuple(RTCP, 2))));
    }

    #[test]
    fn tuple_gives_way_to_one_with_better_evidence() {
        use Evidence::{Media, Proof, Sctp};
        let mut link = link(false, true, None);
        assert!([Sctp, Media, Proof].iter().all(|&evidence| link.is_better(RTP, evidence)));
        assert_eq!(link.latch(tuple(RTP, 1), Media), None);
        assert!(link.may_latch(PacketKind::Rtp, RTP));
        assert!(!link.is_better(RTP, Media) && link.is_better(RTP, Sctp) && link.is_better(RTP, Proof));
        assert_eq!(link.latch(tuple(RTP, 2), Sctp), Some(tuple(RTP, 1)));
        assert!(link.is_better(RTP, Media) && link.is_better(RTP, Sctp));
        assert_eq!(link.latch(tuple(RTP, 3), Proof), Some(tuple(RTP, 2)));
        assert!(![Sctp, Media, Proof].iter().any(|&evidence| link.is_better(RTP, evidence)));
        assert!(!link.may_latch(PacketKind::Rtp, RTP) && !link.is_waiting(RTP));

        link.latch(tuple(RTCP, 4), Media);
        link.prove(RTCP);
        assert!(!link.is_better(RTCP, Proof));
    }

    #[test]
    fn moves_of_a_tuple_by_strangers_are_bounded() {
        let mut link = link(true, true, None);
        let mut moves = 0;
        for port in 1..1000 {
            let evidence = if port % 2 == 0 { Evidence::Media } else { Evidence::Sctp };
            if link.is_better(RTP, evidence) {
                link.latch(tuple(RTP, port), evidence);
                moves += 1;
            }
        }
        assert_eq!(moves, MAX_MOVES + 1);
        assert!(link.is_better(RTP, Evidence::Proof));
    }

    #[test]
    fn without_comedia_nothing_latches() {
        let link = link(true, false, None);
        assert!(!link.may_latch(PacketKind::Rtp, RTP) && !link.may_latch(PacketKind::Rtcp, RTP));
    }

    #[test]
    fn remote_suite_applies_to_both_directions() {
        let mut link = link(true, true, Some(SrtpCryptoSuite::AesCm128HmacSha180));
        let before = link.srtp_parameters().unwrap();
        let key = MasterKey::generate(SrtpCryptoSuite::AeadAes256Gcm, &mut rng()).parameters();
        let connect = ConnectPlain { srtp_parameters: Some(key), ..ConnectPlain::default() };
        let connection = link.connect(&connect, &mut rng()).unwrap();
        assert!(connection.protection.is_some());
        let after = link.srtp_parameters().unwrap();
        assert_eq!(before.crypto_suite, SrtpCryptoSuite::AesCm128HmacSha180);
        assert_eq!(after.crypto_suite, SrtpCryptoSuite::AeadAes256Gcm);
    }
}
