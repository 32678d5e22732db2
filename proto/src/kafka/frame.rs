//! Frames of the Kafka wire: the size in front, the headers of requests and responses.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - A size is judged before a byte of the frame is allocated or read.
//! - The client id always has a length of two bytes, in flexible versions too.
//! - The response to ApiVersions has a header without tags in every version: whoever asks does not
//!   know yet what the other side speaks.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::cursor::{EncodeError, Reader, Str, Version, Writer};
use crate::error::DecodeError;

/// The size prefix of a frame in bytes.
pub const SIZE_BYTES: usize = 4;

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The number of the API.
    pub key: i16,
    /// The version of the API, which the broker may not have.
    pub version: i16,
    /// Chosen by the client, repeated in the response.
    pub correlation_id: i32,
    /// The name that the client gives itself.
    pub client_id: Option<Str>,
}

/// Why four bytes are not the size of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Less than the smallest header.
    #[error("a frame of {size} bytes is too small for a header: the peer does not speak Kafka")]
    TooSmall {
        /// The announced size in bytes.
        size: i32,
    },
    /// More than this side is willing to take.
    #[error("a frame of {size} bytes exceeds the limit of {bytes_max}: raise it or send less")]
    TooLarge {
        /// The announced size in bytes.
        size: i32,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The first bytes of another protocol.
    #[error("{0}")]
    Foreign(FrameHint),
}

/// Another protocol, known by its first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameHint {
    /// A request or response of HTTP.
    Http,
    /// A handshake or an alert of TLS.
    Tls,
}

impl FrameHint {
    /// The protocol that starts with these bytes, if it is a known one.
    #[must_use]
    pub const fn of(start: [u8; SIZE_BYTES]) -> Option<Self> {
        match &start {
            b"GET " | b"POST" | b"PUT " | b"HEAD" | b"DELE" | b"OPTI" | b"PATC" | b"CONN"
            | b"TRAC" | b"PRI " | b"HTTP" => Some(Self::Http),
            // Record type handshake or alert, then TLS 1.0 to 1.3.
            [0x15 | 0x16, 0x03, 0x01..=0x04, _] => Some(Self::Tls),
            _ => None,
        }
    }
}

impl fmt::Display for FrameHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "the peer speaks HTTP, not Kafka: check the port",
            Self::Tls => "the peer speaks TLS on a plaintext connection: check security.protocol",
        })
    }
}

/// The size of the request that follows these four bytes, if it is acceptable.
pub const fn request_size(prefix: [u8; SIZE_BYTES], bytes_max: usize) -> Result<usize, FrameError> {
    size(prefix, REQUEST_BYTES_MIN, bytes_max)
}

/// The size of the response that follows these four bytes, if it is acceptable.
pub const fn response_size(
    prefix: [u8; SIZE_BYTES],
    bytes_max: usize,
) -> Result<usize, FrameError> {
    size(prefix, RESPONSE_BYTES_MIN, bytes_max)
}

const fn size(
    prefix: [u8; SIZE_BYTES],
    bytes_min: usize,
    bytes_max: usize,
) -> Result<usize, FrameError> {
    // Before the limit is looked at, which may be so large that "GET " is a legal size.
    if let Some(hint) = FrameHint::of(prefix) {
        return Err(FrameError::Foreign(hint));
    }
    let size = i32::from_be_bytes(prefix);
    if size < 0 {
        return Err(FrameError::TooSmall { size });
    }
    let bytes = size.unsigned_abs() as usize;
    if bytes < bytes_min {
        Err(FrameError::TooSmall { size })
    } else if bytes > bytes_max {
        Err(FrameError::TooLarge { size, bytes_max })
    } else {
        Ok(bytes)
    }
}

impl RequestHeader {
    /// Takes the header off a request without its size prefix; what is left is the body.
    ///
    /// `is_flexible` tells by key and version whether the header ends in a tag section.
    pub fn decode(
        reader: &mut Reader,
        is_flexible: impl FnOnce(i16, i16) -> bool,
    ) -> Result<Self, DecodeError> {
        let header = Self {
            key: reader.i16()?,
            version: reader.i16()?,
            correlation_id: reader.i32()?,
            client_id: reader.nullable_str(OLD_STYLE)?,
        };
        if is_flexible(header.key, header.version) {
            reader.skip_tags()?;
        }
        Ok(header)
    }

    /// Puts the header of a request whose body follows.
    pub fn encode(&self, writer: &mut Writer, is_flexible: bool) -> Result<(), EncodeError> {
        writer.put_i16(self.key);
        writer.put_i16(self.version);
        writer.put_i32(self.correlation_id);
        writer.put_nullable_str(self.client_id.as_ref(), OLD_STYLE)?;
        if is_flexible {
            writer.put_uvarint(0);
        }
        Ok(())
    }
}

/// The correlation id in a response without its size prefix: it tells which request is answered,
/// and so in which version the rest is to be read.
pub fn correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    Reader::new(frame.clone()).i32()
}

/// Takes the header off a response; gives its correlation id, and what is left is the body.
pub(super) fn decode_response_header(
    reader: &mut Reader,
    key: i16,
    is_flexible: bool,
) -> Result<i32, DecodeError> {
    let correlation_id = reader.i32()?;
    if is_flexible && key != API_VERSIONS {
        reader.skip_tags()?;
    }
    Ok(correlation_id)
}

/// Puts the header of a response whose body follows.
pub(super) fn encode_response_header(
    writer: &mut Writer,
    correlation_id: i32,
    key: i16,
    is_flexible: bool,
) {
    writer.put_i32(correlation_id);
    if is_flexible && key != API_VERSIONS {
        writer.put_uvarint(0);
    }
}

/// Key, version and correlation id.
const REQUEST_BYTES_MIN: usize = 8;

/// The correlation id.
const RESPONSE_BYTES_MIN: usize = 4;

/// The API whose response header never has tags.
const API_VERSIONS: i16 = 18;

/// The encoding of the client id in every version.
const OLD_STYLE: Version = Version::new(0, false);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_judged() {
        let size = |size: i32| request_size(size.to_be_bytes(), 1000);
        assert_eq!(size(8), Ok(8));
        assert_eq!(size(1000), Ok(1000));
        assert_eq!(
            size(1001),
            Err(FrameError::TooLarge {
                size: 1001,
                bytes_max: 1000
            })
        );
        assert_eq!(
            size(i32::MAX),
            Err(FrameError::TooLarge {
                size: i32::MAX,
                bytes_max: 1000
            })
        );
        for small in [7, 0, -1, i32::MIN] {
            assert_eq!(size(small), Err(FrameError::TooSmall { size: small }));
        }
        assert_eq!(response_size([0, 0, 0, 4], 1000), Ok(4));
        assert!(response_size([0, 0, 0, 3], 1000).is_err());
    }

    #[test]
    fn other_protocols_are_named() {
        for (start, hint) in [
            (*b"GET ", FrameHint::Http),
            (*b"POST", FrameHint::Http),
            (*b"HTTP", FrameHint::Http),
            ([0x16, 3, 1, 2], FrameHint::Tls),
            ([0x16, 3, 4, 0], FrameHint::Tls),
            ([0x15, 3, 3, 0], FrameHint::Tls),
        ] {
            assert_eq!(
                request_size(start, usize::MAX),
                Err(FrameError::Foreign(hint))
            );
        }
        assert_eq!(FrameHint::of([0, 0, 0x16, 3]), None);
        assert_eq!(FrameHint::of([0x16, 3, 5, 0]), None);
    }

    #[test]
    fn the_client_id_has_the_old_form_in_a_flexible_header() {
        let header = RequestHeader {
            key: 3,
            version: 9,
            correlation_id: 7,
            client_id: Some(Str::from_static("x")),
        };
        for (is_flexible, expected) in [
            (false, &b"\x00\x03\x00\x09\x00\x00\x00\x07\x00\x01x"[..]),
            (true, b"\x00\x03\x00\x09\x00\x00\x00\x07\x00\x01x\x00"),
        ] {
            let mut writer = Writer::new();
            header.encode(&mut writer, is_flexible).unwrap();
            let bytes = writer.finish().into_bytes();
            assert_eq!(bytes, expected);
            let mut reader = Reader::new(bytes);
            let decoded = RequestHeader::decode(&mut reader, |_, _| is_flexible).unwrap();
            assert_eq!(decoded, header);
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn unknown_tags_of_a_header_are_skipped() {
        let frame =
            Bytes::from_static(b"\x00\x03\x00\x09\x00\x00\x00\x07\xff\xff\x01\x05\x02abBODY");
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader, |key, version| (key, version) == (3, 9));
        assert_eq!(header.unwrap().client_id, None);
        assert_eq!(reader.into_rest(), "BODY");
    }

    #[test]
    fn only_the_response_to_api_versions_has_no_tags_when_flexible() {
        for (key, is_flexible, expected) in [
            (18, true, &b"\x00\x00\x00\x05"[..]),
            (3, true, b"\x00\x00\x00\x05\x00"),
            (3, false, b"\x00\x00\x00\x05"),
        ] {
            let mut writer = Writer::new();
            encode_response_header(&mut writer, 5, key, is_flexible);
            let bytes = writer.finish().into_bytes();
            assert_eq!(bytes, expected);
            assert_eq!(correlation_id(&bytes), Ok(5));
            let mut reader = Reader::new(bytes);
            assert_eq!(decode_response_header(&mut reader, key, is_flexible), Ok(5));
            assert_eq!(reader.remaining(), 0);
        }
    }
}
