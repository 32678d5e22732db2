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
#[cfg(feature = "tls")]
use crate::tls::HandshakeError;

/// Why a connection is closed.
#[derive(Debug, Error)]
pub(super) enum End {
    /// The client has closed it between two requests.
    #[error("the client closed it")]
    Closed,
    /// The client has closed it within a request.
    #[error("the client closed it within a request")]
    ClosedInFrame,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
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
    /// There was no request for long.
    #[error("there was no request for {0:?} (connections.max.idle.ms)")]
    Idle(Duration),
    /// The broker is being shut down.
    #[error("the broker is being shut down")]
    Closing,
    /// A test has asked for it.
    #[error("a scripted fault has cut it")]
    Scripted,
    /// A begun request arrives too slowly.
    #[error("a begun request arrives at less than {0} bytes a second")]
    SlowSender(u64),
    /// The client takes no byte of its answers.
    #[error("the client took no byte of an answer for {0:?} (socket.send.stall.max.ms)")]
    StalledReader(Duration),
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

/// How loudly an end is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Not in the log, unless it is asked for.
    Quiet,
    /// A line in the log.
    Complaint,
    /// A line a minute: another protocol on this port comes again and again.
    Foreign,
}

impl End {
    pub(super) fn tone(&self) -> Tone {
        match self {
            // What is encrypted wrongly is no failure of the network.
            Self::Failed(error) if error.kind() == io::ErrorKind::InvalidData => Tone::Complaint,
            #[cfg(feature = "tls")]
            Self::Handshake(HandshakeError::Closed | HandshakeError::Failed(_)) => Tone::Quiet,
            #[cfg(feature = "tls")]
            Self::Handshake(HandshakeError::Foreign(_)) => Tone::Foreign,
            #[cfg(feature = "tls")]
            Self::Handshake(_) => Tone::Complaint,
            Self::Closed
            | Self::ClosedInFrame
            | Self::Failed(_)
            | Self::Idle(_)
            | Self::Closing
            | Self::Scripted => Tone::Quiet,
            Self::Frame(FrameError::Foreign(_)) => Tone::Foreign,
            #[cfg(feature = "tls")]
            Self::Handshakes => Tone::Complaint,
            Self::Unauthenticated(_)
            | Self::Unproven(_)
            | Self::SlowSender(_)
            | Self::StalledReader(_)
            | Self::Frame(_)
            | Self::Header(_)
            | Self::Request(_)
            | Self::Refused(_)
            | Self::Answer(_) => Tone::Complaint,
        }
    }
}
