//! `Wire`: how a value stands in a message, for the primitives and for arrays.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - An array is paid for from the reader's allowance and then allocated in its exact size.
//! - Types nest as the tables of `messages/` nest: none contains itself, so decoding has no depth
//!   that an input could choose.

use std::fmt;

use bytes::Bytes;

use crate::cursor::{EncodeError, Reader, Records, Str, Uuid, Version, Writer};
use crate::error::DecodeError;

/// What can stand in a message: primitives, arrays and the structs of `message!`.
pub trait Wire: Sized {
    /// The least number of bytes that a value takes on the wire in this version.
    fn bytes_min(version: Version) -> usize;

    /// Takes one value off the reader.
    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError>;

    /// Appends the value to the writer.
    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError>;

    /// Whether the value is the null of a type that has one.
    #[inline]
    fn is_null(&self) -> bool {
        false
    }

    /// Calls `tell` with each error code in it, 0 included.
    #[inline]
    fn error_codes(&self, _tell: &mut dyn FnMut(i16)) {}
}

/// A primitive whose reader and writer calls need no version.
macro_rules! fixed {
    ($($ty:ty: $size:literal, $read:ident, $put:ident;)+) => { $(
        impl Wire for $ty {
            #[inline]
            fn bytes_min(_: Version) -> usize {
                $size
            }

            #[inline]
            fn decode(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
                reader.$read()
            }

            #[inline]
            fn encode(&self, writer: &mut Writer, _: Version) -> Result<(), EncodeError> {
                writer.$put(*self);
                Ok(())
            }
        }
    )+ };
}

fixed! {
    bool: 1, bool, put_bool;
    i8: 1, i8, put_i8;
    i16: 2, i16, put_i16;
    u16: 2, u16, put_u16;
    i32: 4, i32, put_i32;
    i64: 8, i64, put_i64;
    f64: 8, f64, put_f64;
    Uuid: 16, uuid, put_uuid;
}

impl Wire for Str {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        if version.flexible { 1 } else { 2 }
    }

    #[inline]
    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        reader.str(version)
    }

    #[inline]
    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        writer.put_nullable_str(Some(self), version)
    }
}

impl Wire for Option<Str> {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        Str::bytes_min(version)
    }

    #[inline]
    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        reader.nullable_str(version)
    }

    #[inline]
    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        writer.put_nullable_str(self.as_ref(), version)
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

/// Records are never null: a null that another broker sends is read as empty, none is written.
/// (Some releases of Kafka answer a Fetch with null records, which some clients fail on.)
impl Wire for Records {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        length_bytes_min(version)
    }

    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        Ok(reader
            .nullable_bytes(version)?
            .map(Self::from)
            .unwrap_or_default())
    }

    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        writer.put_count(Some(self.len()), version)?;
        self.parts().iter().for_each(|part| writer.put_shared(part));
        Ok(())
    }
}

impl Wire for Option<Bytes> {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        length_bytes_min(version)
    }

    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        reader.nullable_bytes(version)
    }

    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        writer.put_nullable_bytes(self.as_ref(), version)
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

/// Bytes that no `Debug` prints: a token or a password on its way.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(
    /// The bytes.
    pub Bytes,
);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl From<Vec<u8>> for Hidden {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Wire for Hidden {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        Bytes::bytes_min(version)
    }

    #[inline]
    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        Bytes::decode(reader, version).map(Self)
    }

    #[inline]
    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        self.0.encode(writer, version)
    }
}

impl Wire for Bytes {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        length_bytes_min(version)
    }

    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        reader
            .nullable_bytes(version)?
            .ok_or_else(|| reader.error("null where bytes must stand"))
    }

    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        writer.put_nullable_bytes(Some(self), version)
    }
}

impl<T: Wire> Wire for Vec<T> {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        length_bytes_min(version)
    }

    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        Option::<Self>::decode(reader, version)?
            .ok_or_else(|| reader.error("null where an array must stand"))
    }

    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        writer.put_count(Some(self.len()), version)?;
        self.iter()
            .try_for_each(|element| element.encode(writer, version))
    }

    #[inline]
    fn error_codes(&self, tell: &mut dyn FnMut(i16)) {
        self.iter().for_each(|element| element.error_codes(tell));
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    #[inline]
    fn bytes_min(version: Version) -> usize {
        length_bytes_min(version)
    }

    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
        let count = reader.count(version, T::bytes_min(version), size_of::<T>())?;
        let Some(count) = count else { return Ok(None) };
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode(reader, version)?);
        }
        Ok(Some(elements))
    }

    fn encode(&self, writer: &mut Writer, version: Version) -> Result<(), EncodeError> {
        match self {
            Some(elements) => elements.encode(writer, version),
            None => writer.put_count(None, version),
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }

    #[inline]
    fn error_codes(&self, tell: &mut dyn FnMut(i16)) {
        self.iter().for_each(|elements| elements.error_codes(tell));
    }
}

/// The least that the length of a byte string or the count of an array takes.
#[inline]
const fn length_bytes_min(version: Version) -> usize {
    if version.flexible { 1 } else { 4 }
}

/// Makes `Option` of a struct of `message!` a field: a byte before it says whether it is there.
macro_rules! nullable {
    ($name:ident) => {
        impl $crate::kafka::wire::Wire for Option<$name> {
            fn bytes_min(_: $crate::cursor::Version) -> usize {
                1
            }

            fn decode(
                reader: &mut $crate::cursor::Reader,
                version: $crate::cursor::Version,
            ) -> Result<Self, $crate::error::DecodeError> {
                match reader.i8()? {
                    $crate::kafka::wire::NULL => Ok(None),
                    $crate::kafka::wire::PRESENT => $name::decode(reader, version).map(Some),
                    _ => Err(reader.error("neither -1 nor 1 before a struct that may be null")),
                }
            }

            fn encode(
                &self,
                writer: &mut $crate::cursor::Writer,
                version: $crate::cursor::Version,
            ) -> Result<(), $crate::cursor::EncodeError> {
                match self {
                    Some(value) => {
                        writer.put_i8($crate::kafka::wire::PRESENT);
                        value.encode(writer, version)
                    }
                    None => {
                        writer.put_i8($crate::kafka::wire::NULL);
                        Ok(())
                    }
                }
            }

            fn is_null(&self) -> bool {
                self.is_none()
            }
        }

        #[cfg(test)]
        impl $crate::kafka::arbitrary::Arbitrary for Option<$name> {
            fn arbitrary(
                entropy: &mut $crate::kafka::arbitrary::Entropy,
                version: $crate::cursor::Version,
            ) -> Self {
                entropy
                    .present()
                    .then(|| $name::arbitrary(entropy, version))
            }
        }
    };
}

pub(crate) use nullable;

/// What stands before a struct that is null.
pub(crate) const NULL: i8 = -1;
/// What stands before a struct that might be null and is not.
pub(crate) const PRESENT: i8 = 1;
