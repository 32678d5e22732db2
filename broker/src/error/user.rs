//! Why a user is not what it was asked to be.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - No sentence holds a password, or a key that follows from one.

use highwater_proto::sasl::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES_MAX, USER_BYTES_MAX};
use thiserror::Error;

/// A user's credentials were not described, or not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UserError {
    /// There is no such user, or it has no credential of this mechanism.
    #[error("there is no such user, or it has no credential of this mechanism")]
    Unknown,
    /// The request names one thing twice.
    #[error("the request names the user, or one of its mechanisms, more than once")]
    NamedTwice,
    /// The name is none.
    #[error("the name of a user has 1 to {USER_BYTES_MAX} bytes and no control character")]
    InvalidName,
    /// The number of the mechanism is unknown.
    #[error("mechanism {0} is neither 1 (SCRAM-SHA-256) nor 2 (SCRAM-SHA-512)")]
    UnknownMechanism(i8),
    /// The password is hashed too seldom, or too often.
    #[error("{0} iterations are not within {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
    Iterations(i32),
    /// The salt is none.
    #[error("a salt has 1 to {SALT_BYTES_MAX} bytes, not {0}")]
    Salt(usize),
    /// The salted password is none.
    #[error("the salted password of this mechanism has {wanted} bytes, not {bytes}")]
    SaltedPassword {
        /// Its size in bytes.
        bytes: usize,
        /// What it should be.
        wanted: usize,
    },
    /// There are as many users as there may be.
    #[error("there are {0} users, as many as users.max allows")]
    TooMany(usize),
    /// The program was built without it.
    #[error("this build has no SASL: build it with the feature sasl")]
    NoSasl,
    /// The metadata log cannot be written now.
    #[error("{why}")]
    Storage {
        /// What the log said.
        why: String,
    },
}
