//! Bytes of a key or a value as JSON: a text, null, or `{"base64": ".."}` where they are no UTF-8.
//!
//! Floor 0 of cli.

use std::fmt;

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

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

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
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
