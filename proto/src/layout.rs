//! `Layout`: where the parts of one record lie.
//!
//! Floor 2 of proto.
//!
//! Invariants
//! - Every range lies within the record, and the record within its section.
//! - The parts fill the record exactly; every header has been walked.
//!
//! A record is: its length, attributes (one byte, unused), timestamp delta, offset delta, key,
//! value, count of headers, headers. All integers are zigzag varints; a length of -1 is null.

use std::ops::Range;

use crate::error::{DecodeError, DecodeErrorKind};
use crate::varint;

/// Where the parts of one record lie in the records of its batch.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<Range<usize>>,
    pub(crate) value: Option<Range<usize>>,
    pub(crate) headers_count: u32,
    pub(crate) headers: Range<usize>,
    /// Where the next record starts.
    pub(crate) end: usize,
}

impl Layout {
    /// Reads the record that starts at `position` of `section`.
    pub(crate) fn read(section: &[u8], position: usize) -> Result<Self, DecodeError> {
        let mut outer = Fields {
            bytes: section,
            position,
        };
        let record = outer.length()?;
        let end = record.end;
        let bytes = section.get(..end).unwrap_or(section);
        let mut fields = Fields {
            bytes,
            position: record.start,
        };
        fields.skip(ATTRIBUTES_BYTES)?;
        let timestamp_delta = fields.i64()?;
        let offset_delta = fields.i32()?;
        let key = fields.nullable_length()?;
        let value = fields.nullable_length()?;
        let headers_count = fields.count()?;
        let start = fields.position;
        for _ in 0..headers_count {
            fields.header()?;
        }
        check_end(bytes, fields.position)?;
        let headers = start..end;
        Ok(Self {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers_count,
            headers,
            end,
        })
    }
}

/// Checks the records of a produced batch without making any: their lengths, and that their offset
/// deltas are 0, 1, 2 and so on. Gives the place of the record that is wrong, counted from 0.
pub(crate) fn check_produced(section: &[u8], count: u32) -> Result<(), (u32, DecodeError)> {
    let mut position = 0;
    for index in 0..count {
        let layout = Layout::read(section, position).map_err(|error| (index, error))?;
        if u32::try_from(layout.offset_delta) != Ok(index) {
            let what = "an offset delta that does not count up from 0";
            return Err((index, DecodeError::new(what, position)));
        }
        position = layout.end;
    }
    check_end(section, position).map_err(|error| (count, error))
}

/// Succeeds if `position` is the end of `bytes`.
pub(crate) fn check_end(bytes: &[u8], position: usize) -> Result<(), DecodeError> {
    match bytes.len().saturating_sub(position) {
        0 => Ok(()),
        left => Err(DecodeError::at(
            position,
            DecodeErrorKind::TrailingBytes { left },
        )),
    }
}

/// A position in bytes of which all integers are varints.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) position: usize,
}

impl Fields<'_> {
    /// One header: where its name lies, and its value.
    pub(crate) fn header(&mut self) -> Result<(Range<usize>, Option<Range<usize>>), DecodeError> {
        Ok((self.length()?, self.nullable_length()?))
    }

    #[inline]
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    #[inline]
    fn i32(&mut self) -> Result<i32, DecodeError> {
        let (value, used) =
            varint::read_i32(self.rest()).map_err(|error| error.shifted(self.position))?;
        self.position += used;
        Ok(value)
    }

    #[inline]
    fn i64(&mut self) -> Result<i64, DecodeError> {
        let (value, used) =
            varint::read_i64(self.rest()).map_err(|error| error.shifted(self.position))?;
        self.position += used;
        Ok(value)
    }

    /// A count of headers, each of which takes two bytes or more.
    fn count(&mut self) -> Result<u32, DecodeError> {
        let at = self.position;
        let count = self.i32()?;
        let max = self.rest().len() / HEADER_BYTES_MIN;
        match u32::try_from(count) {
            Ok(legal) if legal as usize <= max => Ok(legal),
            _ => {
                let kind = DecodeErrorKind::CountTooLarge {
                    count: i64::from(count),
                    max,
                };
                Err(DecodeError::at(at, kind))
            }
        }
    }

    /// A length and the bytes that it covers.
    #[inline]
    fn length(&mut self) -> Result<Range<usize>, DecodeError> {
        let at = self.position;
        self.nullable_length()?.ok_or_else(|| {
            DecodeError::at(
                at,
                DecodeErrorKind::BadLength {
                    length: NULL.into(),
                },
            )
        })
    }

    /// A length and the bytes that it covers, or null.
    #[inline]
    fn nullable_length(&mut self) -> Result<Option<Range<usize>>, DecodeError> {
        let at = self.position;
        let length = self.i32()?;
        if length == NULL {
            return Ok(None);
        }
        let bytes = usize::try_from(length).map_err(|_| {
            DecodeError::at(
                at,
                DecodeErrorKind::BadLength {
                    length: length.into(),
                },
            )
        })?;
        let start = self.position;
        self.skip(bytes)?;
        Ok(Some(start..self.position))
    }

    #[inline]
    fn skip(&mut self, wanted: usize) -> Result<(), DecodeError> {
        let left = self.rest().len();
        if wanted > left {
            let kind = DecodeErrorKind::UnexpectedEnd { wanted, left };
            return Err(DecodeError::at(self.position, kind));
        }
        self.position += wanted;
        Ok(())
    }
}

const ATTRIBUTES_BYTES: usize = 1;
const HEADER_BYTES_MIN: usize = 2;
/// The length that stands for null.
const NULL: i32 = -1;
