//! `Records`: record bytes in pieces, as a log hands them out.
//!
//! Floor 2 of proto.
//!
//! Invariants
//! - No piece is empty; the pieces, joined, are the records.

use bytes::{BufMut, Bytes, BytesMut};

/// Record batches of a Fetch response: never null, and possibly in several pieces (the prefix that
/// the broker wrote, the rest that the producer sent, the next segment), none of which is copied.
///
/// ```
/// use bytes::Bytes;
/// use highwater_proto::cursor::Records;
///
/// let records = Records::from(vec![Bytes::from_static(b"prefix"), Bytes::from_static(b"rest")]);
/// assert_eq!(records.len(), 10);
/// assert_eq!(records.into_bytes(), "prefixrest");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Records {
    parts: Vec<Bytes>,
    len: usize,
}

impl Records {
    /// The pieces in order, none of them empty.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The size of all pieces together in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The records in one piece; copies, unless they are in one already.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.parts.len() <= 1 {
            return self.parts.pop().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.len);
        self.parts.iter().for_each(|part| whole.put_slice(part));
        whole.freeze()
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        Self {
            len: bytes.len(),
            parts: vec![bytes],
        }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(mut parts: Vec<Bytes>) -> Self {
        parts.retain(|part| !part.is_empty());
        Self {
            len: parts.iter().map(Bytes::len).sum(),
            parts,
        }
    }
}

/// Equal if the bytes are; where they are cut does not matter.
impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.clone().into_bytes() == other.clone().into_bytes()
    }
}

impl Eq for Records {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_equal_wherever_they_are_cut() {
        let pieces = |parts: &[&'static str]| {
            Records::from(
                parts
                    .iter()
                    .map(|&part| Bytes::from(part))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(pieces(&["ab", "", "cd"]), pieces(&["a", "bcd"]));
        assert_ne!(pieces(&["ab", "cd"]), pieces(&["ab", "ce"]));
        assert_eq!(pieces(&["", ""]), Records::default());
        assert_eq!(pieces(&["", "ab"]).parts().len(), 1);
    }

    #[test]
    fn one_piece_is_not_copied() {
        let bytes = Bytes::from(vec![1, 2, 3]);
        assert_eq!(
            Records::from(bytes.clone()).into_bytes().as_ptr(),
            bytes.as_ptr()
        );
    }
}
