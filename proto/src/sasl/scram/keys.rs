//! The keys of SCRAM: from a password, from a salted password, and of nobody.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - The credential of an unknown user looks like one that Kafka's tools and ours make, is the same
//!   at each try, and follows from a secret; no password fits it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use crate::sasl::{Credential, ScramHash, Secret};

/// The password after all its iterations (RFC 5802: `Hi`).
#[must_use]
pub fn salted_password(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> Secret {
    let mut salted = vec![0; hash.key_bytes()];
    let password = password.as_bytes();
    match hash {
        ScramHash::Sha256 => {
            pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted);
        }
        ScramHash::Sha512 => {
            pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted);
        }
    }
    Secret(salted)
}

impl Credential {
    /// What to store of a password.
    #[must_use]
    pub fn of_password(hash: ScramHash, password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let salted = salted_password(hash, password, &salt, iterations);
        Self::of_salted(hash, &salted, salt, iterations)
    }

    /// What to store of a salted password, which is what Kafka's tools send.
    #[must_use]
    pub fn of_salted(hash: ScramHash, salted: &Secret, salt: Vec<u8>, iterations: u32) -> Self {
        Self {
            hash,
            salt,
            iterations,
            stored_key: Secret(digest(hash, &hmac(hash, &salted.0, &[CLIENT_KEY]))),
            server_key: Secret(hmac(hash, &salted.0, &[SERVER_KEY])),
        }
    }
}

/// The credential of a user that does not exist: the same at each try, and no password fits it.
#[must_use]
pub fn fake_credential(
    hash: ScramHash,
    secret: &Secret,
    user: &str,
    iterations: u32,
) -> Credential {
    let derive = |what: &[u8]| {
        let parts = [what, &[hash.number().unsigned_abs()], user.as_bytes()];
        hmac(hash, &secret.0, &parts)
    };
    let mut bits = [0; 17];
    let derived = derive(b"salt");
    for (bit, byte) in bits.iter_mut().zip(derived) {
        *bit = byte;
    }
    Credential {
        hash,
        salt: random_salt(bits),
        iterations,
        stored_key: Secret(derive(b"stored key")),
        server_key: Secret(derive(b"server key")),
    }
}

/// A salt from 130 random bits, in the form that Kafka's own tools give it: a number to the base
/// 36. So that nobody can tell by the form of a salt who made it, or that it was made up.
#[must_use]
pub fn random_salt(mut bits: [u8; 17]) -> Vec<u8> {
    if let Some(first) = bits.first_mut() {
        *first &= 0b11;
    }
    let mut digits = Vec::with_capacity(26);
    while bits.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u16;
        for byte in &mut bits {
            let value = rest << 8 | u16::from(*byte);
            // The quotient of a number below 36 * 256 fits.
            *byte = u8::try_from(value / 36).unwrap_or(u8::MAX);
            rest = value % 36;
        }
        let digit = u8::try_from(rest).unwrap_or(0);
        digits.push(if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        });
    }
    if digits.is_empty() {
        digits.push(b'0');
    }
    digits.reverse();
    digits
}

/// HMAC over the parts, one behind the other.
pub(super) fn hmac(hash: ScramHash, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match hash {
        ScramHash::Sha256 => hmac_of::<Hmac<Sha256>>(key, parts),
        ScramHash::Sha512 => hmac_of::<Hmac<Sha512>>(key, parts),
    }
}

fn hmac_of<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of any length, so that there is always one.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
        return Vec::new();
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

pub(super) fn digest(hash: ScramHash, bytes: &[u8]) -> Vec<u8> {
    match hash {
        ScramHash::Sha256 => Sha256::digest(bytes).to_vec(),
        ScramHash::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}

pub(super) fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

pub(super) const CLIENT_KEY: &[u8] = b"Client Key";
const SERVER_KEY: &[u8] = b"Server Key";
