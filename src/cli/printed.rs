//! Records as JSON; a key or a value is a text, null, or `{"base64": ".."}` where it is no UTF-8.
//!
//! Floor 0 of cli.

use std::fmt;

use bytes::Bytes;
use highwater_client::{ConsumerRecord, Header};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// A record as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Printed<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Data<'a>,
    value: Data<'a>,
    headers: Vec<PrintedHeader<'a>>,
}

/// A header as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct PrintedHeader<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: Data<'a>,
}

impl<'a> From<&'a Header> for PrintedHeader<'a> {
    fn from(header: &'a Header) -> Self {
        Self {
            key: &header.key,
            value: Data::of(header.value.as_ref()),
        }
    }
}

impl<'a> Printed<'a> {
    /// Everything that it has.
    pub(crate) fn of(record: &'a ConsumerRecord) -> Self {
        Self {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: Data::of(record.key.as_ref()),
            value: Data::of(record.value.as_ref()),
            headers: record.headers.iter().map(PrintedHeader::from).collect(),
        }
    }
}

/// Bytes to be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data<'a> {
    Null,
    Text(&'a str),
    Binary(&'a [u8]),
}

impl<'a> Data<'a> {
    /// What is there.
    pub(crate) fn of(bytes: Option<&'a Bytes>) -> Self {
        bytes.map_or(Self::Null, |bytes| {
            std::str::from_utf8(bytes).map_or(Self::Binary(bytes), Self::Text)
        })
    }
}

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Binary(bytes) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &base64(bytes))?;
                map.end()
            }
        }
    }
}

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Bytes that are given in the form in which they are printed; null is for the caller to tell.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text or {\"base64\": \"..\"} is expected")]
pub(crate) enum Given {
    Text(String),
    Binary(Base64),
}

/// `{"base64": ".."}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base64 {
    base64: String,
}

impl Given {
    /// The bytes.
    ///
    /// # Errors
    /// What is wrong with their base64, in a sentence.
    pub(crate) fn bytes(&self) -> Result<Bytes, String> {
        match self {
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Binary(Base64 { base64 }) => from_base64(base64)
                .map(Bytes::from)
                .ok_or_else(|| format!("{base64:?} is not base64 with its padding")),
        }
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

/// The bytes whose base64 this is, if it is one: each text has one reading, and the other way
/// round.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for index in 0..4 {
            let digit = match chunk.get(index) {
                Some(letter) => {
                    ALPHABET
                        .iter()
                        .zip(0..)
                        .find(|(known, _)| *known == letter)?
                        .1
                }
                None => 0,
            };
            bits = bits << 6 | digit;
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    (base64(&bytes) == text).then_some(bytes)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (bytes, expected) in cases {
            assert_eq!(base64(bytes.as_bytes()), expected);
            assert_eq!(from_base64(expected).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
        assert_eq!(from_base64("//79"), Some(vec![0xff, 0xfe, 0xfd]));
        // No padding, too much of it, no length of whole bytes, bits that no byte has, no letter.
        for text in [
            "Zg",
            "Zg===",
            "Zm9v=",
            "Z",
            "=",
            "Zh==",
            "Zm9\u{fc}",
            "Zm 9",
        ] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn text_null_and_other_bytes_are_told_apart() {
        let json = |bytes: Option<&'static [u8]>| {
            Data::of(bytes.map(Bytes::from_static).as_ref()).to_string()
        };
        assert_eq!(json(None), "null");
        assert_eq!(json(Some(b"")), "\"\"");
        assert_eq!(json(Some(b"a\"b")), "\"a\\\"b\"");
        assert_eq!(json(Some(&[0xff])), "{\"base64\":\"/w==\"}");
    }
}
