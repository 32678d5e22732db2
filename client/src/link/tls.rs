//! TLS over a connection: whom the client trusts, what it shows, and what went wrong in words.
//!
//! Floor 2 of client, behind the feature `tls`.
//!
//! Invariants
//! - The broker's certificate is always verified, and so is that it is for the host that was
//!   dialled: there is no switch for that.

use std::fmt::Display;
use std::io::{self, Read};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, Error, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::ClientConfig;
use crate::error::ClientError;

/// The TLS side of a client.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<rustls::ClientConfig>,
}

impl Tls {
    /// Reads the files that the settings name, or else what the machine trusts.
    pub(super) fn load(config: &ClientConfig) -> Result<Self, ClientError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        // TLS 1.2 and 1.3.
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| ClientError::Invalid(error.to_string()))?;
        let roots = match &config.ssl_ca_location {
            Some(path) => own_roots(path)?,
            None => roots_of_the_machine()?,
        };
        let builder = builder.with_root_certificates(roots);
        let shown = config.ssl_certificate_location.as_ref();
        let config = match shown.zip(config.ssl_key_location.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(CERTIFICATE, certificate)?;
                let bytes = read(KEY, key)?;
                let private = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
                    let what = "holds no private key in PEM form that is not encrypted";
                    ClientError::Invalid(format!("{KEY}: {key} {what}: {error}"))
                })?;
                let builder = builder.with_client_auth_cert(chain, private);
                builder.map_err(|error| {
                    ClientError::Invalid(format!("{certificate} and {key}: {error}"))
                })?
            }
        };
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Does the handshake with the broker at an address.
    pub(super) async fn connect(
        &self,
        address: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ClientError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            ClientError::Invalid(format!(
                "{host:?} is no name that a certificate can stand for: write a host or an IP address"
            ))
        })?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(name, stream).await;
        connected.map_err(|error| failed(address, host, &error))
    }
}

/// The error of a handshake.
fn failed(address: &str, host: &str, error: &io::Error) -> ClientError {
    if let Some(error) = of_tls(error) {
        return ClientError::Unsupported(refused(address, host, error));
    }
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return ClientError::NotSent(format!(
            "{address} hung up within the TLS handshake: is it a plaintext listener? Then \
             security.protocol is PLAINTEXT or SASL_PLAINTEXT"
        ));
    }
    ClientError::NotSent(format!("the TLS handshake with {address} failed: {error}"))
}

/// What TLS itself found wrong.
fn refused(address: &str, host: &str, error: &Error) -> String {
    use CertificateError as Bad;
    match error {
        Error::InvalidCertificate(Bad::UnknownIssuer) => format!(
            "the certificate of {address} is signed by nobody whom this client trusts: set \
             ssl.ca.location to the certificate of its authority"
        ),
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            format!(
                "the certificate of {address} is not for {host} ({error}): dial the broker by a \
                 name that stands in its certificate, in bootstrap.servers and in what it \
                 advertises"
            )
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => format!(
            "the certificate of {address} has expired ({error}): the broker needs a new one, or \
             this machine's clock is wrong"
        ),
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => format!(
            "the certificate of {address} is not valid yet ({error}): is this machine's clock right?"
        ),
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => format!(
            "{address} speaks no TLS ({error}): is it a plaintext listener (security.protocol), or \
             no Kafka broker?"
        ),
        Error::AlertReceived(alert) => format!("{address} refuses this client: {}", words(*alert)),
        other => format!("no TLS connection to {address} is possible: {other}"),
    }
}

/// What an alert of the broker asks for.
fn words(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let what = match alert {
        Alert::CertificateRequired => {
            "it asks for a client certificate: set ssl.certificate.location and ssl.key.location"
        }
        Alert::UnknownCA | Alert::BadCertificate | Alert::DecryptError => {
            "it does not trust this client's certificate (ssl.certificate.location): its own \
             ssl.ca.location must name who has signed it"
        }
        Alert::CertificateExpired => "this client's certificate has expired",
        Alert::CertificateRevoked => "this client's certificate was revoked",
        Alert::ProtocolVersion | Alert::HandshakeFailure => {
            "no version of TLS or no cipher is known to both sides"
        }
        other => return format!("TLS alert {other:?}"),
    };
    what.to_owned()
}

/// Why a connection ended that was open, if it is TLS that says so. With TLS 1.3 the broker judges
/// a client's certificate when the client's side of the handshake is done already.
pub(super) fn refusal(error: &io::Error) -> Option<String> {
    Some(match of_tls(error)? {
        Error::AlertReceived(alert) => words(*alert),
        other => format!("TLS failed: {other}"),
    })
}

fn of_tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn own_roots(path: &str) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(AUTHORITIES, path)? {
        let added = roots.add(authority);
        added.map_err(|error| wrong(AUTHORITIES, path, &error))?;
    }
    Ok(roots)
}

/// Those of the machine, not a list that is built in: it is the operator who decides whom a machine
/// trusts, and such a list ages.
fn roots_of_the_machine() -> Result<RootCertStore, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})"));
        return Err(ClientError::Invalid(format!(
            "this machine trusts no authority{}: set ssl.ca.location to a PEM file of the \
             authorities that sign the brokers' certificates",
            why.unwrap_or_default()
        )));
    }
    Ok(roots)
}

fn certificates(setting: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let bytes = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(setting, path, &"holds no certificate in PEM form")),
        Err(error) => Err(wrong(setting, path, &error)),
    }
}

fn read(setting: &str, path: &str) -> Result<Vec<u8>, ClientError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a file of the operator, read once, when the client is made"
    )]
    let file = std::fs::File::open(path).map_err(|error| wrong(setting, path, &error))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| wrong(setting, path, &error))?;
    Ok(bytes)
}

fn wrong(setting: &str, path: &str, why: &dyn Display) -> ClientError {
    ClientError::Invalid(format!("{setting}: {path}: {why}"))
}

const AUTHORITIES: &str = "ssl.ca.location";
const CERTIFICATE: &str = "ssl.certificate.location";
const KEY: &str = "ssl.key.location";
/// A file of all authorities that there are is a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
