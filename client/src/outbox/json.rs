//! The little JSON that a row holds: an object whose values are texts.
//!
//! Floor 6 of client. Pure. Standard: RFC 8259.
//!
//! Invariants
//! - What is written is read back as the same names and texts, in their order.
//! - Any text is read or refused with the place of the fault; nothing recurses without a limit.

use std::fmt::Write;

/// An object of texts; a text that is absent is null.
pub(super) fn write<'a>(members: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut json = String::from("{");
    for (name, text) in members {
        if json.len() > 1 {
            json.push(',');
        }
        write_text(&mut json, name);
        json.push(':');
        match text {
            Some(text) => write_text(&mut json, text),
            None => json.push_str("null"),
        }
    }
    json.push('}');
    json
}

/// A text in quotes.
pub(super) fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            // Writing into a text cannot fail.
            it if it.is_control() => drop(write!(json, "\\u{:04x}", u32::from(it))),
            it => json.push(it),
        }
    }
    json.push('"');
}

/// Reads an object of texts. Numbers and truth values count as the text that they are written in,
/// null as an absent text.
pub(super) fn read(json: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut reader = Reader { json, at: 0 };
    let members = reader.object()?;
    reader.end()?;
    Ok(members)
}

/// Whether a text is JSON.
pub(super) fn is_valid(json: &str) -> bool {
    let mut reader = Reader { json, at: 0 };
    reader.skip(DEPTH_MAX).and_then(|()| reader.end()).is_ok()
}

struct Reader<'a> {
    json: &'a str,
    /// Always at the start of a character.
    at: usize,
}

impl Reader<'_> {
    fn object(&mut self) -> Result<Vec<(String, Option<String>)>, String> {
        let mut members = Vec::new();
        self.expect('{')?;
        if self.takes('}') {
            return Ok(members);
        }
        loop {
            self.space();
            let name = self.text()?;
            self.expect(':')?;
            self.space();
            let value = match self.peek() {
                Some('"') => Some(self.text()?),
                Some('{' | '[') => return Err(self.fault("a text; lists and objects are none")),
                _ => Some(self.word()?.to_owned()).filter(|word| word != "null"),
            };
            members.push((name, value));
            if self.takes('}') {
                return Ok(members);
            }
            self.expect(',')?;
        }
    }

    /// Passes any value.
    fn skip(&mut self, depth: usize) -> Result<(), String> {
        self.space();
        let (open, close) = match self.peek() {
            Some('"') => return self.text().map(drop),
            Some('{') => ('{', '}'),
            Some('[') => ('[', ']'),
            _ => return self.word().map(drop),
        };
        if depth == 0 {
            return Err(self.fault("fewer levels"));
        }
        self.expect(open)?;
        if self.takes(close) {
            return Ok(());
        }
        loop {
            if open == '{' {
                self.space();
                self.text()?;
                self.expect(':')?;
            }
            self.skip(depth - 1)?;
            if self.takes(close) {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<&str, String> {
        let rest = &self.json[self.at..];
        let is_end = |it: char| !(it.is_ascii_alphanumeric() || ['-', '+', '.'].contains(&it));
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        if !["true", "false", "null"].contains(&word) && !is_number(word) {
            return Err(self.fault("a value"));
        }
        self.at += word.len();
        Ok(word)
    }

    fn text(&mut self) -> Result<String, String> {
        if self.next() != Some('"') {
            return Err(self.fault("a text in quotes"));
        }
        let mut text = String::new();
        loop {
            let rest = &self.json[self.at..];
            let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
            let plain = rest.bytes().take_while(|byte| is_plain(byte)).count();
            text.push_str(&rest[..plain]);
            self.at += plain;
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                _ => return Err(self.fault("the rest of a text")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let escaped = match self.next() {
            Some(it @ ('"' | '\\' | '/')) => Some(it),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => {
                let high = self.digits()?;
                let is_half = (0xd800..0xdc00).contains(&high);
                if is_half && self.next() == Some('\\') && self.next() == Some('u') {
                    let low = self.digits()?.wrapping_sub(0xdc00);
                    let whole = 0x1_0000 + ((high - 0xd800) << 10) + low;
                    (low < 0x400).then(|| char::from_u32(whole)).flatten()
                } else {
                    char::from_u32(high)
                }
            }
            _ => None,
        };
        escaped.ok_or_else(|| self.fault("a character behind a \\"))
    }

    fn digits(&mut self) -> Result<u32, String> {
        let digits = self.json.get(self.at..self.at + 4).unwrap_or_default();
        if !digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(self.fault("four digits"));
        }
        let value = u32::from_str_radix(digits, 16);
        let value = value.map_err(|_| self.fault("four digits"))?;
        self.at += 4;
        Ok(value)
    }

    fn space(&mut self) {
        let rest = &self.json[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn peek(&self) -> Option<char> {
        self.json[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn takes(&mut self, wanted: char) -> bool {
        self.space();
        let is_there = self.peek() == Some(wanted);
        self.at += if is_there { wanted.len_utf8() } else { 0 };
        is_there
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.takes(wanted) {
            true => Ok(()),
            false => Err(self.fault(&format!("{wanted:?}"))),
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault("its end")),
        }
    }

    fn fault(&self, wanted: &str) -> String {
        format!("at byte {} it should have {wanted}", self.at)
    }
}

/// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
fn is_number(word: &str) -> bool {
    let is_digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let word = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|it| it.strip_prefix(['+', '-']).unwrap_or(it));
    let has_no_zero_ahead = whole == "0" || !whole.starts_with('0');
    is_digits(whole)
        && has_no_zero_ahead
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(is_digits)
}

/// How deep lists and objects may lie in each other.
const DEPTH_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_others_write_is_read() {
        let json =
            r#" { "a" : "1" ,"b":null, "c":-1.5e+3,"d":true,"e":"\u00e4\ud83d\ude00\/\n" } "#;
        let read = read(json).unwrap();
        let text = |it: &str| Some(it.to_owned());
        let wanted = [
            ("a", text("1")),
            ("b", None),
            ("c", text("-1.5e+3")),
            ("d", text("true")),
            ("e", text("\u{e4}\u{1f600}/\n")),
        ];
        assert_eq!(read, wanted.map(|(name, text)| (name.to_owned(), text)));
    }

    #[test]
    fn a_fault_is_named_with_its_place() {
        for (json, why) in [
            ("", "at byte 0 it should have '{'"),
            (r#"{"a":"1""#, "at byte 8 it should have ','"),
            (
                r#"{"a":{}}"#,
                "at byte 5 it should have a text; lists and objects are none",
            ),
            (r#"{"a":01}"#, "at byte 5 it should have a value"),
            (r#"{"a":"1"}x"#, "at byte 9 it should have its end"),
            (
                r#"{"a":"\ud800"}"#,
                "at byte 13 it should have a character behind a \\",
            ),
            (r#"{"a":"\u12"#, "at byte 8 it should have four digits"),
        ] {
            assert_eq!(read(json), Err(why.to_owned()), "{json}");
        }
    }

    #[test]
    fn only_json_is_valid() {
        for json in ["null", "[]", r#"{"a":[1,{"b":"c"}],"d":{}}"#, " 0.5 "] {
            assert!(is_valid(json), "{json}");
        }
        for json in ["", "nul", "[1,]", "{\"a\"}", "1.", "-", "'a'", "[1]]"] {
            assert!(!is_valid(json), "{json}");
        }
        assert!(!is_valid(&"[".repeat(1_000_000)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            members: Vec<(String, Option<String>)>,
        ) {
            let texts = members.iter().map(|(name, text)| (name.as_str(), text.as_deref()));
            let json = write(texts);
            prop_assert!(is_valid(&json));
            prop_assert_eq!(read(&json), Ok(members));
        }

        #[test]
        fn any_text_is_read_or_refused(json: String, cut in r#"[{}":,\\u0-9a-z \[\]]*"#) {
            let (_, _) = (read(&json), is_valid(&json));
            let (_, _) = (read(&cut), is_valid(&cut));
        }
    }
}
