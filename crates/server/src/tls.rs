//! TLS on every port, by two settings: a certificate and its key. With a third, clients need a certificate too.
//!
//! The files are looked at again now and then; when they changed, connections that begin from then on get the new ones,
//! and those that stand go on. Files that cannot be used after a change leave the old ones in force, and the log says so.

mod validity;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tidemark_model::Clock as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

pub(crate) use self::validity::valid_until;
use crate::{clock::SystemClock, config};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// The largest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the two without the other.
    #[error("tls.certificate and tls.key go together: set both, or none")]
    Half,
    /// A file that cannot be used.
    #[error("{setting} cannot be used: {file}: {reason}")]
    File {
        /// The key of the setting.
        setting: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not go together, or are of a kind that is not spoken.
    #[error("certificate and key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// What is spoken inside; a client that asks for something else is refused by its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/2 or HTTP/1.1, gRPC included.
    Http,
    /// Postgres.
    Postgres,
}

impl Speaks {
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Postgres => vec![b"postgresql".to_vec()],
        }
    }
}

/// The files.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

/// When each file was written, and how long it is.
type Stamp = Vec<Option<(SystemTime, u64)>>;

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    looked_at: Instant,
}

/// TLS as one port speaks it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls {
    files: Arc<Files>,
    speaks: Speaks,
    loaded: Arc<RwLock<Loaded>>,
}

impl Tls {
    /// TLS as the settings say; none where they name no files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn of(settings: &config::Tls, speaks: Speaks) -> Result<Option<Self>, TlsError> {
        let files = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => {
                Files { certificate: certificate.clone(), key: key.clone(), client_ca: settings.client_ca.clone() }
            }
            (None, None) if settings.client_ca.is_none() => return Ok(None),
            _ => return Err(TlsError::Half),
        };
        let stamp = stamp(&files);
        let loaded = Loaded { config: load(&files, speaks)?, stamp, looked_at: Instant::now() };
        Ok(Some(Self { files: Arc::new(files), speaks, loaded: Arc::new(RwLock::new(loaded)) }))
    }

    /// The handshake on a connection that was just accepted.
    ///
    /// # Errors
    /// What the peer did wrong, or that it took too long.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        let accepting = TlsAcceptor::from(self.config()).accept(stream);
        let accepted = tokio::time::timeout(HANDSHAKE_WITHIN, accepting).await;
        accepted.map_err(|_late| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))?
    }

    /// What is in force, read anew when the files have changed.
    fn config(&self) -> Arc<ServerConfig> {
        let (config, is_due) = {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&loaded.config), loaded.looked_at.elapsed() >= LOOK_EVERY)
        };
        if is_due { self.look_again() } else { config }
    }

    fn look_again(&self) -> Arc<ServerConfig> {
        let found = stamp(&self.files);
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        loaded.looked_at = Instant::now();
        if found != loaded.stamp {
            loaded.stamp = found;
            match load(&self.files, self.speaks) {
                Ok(config) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is in force");
                    tell_end(&self.files.certificate);
                    loaded.config = config;
                }
                Err(error) => tracing::error!(%error, "the new certificate is not used: the old one stays in force"),
            }
        }
        Arc::clone(&loaded.config)
    }
}

/// Says it where a certificate has expired: it can be shown, and clients refuse it.
pub(crate) fn tell_end(certificate: &Path) {
    let now_s = SystemClock.now().micros() / 1_000_000;
    if let Some(end_s) = valid_until(certificate).filter(|end_s| *end_s <= now_s) {
        let end = tidemark_model::Instant::from_micros(end_s.saturating_mul(1_000_000));
        tracing::error!(certificate = %certificate.display(), %end, "the certificate has expired: clients refuse it");
    }
}

fn stamp(files: &Files) -> Stamp {
    let all = [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()];
    let written = |file: &PathBuf| {
        let found = std::fs::metadata(file).ok()?;
        Some((found.modified().ok()?, found.len()))
    };
    all.into_iter().flatten().map(written).collect()
}

fn load(files: &Files, speaks: Speaks) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates("tls.certificate", &files.certificate)?;
    let key = file("tls.key", &files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| refused("tls.key", &files.key, &error))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        Some(ca) => builder.with_client_cert_verifier(clients(ca, provider)?),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = speaks.protocols();
    Ok(Arc::new(config))
}

/// Whoever's certificate one of these signed may connect.
fn clients(
    ca: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let setting = "tls.client_ca";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, ca)? {
        roots.add(certificate)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|error| refused(setting, ca, &error))
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = file(setting, path)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| refused(setting, path, &error))?;
    if found.is_empty() {
        return Err(refused(setting, path, &"there is no certificate in it: it has to be PEM"));
    }
    Ok(found)
}

fn file(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let length = std::fs::metadata(path).map_err(|error| refused(setting, path, &error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(refused(setting, path, &format_args!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|error| refused(setting, path, &error))
}

fn refused(setting: &'static str, file: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File { setting, file: file.to_owned(), reason: reason.to_string() }
}
