//! Certificates: the user's, else one of our own making; read again on request.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: the file of a certificate or its key cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file holds no certificate or no key.
    #[error("{}: not a PEM file with {wanted}: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// Why not.
        reason: String,
    },
    /// Certificate and key do not belong together, or are of no use.
    #[error("the certificate {} and its key cannot be used: {reason}", path.display())]
    Unusable {
        /// The certificate.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Our own certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Make(String),
}

/// A certificate chain and its key, in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertificateFiles {
    /// PEM, own certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// What connections are accepted with.
#[derive(Clone)]
pub(super) struct Tls {
    files: CertificateFiles,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

struct Current(RwLock<Arc<CertifiedKey>>);

impl std::fmt::Debug for Current {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads the files.
    pub(super) fn new(files: CertificateFiles) -> Result<Tls, TlsError> {
        let current = Arc::new(Current(RwLock::new(load(&files)?)));
        let unusable = |error: rustls::Error| TlsError::Make(error.to_string());
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Tls { files, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads the files again; connections that stand keep what they have. On an error the old certificate stays.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let fresh = load(&self.files)?;
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

fn load(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let read =
        |path: &Path| fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source });
    let pem = |path: &Path, wanted, reason: String| TlsError::Pem { path: path.to_owned(), wanted, reason };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(&files.certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| pem(&files.certificate, "certificates", error.to_string()))?;
    if chain.is_empty() {
        return Err(pem(&files.certificate, "certificates", "there is none in it".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| pem(&files.key, "a private key", error.to_string()))?;
    let unusable = |error: rustls::Error| TlsError::Unusable {
        path: files.certificate.clone(),
        reason: error.to_string(),
    };
    let key = ring::sign::any_supported_type(&key).map_err(unusable)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(unusable)?;
    Ok(Arc::new(certified))
}

/// Our own certificate under the state directory, made at the first start for ten years.
pub(super) fn own_certificate(state: &Path, names: &[String]) -> Result<CertificateFiles, TlsError> {
    let directory = state.join("tls");
    let files = CertificateFiles { certificate: directory.join("cert.pem"), key: directory.join("key.pem") };
    if files.certificate.exists() && files.key.exists() {
        return Ok(files);
    }
    let failed = |error: rcgen::Error| TlsError::Make(error.to_string());
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Reelward");
    let year = i32::from(jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 10, 1, 1);
    let pair = rcgen::KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&pair).map_err(failed)?;
    let error = |path: &Path| {
        let path = path.to_owned();
        |source| TlsError::File { path, source }
    };
    fs::create_dir_all(&directory).map_err(error(&directory))?;
    // The key first: a certificate without one is made anew.
    write_new(&files.key, pair.serialize_pem().as_bytes(), 0o600).map_err(error(&files.key))?;
    write_new(&files.certificate, certificate.pem().as_bytes(), 0o644).map_err(error(&files.certificate))?;
    Ok(files)
}

/// Replaces a file in one step.
fn write_new(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let part = path.with_extension("new");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_certificate_is_made_once_and_read_again() {
        let state = tempfile::tempdir().unwrap();
        let files = own_certificate(state.path(), &["localhost".into(), "127.0.0.1".into()]).unwrap();
        let first = fs::read(&files.certificate).unwrap();
        let tls = Tls::new(files.clone()).unwrap();
        assert_eq!(own_certificate(state.path(), &[]).unwrap(), files);
        assert_eq!(fs::read(&files.certificate).unwrap(), first);
        // Another key: the old certificate stays in use, and the error says so.
        fs::write(&files.key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Unusable { .. })));
        fs::write(&files.key, "nonsense").unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Pem { .. })));
        fs::remove_file(&files.certificate).unwrap();
        own_certificate(state.path(), &["localhost".into()]).unwrap();
        tls.reload().unwrap();
    }
}
