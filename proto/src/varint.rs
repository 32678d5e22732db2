//! Variable-length integers: unsigned, and signed by zigzag.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - Reading looks at no more than 5 bytes (32 bits) or 10 bytes (64 bits), and refuses a value
//!   that does not fit its type.
//! - What is written is the shortest form; a longer form with padding is accepted when read, as
//!   every Kafka client does.
//!
//! ```
//! use highwater_proto::varint;
//!
//! let mut bytes = Vec::new();
//! varint::put_i32(&mut bytes, -65);
//! assert_eq!(bytes, [0x81, 0x01]);
//! assert_eq!(varint::read_i32(&bytes)?, (-65, 2));
//! # Ok::<(), highwater_proto::error::DecodeError>(())
//! ```

use bytes::BufMut;

use crate::error::{DecodeError, DecodeErrorKind};

/// The most bytes that a value of 32 bits takes.
pub const BYTES_MAX_32: usize = 5;
/// The most bytes that a value of 64 bits takes.
pub const BYTES_MAX_64: usize = 10;

/// Reads an unsigned integer from the front of `bytes`; gives it and how many bytes it took.
#[inline]
pub fn read_u32(bytes: &[u8]) -> Result<(u32, usize), DecodeError> {
    // Most lengths and deltas take one byte.
    if let Some(&byte) = bytes.first()
        && byte < CONTINUES
    {
        return Ok((u32::from(byte), 1));
    }
    let mut value = 0_u32;
    for (index, &byte) in bytes.iter().take(BYTES_MAX_32).enumerate() {
        let bits = u32::from(byte & BITS);
        // The fifth byte holds the upper four of 32 bits.
        if index == BYTES_MAX_32 - 1 && bits > 0x0f {
            break;
        }
        value |= bits << (7 * index);
        if byte < CONTINUES {
            return Ok((value, index + 1));
        }
    }
    Err(unreadable(bytes, BYTES_MAX_32))
}

/// Reads an unsigned integer of 64 bits from the front of `bytes`.
#[inline]
pub fn read_u64(bytes: &[u8]) -> Result<(u64, usize), DecodeError> {
    if let Some(&byte) = bytes.first()
        && byte < CONTINUES
    {
        return Ok((u64::from(byte), 1));
    }
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(BYTES_MAX_64).enumerate() {
        let bits = u64::from(byte & BITS);
        // The tenth byte holds the topmost bit of 64.
        if index == BYTES_MAX_64 - 1 && bits > 1 {
            break;
        }
        value |= bits << (7 * index);
        if byte < CONTINUES {
            return Ok((value, index + 1));
        }
    }
    Err(unreadable(bytes, BYTES_MAX_64))
}

/// Reads a zigzag integer of 32 bits from the front of `bytes`.
#[inline]
pub fn read_i32(bytes: &[u8]) -> Result<(i32, usize), DecodeError> {
    read_u32(bytes).map(|(raw, used)| ((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed(), used))
}

/// Reads a zigzag integer of 64 bits from the front of `bytes`.
#[inline]
pub fn read_i64(bytes: &[u8]) -> Result<(i64, usize), DecodeError> {
    read_u64(bytes).map(|(raw, used)| ((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed(), used))
}

/// Appends an unsigned integer.
#[inline]
pub fn put_u32(target: &mut impl BufMut, value: u32) {
    put_u64(target, u64::from(value));
}

/// Appends an unsigned integer of 64 bits.
#[inline]
pub fn put_u64(target: &mut impl BufMut, mut value: u64) {
    while value >= u64::from(CONTINUES) {
        let [low, ..] = value.to_le_bytes();
        target.put_u8(low | CONTINUES);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    target.put_u8(low);
}

/// Appends a zigzag integer of 32 bits.
#[inline]
pub fn put_i32(target: &mut impl BufMut, value: i32) {
    put_u32(target, zigzag_32(value));
}

/// Appends a zigzag integer of 64 bits.
#[inline]
pub fn put_i64(target: &mut impl BufMut, value: i64) {
    put_u64(target, zigzag_64(value));
}

/// How many bytes [`put_u32`] appends: 1 to 5.
#[inline]
#[must_use]
pub const fn size_u32(value: u32) -> usize {
    (BITS_32 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// How many bytes [`put_u64`] appends: 1 to 10.
#[inline]
#[must_use]
pub const fn size_u64(value: u64) -> usize {
    (BITS_64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// How many bytes [`put_i32`] appends: 1 to 5.
#[inline]
#[must_use]
pub const fn size_i32(value: i32) -> usize {
    size_u32(zigzag_32(value))
}

/// How many bytes [`put_i64`] appends: 1 to 10.
#[inline]
#[must_use]
pub const fn size_i64(value: i64) -> usize {
    size_u64(zigzag_64(value))
}

/// 0, -1, 1, -2 become 0, 1, 2, 3.
const fn zigzag_32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

const fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Why no integer could be read: the input is too short, or the integer too long.
#[cold]
const fn unreadable(bytes: &[u8], bytes_max: usize) -> DecodeError {
    let left = bytes.len();
    if left < bytes_max {
        let wanted = left + 1;
        return DecodeError::at(left, DecodeErrorKind::UnexpectedEnd { wanted, left });
    }
    let bytes_max = if bytes_max == BYTES_MAX_32 { 5 } else { 10 };
    DecodeError::at(0, DecodeErrorKind::BadVarint { bytes_max })
}

/// The bit that says that another byte follows.
const CONTINUES: u8 = 0x80;
/// The seven bits of value in a byte.
const BITS: u8 = 0x7f;
const BITS_32: u32 = u32::BITS;
const BITS_64: u32 = u64::BITS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unsigned_vectors() {
        let vectors: [(u32, &[u8]); 7] = [
            (0, &[0x00]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (16384, &[0x80, 0x80, 0x01]),
            (2_147_483_647, &[0xff, 0xff, 0xff, 0xff, 0x07]),
            (4_294_967_295, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in vectors {
            let mut written = Vec::new();
            put_u32(&mut written, value);
            assert_eq!(written, bytes, "{value}");
            assert_eq!(read_u32(bytes), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn zigzag_vectors() {
        let vectors: [(i32, &[u8]); 10] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (-65, &[0x81, 0x01]),
            (300, &[0xd8, 0x04]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ];
        for (value, bytes) in vectors {
            let mut written = Vec::new();
            put_i32(&mut written, value);
            assert_eq!(written, bytes, "{value}");
            assert_eq!(read_i32(bytes), Ok((value, bytes.len())));
        }
        let extremes: [(i64, u8); 2] = [(i64::MAX, 0xfe), (i64::MIN, 0xff)];
        for (value, first) in extremes {
            let mut written = Vec::new();
            put_i64(&mut written, value);
            let mut bytes = vec![0xff; 9];
            bytes[0] = first;
            bytes.push(0x01);
            assert_eq!(written, bytes);
            assert_eq!(read_i64(&bytes), Ok((value, 10)));
        }
    }

    #[test]
    fn too_long_and_too_wide_is_refused() {
        let bad = |bytes_max| Err(DecodeError::at(0, DecodeErrorKind::BadVarint { bytes_max }));
        assert_eq!(read_u32(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), bad(5));
        assert_eq!(read_u32(&[0xff, 0xff, 0xff, 0xff, 0x10]), bad(5));
        let mut wide = [0xff; 10];
        assert_eq!(read_i64(&wide), bad(10).map(|_: (u32, usize)| (0, 0)));
        wide[9] = 0x02;
        assert_eq!(read_u64(&wide), bad(10).map(|_: (u32, usize)| (0, 0)));
        // Padding within the five bytes is legal.
        assert_eq!(read_u32(&[0x81, 0x80, 0x00]), Ok((1, 3)));
    }

    #[test]
    fn a_short_input_says_so() {
        let end = |at| {
            let kind = DecodeErrorKind::UnexpectedEnd {
                wanted: at + 1,
                left: at,
            };
            Err(DecodeError::at(at, kind))
        };
        assert_eq!(read_u32(&[]), end(0));
        assert_eq!(read_u32(&[0x80, 0xff]), end(2));
    }

    proptest! {
        #[test]
        fn round_trips(value: i64, narrow: i32, rest: [u8; 3]) {
            let mut bytes = Vec::new();
            put_i64(&mut bytes, value);
            prop_assert_eq!(bytes.len(), size_i64(value));
            bytes.extend(rest);
            prop_assert_eq!(read_i64(&bytes), Ok((value, size_i64(value))));

            bytes.clear();
            put_i32(&mut bytes, narrow);
            prop_assert_eq!(bytes.len(), size_i32(narrow));
            bytes.extend(rest);
            prop_assert_eq!(read_i32(&bytes), Ok((narrow, size_i32(narrow))));
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok((value, used)) = read_u64(&bytes) {
                prop_assert!(used <= BYTES_MAX_64 && used >= size_u64(value));
            }
            if let Ok((value, used)) = read_u32(&bytes) {
                prop_assert!(used <= BYTES_MAX_32 && used >= size_u32(value));
            }
        }
    }
}
