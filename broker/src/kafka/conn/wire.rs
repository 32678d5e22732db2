//! The socket of a connection, plain or encrypted: one face for the reader and the writer.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - What is not ready says so; nothing here waits but `readable`, `writable` and `open`.
//! - `open` ends with the broker, and within `ssl.handshake.timeout.ms`.

use std::io::{self, IoSlice};
use std::net::SocketAddr;

use bytes::BufMut;
use highwater_proto::security::SecurityProtocol;
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use super::encrypted::Encrypted;
use crate::connections::{Sink, Source};
use crate::kafka::end::End;
use crate::kafka::server::Server;
use crate::kafka::session::Security;

/// The socket of a connection.
pub(super) enum Wire {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Encrypted(Box<Encrypted>),
}

/// Makes a socket ready for requests: over TLS, by its handshake.
pub(super) async fn open(
    server: &Server,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: SecurityProtocol,
) -> Result<(Wire, Security), End> {
    stream.set_nodelay(true)?;
    if protocol.is_encrypted() {
        // The memory of a handshake goes with its end.
        return Box::pin(encrypted(server, stream, peer, protocol)).await;
    }
    let security = Security {
        protocol,
        certificate_principal: None,
    };
    Ok((Wire::Plain(stream), security))
}

#[cfg(feature = "tls")]
async fn encrypted(
    server: &Server,
    stream: TcpStream,
    peer: SocketAddr,
    protocol: SecurityProtocol,
) -> Result<(Wire, Security), End> {
    let now = server.service.clock().now().mono;
    // Its place among the handshakes is free again when it is done.
    let admitted = server.handshakes.admit(peer.ip(), now);
    let _admission = admitted.map_err(|_| End::Handshakes)?;
    let mut closing = server.service.closing();
    let secured = tokio::select! {
        secured = server.tls.accept(stream) => secured?,
        () = closing.begun() => return Err(End::Closing),
    };
    let security = Security {
        protocol,
        certificate_principal: secured.principal,
    };
    let wire = Encrypted::new(secured.stream)?;
    Ok((Wire::Encrypted(Box::new(wire)), security))
}

/// A listener that would come here is refused when it is opened.
#[cfg(not(feature = "tls"))]
async fn encrypted(
    _: &Server,
    _: TcpStream,
    _: SocketAddr,
    _: SecurityProtocol,
) -> Result<(Wire, Security), End> {
    Err(io::Error::from(io::ErrorKind::Unsupported).into())
}

impl Source for Wire {
    async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.readable().await,
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.readable().await,
        }
    }

    fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read_buf(buffer),
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.try_read_buf(buffer),
        }
    }
}

impl Sink for Wire {
    async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.writable().await,
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.writable().await,
        }
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write_vectored(slices),
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.try_write_vectored(slices),
        }
    }

    fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.holds_back(),
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.try_flush(),
        }
    }
}

impl Wire {
    /// Says that nothing more comes, where the protocol has a word for that.
    pub(super) fn close(&self) {
        match self {
            Self::Plain(_) => {}
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.close(),
        }
    }
}
