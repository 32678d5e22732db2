//! `message!`: the layouts of Kafka's messages as tables that compile.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - The order of the fields in a table is their order on the wire; tagged fields come last, their
//!   numbers ascending.
//! - A field outside its versions decodes to its default. Encoding another value there is an error,
//!   unless the field is `ignorable`: then it is left out.
//!
//! A table reads like this:
//! ```text
//! message! {
//!     /// One topic of a request.
//!     SampleTopic {
//!         name: Str [..=12] ignorable,              // versions up to 12; silently absent later
//!         topic_id: Uuid [13..],                    // from version 13 on
//!         epoch: i32 [9..] = -1,                    // Kafka's default where it is not zero
//!         note: Option<Str> [..; null 5..],         // always there, may be null from 5 on
//!         partitions: Vec<i32>,                     // always there
//!         @tag 0 leader: SampleLeader [12..],       // a tagged field of the flexible versions
//!     }
//! }
//! ```

use super::wire::Wire;
use crate::cursor::{EncodeError, Reader, Version, Writer};
use crate::error::DecodeError;

/// How a field stands in the version at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The message and the field, for errors.
    pub(crate) name: &'static str,
    /// Whether the version carries the field.
    pub(crate) on_wire: bool,
    /// Whether the version lets it be null, if its type can be.
    pub(crate) nullable: bool,
    /// Whether a value that the version cannot carry is left out without an error.
    pub(crate) ignorable: bool,
}

impl Field {
    #[inline]
    pub(crate) fn bytes_min<T: Wire>(self, version: Version) -> usize {
        if self.on_wire {
            T::bytes_min(version)
        } else {
            0
        }
    }

    #[inline]
    pub(crate) fn decode<T: Wire>(
        self,
        reader: &mut Reader,
        version: Version,
        default: impl FnOnce() -> T,
    ) -> Result<T, DecodeError> {
        if !self.on_wire {
            return Ok(default());
        }
        let value = T::decode(reader, version)?;
        if value.is_null() && !self.nullable {
            return Err(reader.error("null in a version that does not allow it"));
        }
        Ok(value)
    }

    #[inline]
    pub(crate) fn encode<T: Wire + PartialEq>(
        self,
        value: &T,
        writer: &mut Writer,
        version: Version,
        default: impl FnOnce() -> T,
    ) -> Result<(), EncodeError> {
        let (field, number) = (self.name, version.number);
        if !self.on_wire {
            return if self.ignorable || *value == default() {
                Ok(())
            } else {
                Err(EncodeError::FieldNotInVersion {
                    field,
                    version: number,
                })
            };
        }
        if value.is_null() && !self.nullable {
            return Err(EncodeError::NullNotInVersion {
                field,
                version: number,
            });
        }
        value.encode(writer, version)
    }
}

/// The tag section of a struct in the making.
#[derive(Debug)]
pub(crate) struct TagSection {
    version: Version,
    count: u32,
    fields: Writer,
}

impl TagSection {
    pub(crate) fn new(version: Version) -> Self {
        Self {
            version,
            count: 0,
            fields: Writer::new(),
        }
    }

    /// Adds a tagged field unless it has its default value.
    pub(crate) fn put<T: Wire + PartialEq>(
        mut self,
        field: Field,
        tag: u32,
        value: &T,
        default: impl FnOnce() -> T,
    ) -> Result<Self, EncodeError> {
        if *value != default() {
            if field.on_wire {
                self.count += 1;
                self.fields
                    .put_tag(tag, |writer| value.encode(writer, self.version))?;
            } else if !field.ignorable {
                let version = self.version.number;
                return Err(EncodeError::FieldNotInVersion {
                    field: field.name,
                    version,
                });
            }
        }
        Ok(self)
    }

    /// Writes the section, if the version has one.
    pub(crate) fn finish(self, writer: &mut Writer) {
        if self.version.flexible {
            writer.put_uvarint(self.count);
            writer.append(self.fields);
        }
    }
}

/// Declares structs together with their layout in every version; see the head of this module.
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $ty:ty
                $([$range:expr $(; null $null:expr)?] $($ignorable:ident)?)?
                $(= $default:expr)?,
            )*
            $(
                @tag $tag:literal $tagged:ident: $tagged_ty:ty [$tagged_range:expr]
                $($tagged_ignorable:ident)? $(= $tagged_default:expr)?,
            )*
        }
    )+) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(
                #[doc = message!(@doc $ty, [$($range $(; null $null)?)?] [$($default)?]
                    [$($($ignorable)?)?])]
                $(#[$field_meta])*
                pub $field: $ty,
            )*
            $(
                #[doc = message!(@doc $tagged_ty, [$tagged_range] [$($tagged_default)?]
                    [tag $tag $($tagged_ignorable)?])]
                pub $tagged: $tagged_ty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($field: message!(@default $($default)?),)*
                    $($tagged: message!(@default $($tagged_default)?),)*
                }
            }
        }

        impl $crate::kafka::wire::Wire for $name {
            fn bytes_min(version: $crate::cursor::Version) -> usize {
                // The tag section takes one byte at least.
                usize::from(version.flexible) $(
                    + message!(@field version, $name.$field, [$($range $(; null $null)?)?]
                        [$($($ignorable)?)?]).bytes_min::<$ty>(version)
                )*
            }

            fn decode(
                reader: &mut $crate::cursor::Reader,
                version: $crate::cursor::Version,
            ) -> Result<Self, $crate::error::DecodeError> {
                $(
                    let $field: $ty = message!(@field version, $name.$field,
                        [$($range $(; null $null)?)?] [$($($ignorable)?)?])
                        .decode(reader, version, || message!(@default $($default)?))?;
                )*
                $(let mut $tagged: $tagged_ty = message!(@default $($tagged_default)?);)*
                if version.flexible {
                    reader.tags(|reader, tag| {
                        match tag {
                            $($tag if version.within($tagged_range) => {
                                $tagged = $crate::kafka::wire::Wire::decode(reader, version)?;
                            })*
                            _ => reader.skip_rest(),
                        }
                        Ok(())
                    })?;
                }
                Ok(Self { $($field,)* $($tagged,)* })
            }

            fn encode(
                &self,
                writer: &mut $crate::cursor::Writer,
                version: $crate::cursor::Version,
            ) -> Result<(), $crate::cursor::EncodeError> {
                $(
                    message!(@field version, $name.$field, [$($range $(; null $null)?)?]
                        [$($($ignorable)?)?])
                        .encode(&self.$field, writer, version, || message!(@default $($default)?))?;
                )*
                $crate::kafka::message::TagSection::new(version)
                    $(.put(
                        message!(@field version, $name.$tagged, [$tagged_range]
                            [$($tagged_ignorable)?]),
                        $tag,
                        &self.$tagged,
                        || message!(@default $($tagged_default)?),
                    )?)*
                    .finish(writer);
                Ok(())
            }

            #[inline]
            fn error_codes(&self, tell: &mut dyn FnMut(i16)) {
                $(message!(@error_codes $field, &self.$field, tell);)*
                $(message!(@error_codes $tagged, &self.$tagged, tell);)*
            }
        }

        #[cfg(test)]
        impl $crate::kafka::arbitrary::Arbitrary for $name {
            fn arbitrary(
                entropy: &mut $crate::kafka::arbitrary::Entropy,
                version: $crate::cursor::Version,
            ) -> Self {
                Self {
                    $($field: message!(@field version, $name.$field,
                        [$($range $(; null $null)?)?] [$($($ignorable)?)?])
                        .arbitrary(entropy, version, || message!(@default $($default)?)),)*
                    $($tagged: message!(@field version, $name.$tagged, [$tagged_range]
                        [$($tagged_ignorable)?])
                        .arbitrary(entropy, version, || message!(@default $($tagged_default)?)),)*
                }
            }
        }
    )+ };

    // The name says what the number is.
    (@error_codes error_code, $code:expr, $tell:ident) => { $tell(*$code) };
    (@error_codes $field:ident, $value:expr, $tell:ident) => {
        $crate::kafka::wire::Wire::error_codes($value, $tell)
    };

    (@default) => { ::std::default::Default::default() };
    (@default $default:expr) => { $default };

    // Without a range a field is in every version; without `null` its null is in every version.
    (@field $version:ident, $name:ident.$field:ident, [] $ignorable:tt) => {
        message!(@field $version, $name.$field, [..] $ignorable)
    };
    (@field $version:ident, $name:ident.$field:ident, [$range:expr] $ignorable:tt) => {
        message!(@field $version, $name.$field, [$range; null ..] $ignorable)
    };
    (@field $version:ident, $name:ident.$field:ident, [$range:expr; null $null:expr]
        $ignorable:tt) => {
        $crate::kafka::message::Field {
            name: concat!(stringify!($name), ".", stringify!($field)),
            on_wire: $version.within($range),
            nullable: $version.within($null),
            ignorable: message!(@ignorable $ignorable),
        }
    };
    (@ignorable []) => { false };
    (@ignorable [ignorable]) => { true };

    // The closing line break makes a paragraph of its own of what the table says about a field.
    (@doc $ty:ty, [$($range:tt)*] [$($default:expr)?] [$($flag:tt)*]) => {
        concat!(
            "`", stringify!($ty), "`",
            message!(@doc_versions $($range)*),
            $(" (default `", stringify!($default), "`)",)?
            message!(@doc_flag $($flag)*),
            "\n"
        )
    };
    (@doc_versions) => { "" };
    (@doc_versions $range:expr) => { concat!(", versions `", stringify!($range), "`") };
    (@doc_versions $range:expr; null $null:expr) => {
        concat!(", versions `", stringify!($range), "`, may be null in `", stringify!($null), "`")
    };
    (@doc_flag) => { "" };
    (@doc_flag $flag:ident) => { concat!(", ", stringify!($flag)) };
    (@doc_flag tag $tag:literal $($flag:ident)?) => {
        concat!(", tagged field ", stringify!($tag) $(, ", ", stringify!($flag))?)
    };
}

pub(crate) use message;
