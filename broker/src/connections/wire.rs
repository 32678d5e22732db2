//! The socket of a connection, plain or encrypted: one face for what reads and what writes.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - What is not ready says so; nothing here waits but `readable` and `writable`.

use std::io::{self, IoSlice};

use bytes::BufMut;
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

#[cfg(feature = "tls")]
use super::encrypted::Encrypted;
use super::{Sink, Source};

/// The socket of a connection.
pub(crate) enum Wire {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Encrypted(Box<Encrypted>),
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
    /// A connection whose handshake is done.
    #[cfg(feature = "tls")]
    pub(crate) fn encrypted(stream: TlsStream<TcpStream>) -> io::Result<Self> {
        Ok(Self::Encrypted(Box::new(Encrypted::new(stream)?)))
    }

    /// Says that nothing more comes, where the protocol has a word for that.
    pub(crate) fn close(&self) {
        match self {
            Self::Plain(_) => {}
            #[cfg(feature = "tls")]
            Self::Encrypted(wire) => wire.close(),
        }
    }
}
