//! The files of certificate, key and authorities, and the configuration that follows from them.
//!
//! Floor 2 of broker, behind the feature `tls`.
//!
//! Invariants
//! - The files are looked at when a handshake comes, at most once in [`LOOK_PAUSE`], on a thread
//!   that may block; who comes meanwhile gets what is in force.
//! - What cannot be used is said once for each change, and leaves what is in force.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use highwater_proto::clock::{Clock, Mono};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};

use super::subject;
use crate::config::{BrokerConfig, ClientAuth};
use crate::metrics::Moment;
use crate::workers::Workers;

/// Where the files are, and what they are for.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    certificate: PathBuf,
    key: PathBuf,
    authorities: PathBuf,
    client_auth: ClientAuth,
}

impl Paths {
    pub(super) fn of(config: &BrokerConfig) -> Self {
        Self {
            certificate: PathBuf::from(&config.ssl_certificate_location),
            key: PathBuf::from(&config.ssl_key_location),
            authorities: PathBuf::from(&config.ssl_ca_location),
            client_auth: config.ssl_client_auth,
        }
    }

    fn named(&self) -> Vec<(&'static str, &Path)> {
        let mut named = vec![
            (CERTIFICATE, self.certificate.as_path()),
            (KEY, self.key.as_path()),
        ];
        if self.client_auth != ClientAuth::None {
            named.push((AUTHORITIES, self.authorities.as_path()));
        }
        named
    }
}

/// The files, and what they said when they were last in order.
#[derive(Debug)]
pub(super) struct Files {
    paths: Paths,
    clock: Arc<dyn Clock>,
    /// When the certificate in force ends.
    end_ms: Moment,
    state: Mutex<State>,
}

/// What the files say.
struct Loaded {
    config: ServerConfig,
    /// The end of the certificate, in milliseconds since 1970, if it can be read.
    end_ms: Option<i64>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// How the files were when they were last read, in order or not.
    stamps: Vec<Stamp>,
    looked_at: Mono,
}

/// By what a file is known to have changed; none if it is not there.
type Stamp = Option<(SystemTime, u64)>;

impl Files {
    /// Reads the files; blocks.
    pub(super) fn load(
        paths: Paths,
        clock: &Arc<dyn Clock>,
        end_ms: Moment,
    ) -> Result<Self, String> {
        let stamps = stamps(&paths);
        let loaded = loaded(&paths, clock)?;
        end_ms.set(loaded.end_ms);
        let state = State {
            config: Arc::new(loaded.config),
            stamps,
            looked_at: clock.now().mono,
        };
        Ok(Self {
            paths,
            clock: Arc::clone(clock),
            end_ms,
            state: Mutex::new(state),
        })
    }

    /// What is in force, after a look at the files if it is time for one.
    pub(super) async fn current(files: &Arc<Self>, workers: &Workers) -> Arc<ServerConfig> {
        let known = {
            let mut state = files.state();
            let now = files.clock.now().mono;
            if now < state.looked_at.plus(LOOK_PAUSE) {
                return Arc::clone(&state.config);
            }
            state.looked_at = now;
            state.stamps.clone()
        };
        let looking = Arc::clone(files);
        let looked = workers.spawn_blocking(move || looking.look(&known)).await;
        // It fails only when the runtime is being shut down.
        if let Ok(Some((stamps, read))) = looked {
            files.take(stamps, read);
        }
        Arc::clone(&files.state().config)
    }

    /// Reads the files if they are not as they were.
    fn look(&self, known: &[Stamp]) -> Option<(Vec<Stamp>, Result<Loaded, String>)> {
        // Before they are read: what changes meanwhile is seen the next time.
        let stamps = stamps(&self.paths);
        (stamps != known).then(|| (stamps, loaded(&self.paths, &self.clock)))
    }

    fn take(&self, stamps: Vec<Stamp>, read: Result<Loaded, String>) {
        let mut state = self.state();
        state.stamps = stamps;
        match read {
            Ok(loaded) => {
                state.config = Arc::new(loaded.config);
                self.end_ms.set(loaded.end_ms);
                tracing::info!("certificate and key were read anew");
            }
            Err(why) => {
                tracing::warn!(%why, "the files of TLS have changed and cannot be used: the \
                    certificate that was read before stays in force");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(paths: &Paths) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let named = paths.named();
    named.into_iter().map(|(_, path)| stamp(path)).collect()
}

fn loaded(paths: &Paths, clock: &Arc<dyn Clock>) -> Result<Loaded, String> {
    let chain = certificates(CERTIFICATE, &paths.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read(KEY, &paths.key)?).map_err(|error| {
        let path = paths.key.display();
        format!("{KEY}: {path} holds no private key in PEM form that is not encrypted: {error}")
    })?;
    let end_ms = chain.first().and_then(subject::valid_until_ms);
    warn_of_end(end_ms, &paths.certificate, clock);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let time = Arc::new(Time(Arc::clone(clock)));
    let builder = ServerConfig::builder_with_details(Arc::clone(&provider), time);
    // TLS 1.2 and 1.3.
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match paths.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        asked => builder.with_client_cert_verifier(verifier(paths, provider, asked)?),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let (certificate, key) = (paths.certificate.display(), paths.key.display());
        format!("the certificate {certificate} and the key {key} do not go together: {error}")
    })?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Loaded { config, end_ms })
}

fn verifier(
    paths: &Paths,
    provider: Arc<CryptoProvider>,
    asked: ClientAuth,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let path = paths.authorities.display();
    let wrong = |error: &dyn std::fmt::Display| format!("{AUTHORITIES}: {path}: {error}");
    let mut roots = RootCertStore::empty();
    for authority in certificates(AUTHORITIES, &paths.authorities)? {
        roots.add(authority).map_err(|error| wrong(&error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match asked {
        ClientAuth::Required => builder,
        ClientAuth::Requested | ClientAuth::None => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| wrong(&error))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(setting, path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let path = path.display();
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "{setting}: {path} holds no certificate in PEM form"
        )),
        Err(error) => Err(format!("{setting}: {path} is no file in PEM form: {error}")),
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    if path.as_os_str().is_empty() {
        return Err(format!(
            "{setting} is not set, and a listener with TLS needs it"
        ));
    }
    let failed = |error| format!("{setting}: cannot read {}: {error}", path.display());
    #[expect(
        clippy::disallowed_methods,
        reason = "a file beside the data, which the operator replaces, and which no crash concerns"
    )]
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let path = path.display();
        return Err(format!(
            "{setting}: {path} is larger than {FILE_BYTES_MAX} bytes"
        ));
    }
    Ok(bytes)
}

/// A certificate that ends is no reason not to start: the clock may be what is wrong.
fn warn_of_end(end_ms: Option<i64>, path: &Path, clock: &Arc<dyn Clock>) {
    let Some(end_ms) = end_ms else {
        return;
    };
    let (path, left_ms) = (path.display(), end_ms.saturating_sub(clock.now().wall.0));
    if left_ms < 0 {
        tracing::warn!(%path, "the certificate has expired: clients will refuse it");
    } else if left_ms < SOON_MS {
        let days_left = left_ms / DAY_MS;
        tracing::warn!(%path, days_left, "the certificate ends soon");
    }
}

/// The time by which certificates of clients are judged.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let ms = u64::try_from(self.0.now().wall.0).unwrap_or_default();
        Some(UnixTime::since_unix_epoch(Duration::from_millis(ms)))
    }
}

const CERTIFICATE: &str = "ssl.certificate.location";
const KEY: &str = "ssl.key.location";
const AUTHORITIES: &str = "ssl.ca.location";
/// Between two looks at the files.
pub(super) const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// A file of all authorities that there are is a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
const DAY_MS: i64 = 86_400_000;
/// When the end of a certificate is near enough to be warned about.
const SOON_MS: i64 = 14 * DAY_MS;
