//! Why a connection came to its end, and how loudly that is said.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Another protocol is named as what it is.

use highwater_proto::native::frame::NativeFrameError;
use thiserror::Error;

use crate::connections::{Broken, Tone};

/// Why a connection is closed.
#[derive(Debug, Error)]
pub(super) enum End {
    /// The connection did not last.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The broker is being shut down.
    #[error("the broker is being shut down")]
    Closing,
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] NativeFrameError),
    /// The first frame is one of a Kafka client.
    #[error("the peer speaks Kafka's protocol, not Highwater's: check the port")]
    Kafka,
    /// The first request is not Hello.
    #[error("the first request is not Hello: the peer does not speak Highwater's protocol")]
    NoHello,
    /// There is no version that both speak.
    #[error("the client speaks version {0} of the protocol at most, which is no version")]
    Version(u32),
}

impl End {
    pub(super) fn tone(&self) -> Tone {
        match self {
            Self::Broken(broken) => broken.tone(),
            Self::Closing => Tone::Quiet,
            Self::Frame(NativeFrameError::Foreign(_)) | Self::Kafka => Tone::Foreign,
            Self::Frame(_) | Self::NoHello | Self::Version(_) => Tone::Complaint,
        }
    }
}
