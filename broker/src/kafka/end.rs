//! Why a connection came to its end, and how loudly that is said.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - What a client does every day is no line of the log; what somebody has to look into is one.

use std::io;
use std::time::Duration;

use highwater_proto::cursor::EncodeError;
use highwater_proto::error::DecodeError;
use highwater_proto::kafka::{FrameError, RequestError};
use thiserror::Error;

use super::dispatch::Refusal;
use crate::connections::{Broken, Tone};
#[cfg(feature = "tls")]
use crate::tls::HandshakeError;

/// Why a connection is closed.
#[derive(Debug, Error)]
pub(super) enum End {
    /// The connection did not last.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The TLS handshake failed.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// There are as many TLS handshakes under way as there may be.
    #[cfg(feature = "tls")]
    #[error(
        "as many TLS handshakes are under way as ssl.handshakes.max and ssl.handshakes.max.per.ip \
         allow"
    )]
    Handshakes,
    /// The client has not proved who it is.
    #[error("authentication failed: {0}")]
    Unauthenticated(String),
    /// It took too long for that.
    #[error("it has not proved who it is within {0:?} (authentication.timeout.ms)")]
    Unproven(Duration),
    /// The broker is being shut down.
    #[error("the broker is being shut down")]
    Closing,
    /// A test has asked for it.
    #[error("a scripted fault has cut it")]
    Scripted,
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame does not begin as a request does.
    #[error("the header of a request does not parse: {0}")]
    Header(DecodeError),
    /// A request that is not known, or that does not parse.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A request that cannot be answered.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An answer does not fit into the version that was asked for: a defect of the broker.
    #[error("an answer cannot be written: {0}")]
    Answer(#[from] EncodeError),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Broken::from(error).into()
    }
}

impl End {
    pub(super) fn tone(&self) -> Tone {
        match self {
            Self::Broken(broken) => broken.tone(),
            #[cfg(feature = "tls")]
            Self::Handshake(HandshakeError::Closed | HandshakeError::Failed(_)) => Tone::Quiet,
            #[cfg(feature = "tls")]
            Self::Handshake(HandshakeError::Foreign(_)) => Tone::Foreign,
            #[cfg(feature = "tls")]
            Self::Handshake(_) => Tone::Complaint,
            Self::Closing | Self::Scripted => Tone::Quiet,
            Self::Frame(FrameError::Foreign(_)) => Tone::Foreign,
            #[cfg(feature = "tls")]
            Self::Handshakes => Tone::Complaint,
            Self::Unauthenticated(_)
            | Self::Unproven(_)
            | Self::Frame(_)
            | Self::Header(_)
            | Self::Request(_)
            | Self::Refused(_)
            | Self::Answer(_) => Tone::Complaint,
        }
    }
}
