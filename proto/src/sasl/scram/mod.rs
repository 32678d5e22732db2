//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), without channel binding.
//!
//! Floor 1 of proto.
//!
//! The client sends its name and a nonce; the server its own nonce behind the client's, the salt
//! and the iterations; the client a proof over all of it; the server its signature over the same.
//! A password is taken as its UTF-8 bytes, as Kafka does, without SASLprep.
//!
//! Invariants
//! - Each message is used once: a step takes the machine and gives the next one, or nothing.
//! - The nonce of the client's last message is the one that the server sent (CVE-2024-56128).
//! - A message, a name, a nonce and a salt have a longest size; iterations a least and a most.

mod client;
mod keys;
mod message;
mod server;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use client::{ClientBegun, ClientFinishing, check_password};
pub use keys::{fake_credential, random_salt, salted_password};
pub use server::{ServerBegun, ServerWaiting};

use super::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES_MAX, USER_BYTES_MAX};

/// Why an exchange failed. For the log of whoever meets it: the other side is told less.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A message is not what is due.
    #[error("the {message} message of SCRAM is malformed: {why}")]
    Malformed {
        /// Which one: `client-first`, `server-first`, `client-final` or `server-final`.
        message: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The client wants what this side has not.
    #[error("the client asks for channel binding, which is not supported")]
    ChannelBinding,
    /// The client wants to be somebody else.
    #[error("the authorization id is not the user's name")]
    OtherAuthorization,
    /// The nonce of a message is not the one that it answers.
    #[error("the nonce of the {message} message is not the one of this exchange")]
    Nonce {
        /// Which message.
        message: &'static str,
    },
    /// The server asks for too little work, or for too much.
    #[error(
        "the server asks for {0} iterations, which is not within {ITERATIONS_MIN} to \
         {ITERATIONS_MAX}"
    )]
    Iterations(u64),
    /// The proof is not one of this password.
    #[error("the password is wrong")]
    WrongProof,
    /// The server says that it failed.
    #[error("the server answered: {0}")]
    Refused(String),
    /// The server does not know the password either: it is not the one that it seems to be.
    #[error("the signature of the server is wrong: it does not know this user's password")]
    WrongSignature,
}

/// The longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// The longest nonce of one side, in bytes.
const NONCE_BYTES_MAX: usize = 512;
