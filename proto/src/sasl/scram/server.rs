//! The server's side of SCRAM.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - It is given the credential after it has told the user: whoever calls looks it up, or makes one
//!   up, and the exchange takes the same course.

use subtle::ConstantTimeEq;

use super::ScramError;
use super::keys::{digest, hmac, xor};
use super::message::{ClientFinal, ClientFirst, checked_nonce, encoded};
use crate::sasl::Credential;

/// The client has said who it wants to be.
#[derive(Debug)]
pub struct ServerBegun {
    first: ClientFirst,
    nonce: String,
}

/// The salt is sent, the proof is due.
#[derive(Debug)]
pub struct ServerWaiting {
    credential: Credential,
    header: String,
    client_nonce: String,
    /// The client's and the server's.
    nonce: String,
    /// Both first messages, with a comma between and one behind.
    messages: String,
}

impl ServerBegun {
    /// Takes the client's first message. `nonce` is random, printable and without a comma.
    ///
    /// # Errors
    /// The message is malformed, or asks for what there is not.
    pub fn take(client_first: &[u8], nonce: &str) -> Result<Self, ScramError> {
        let first = ClientFirst::parse(client_first)?;
        let nonce = checked_nonce(nonce).map_err(|why| ScramError::Malformed {
            message: "server-first",
            why,
        })?;
        let nonce = format!("{}{nonce}", first.nonce);
        Ok(Self { first, nonce })
    }

    /// Who the client wants to be.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.first.user
    }

    /// The server's first message, for a user with this credential.
    #[must_use]
    pub fn challenge(self, credential: Credential) -> (Vec<u8>, ServerWaiting) {
        let salt = encoded(&credential.salt);
        let challenge = format!("r={},s={salt},i={}", self.nonce, credential.iterations);
        let messages = format!("{},{challenge},", self.first.bare);
        let waiting = ServerWaiting {
            credential,
            header: self.first.header,
            client_nonce: self.first.nonce,
            nonce: self.nonce,
            messages,
        };
        (challenge.into_bytes(), waiting)
    }
}

impl ServerWaiting {
    /// Takes the client's last message; gives the server's, if the proof is right.
    ///
    /// # Errors
    /// The message is malformed, it belongs to another exchange, or the proof is wrong.
    pub fn finish(self, client_final: &[u8]) -> Result<Vec<u8>, ScramError> {
        let last = ClientFinal::parse(client_final)?;
        // librdkafka before 2.6.1 sets its own nonce before it once more. All of the server's is in
        // it, and the proof is over it, so that it is as fresh.
        let client_nonce = last.nonce.strip_suffix(&self.nonce);
        if !client_nonce.is_some_and(|more| more.is_empty() || more == self.client_nonce) {
            return Err(ScramError::Nonce {
                message: "client-final",
            });
        }
        if last.header != self.header.as_bytes() {
            return Err(ScramError::Malformed {
                message: "client-final",
                why: "its channel binding is not that of the first message",
            });
        }
        let Credential {
            hash,
            stored_key,
            server_key,
            ..
        } = &self.credential;
        let said = [self.messages.as_bytes(), last.without_proof.as_bytes()];
        let client_signature = hmac(*hash, &stored_key.0, &said);
        let server_signature = hmac(*hash, &server_key.0, &said);
        if last.proof.len() != hash.key_bytes() {
            return Err(ScramError::WrongProof);
        }
        let client_key = xor(&last.proof, &client_signature);
        match bool::from(digest(*hash, &client_key).ct_eq(&stored_key.0)) {
            true => Ok(format!("v={}", encoded(&server_signature)).into_bytes()),
            false => Err(ScramError::WrongProof),
        }
    }
}
