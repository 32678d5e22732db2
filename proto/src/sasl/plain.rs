//! PLAIN (RFC 4616): `authzid NUL user NUL password`.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - What is read has exactly two NULs, a user, and a password.
//! - Nobody acts for somebody else: an authzid is the user, or nothing.

use std::fmt;

use thiserror::Error;

use super::USER_BYTES_MAX;

/// What a client sends.
#[derive(Clone, PartialEq, Eq)]
pub struct Plain {
    /// The name of the user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Why a token is none of PLAIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlainError {
    /// It is not three texts.
    #[error("the token is not authzid NUL user NUL password in UTF-8")]
    Malformed,
    /// The user is missing, or too long.
    #[error("the name of the user is empty, or longer than {USER_BYTES_MAX} bytes")]
    User,
    /// The password is missing.
    #[error("the password is empty")]
    NoPassword,
    /// The client wants to be somebody else.
    #[error("the authorization id is not the user's name")]
    OtherAuthorization,
}

impl Plain {
    /// Reads a token.
    pub fn parse(token: &[u8]) -> Result<Self, PlainError> {
        let text = std::str::from_utf8(token).map_err(|_| PlainError::Malformed)?;
        let mut parts = text.split('\0');
        let (Some(authorization), Some(user), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(PlainError::Malformed);
        };
        if user.is_empty() || user.len() > USER_BYTES_MAX {
            return Err(PlainError::User);
        }
        if password.is_empty() {
            return Err(PlainError::NoPassword);
        }
        if !authorization.is_empty() && authorization != user {
            return Err(PlainError::OtherAuthorization);
        }
        Ok(Self {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// The token of a client.
    #[must_use]
    pub fn token(user: &str, password: &str) -> Vec<u8> {
        [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat()
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back() {
        let plain = Plain::parse(&Plain::token("alice", "pa ss=,word")).unwrap();
        assert_eq!(
            (plain.user.as_str(), plain.password.as_str()),
            ("alice", "pa ss=,word")
        );
        assert_eq!(format!("{plain:?}"), "Plain { user: \"alice\", .. }");
        assert!(Plain::parse(b"alice\0alice\0x").is_ok());
    }

    #[test]
    fn anything_else_is_refused() {
        let long = Plain::token(&"u".repeat(USER_BYTES_MAX + 1), "x");
        for (token, error) in [
            (&b""[..], PlainError::Malformed),
            (b"alice", PlainError::Malformed),
            (b"\0alice", PlainError::Malformed),
            (b"\0alice\0pass\0word", PlainError::Malformed),
            (b"\0\xff\0x", PlainError::Malformed),
            (b"\0\0x", PlainError::User),
            (&long, PlainError::User),
            (b"\0alice\0", PlainError::NoPassword),
            (b"bob\0alice\0x", PlainError::OtherAuthorization),
        ] {
            assert_eq!(Plain::parse(token).unwrap_err(), error, "{token:?}");
        }
    }
}
