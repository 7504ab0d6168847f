//! Link of a PipeTransport: RTP and RTCP over UDP to another router, with SRTP or without.

use rand::RngCore;

use super::plain::invalid;
use super::protection::{MasterKey, Opener, Sealer};
use crate::api::{ConnectPipe, RequestError};
use tureen_rtc::tuple::{SocketId, Tuple};
use tureen_types::srtp_parameters::{SrtpCryptoSuite, SrtpParameters};

/// SRTP suite of pipes in mediasoup since 3.9.
pub const PIPE_SUITE: SrtpCryptoSuite = SrtpCryptoSuite::AeadAes256Gcm;

/// Local and remote addresses of a PipeTransport.
#[derive(Debug)]
pub(crate) struct PipeLink {
    pub(crate) socket: SocketId,
    /// True if lost packets are retransmitted by RTX.
    pub(crate) rtx: bool,
    tuple: Option<Tuple>,
    /// Local SRTP key.
    key: Option<MasterKey>,
}

impl PipeLink {
    /// Creates a link without a remote address.
    pub(crate) fn new(
        socket: SocketId,
        rtx: bool,
        srtp: Option<SrtpCryptoSuite>,
        rng: &mut impl RngCore,
    ) -> Self {
        let key = srtp.map(|suite| MasterKey::generate(suite, rng));
        Self { socket, rtx, tuple: None, key }
    }

    /// Path to the remote router.
    pub(crate) fn tuple(&self) -> Option<Tuple> {
        self.tuple
    }

    /// True if the link uses SRTP.
    pub(crate) fn has_srtp(&self) -> bool {
        self.key.is_some()
    }

    /// Local SRTP parameters for the remote router.
    pub(crate) fn srtp_parameters(&self) -> Option<SrtpParameters> {
        self.key.as_ref().map(MasterKey::parameters)
    }

    /// Sets the remote address and key. Returns the path and, with SRTP, the sealer and the opener.
    ///
    /// # Errors
    /// Called twice; a key is missing, superfluous or invalid. Nothing is changed then.
    pub(crate) fn connect(
        &mut self,
        options: &ConnectPipe,
    ) -> Result<(Tuple, Option<(Sealer, Opener)>), RequestError> {
        if self.tuple.is_some() {
            return Err(RequestError::Failed("connect() already called".to_owned()));
        }
        let protection = match (&self.key, &options.srtp_parameters) {
            (None, None) => None,
            (None, Some(_)) => return Err(invalid("invalid srtpParameters (SRTP not enabled)")),
            (Some(_), None) => return Err(invalid("missing srtpParameters (SRTP enabled)")),
            (Some(key), Some(remote)) if remote.crypto_suite != key.parameters().crypto_suite => {
                return Err(invalid("invalid/unsupported srtpParameters.cryptoSuite"));
            }
            (Some(key), Some(remote)) => {
                let remote = MasterKey::parse(remote)?;
                key.check_differs(&remote)?;
                Some((key.sealer(), remote.opener()))
            }
        };
        let tuple = Tuple { socket: self.socket, remote: (options.ip.to_canonical(), options.port).into() };
        self.tuple = Some(tuple);
        Ok((tuple, protection))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn link(srtp: bool) -> PipeLink {
        PipeLink::new(SocketId(1), false, srtp.then_some(PIPE_SUITE), &mut StdRng::seed_from_u64(1))
    }

    fn connect(srtp_parameters: Option<SrtpParameters>) -> ConnectPipe {
        ConnectPipe { ip: [10, 0, 0, 2].into(), port: 5000, srtp_parameters }
    }

    fn refusal(link: &mut PipeLink, options: &ConnectPipe) -> String {
        let error = link.connect(options).unwrap_err();
        assert_eq!(link.tuple(), None);
        error.to_string()
    }

    #[test]
    fn connect_errors_are_those_of_mediasoup() {
        let key = |suite| Some(MasterKey::generate(suite, &mut StdRng::seed_from_u64(2)).parameters());
        let (mut plain, mut secret) = (link(false), link(true));
        assert_eq!(
            refusal(&mut plain, &connect(key(PIPE_SUITE))),
            "invalid srtpParameters (SRTP not enabled)"
        );
        assert_eq!(refusal(&mut secret, &connect(None)), "missing srtpParameters (SRTP enabled)");
        let other = connect(key(SrtpCryptoSuite::AeadAes128Gcm));
        assert_eq!(refusal(&mut secret, &other), "invalid/unsupported srtpParameters.cryptoSuite");
        let own = connect(secret.srtp_parameters());
        assert!(refusal(&mut secret, &own).contains("key of this transport"));
        assert!(plain.connect(&connect(None)).unwrap().1.is_none());
        assert!(secret.connect(&connect(key(PIPE_SUITE))).unwrap().1.is_some());
        assert_eq!(plain.connect(&connect(None)).unwrap_err().to_string(), "connect() already called");
    }
}
