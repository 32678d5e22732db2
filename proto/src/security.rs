//! What protects a connection, by Kafka's names: `security.protocol`.
//!
//! Floor 0 of proto.
//!
//! Invariants
//! - What is printed is read back as the same protocol.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Whether a connection is encrypted, and whether its client proves who it is by SASL.
///
/// ```
/// use highwater_proto::security::SecurityProtocol;
///
/// let protocol: SecurityProtocol = "SASL_SSL".parse()?;
/// assert!(protocol.is_encrypted() && protocol.has_sasl());
/// assert_eq!(protocol.to_string(), "SASL_SSL");
/// # Ok::<(), highwater_proto::security::UnknownProtocol>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    /// Neither.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL over a connection that everybody on the way can read.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Plaintext,
        Self::Ssl,
        Self::SaslPlaintext,
        Self::SaslSsl,
    ];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    /// Whether the connection is TLS.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether the client proves who it is by SASL.
    #[must_use]
    pub const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// A text that names no [`SecurityProtocol`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is none of PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL")]
pub struct UnknownProtocol(
    /// The text.
    pub String,
);

/// In any case: Kafka's clients and librdkafka differ in what they write.
impl FromStr for SecurityProtocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        let mut all = Self::ALL.into_iter();
        all.find(|protocol| protocol.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownProtocol(text.to_owned()))
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_is_read_back_and_nothing_else_is() {
        for protocol in SecurityProtocol::ALL {
            let lower = protocol.to_string().to_lowercase();
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
            assert_eq!(lower.parse(), Ok(protocol));
            assert_eq!(protocol.is_encrypted(), lower.ends_with("ssl"));
            assert_eq!(protocol.has_sasl(), lower.starts_with("sasl"));
        }
        for text in ["", "TLS", "SASL", "SSL ", "SASL_TLS"] {
            assert!(text.parse::<SecurityProtocol>().is_err(), "{text:?}");
        }
    }
}
