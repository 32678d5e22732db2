//! TLS on the listeners: a socket becomes an encrypted one, and says who is at its other end.
//!
//! Floor 2 of broker, behind the feature `tls`.
//!
//! Invariants
//! - A handshake has a limit of time, from its first byte on; it holds nothing but its own buffers.
//! - What does not begin as TLS does gets no byte in answer.
//! - There is no resumption: whom a new file of authorities shuts out does not come back by an
//!   older session.

mod files;
mod subject;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use highwater_proto::clock::Clock;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::BrokerConfig;
use crate::error::BrokerError;
use crate::metrics::Moment;
use crate::workers::Workers;
use files::Files;

/// The TLS side of one broker.
#[derive(Debug)]
pub(crate) struct Tls {
    paths: files::Paths,
    /// Read when the first listener needs them.
    files: OnceLock<Arc<Files>>,
    clock: Arc<dyn Clock>,
    workers: Workers,
    handshake_max: Duration,
    /// When the certificate in force ends.
    end_ms: Moment,
}

/// A connection after its handshake.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<TcpStream>,
    /// The subject of the certificate that the client has shown.
    pub(crate) principal: Option<String>,
}

/// Why a handshake failed.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    /// The client went away.
    #[error("the client closed it before the TLS handshake was done")]
    Closed,
    /// The socket failed.
    #[error("the connection failed within the TLS handshake: {0}")]
    Failed(io::Error),
    /// What came is no TLS.
    #[error("the peer speaks {0} on a TLS listener: check its security.protocol, and the port")]
    Foreign(&'static str),
    /// The handshake took too long.
    #[error("the TLS handshake was not done within {0:?} (ssl.handshake.timeout.ms)")]
    TooSlow(Duration),
    /// One side refused the other.
    #[error("the TLS handshake failed: {0}")]
    Refused(String),
}

impl Tls {
    /// Reads no file yet.
    pub(crate) fn new(
        config: &BrokerConfig,
        clock: Arc<dyn Clock>,
        workers: Workers,
        end_ms: Moment,
    ) -> Self {
        Self {
            paths: files::Paths::of(config),
            files: OnceLock::new(),
            clock,
            workers,
            handshake_max: Duration::from_millis(config.ssl_handshake_timeout_ms),
            end_ms,
        }
    }

    /// The time that limits count by.
    #[cfg(feature = "http")]
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Reads the files, for a listener that is about to be opened.
    pub(crate) fn prepare(&self) -> Result<(), BrokerError> {
        if self.files.get().is_none() {
            let (paths, end_ms) = (self.paths.clone(), self.end_ms.clone());
            let files = Files::load(paths, &self.clock, end_ms).map_err(BrokerError::Tls)?;
            // Another listener may have been faster, with the same files.
            drop(self.files.set(Arc::new(files)));
        }
        Ok(())
    }

    /// Does the handshake of a connection.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Secured, HandshakeError> {
        let end = self.clock.now().mono.plus(self.handshake_max);
        tokio::select! {
            biased;
            secured = self.handshake(stream) => secured,
            () = self.clock.sleep_until(end) => Err(HandshakeError::TooSlow(self.handshake_max)),
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<Secured, HandshakeError> {
        begins_as_tls(&stream).await?;
        let Some(files) = self.files.get() else {
            return Err(HandshakeError::Refused(
                "there is no certificate".to_owned(),
            ));
        };
        let config = Files::current(files, &self.workers).await;
        let stream = TlsAcceptor::from(config).accept(stream).await;
        let stream = stream.map_err(HandshakeError::from_io)?;
        let shown = stream.get_ref().1.peer_certificates();
        let leaf = shown.and_then(|chain| chain.first());
        let principal = leaf.map(|leaf| subject::of(leaf)).transpose();
        let principal = principal.map_err(HandshakeError::Refused)?;
        Ok(Secured { stream, principal })
    }
}

/// Looks at the first bytes without taking them.
async fn begins_as_tls(stream: &TcpStream) -> Result<(), HandshakeError> {
    let mut first = [0; 4];
    let count = stream
        .peek(&mut first)
        .await
        .map_err(HandshakeError::Failed)?;
    match first.get(..count).unwrap_or_default() {
        [] => Err(HandshakeError::Closed),
        // A handshake record.
        [0x16, ..] => Ok(()),
        b"GET " | b"POST" | b"PUT " | b"HEAD" => Err(HandshakeError::Foreign("plain HTTP")),
        // The size of a request below 16 MiB.
        [0, ..] => Err(HandshakeError::Foreign("Kafka's protocol in plain")),
        _ => Err(HandshakeError::Foreign("no TLS")),
    }
}

impl HandshakeError {
    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::InvalidData => Self::Refused(error.to_string()),
            _ => Self::Failed(error),
        }
    }
}
