//! `Writer`: puts the primitives of the Kafka wire into a frame, and leaves records where they are.
//!
//! Floor 2 of proto.
//!
//! Invariants
//! - Shared byte strings stand in the order of their positions in the own buffer.
//! - The parts of an `Encoded`, joined, are exactly what was put, in that order.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use super::{STR_BYTES_MAX, Str, Uuid, Version};
use crate::varint;

/// Why a message cannot be written in a version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The API does not have that version here.
    #[error("{api} has no version {version} here: negotiate one of the versions that it has")]
    UnsupportedVersion {
        /// The name of the API.
        api: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is set that the version has no room for.
    #[error("version {version} cannot carry {field}: leave it at its default or use another one")]
    FieldNotInVersion {
        /// The message and its field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null, which the version cannot express.
    #[error("{field} may not be null in version {version}: set it or use a later version")]
    NullNotInVersion {
        /// The message and its field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A string above 32767 bytes, or a byte string, array or frame above 2 GiB.
    #[error("a length of {length} is more than the Kafka wire can carry")]
    TooLong {
        /// The length in bytes, or the count of elements.
        length: usize,
    },
}

/// A message in the making.
#[derive(Debug, Default)]
pub struct Writer {
    own: BytesMut,
    /// Byte strings that are not copied, each with its position in `own`.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

/// A message ready to be sent: its parts in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    parts: Vec<Bytes>,
    len: usize,
}

impl Writer {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame, with room for its size: the first four bytes.
    #[must_use]
    pub fn for_frame() -> Self {
        let mut writer = Self {
            own: BytesMut::with_capacity(FRAME_BYTES),
            ..Self::new()
        };
        writer.put_i32(0);
        writer
    }

    /// The bytes so far, shared ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.own.len() + self.shared_bytes
    }

    /// Whether nothing has been put.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One byte, 1 or 0.
    pub fn put_bool(&mut self, value: bool) {
        self.own.put_u8(u8::from(value));
    }

    /// A signed byte.
    pub fn put_i8(&mut self, value: i8) {
        self.own.put_i8(value);
    }

    /// A 16-bit integer, big-endian.
    pub fn put_i16(&mut self, value: i16) {
        self.own.put_i16(value);
    }

    /// A 16-bit integer without sign, big-endian.
    pub fn put_u16(&mut self, value: u16) {
        self.own.put_u16(value);
    }

    /// A 32-bit integer, big-endian.
    pub fn put_i32(&mut self, value: i32) {
        self.own.put_i32(value);
    }

    /// A 64-bit integer, big-endian.
    pub fn put_i64(&mut self, value: i64) {
        self.own.put_i64(value);
    }

    /// A 64-bit float, big-endian.
    pub fn put_f64(&mut self, value: f64) {
        self.own.put_f64(value);
    }

    /// Sixteen raw bytes.
    pub fn put_uuid(&mut self, id: Uuid) {
        self.own.put_slice(&id.0);
    }

    /// An unsigned varint.
    pub fn put_uvarint(&mut self, value: u32) {
        varint::put_u32(&mut self.own, value);
    }

    /// A string.
    pub fn put_str(&mut self, text: &Str, version: Version) -> Result<(), EncodeError> {
        self.put_nullable_str(Some(text), version)
    }

    /// A string or null.
    pub fn put_nullable_str(
        &mut self,
        text: Option<&Str>,
        version: Version,
    ) -> Result<(), EncodeError> {
        self.put_utf8(text.map(|text| text.as_bytes().as_ref()), version)
    }

    /// A string or null, from text that is no slice of a frame.
    pub fn put_nullable_text(
        &mut self,
        text: Option<&str>,
        version: Version,
    ) -> Result<(), EncodeError> {
        self.put_utf8(text.map(str::as_bytes), version)
    }

    fn put_utf8(&mut self, text: Option<&[u8]>, version: Version) -> Result<(), EncodeError> {
        let length = text.map(<[u8]>::len);
        if let Some(length) = length.filter(|&length| length > STR_BYTES_MAX) {
            return Err(EncodeError::TooLong { length });
        }
        if version.flexible {
            self.put_compact_length(length)?;
        } else {
            let length = length.and_then(|length| i16::try_from(length).ok());
            self.put_i16(length.unwrap_or(-1));
        }
        self.own.put_slice(text.unwrap_or_default());
        Ok(())
    }

    /// A byte string or null, which is shared instead of copied unless it is short.
    pub fn put_nullable_bytes(
        &mut self,
        bytes: Option<&Bytes>,
        version: Version,
    ) -> Result<(), EncodeError> {
        self.put_count(bytes.map(Bytes::len), version)?;
        if let Some(bytes) = bytes {
            self.put_shared(bytes);
        }
        Ok(())
    }

    /// The count of an array, or the length of a byte string; `None` is null.
    pub fn put_count(&mut self, count: Option<usize>, version: Version) -> Result<(), EncodeError> {
        if version.flexible {
            return self.put_compact_length(count);
        }
        let count = count.map_or(Ok(-1), |length| {
            i32::try_from(length).map_err(|_| EncodeError::TooLong { length })
        })?;
        self.put_i32(count);
        Ok(())
    }

    /// Bytes as they are; shared instead of copied unless they are few.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            self.own.put_slice(bytes);
            return;
        }
        self.shared.push((self.own.len(), bytes.clone()));
        self.shared_bytes += bytes.len();
    }

    /// A tagged field: its number, its size, and the payload that `payload` puts.
    pub fn put_tag(
        &mut self,
        tag: u32,
        payload: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut inner = Self::new();
        payload(&mut inner)?;
        let length = inner.len();
        self.put_uvarint(tag);
        self.put_uvarint(u32::try_from(length).map_err(|_| EncodeError::TooLong { length })?);
        self.append(inner);
        Ok(())
    }

    /// Everything that another writer holds.
    pub fn append(&mut self, other: Self) {
        let start = self.own.len();
        self.own.put_slice(&other.own);
        self.shared.extend(
            other
                .shared
                .into_iter()
                .map(|(at, bytes)| (start + at, bytes)),
        );
        self.shared_bytes += other.shared_bytes;
    }

    /// The message as parts.
    #[must_use]
    pub fn finish(self) -> Encoded {
        let len = self.len();
        let mut own = self.own.freeze();
        let mut parts = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut cut = 0;
        for (position, shared) in self.shared {
            if position > cut {
                parts.push(own.split_to(position - cut));
                cut = position;
            }
            parts.push(shared);
        }
        if !own.is_empty() {
            parts.push(own);
        }
        Encoded { parts, len }
    }

    /// The frame as parts, its size written into the room that [`Writer::for_frame`] left.
    pub fn finish_frame(mut self) -> Result<Encoded, EncodeError> {
        let length = self.len().saturating_sub(SIZE_PREFIX_BYTES);
        let size = i32::try_from(length).map_err(|_| EncodeError::TooLong { length })?;
        if let Some(prefix) = self.own.first_chunk_mut() {
            *prefix = size.to_be_bytes();
        }
        Ok(self.finish())
    }

    fn put_compact_length(&mut self, length: Option<usize>) -> Result<(), EncodeError> {
        let plus_one = length.map_or(Ok(0), |length| {
            // The Java clients hold lengths in 31 bits.
            let small = i32::try_from(length)
                .ok()
                .and_then(|small| small.checked_add(1));
            let small = small.ok_or(EncodeError::TooLong { length })?;
            u32::try_from(small).map_err(|_| EncodeError::TooLong { length })
        })?;
        self.put_uvarint(plus_one);
        Ok(())
    }
}

impl Encoded {
    /// The parts, none of them empty, for one vectored write.
    #[must_use]
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// The parts, to be taken one by one.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// The size of all parts together in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The message in one piece; copies, unless it is of one part.
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

/// Below this a copy is cheaper than one more part of a vectored write and a counted reference.
const SHARED_BYTES_MIN: usize = 512;

/// Room for a small frame; most responses fit, apart from their records.
const FRAME_BYTES: usize = 1024;

/// The size in front of a frame is an int32.
const SIZE_PREFIX_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const OLD: Version = Version::new(0, false);
    const FLEXIBLE: Version = Version::new(9, true);

    #[test]
    fn a_string_that_is_too_long_is_refused() {
        let longest = Str::from("x".repeat(STR_BYTES_MAX));
        let longer = Str::from("x".repeat(STR_BYTES_MAX + 1));
        for version in [OLD, FLEXIBLE] {
            assert_eq!(Writer::new().put_str(&longest, version), Ok(()));
            let error = EncodeError::TooLong {
                length: STR_BYTES_MAX + 1,
            };
            assert_eq!(Writer::new().put_str(&longer, version), Err(error));
        }
    }

    #[test]
    fn large_bytes_are_shared_and_small_ones_copied() {
        let large = Bytes::from(vec![7; SHARED_BYTES_MIN]);
        let mut writer = Writer::for_frame();
        writer.put_nullable_bytes(Some(&large), OLD).unwrap();
        writer
            .put_nullable_bytes(Some(&large.slice(1..)), OLD)
            .unwrap();
        writer.put_nullable_bytes(Some(&large), OLD).unwrap();
        let frame = writer.finish_frame().unwrap();
        let [first, shared, between, last] = frame.parts() else {
            panic!("{frame:?}")
        };
        assert_eq!(shared.as_ptr(), large.as_ptr());
        assert_eq!(last.as_ptr(), large.as_ptr());
        assert_eq!(first[..], [0, 0, 6, 11, 0, 0, 2, 0]);
        assert_eq!(between.len(), 4 + 511 + 4);
        assert_eq!(frame.len(), 4 + 0x060b);
        assert_eq!(frame.into_bytes().len(), 4 + 0x060b);
    }

    proptest! {
        #[test]
        fn the_parts_joined_are_what_was_put(
            pieces in vec(prop_oneof![vec(any::<u8>(), 0..8), vec(any::<u8>(), 500..530)], 0..9),
            middle in 0_usize..9,
        ) {
            let mut writer = Writer::new();
            let (front, back) = pieces.split_at(middle.min(pieces.len()));
            front.iter().for_each(|piece| writer.put_shared(&Bytes::from(piece.clone())));
            let mut other = Writer::new();
            back.iter().for_each(|piece| other.put_shared(&Bytes::from(piece.clone())));
            writer.append(other);
            prop_assert_eq!(writer.len(), pieces.concat().len());
            let encoded = writer.finish();
            prop_assert!(encoded.parts().iter().all(|part| !part.is_empty()));
            prop_assert_eq!(encoded.len(), pieces.concat().len());
            prop_assert_eq!(encoded.into_bytes(), pieces.concat());
        }
    }
}
