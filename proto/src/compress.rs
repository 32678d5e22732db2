//! The codecs of record batches: each compresses and decompresses the records as one block.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - No decoder gives more than the cap it was given, and none allocates ahead of what it has
//!   produced: a bomb costs its cap at most, and then an error.
//! - What is written is what Java clients and librdkafka read.
//! - A codec whose feature is off is an error that names the feature, never a silent copy.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(any(feature = "gzip", feature = "zstd"))]
mod output;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in blocks, or as one block.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Codec {
    /// Every codec, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec that the attributes of a batch name in their three lowest bits; `None` for the
    /// numbers 5 to 7, which no codec has.
    #[inline]
    #[must_use]
    pub const fn from_attributes(attributes: i16) -> Option<Self> {
        match attributes & 0b111 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The number of the codec: the three lowest bits of the attributes.
    #[inline]
    #[must_use]
    pub const fn attributes(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The name of the codec, as in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build compresses and decompresses with the codec.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = CodecNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| CodecNameError {
                name: name.to_owned(),
            })
    }
}

/// No codec has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no codec is called {name:?}; choose one of none, gzip, snappy, lz4 and zstd")]
pub struct CodecNameError {
    /// The name as it was given.
    pub name: String,
}

/// Why bytes could not be compressed or decompressed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// This build does not have the codec.
    #[error("{codec} is not part of this build; build with the feature \"{codec}\"")]
    NotBuiltIn {
        /// The codec that is missing; its feature has the same name.
        codec: Codec,
    },
    /// The bytes are not what the codec writes.
    #[error("the bytes are not valid {codec}: {why}")]
    Corrupt {
        /// The codec that read them.
        codec: Codec,
        /// What is wrong with them.
        why: String,
    },
    /// The output would exceed its cap.
    #[error("the bytes decompress to more than the {max} bytes that are allowed")]
    TooLarge {
        /// The cap in bytes.
        max: usize,
    },
}

impl CodecError {
    /// The bytes are not what `codec` writes.
    #[cfg(any(
        feature = "gzip",
        feature = "zstd",
        feature = "snappy",
        feature = "lz4"
    ))]
    fn corrupt(codec: Codec, why: impl fmt::Display) -> Self {
        Self::Corrupt {
            codec,
            why: why.to_string(),
        }
    }
}

/// Compresses `input`.
///
/// ```
/// use highwater_proto::compress::{Codec, compress, decompress};
///
/// # if !Codec::Lz4.is_built_in() {
/// #     return Ok::<(), highwater_proto::compress::CodecError>(());
/// # }
/// let packed = compress(Codec::Lz4, &[7; 1000])?;
/// assert!(packed.len() < 100);
/// assert_eq!(decompress(Codec::Lz4, &packed, 1000)?, vec![7; 1000]);
/// # Ok::<(), highwater_proto::compress::CodecError>(())
/// ```
pub fn compress(codec: Codec, input: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut output = Vec::new();
    compress_into(codec, input, &mut output)?;
    Ok(output)
}

/// Compresses `input` behind what `output` holds already.
pub(crate) fn compress_into(
    codec: Codec,
    input: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), CodecError> {
    match codec {
        Codec::None => {
            output.extend_from_slice(input);
            Ok(())
        }
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::compress(input, output),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::compress(input, output),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::compress(input, output),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::compress(input, output),
        #[cfg(not(all(
            feature = "gzip",
            feature = "snappy",
            feature = "lz4",
            feature = "zstd"
        )))]
        _ => Err(CodecError::NotBuiltIn { codec }),
    }
}

/// Decompresses `input` to at most `output_bytes_max` bytes.
///
/// ```
/// use highwater_proto::compress::{Codec, CodecError, compress, decompress};
///
/// # if !Codec::Gzip.is_built_in() {
/// #     return Ok::<(), CodecError>(());
/// # }
/// let packed = compress(Codec::Gzip, &[0; 100_000])?;
/// assert_eq!(
///     decompress(Codec::Gzip, &packed, 99_999),
///     Err(CodecError::TooLarge { max: 99_999 }),
/// );
/// # Ok::<(), CodecError>(())
/// ```
pub fn decompress(
    codec: Codec,
    input: &[u8],
    output_bytes_max: usize,
) -> Result<Vec<u8>, CodecError> {
    match codec {
        Codec::None if input.len() > output_bytes_max => Err(CodecError::TooLarge {
            max: output_bytes_max,
        }),
        Codec::None => Ok(input.to_vec()),
        #[cfg(feature = "gzip")]
        Codec::Gzip => gzip::decompress(input, output_bytes_max),
        #[cfg(feature = "snappy")]
        Codec::Snappy => snappy::decompress(input, output_bytes_max),
        #[cfg(feature = "lz4")]
        Codec::Lz4 => lz4::decompress(input, output_bytes_max),
        #[cfg(feature = "zstd")]
        Codec::Zstd => zstd::decompress(input, output_bytes_max),
        #[cfg(not(all(
            feature = "gzip",
            feature = "snappy",
            feature = "lz4",
            feature = "zstd"
        )))]
        _ => Err(CodecError::NotBuiltIn { codec }),
    }
}

#[cfg(all(
    test,
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]
mod tests;

#[cfg(test)]
#[cfg(not(feature = "lz4"))]
mod tests_without_lz4 {
    use super::*;

    #[test]
    fn a_codec_that_is_off_names_its_feature() {
        assert!(!Codec::Lz4.is_built_in());
        let error = compress(Codec::Lz4, b"x").unwrap_err();
        assert_eq!(error, decompress(Codec::Lz4, b"x", 1).unwrap_err());
        assert!(
            error
                .to_string()
                .ends_with("build with the feature \"lz4\""),
            "{error}"
        );
    }
}
