//! `Headers`: the headers of one record.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - Order and repeats are those of the record; nothing is decoded before it is asked for.
//! - The bytes were walked when the record was read, so iteration meets no error.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::layout::Fields;

/// The headers of one record, in their order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    count: u32,
    bytes: Bytes,
}

/// One header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name in UTF-8, as far as its producer kept to the format.
    pub name_bytes: Bytes,
    /// The value, or none.
    pub value: Option<Bytes>,
}

impl Header {
    /// The name; bytes that are not UTF-8 are replaced, as a Java client does.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name_bytes)
    }
}

impl Headers {
    pub(super) const fn new(count: u32, bytes: Bytes) -> Self {
        Self { count, bytes }
    }

    /// How many headers there are, repeats included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl Iterator<Item = Header> + '_ {
        let mut fields = Fields {
            bytes: &self.bytes,
            position: 0,
        };
        (0..self.count).map_while(move |_| {
            let (name, value) = fields.header().ok()?;
            Some(Header {
                name_bytes: self.bytes.slice(name),
                value: value.map(|range| self.bytes.slice(range)),
            })
        })
    }

    /// The last header of that name: the one that counts where a name may stand once.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<Header> {
        self.iter()
            .filter(|header| header.name_bytes == name.as_bytes())
            .last()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
