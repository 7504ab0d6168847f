//! Certificate of the web server: the configured one, or a self-signed one that is created once and kept.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use tracing::warn;

use super::ownership::{Problem, is_public, private_directory, secret_file};
use crate::{addresses::lan_address, config::ServerConfig};

/// Error of the TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// Attempted operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// A file or directory that must be private may belong to or be changed by another user.
    #[error("{} {why}: it is not safe to use", path.display())]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// Fault of the file or directory.
        why: String,
    },
    /// A file does not have the expected content.
    #[error("{} has no usable {what}: {source}", path.display())]
    Pem {
        /// Expected content.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Error of the parser.
        source: pem::Error,
    },
    /// The self-signed certificate cannot be created.
    #[error("cannot make a self-signed certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The certificate and the key do not match.
    #[error("certificate {} and its key cannot be used: {source}", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Error of the TLS library.
        source: rustls::Error,
    },
}

/// Files of the certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) self_signed: bool,
}

/// Finds the configured certificate, or creates the self-signed one if it does not exist yet.
pub(crate) fn certificate_files(config: &ServerConfig) -> Result<CertificateFiles, TlsError> {
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        return Ok(CertificateFiles { cert: cert.clone(), key: key.clone(), self_signed: false });
    }
    let dir = config.state_dir();
    let files =
        CertificateFiles { cert: dir.join("tls-cert.pem"), key: dir.join("tls-key.pem"), self_signed: true };
    private_directory(&dir).map_err(|problem| problem.about("make the directory", &dir))?;
    if !files.cert.exists() || !files.key.exists() {
        generate(&files)?;
    }
    Ok(files)
}

/// Reads certificate and key into a server configuration for HTTP/1.1.
pub(crate) fn server_config(files: &CertificateFiles) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let CertificateFiles { cert: path, key: key_path, .. } = files;
    let pem = |what, path: &Path| {
        let path = path.to_owned();
        move |source| match source {
            pem::Error::Io(source) => TlsError::File { action: "read", path, source },
            source => TlsError::Pem { what, path, source },
        }
    };
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem("certificate", path))?;
    let key = read_key(files)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(pem("private key", key_path))?;

    let unusable = |source| TlsError::Unusable { path: path.clone(), source };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Reads the private key. A key of the server itself that others can read is refused. If a configured key can be read
/// by everybody, a warning is logged, because some systems give all files of a container that mode.
fn read_key(files: &CertificateFiles) -> Result<Vec<u8>, TlsError> {
    let path = &files.key;
    let read = || {
        let mut file = fs::File::open(path)?;
        let metadata = file.metadata()?;
        if files.self_signed {
            secret_file(&metadata)?;
        } else if is_public(&metadata) {
            warn!(key = %path.display(), "everybody on this machine may read the private key");
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|problem: Problem| problem.about("read", path))
}

impl Problem {
    fn about(self, action: &'static str, path: &Path) -> TlsError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => TlsError::File { action, path, source },
            Self::Unsafe(why) => TlsError::Unsafe { path, why },
        }
    }
}

fn generate(files: &CertificateFiles) -> Result<(), TlsError> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(lan_address().map(|ip| ip.to_string()));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tureen, self-signed");
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;

    // The key is written first: without a certificate, an incomplete pair is created again at the next start.
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.cert, &cert.pem(), 0o644)
}

/// Writes a file atomically.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let draft = path.with_extension("new");
    let written = (|| {
        // An old draft could have another mode.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    })();
    written.map_err(|source| TlsError::File { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new() -> Self {
            Self(std::env::temp_dir().join(format!("tureen-tls-{}", uuid::Uuid::new_v4())))
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_self_signed_certificate_is_created_once_and_kept() {
        let dir = TempDir::new();
        let config = ServerConfig { state_dir: Some(dir.0.clone()), ..ServerConfig::default() };
        let files = certificate_files(&config).unwrap();
        assert!(files.self_signed);
        server_config(&files).unwrap();
        let first = fs::read(&files.cert).unwrap();
        assert_eq!(certificate_files(&config).unwrap(), files);
        assert_eq!(fs::read(&files.cert).unwrap(), first);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt;

        let dir = TempDir::new();
        let config = ServerConfig { state_dir: Some(dir.0.clone()), ..ServerConfig::default() };
        let files = certificate_files(&config).unwrap();
        assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_or_key_of_another_user_is_refused() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

        let dir = TempDir::new();
        let config = ServerConfig { state_dir: Some(dir.0.clone()), ..ServerConfig::default() };
        let files = certificate_files(&config).unwrap();
        assert_eq!(fs::metadata(&dir.0).unwrap().mode() & 0o777, 0o700);
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let refusal = || match certificate_files(&config).and_then(|files| server_config(&files)) {
            Ok(_) => panic!("it is used"),
            Err(error) => error.to_string(),
        };

        set(&files.key, 0o604);
        assert!(refusal().contains("tls-key.pem may be read by others (mode 604)"), "{}", refusal());
        set(&files.key, 0o600);
        set(&dir.0, 0o707);
        assert!(refusal().contains("may be written by others (mode 707)"), "{}", refusal());
        set(&dir.0, 0o700);
        certificate_files(&config).and_then(|files| server_config(&files)).unwrap();
        // Only root can change the owner of a file.
        if chown(&dir.0, Some(12345), None).is_ok() {
            assert!(refusal().contains("belongs to user 12345"), "{}", refusal());
            chown(&dir.0, Some(0), None).unwrap();
            chown(&files.key, Some(12345), None).unwrap();
            assert!(refusal().contains("belongs to user 12345"), "{}", refusal());
            let link = TempDir::new();
            symlink(&dir.0, &link.0).unwrap();
            std::os::unix::fs::lchown(&link.0, Some(12345), None).unwrap();
            let config = ServerConfig { state_dir: Some(link.0.clone()), ..ServerConfig::default() };
            assert!(certificate_files(&config).unwrap_err().to_string().contains("belongs to user 12345"));
            fs::remove_file(&link.0).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let dir = TempDir::new();
        fs::create_dir_all(&dir.0).unwrap();
        let path = dir.0.join("junk.pem");
        fs::write(&path, "junk").unwrap();
        let files = CertificateFiles { cert: path.clone(), key: path, self_signed: false };
        let error = server_config(&files).unwrap_err().to_string();
        assert!(error.contains("junk.pem"), "{error}");
    }
}
