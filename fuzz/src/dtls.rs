//! Fuzzing of a DTLS association with datagrams of an attacker.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tureen_rtc::dtls::{
    Certificate, Dtls, DtlsConfig, DtlsOptions, Fingerprint, FingerprintAlgorithm, Output, Role,
};

use crate::script::steps;

/// Shared by all runs, because key generation takes most of a short run.
pub(crate) static CONFIG: LazyLock<Arc<DtlsConfig>> = LazyLock::new(|| {
    let certificate = Certificate::generate().expect("the system has randomness");
    Arc::new(DtlsConfig::new(certificate, DtlsOptions::default()).expect("the default is valid"))
});

/// Fingerprint of [`CONFIG`]'s certificate.
pub(crate) fn fingerprint() -> Fingerprint {
    CONFIG.certificate().fingerprint(FingerprintAlgorithm::Sha256)
}

/// Passes a script of datagrams to a server, or to a client if the first operation is odd, while time passes.
pub fn fuzz_dtls_datagram(data: &[u8]) {
    let role = if data.first().is_some_and(|byte| byte & 1 == 1) { Role::Client } else { Role::Server };
    let mut now = crate::origin();
    let mut dtls = Dtls::new(&CONFIG, role, fingerprint(), now).expect("the library starts");
    let mut buffer = Vec::new();
    drain(&mut dtls, &mut buffer);
    for step in steps(data) {
        dtls.handle_datagram(now, step.data);
        drain(&mut dtls, &mut buffer);
        now += Duration::from_millis(u64::from(step.operation >> 1) * 20);
        dtls.handle_timeout(now);
        drain(&mut dtls, &mut buffer);
    }
}

fn drain(dtls: &mut Dtls, buffer: &mut Vec<u8>) {
    for _ in 0..1000 {
        match dtls.poll_output(buffer) {
            Output::Connected { .. } => panic!("connected without the peer's key"),
            Output::Idle { .. } => return,
            _ => {}
        }
    }
    panic!("output does not end");
}
