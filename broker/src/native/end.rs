//! Why a connection came to its end, and how loudly that is said.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Another protocol is named as what it is.

use highwater_proto::native::frame::NativeFrameError;
use thiserror::Error;

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
            #[cfg(feature = "tls")]
            Self::Handshake(error) => match error {
                HandshakeError::Closed | HandshakeError::Failed(_) => Tone::Quiet,
                HandshakeError::Foreign(_) => Tone::Foreign,
                _ => Tone::Complaint,
            },
            #[cfg(feature = "tls")]
            Self::Handshakes => Tone::Complaint,
            Self::Closing => Tone::Quiet,
            Self::Frame(NativeFrameError::Foreign(_)) | Self::Kafka => Tone::Foreign,
            Self::Frame(_) | Self::NoHello | Self::Version(_) => Tone::Complaint,
        }
    }
}
