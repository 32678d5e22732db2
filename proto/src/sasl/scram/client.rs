//! The client's side of SCRAM, and the check of a password in clear.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - It hashes no more than [`ITERATIONS_MAX`](crate::sasl::ITERATIONS_MAX) times for a server that
//!   asks for more.
//! - It is done when the server has shown that it knows the password, too.

use std::fmt;

use subtle::ConstantTimeEq;

use super::ScramError;
use super::keys::{CLIENT_KEY, digest, hmac, salted_password, xor};
use super::message::{ServerFinal, ServerFirst, checked_nonce, encoded, escaped};
use crate::sasl::{Credential, ITERATIONS_MAX, ITERATIONS_MIN, ScramHash, Secret};

/// The client has said who it is.
pub struct ClientBegun {
    hash: ScramHash,
    password: Secret,
    nonce: String,
    bare: String,
}

/// The proof is sent, the server's signature is due.
pub struct ClientFinishing {
    signature: Secret,
}

impl ClientBegun {
    /// Begins an exchange; gives the first message. `nonce` is random, printable and without a
    /// comma.
    ///
    /// # Errors
    /// The nonce is none.
    pub fn begin(
        hash: ScramHash,
        user: &str,
        password: &str,
        nonce: &str,
    ) -> Result<(Vec<u8>, Self), ScramError> {
        let nonce = checked_nonce(nonce).map_err(|why| ScramError::Malformed {
            message: "client-first",
            why,
        })?;
        let bare = format!("n={},r={nonce}", escaped(user));
        let first = format!("{HEADER}{bare}").into_bytes();
        let begun = Self {
            hash,
            password: Secret(password.as_bytes().to_vec()),
            nonce: nonce.to_owned(),
            bare,
        };
        Ok((first, begun))
    }

    /// Takes the server's first message; gives the client's last one. Hashes the password many
    /// times: some milliseconds.
    ///
    /// # Errors
    /// The message is malformed, belongs to another exchange, or asks for too little work or for
    /// too much.
    pub fn prove(self, server_first: &[u8]) -> Result<(Vec<u8>, ClientFinishing), ScramError> {
        let first = ServerFirst::parse(server_first)?;
        // The server's part may not be missing: the client's alone would prove nothing fresh.
        if !first.nonce.starts_with(&self.nonce) || first.nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce {
                message: "server-first",
            });
        }
        let iterations = u32::try_from(first.iterations).unwrap_or(u32::MAX);
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(ScramError::Iterations(first.iterations));
        }
        let hash = self.hash;
        let password = std::str::from_utf8(&self.password.0).unwrap_or_default();
        let salted = salted_password(hash, password, &first.salt, iterations);
        let client_key = hmac(hash, &salted.0, &[CLIENT_KEY]);
        let keys = Credential::of_salted(hash, &salted, first.salt, iterations);
        let without_proof = format!("c={},r={}", encoded(HEADER.as_bytes()), first.nonce);
        let said = [
            self.bare.as_bytes(),
            b",",
            server_first,
            b",",
            without_proof.as_bytes(),
        ];
        let proof = xor(&client_key, &hmac(hash, &keys.stored_key.0, &said));
        let last = format!("{without_proof},p={}", encoded(&proof)).into_bytes();
        let signature = Secret(hmac(hash, &keys.server_key.0, &said));
        Ok((last, ClientFinishing { signature }))
    }
}

impl ClientFinishing {
    /// Takes the server's last message.
    ///
    /// # Errors
    /// The server refuses, or does not know the password itself.
    pub fn verify(self, server_final: &[u8]) -> Result<(), ScramError> {
        match ServerFinal::parse(server_final)? {
            ServerFinal::Error(error) => Err(ScramError::Refused(error)),
            ServerFinal::Signature(signature) => {
                match bool::from(signature.ct_eq(&self.signature.0)) {
                    true => Ok(()),
                    false => Err(ScramError::WrongSignature),
                }
            }
        }
    }
}

/// Whether a password in clear is the one of a credential. Hashes it as often as the credential
/// says.
#[must_use]
pub fn check_password(credential: &Credential, password: &str) -> bool {
    let Credential {
        hash,
        salt,
        iterations,
        stored_key,
        ..
    } = credential;
    let salted = salted_password(*hash, password, salt, *iterations);
    let client_key = hmac(*hash, &salted.0, &[CLIENT_KEY]);
    digest(*hash, &client_key).ct_eq(&stored_key.0).into()
}

impl fmt::Debug for ClientBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBegun").finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientFinishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFinishing").finish_non_exhaustive()
    }
}

/// Without channel binding, and for nobody else.
const HEADER: &str = "n,,";
