//! `DecodeError`: what is wrong with bytes that came from outside, and at which of them.
//!
//! Floor 0 of proto.
//!
//! Invariants
//! - An error holds no bytes of the input and allocates nothing.
//! - Its text is a sentence that names the position.

use std::fmt;

use thiserror::Error;

/// What is wrong with bytes that came from outside, and where.
///
/// ```
/// use highwater_proto::error::{DecodeError, DecodeErrorKind};
///
/// let error = DecodeError::at(7, DecodeErrorKind::UnexpectedEnd { wanted: 4, left: 1 });
/// let text = "4 bytes must follow, and the input ends after 1 byte (at byte 7)";
/// assert_eq!(error.to_string(), text);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind} (at byte {at})")]
pub struct DecodeError {
    /// The position of the offending byte, counted from the start of what was decoded.
    pub at: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// What can be wrong with bytes that came from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends in the middle of a value.
    #[error("{} must follow, and the input ends after {}", Bytes(*.wanted), Bytes(*.left))]
    UnexpectedEnd {
        /// The size of the value in bytes.
        wanted: usize,
        /// How many bytes there were.
        left: usize,
    },
    /// A length is negative, or longer than what it may cover.
    #[error("a length of {length} cannot be right here")]
    BadLength {
        /// The length as it was announced, in bytes.
        length: i64,
    },
    /// A variable-length integer has more bytes or bits than its type.
    #[error("a variable-length integer is longer than {bytes_max} bytes or wider than its type")]
    BadVarint {
        /// The most bytes that a value of its type takes.
        bytes_max: u8,
    },
    /// A string is not UTF-8.
    #[error("a string is not UTF-8")]
    BadUtf8,
    /// A count announces more elements than can follow or may be held.
    #[error("a count of {count} elements was announced where at most {max} can follow")]
    CountTooLarge {
        /// The count as it was announced.
        count: i64,
        /// The largest count that would be accepted.
        max: usize,
    },
    /// The value ended, but its bytes did not.
    #[error("the value ends {} before its input", Bytes(*.left))]
    TrailingBytes {
        /// How many bytes follow.
        left: usize,
    },
    /// A version that is not known here.
    #[error("version {version} is not supported")]
    UnsupportedVersion {
        /// The version as it was announced.
        version: i16,
    },
    /// Any other rule of the format that is broken; the text says what stands there.
    #[error("found {0}")]
    Invalid(&'static str),
}

impl DecodeError {
    /// An error of some kind at a position.
    #[must_use]
    pub const fn at(at: usize, kind: DecodeErrorKind) -> Self {
        Self { at, kind }
    }

    /// An error without a kind of its own: `what` says what stands at the position, as in
    /// "null where a string must stand".
    #[must_use]
    pub const fn new(what: &'static str, at: usize) -> Self {
        Self::at(at, DecodeErrorKind::Invalid(what))
    }

    /// The same error for a caller to whom the decoded bytes start `bytes` later.
    #[must_use]
    pub const fn shifted(self, bytes: usize) -> Self {
        Self {
            at: self.at.saturating_add(bytes),
            kind: self.kind,
        }
    }
}

/// "1 byte" or "3 bytes".
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sentences() {
        let cases = [
            (
                DecodeErrorKind::UnexpectedEnd { wanted: 8, left: 3 },
                "8 bytes must follow, and the input ends after 3 bytes (at byte 5)",
            ),
            (
                DecodeErrorKind::BadLength { length: -2 },
                "a length of -2 cannot be right here (at byte 5)",
            ),
            (
                DecodeErrorKind::CountTooLarge {
                    count: 1 << 31,
                    max: 7,
                },
                "a count of 2147483648 elements was announced where at most 7 can follow \
                 (at byte 5)",
            ),
            (
                DecodeErrorKind::Invalid("a null topic"),
                "found a null topic (at byte 5)",
            ),
        ];
        for (kind, text) in cases {
            assert_eq!(DecodeError::at(5, kind).to_string(), text);
        }
    }

    #[test]
    fn shifting_saturates() {
        assert_eq!(DecodeError::new("x", 3).shifted(4).at, 7);
        assert_eq!(DecodeError::new("x", 3).shifted(usize::MAX).at, usize::MAX);
    }
}
