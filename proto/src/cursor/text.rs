//! `Str`: a string that is a slice of the frame it came in.
//!
//! Floor 2 of proto.
//!
//! Invariants
//! - The bytes are UTF-8: every constructor has checked them.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::Utf8Error;

use bytes::Bytes;

/// A UTF-8 string that is cheap to clone and to cut out of a frame.
///
/// It shares the buffer that it was cut from: keep one for long only after [`Str::detached`], or it
/// keeps a whole frame alive.
///
/// ```
/// use highwater_proto::cursor::Str;
///
/// let topic = Str::from_static("orders");
/// assert_eq!(topic, "orders");
/// assert_eq!(topic.len(), 6);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Str(Bytes);

impl Str {
    /// A string literal, without allocating.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// The bytes as a string, if they are UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked again, because this crate has no unsafe code; names are short and mostly ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes of the text, shared.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// A copy with a buffer of its own, to be kept after the frame.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self
    }
}

// `Borrow<str>` demands the hash of `str`, which is not that of its bytes.
impl Hash for Str {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl From<&'static str> for Str {
    fn from(text: &'static str) -> Self {
        Self::from_static(text)
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Bytes::from(text.into_bytes()))
    }
}

impl From<Str> for String {
    fn from(text: Str) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::*;

    #[test]
    fn is_found_in_a_map_by_its_text() {
        let map = HashMap::from([(Str::from_static("orders"), 1)]);
        assert_eq!(map.get("orders"), Some(&1));
        assert_eq!(map.get("order"), None);
    }

    #[test]
    fn sorts_as_text_does() {
        let set: BTreeSet<Str> = ["b", "a", "\u{e9}", "aa"]
            .into_iter()
            .map(Str::from)
            .collect();
        let sorted: Vec<&str> = set.iter().map(Str::as_str).collect();
        assert_eq!(sorted, ["a", "aa", "b", "\u{e9}"]);
    }

    #[test]
    fn shares_its_buffer_until_it_is_detached() {
        let frame = Bytes::from(b"orders".to_vec());
        let name = Str::from_utf8(frame.slice(1..4)).unwrap();
        assert_eq!(name, "rde");
        assert_eq!(name.as_bytes().as_ptr(), frame.slice(1..).as_ptr());
        let own = name.detached();
        assert_eq!(own, name);
        assert_ne!(own.as_bytes().as_ptr(), name.as_bytes().as_ptr());
    }

    #[test]
    fn shows_as_text() {
        let name = Str::from(String::from("a\"b"));
        assert_eq!(
            format!("{name} {name:?} {name:>5}"),
            "a\"b \"a\\\"b\"   a\"b"
        );
    }
}
