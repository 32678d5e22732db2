//! SASL: how a client proves who it is. Mechanisms, what is stored of a password, and both sides
//! of the exchange.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - Pure: bytes in, bytes out. Whoever calls brings the random nonce and keeps the time.
//! - A password is stored nowhere, and no `Debug` prints one, or a key that follows from one.
//! - A secret is compared in a time that does not depend on where it differs.

#[cfg(feature = "sasl")]
pub mod plain;
#[cfg(feature = "sasl")]
pub mod scram;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A way to prove who a client is, by Kafka's names.
///
/// ```
/// use highwater_proto::sasl::Mechanism;
///
/// assert_eq!("SCRAM-SHA-256".parse(), Ok(Mechanism::ScramSha256));
/// assert_eq!(Mechanism::Plain.to_string(), "PLAIN");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// The password itself.
    Plain,
    /// A proof that the client knows the password, which nobody on the way can use (RFC 5802).
    ScramSha256,
    /// The same with SHA-512.
    ScramSha512,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Kafka's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no [`Mechanism`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is none of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512")]
pub struct UnknownMechanism(
    /// The text.
    pub String,
);

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(text: &str) -> Result<Self, UnknownMechanism> {
        let mut all = Self::ALL.into_iter();
        all.find(|mechanism| mechanism.name() == text)
            .ok_or_else(|| UnknownMechanism(text.to_owned()))
    }
}

/// The hash of a SCRAM mechanism: what credentials are stored for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramHash {
    /// SHA-256, of SCRAM-SHA-256.
    Sha256,
    /// SHA-512, of SCRAM-SHA-512.
    Sha512,
}

impl ScramHash {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Kafka's number of the mechanism: 1 or 2.
    #[must_use]
    pub const fn number(self) -> i8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The hash with this number.
    #[must_use]
    pub fn from_number(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.number() == number)
    }

    /// The mechanism that uses it.
    #[must_use]
    pub const fn mechanism(self) -> Mechanism {
        match self {
            Self::Sha256 => Mechanism::ScramSha256,
            Self::Sha512 => Mechanism::ScramSha512,
        }
    }

    /// The size of a key, in bytes.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// Bytes that are printed nowhere.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(
    /// The bytes.
    pub Vec<u8>,
);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// What is stored of a password: enough to check a proof of it, not enough to make one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The hash of the mechanism.
    pub hash: ScramHash,
    /// What the password was mixed with.
    pub salt: Vec<u8>,
    /// How often it was hashed.
    pub iterations: u32,
    /// The hash of the client's key.
    pub stored_key: Secret,
    /// The server's key.
    pub server_key: Secret,
}

/// Nothing of it but what everybody may know.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// How often a password is hashed at least (RFC 7677).
pub const ITERATIONS_MIN: u32 = 4096;
/// How often at most: more would let one side keep the other busy.
pub const ITERATIONS_MAX: u32 = 100_000;
/// The longest name of a user, in bytes.
pub const USER_BYTES_MAX: usize = 255;
/// The longest salt, in bytes.
pub const SALT_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_read_back_by_name_and_number() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.name().parse(), Ok(mechanism));
        }
        for text in ["", "plain", "SCRAM-SHA-1", "GSSAPI"] {
            assert!(text.parse::<Mechanism>().is_err(), "{text:?}");
        }
        for hash in ScramHash::ALL {
            assert_eq!(ScramHash::from_number(hash.number()), Some(hash));
        }
        assert_eq!(ScramHash::from_number(0), None);
        assert_eq!(ScramHash::from_number(3), None);
    }

    #[test]
    fn debug_prints_nothing_secret() {
        let credential = Credential {
            hash: ScramHash::Sha256,
            salt: b"0123".to_vec(),
            iterations: 4096,
            stored_key: Secret(b"0123".to_vec()),
            server_key: Secret(b"0123".to_vec()),
        };
        let printed = format!("{credential:?} {:?}", credential.stored_key);
        assert_eq!(
            printed,
            "Credential { hash: Sha256, iterations: 4096, .. } [hidden]"
        );
        // The bytes of the keys, as a list of numbers or as text.
        assert!(!printed.contains("48") && !printed.contains("0123"));
    }
}
