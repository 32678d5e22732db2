//! Reading and writing the primitives of the Kafka wire, without copying what is large.
//!
//! Floor 2 of proto.
//!
//! Invariants
//! - A `Reader` never panics and never reads past its end; what it hands out are slices of the
//!   frame that it was given.
//! - A `Reader` pays for every array from an allowance of 64 times its length, before the array is
//!   allocated; so no frame, however hostile, makes the decoder hold more than that.
//! - A `Writer` keeps large byte strings as they are; `Encoded` is a list of parts for one vectored
//!   write.
//!
//! ```
//! use highwater_proto::cursor::{Reader, Str, Version, Writer};
//!
//! let version = Version::new(9, true);
//! let mut writer = Writer::new();
//! writer.put_str(&Str::from_static("orders"), version)?;
//! writer.put_i32(12);
//!
//! let mut reader = Reader::new(writer.finish().into_bytes());
//! assert_eq!(reader.str(version)?, "orders");
//! assert_eq!(reader.i32()?, 12);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod reader;
mod records;
mod text;
mod uuid;
mod writer;

use std::ops::RangeBounds;

pub use reader::Reader;
pub use records::Records;
pub use text::Str;
pub use uuid::{Uuid, UuidError};
pub use writer::{EncodeError, Encoded, Writer};

/// The longest string of the Kafka wire in bytes; a Java client refuses longer ones in the compact
/// form, too.
pub const STR_BYTES_MAX: usize = i16::MAX as usize;

/// The version of one message, and whether it uses compact lengths and tag sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The API version as it stands in the request header.
    pub number: i16,
    /// Whether this version is "flexible": lengths are varints, structs end in a tag section.
    pub flexible: bool,
}

impl Version {
    /// A version of some API.
    #[must_use]
    pub const fn new(number: i16, flexible: bool) -> Self {
        Self { number, flexible }
    }

    /// Whether the version lies in a range such as `3..=11` or `12..`.
    #[inline]
    #[must_use]
    pub fn within(self, range: impl RangeBounds<i16>) -> bool {
        range.contains(&self.number)
    }
}
