//! The id of an event: made, read out of a header, and the same in each of its forms.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - The text and the 16 bytes of a UUID, in either case and in JSON's quotes, are one id.
//! - What is read again from an id's text is that id.

use std::fmt;

use super::rules;

/// The id of an event, unique within its source.
///
/// ```
/// use highwater_client::EventId;
///
/// let id = EventId::from("0190A6B4-7C3E-7D52-9F10-4E0B7A2C1D3F");
/// assert_eq!(id.as_str(), "0190a6b4-7c3e-7d52-9f10-4e0b7a2c1d3f");
/// assert_eq!(EventId::from(id.uuid().expect("it is a UUID")), id);
/// assert_eq!(EventId::from("\"order-42\""), EventId::from("order-42"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(String);

impl EventId {
    /// A new UUID, version 7: it begins with the time, so that ids sort by the millisecond in which
    /// they were made. `ms` is in milliseconds since 1970.
    ///
    /// ```
    /// use highwater_client::EventId;
    ///
    /// let id = EventId::v7(1_645_557_742_000);
    /// assert!(id.as_str().starts_with("017f22e2-79b0-7"));
    /// assert_ne!(id, EventId::v7(1_645_557_742_000));
    /// ```
    ///
    /// # Panics
    /// If the operating system gives no random bytes, as a `HashMap` does.
    #[must_use]
    pub fn v7(ms: i64) -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes[6..]).expect("every supported system gives random bytes");
        let ms = ms.clamp(0, V7_MS_MAX).to_be_bytes();
        bytes[..6].copy_from_slice(&ms[2..]);
        bytes[6] = bytes[6] & 0x0f | 0x70;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self::from(bytes)
    }

    /// The id as text; of a UUID, the one with hyphens in lower case.
    ///
    /// ```
    /// use highwater_client::EventId;
    ///
    /// assert_eq!(EventId::from("order-42").as_str(), "order-42");
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 16 bytes, if the id is a UUID.
    ///
    /// ```
    /// use highwater_client::EventId;
    ///
    /// assert_eq!(EventId::from([7; 16]).uuid(), Some([7; 16]));
    /// assert_eq!(EventId::from("order-42").uuid(), None);
    /// ```
    #[must_use]
    pub fn uuid(&self) -> Option<[u8; 16]> {
        parse_uuid(&self.0)
    }

    /// Reads the value of a header: text, or 16 bytes that are no text.
    pub(super) fn read(value: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(value).ok();
        let id = match text.filter(|text| rules::is_text(text)) {
            Some(text) => Self::from(text),
            None => <[u8; 16]>::try_from(value)
                .map(Self::from)
                .map_err(|_| "is neither a text nor the 16 bytes of a UUID")?,
        };
        if id.0.is_empty() {
            return Err("is empty");
        }
        Ok(id)
    }
}

/// The id behind a text: JSON's quotes are removed, and a UUID is written in lower case.
impl From<&str> for EventId {
    fn from(text: &str) -> Self {
        let quoted = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
        // With a quote or an escape inside it is no text that a converter quoted.
        let text = match quoted.filter(|inside| !inside.contains(['"', '\\'])) {
            Some(inside) => inside,
            None => text,
        };
        match parse_uuid(text) {
            Some(bytes) => Self::from(bytes),
            None => Self(text.to_owned()),
        }
    }
}

/// As from a `&str`.
impl From<String> for EventId {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// The id that is a UUID of these bytes.
impl From<[u8; 16]> for EventId {
    fn from(bytes: [u8; 16]) -> Self {
        let mut text = String::with_capacity(36);
        for (at, byte) in bytes.into_iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(DIGITS[usize::from(digit)]));
            }
        }
        Self(text)
    }
}

/// As [`EventId::as_str`].
impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 8, 4, 4, 4 and 12 hexadecimal digits between hyphens.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let is_in_place = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if text.len() != 36 || !text.bytes().enumerate().all(is_in_place) {
        return None;
    }
    let number = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
    Some(number.to_be_bytes())
}

/// The time of a UUID, version 7, has 48 bits.
const V7_MS_MAX: i64 = (1 << 48) - 1;

const DIGITS: &[u8; 16] = b"0123456789abcdef";
