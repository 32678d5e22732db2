//! `Reader`: takes the primitives of the Kafka wire off a frame.
//!
//! Floor 2 of proto.
//!
//! Invariants
//! - `position <= end <= bytes.len()`; a read that fails leaves the position where it was or at the
//!   byte that is wrong.
//! - A length is compared with the remaining bytes before it is used.

use bytes::Bytes;

use super::{STR_BYTES_MAX, Str, Uuid, Version};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::varint;

/// A position in the bytes of one message, and the rest of its allowance for arrays.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    position: usize,
    end: usize,
    allowance_bytes: usize,
}

impl Reader {
    /// Starts at the first byte of a message.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        let end = bytes.len();
        Self {
            bytes,
            position: 0,
            end,
            allowance_bytes: end.saturating_mul(ALLOWANCE_FACTOR),
        }
    }

    /// The position of the next byte, counted from the start of the message.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// An error at the current position; `what` says what stands there.
    #[must_use]
    pub const fn error(&self, what: &'static str) -> DecodeError {
        DecodeError::new(what, self.position)
    }

    /// Everything that has not been read, as a slice of the message.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        self.bytes.slice(self.position..self.end)
    }

    /// Succeeds if nothing is left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.at(DecodeErrorKind::TrailingBytes { left })),
        }
    }

    /// One byte; anything but zero is true.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// A signed byte.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array().map(i8::from_be_bytes)
    }

    /// A 16-bit integer, big-endian.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array().map(i16::from_be_bytes)
    }

    /// A 16-bit integer without sign, big-endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit integer, big-endian.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    /// A 64-bit integer, big-endian.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// A 64-bit float, big-endian. One that is not a number is refused: it does not equal itself,
    /// and no quota is one.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        let start = self.position;
        let value = self.array().map(f64::from_be_bytes)?;
        if value.is_nan() {
            return Err(DecodeError::new("a float that is not a number", start));
        }
        Ok(value)
    }

    /// Sixteen raw bytes.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.array().map(Uuid)
    }

    /// An unsigned varint of 32 bits: at most five bytes.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let rest = self.rest();
        let (value, used) = varint::read_u32(rest).map_err(|error| error.shifted(self.position))?;
        self.position += used;
        Ok(value)
    }

    /// A string that is not null.
    #[inline]
    pub fn str(&mut self, version: Version) -> Result<Str, DecodeError> {
        self.nullable_str(version)?
            .ok_or_else(|| self.error("null where a string must stand"))
    }

    /// A string or null.
    #[inline]
    pub fn nullable_str(&mut self, version: Version) -> Result<Option<Str>, DecodeError> {
        let length = if version.flexible {
            self.compact_length()?
        } else {
            let length = i64::from(self.i16()?);
            self.length(length)?
        };
        let Some(length) = length else {
            return Ok(None);
        };
        if length > STR_BYTES_MAX {
            return Err(self.error("a string of more than 32767 bytes"));
        }
        let start = self.position;
        let text = Str::from_utf8(self.take(length)?);
        text.map(Some)
            .map_err(|_| DecodeError::at(start, DecodeErrorKind::BadUtf8))
    }

    /// A byte string or null: a slice of the message.
    pub fn nullable_bytes(&mut self, version: Version) -> Result<Option<Bytes>, DecodeError> {
        match self.wide_length(version)? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// The count of an array, null being `None`, after making sure that so many elements of at
    /// least `element_bytes_min` on the wire can follow, and that the message may hold so many of
    /// `element_size` in memory.
    pub fn count(
        &mut self,
        version: Version,
        element_bytes_min: usize,
        element_size: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.wide_length(version)? else {
            return Ok(None);
        };
        let max = self.remaining() / element_bytes_min.max(1);
        let affordable = self.allowance_bytes / element_size.max(1);
        if count > max.min(affordable) {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let max = max.min(affordable);
            return Err(self.at(DecodeErrorKind::CountTooLarge { count, max }));
        }
        self.allowance_bytes -= count * element_size;
        Ok(Some(count))
    }

    /// The next `length` bytes as a slice of the message.
    pub fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.check(length)?;
        let start = self.position;
        self.position += length;
        Ok(self.bytes.slice(start..self.position))
    }

    /// Passes over what is left; within a tagged field, over what is left of it.
    pub const fn skip_rest(&mut self) {
        self.position = self.end;
    }

    /// Walks through a tag section: `field` is called for each tagged field with its number, and
    /// with the reader confined to its payload, all of which it has to use up.
    pub fn tags(
        &mut self,
        mut field: impl FnMut(&mut Self, u32) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        // Each round takes two bytes at least, or fails: the count needs no limit of its own.
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = usize::try_from(self.uvarint()?).unwrap_or(usize::MAX);
            self.check(size)?;
            let outer_end = self.end;
            self.end = self.position + size;
            field(self, tag)?;
            self.finish()?;
            self.end = outer_end;
        }
        Ok(())
    }

    /// Passes over a tag section of which no field is known.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        self.tags(|reader, _| {
            reader.skip_rest();
            Ok(())
        })
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(array) = self.rest().first_chunk().copied() else {
            let left = self.remaining();
            return Err(self.at(DecodeErrorKind::UnexpectedEnd { wanted: N, left }));
        };
        self.position += N;
        Ok(array)
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.position..self.end).unwrap_or_default()
    }

    /// Whether so many bytes are left.
    #[inline]
    const fn check(&self, wanted: usize) -> Result<(), DecodeError> {
        let left = self.remaining();
        if wanted <= left {
            return Ok(());
        }
        Err(self.at(DecodeErrorKind::UnexpectedEnd { wanted, left }))
    }

    const fn at(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::at(self.position, kind)
    }

    /// The length of a byte string or the count of an array.
    #[inline]
    fn wide_length(&mut self, version: Version) -> Result<Option<usize>, DecodeError> {
        if version.flexible {
            return self.compact_length();
        }
        let length = i64::from(self.i32()?);
        self.length(length)
    }

    #[inline]
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = i64::from(self.uvarint()?) - 1;
        self.length(length)
    }

    #[inline]
    fn length(&self, length: i64) -> Result<Option<usize>, DecodeError> {
        if length == -1 {
            return Ok(None);
        }
        usize::try_from(length)
            .map(Some)
            .map_err(|_| self.at(DecodeErrorKind::BadLength { length }))
    }
}

/// What the arrays of a message may hold, in bytes of memory per byte of the message. An honest
/// message needs about half of it: the worst is an array of empty compact strings, 32 bytes each.
const ALLOWANCE_FACTOR: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version::new(0, false);
    const FLEXIBLE: Version = Version::new(9, true);

    fn reader(bytes: &'static [u8]) -> Reader {
        Reader::new(Bytes::from_static(bytes))
    }

    #[test]
    fn strings_know_null_empty_and_text_in_both_forms() {
        let mut old = reader(b"\xff\xff\x00\x00\x00\x02hi");
        assert_eq!(old.nullable_str(OLD), Ok(None));
        assert_eq!(old.str(OLD).unwrap(), "");
        assert_eq!(old.str(OLD).unwrap(), "hi");
        assert_eq!(old.finish(), Ok(()));
        let mut compact = reader(b"\x00\x01\x03hi");
        assert_eq!(compact.nullable_str(FLEXIBLE), Ok(None));
        assert_eq!(compact.str(FLEXIBLE).unwrap(), "");
        assert_eq!(compact.str(FLEXIBLE).unwrap(), "hi");
        assert_eq!(compact.finish(), Ok(()));
    }

    #[test]
    fn null_is_refused_where_a_string_must_stand() {
        assert!(reader(b"\xff\xff").str(OLD).is_err());
        assert!(reader(b"\x00").str(FLEXIBLE).is_err());
    }

    #[test]
    fn a_length_below_minus_one_is_refused() {
        assert!(reader(b"\xff\xfe").nullable_str(OLD).is_err());
        assert!(reader(b"\xff\xff\xff\xfe").nullable_bytes(OLD).is_err());
        assert!(reader(b"\x80\x00\x00\x00").count(OLD, 1, 1).is_err());
    }

    #[test]
    fn a_string_that_is_not_utf8_is_refused_where_it_starts() {
        let error = reader(b"\x00\x02\xc3\x28").str(OLD).unwrap_err();
        assert_eq!(error, DecodeError::at(2, DecodeErrorKind::BadUtf8));
    }

    #[test]
    fn a_float_is_a_number() {
        assert_eq!(reader(b"\xbf\xf8\0\0\0\0\0\0").f64(), Ok(-1.5));
        let error = reader(b"\x7f\xf8\0\0\0\0\0\0").f64().unwrap_err();
        assert_eq!(error, DecodeError::new("a float that is not a number", 0));
    }

    #[test]
    fn varints_end_after_32_bits() {
        assert_eq!(reader(b"\xff\xff\xff\xff\x0f").uvarint(), Ok(u32::MAX));
        assert_eq!(reader(b"\xac\x02").uvarint(), Ok(300));
        assert!(reader(b"\xff\xff\xff\xff\x1f").uvarint().is_err());
        assert!(reader(b"\x80\x80\x80\x80\x80\x00").uvarint().is_err());
        assert!(reader(b"\x80").uvarint().is_err());
    }

    #[test]
    fn a_count_is_checked_against_the_bytes_and_the_allowance() {
        assert!(reader(b"\x7f\xff\xff\xff0123").count(OLD, 1, 1).is_err());
        assert!(reader(b"\x00\x00\x00\x03012345").count(OLD, 3, 1).is_err());
        assert_eq!(
            reader(b"\x00\x00\x00\x02012345").count(OLD, 3, 1),
            Ok(Some(2))
        );
        // Ten bytes allow 640 bytes of arrays, however these are nested.
        let mut nested = reader(b"\x00\x00\x00\x01\x00\x00\x00\x0101");
        assert_eq!(nested.count(OLD, 1, 600), Ok(Some(1)));
        assert!(nested.count(OLD, 1, 41).is_err());
    }

    #[test]
    fn an_unknown_tag_is_skipped_and_a_known_one_confined() {
        let mut skipped = reader(b"\x02\x05\x02ab\x07\x00!");
        skipped.skip_tags().unwrap();
        assert_eq!(skipped.i8(), Ok(b'!' as i8));
        let reads_past = reader(b"\x01\x00\x01ab").tags(|reader, _| reader.i16().map(drop));
        assert!(reads_past.is_err());
        let leaves_some = reader(b"\x01\x00\x02ab").tags(|reader, _| reader.i8().map(drop));
        assert!(leaves_some.is_err());
        assert!(reader(b"\x01\x00\x03ab").skip_tags().is_err());
    }
}
