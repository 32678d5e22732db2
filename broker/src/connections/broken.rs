//! Why a connection came to its end that has nothing to do with its protocol, and how loudly ends
//! are said.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - What a client does every day is no line of the log; what somebody has to look into is one.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why a connection did not last.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    /// The client has closed it between two requests.
    #[error("the client closed it")]
    Closed,
    /// The client has closed it within a request.
    #[error("the client closed it within a request")]
    ClosedInFrame,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Failed(#[from] io::Error),
    /// There was no request for long.
    #[error("there was no request for {0:?} (connections.max.idle.ms)")]
    Idle(Duration),
    /// A begun request arrives too slowly.
    #[error("a begun request arrives at less than {0} bytes a second")]
    SlowSender(u64),
    /// The client takes no byte of its answers.
    #[error("the client took no byte of an answer for {0:?} (socket.send.stall.max.ms)")]
    StalledReader(Duration),
}

/// How loudly an end is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Not in the log, unless it is asked for.
    Quiet,
    /// A line in the log.
    Complaint,
    /// A line a minute: another protocol on this port comes again and again.
    Foreign,
}

impl Broken {
    pub(crate) fn tone(&self) -> Tone {
        match self {
            // What is encrypted wrongly is no failure of the network.
            Self::Failed(error) if error.kind() == io::ErrorKind::InvalidData => Tone::Complaint,
            Self::Closed | Self::ClosedInFrame | Self::Failed(_) | Self::Idle(_) => Tone::Quiet,
            Self::SlowSender(_) | Self::StalledReader(_) => Tone::Complaint,
        }
    }

    /// Whether nobody is there any more to take an answer.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Closed | Self::ClosedInFrame | Self::Failed(_))
    }
}
