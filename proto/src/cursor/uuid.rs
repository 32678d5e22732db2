//! `Uuid`: the id of a topic or of a cluster.
//!
//! Floor 2 of proto.
//!
//! Invariants
//! - The text form is Kafka's: URL-safe base64 of the 16 bytes without padding, 22 characters.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A UUID in the order of its bytes on the wire.
///
/// ```
/// use highwater_proto::cursor::Uuid;
///
/// let id: Uuid = "AAAAAAAAAAAAAAAAAAAAAQ".parse()?;
/// assert_eq!(id, Uuid::from(1_u128));
/// assert_eq!(Uuid::NIL.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
/// # Ok::<(), highwater_proto::cursor::UuidError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// A text that is not the 22 characters of a Kafka UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a Kafka id is 22 characters out of A-Z, a-z, 0-9, '-' and '_'")]
pub struct UuidError;

impl Uuid {
    /// All zero: no id.
    pub const NIL: Self = Self([0; 16]);

    /// Whether this is [`Uuid::NIL`].
    #[must_use]
    pub fn is_nil(&self) -> bool {
        *self == Self::NIL
    }
}

impl From<u128> for Uuid {
    fn from(number: u128) -> Self {
        Self(number.to_be_bytes())
    }
}

impl From<Uuid> for u128 {
    fn from(id: Uuid) -> Self {
        Self::from_be_bytes(id.0)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from(*self);
        let mut text = String::with_capacity(TEXT_CHARS);
        for index in 0..TEXT_CHARS - 1 {
            let shift = 128 - 6 * (index + 1);
            text.push(digit(number >> shift));
        }
        // 21 digits carry 126 bits; the last one carries two bits and four of padding.
        text.push(digit(number << 4));
        f.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let (body, last) = text
            .as_bytes()
            .split_at_checked(TEXT_CHARS - 1)
            .ok_or(UuidError)?;
        let &[last] = last else { return Err(UuidError) };
        let mut number = 0_u128;
        for &byte in body {
            number = number << 6 | value(byte)?;
        }
        let last = value(last)?;
        if last & 0x0f != 0 {
            return Err(UuidError);
        }
        Ok(Self::from(number << 2 | last >> 4))
    }
}

/// The base64 digit of the six low bits.
fn digit(bits: u128) -> char {
    let [.., low] = bits.to_be_bytes();
    char::from(match low & 0x3f {
        value @ 0..26 => b'A' + value,
        value @ 26..52 => b'a' + (value - 26),
        value @ 52..62 => b'0' + (value - 52),
        62 => b'-',
        _ => b'_',
    })
}

fn value(digit: u8) -> Result<u128, UuidError> {
    Ok(u128::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return Err(UuidError),
    }))
}

/// 128 bits in digits of six bits.
const TEXT_CHARS: usize = 22;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts() {
        // The id of Kafka's metadata topic, and the bytes 0 to 15.
        assert_eq!(Uuid::from(1_u128).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let counting = Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(counting.to_string(), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
        assert_eq!(Uuid([0xfb; 16]).to_string(), "-_v7-_v7-_v7-_v7-_v7-w");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "AAECAwQFBgcICQoLDA0OD",
            "AAECAwQFBgcICQoLDA0ODwA",
            "AAECAwQFBgcICQoLDA0ODx",
            "AAECAwQFBgcICQoLDA0OD=",
            "AAECAwQFBgcICQoLDA0\u{e9}",
        ] {
            assert_eq!(text.parse::<Uuid>(), Err(UuidError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(bytes: [u8; 16]) {
            let text = Uuid(bytes).to_string();
            prop_assert_eq!(text.len(), TEXT_CHARS);
            prop_assert_eq!(text.parse(), Ok(Uuid(bytes)));
        }

        #[test]
        fn a_text_that_parses_is_the_one_that_is_shown(text in "[A-Za-z0-9_-]{22}") {
            if let Ok(id) = text.parse::<Uuid>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
