//! Lines of an input, and the key that a field of a JSON line gives.
//!
//! Floor 0 of cli.
//!
//! Invariants
//! - A line's bytes are exactly those of the input, without its line feed.
//! - A line longer than the limit is told apart and skipped; memory stays bounded.
//! - A line that has arrived is not held back until more arrive.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: u64,
    /// Without its line feed; `None` if it is longer than the limit.
    pub(crate) text: Option<Bytes>,
}

/// Reads lines in chunks.
pub(crate) struct Lines<R> {
    input: R,
    pending: BytesMut,
    line_bytes_max: usize,
    number: u64,
    /// The line that `pending` continues is too long.
    is_skipping: bool,
    is_at_end: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of at most so many bytes.
    pub(crate) fn new(input: R, line_bytes_max: usize) -> Self {
        let pending = BytesMut::new();
        Self {
            input,
            pending,
            line_bytes_max,
            number: 0,
            is_skipping: false,
            is_at_end: false,
        }
    }

    /// What one read of the input makes whole: at least one line, or nothing at the end.
    pub(crate) fn next_chunk(&mut self) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        while lines.is_empty() && !self.is_at_end {
            let seen = self.pending.len();
            self.pending.resize(seen + READ_BYTES, 0);
            let read = self.read(seen);
            self.pending.truncate(seen + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                self.is_at_end = true;
                if !self.pending.is_empty() || self.is_skipping {
                    let rest = self.pending.split();
                    lines.push(self.line(rest.freeze()));
                }
            } else {
                self.split(seen, &mut lines);
            }
        }
        Ok(lines)
    }

    fn read(&mut self, at: usize) -> io::Result<usize> {
        loop {
            match self.input.read(&mut self.pending[at..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Takes whole lines off `pending`, of which the first `seen` bytes have no line feed.
    fn split(&mut self, seen: usize, lines: &mut Vec<Line>) {
        let Some(last) = self.pending[seen..].iter().rposition(|byte| *byte == b'\n') else {
            if self.pending.len() > self.line_bytes_max {
                self.is_skipping = true;
                self.pending.clear();
            }
            return;
        };
        let mut whole = self.pending.split_to(seen + last + 1).freeze();
        while let Some(end) = whole.iter().position(|byte| *byte == b'\n') {
            let text = whole.split_to(end);
            drop(whole.split_to(1));
            lines.push(self.line(text));
        }
    }

    fn line(&mut self, text: Bytes) -> Line {
        self.number += 1;
        let is_too_long = std::mem::take(&mut self.is_skipping) || text.len() > self.line_bytes_max;
        Line {
            number: self.number,
            text: (!is_too_long).then_some(text),
        }
    }
}

/// The key of a JSON line: the text of a field, or its JSON if it is no text; `None` if the field
/// is missing or null. The whole line is checked.
///
/// # Errors
/// A sentence if the line is no JSON object.
pub(crate) fn key_of(line: &[u8], field: &str) -> Result<Option<Bytes>, String> {
    let mut json = serde_json::Deserializer::from_slice(line);
    let key = Field(field)
        .deserialize(&mut json)
        .and_then(|key| json.end().map(|()| key));
    // One line: the parser's "line 1" says nothing.
    key.map_err(|error| {
        error
            .to_string()
            .replace(" at line 1 column ", " at column ")
    })
}

/// Finds one field of an object.
struct Field<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<Bytes>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<Bytes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if name.0 == self.0 {
                found = key(map.next_value()?)?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A name, borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn key<E: serde::de::Error>(value: &RawValue) -> Result<Option<Bytes>, E> {
    match value.get() {
        "null" => Ok(None),
        text if text.starts_with('"') => {
            let text: String = serde_json::from_str(text).map_err(E::custom)?;
            Ok(Some(Bytes::from(text)))
        }
        other => Ok(Some(Bytes::copy_from_slice(other.as_bytes()))),
    }
}

const READ_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what is given to it, read by read.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let piece = self.0.remove(0);
            into[..piece.len()].copy_from_slice(&piece);
            Ok(piece.len())
        }
    }

    fn chunks(pieces: &[&str], line_bytes_max: usize) -> Vec<Vec<Option<String>>> {
        let pieces = pieces
            .iter()
            .map(|piece| piece.as_bytes().to_vec())
            .collect();
        let mut lines = Lines::new(Pieces(pieces), line_bytes_max);
        let mut chunks = Vec::new();
        let mut number = 0;
        loop {
            let chunk = lines.next_chunk().unwrap();
            if chunk.is_empty() {
                return chunks;
            }
            for line in &chunk {
                number += 1;
                assert_eq!(line.number, number);
            }
            let text = |line: Line| line.text.map(|t| String::from_utf8(t.to_vec()).unwrap());
            chunks.push(chunk.into_iter().map(text).collect());
        }
    }

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn lines_come_as_soon_as_they_are_whole_and_byte_for_byte() {
        let expected = vec![some(&["a", "", " b\r"]), some(&["cd"]), some(&["end"])];
        assert_eq!(chunks(&["a\n\n b\r\nc", "d\n", "en", "d"], 100), expected);
        assert_eq!(chunks(&[], 100), Vec::<Vec<Option<String>>>::new());
        assert_eq!(chunks(&["\n"], 100), [some(&[""])]);
    }

    #[test]
    fn a_long_line_is_skipped_and_counted() {
        for pieces in [
            &["abcde\nf\n"][..],
            &["abc", "de", "x", "yz\nf", "\n"],
            &["abcd", "e\nf"],
        ] {
            let all: Vec<_> = chunks(pieces, 4).into_iter().flatten().collect();
            assert_eq!(all, [None, Some("f".to_owned())], "{pieces:?}");
        }
        assert_eq!(chunks(&["ok\nabc", "de"], 4), [some(&["ok"]), vec![None]]);
    }

    #[test]
    fn a_key_is_a_text_or_json_or_nothing() {
        let key = |line: &str| key_of(line.as_bytes(), "k").map(|key| key.map(|k| k.to_vec()));
        for (line, expected) in [
            (r#"{"a":1,"k":"N1\u0041\n"}"#, Some(&b"N1A\n"[..])),
            (r#"{"k":17.50}"#, Some(b"17.50")),
            (r#"{"k":{"x": [1]}}"#, Some(br#"{"x": [1]}"#)),
            (r#" {"k":""} "#, Some(b"")),
            (r#"{"k":null}"#, None),
            (r#"{"\u006b":"e"}"#, Some(b"e")),
            (r#"{"k":"first","k":"last"}"#, Some(b"last")),
            (r#"{"a":{"k":"inner"}}"#, None),
            ("{}", None),
        ] {
            assert_eq!(key(line), Ok(expected.map(<[u8]>::to_vec)), "{line}");
        }
        for line in [
            "",
            "[]",
            "\"k\"",
            "{\"k\":1",
            "{\"k\":1}x",
            "{\"k\":\"\u{1}\"}",
            "{a:1}",
        ] {
            assert!(key(line).is_err(), "{line}");
        }
        assert_eq!(
            key("{\"k\":1} x").unwrap_err(),
            "trailing characters at column 9"
        );
    }
}
