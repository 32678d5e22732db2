//! Frames of the native protocol: a size, a version, a head of protobuf, and a body beside it.
//!
//! Floor 6 of proto.
//!
//! Invariants
//! - A size is judged before a byte of the frame is allocated or read.
//! - A body is never copied: it leaves as it came, and arrives as a slice of its frame.
//! - A head is walked before it is decoded: what it becomes in memory is at most 64 times its
//!   bytes, and 4 KiB, whoever wrote it.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use thiserror::Error;

use super::heads::{self, Lists};
use super::v1;
use crate::kafka::FrameHint;

/// The size prefix of a frame in bytes; it does not count itself.
pub const SIZE_BYTES: usize = 4;

/// The only version of the protocol.
pub const VERSION: u8 = 1;

/// The largest head in bytes: its size has three bytes.
pub const HEAD_BYTES_MAX: usize = (1 << 24) - 1;

/// Why bytes are no frame, or a message fits into none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NativeFrameError {
    /// Less than the version and the size of the head.
    #[error("a frame of {size} bytes is too small: the peer does not speak Highwater's protocol")]
    TooSmall {
        /// The announced size in bytes.
        size: u32,
    },
    /// More than this side is willing to take.
    #[error("a frame of {size} bytes exceeds the limit of {bytes_max}: raise it or send less")]
    TooLarge {
        /// The announced size in bytes.
        size: u64,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// The first bytes of another protocol.
    #[error("the peer speaks {0}, not Highwater's protocol: check the port")]
    Foreign(&'static str),
    /// A version that this side does not speak.
    #[error("a frame has version {version}, this side speaks {VERSION}: check port and versions")]
    Version {
        /// The version of the frame.
        version: u8,
    },
    /// The head ends behind its frame.
    #[error("a head of {head} bytes does not fit into its frame of {frame}")]
    HeadTooLarge {
        /// The announced size of the head in bytes.
        head: usize,
        /// The size of the frame in bytes.
        frame: usize,
    },
    /// The head is no message.
    #[error("the head of a frame is no message of the protocol: {why}")]
    Head {
        /// What does not fit.
        why: String,
    },
    /// The head has more elements than its bytes may stand for.
    #[error("a head of {bytes} bytes has more empty events or headers than it may have")]
    Amplified {
        /// The size of the head in bytes.
        bytes: usize,
    },
}

/// The size of the frame that follows these four bytes, if it is acceptable.
pub const fn frame_size(
    prefix: [u8; SIZE_BYTES],
    bytes_max: usize,
) -> Result<usize, NativeFrameError> {
    // Before the limit is looked at, which may be so large that "GET " is a legal size.
    match FrameHint::of(prefix) {
        Some(FrameHint::Http) => return Err(NativeFrameError::Foreign("HTTP")),
        Some(FrameHint::Tls) => return Err(NativeFrameError::Foreign("TLS")),
        None => {}
    }
    let size = u32::from_be_bytes(prefix);
    let bytes = size as usize;
    if bytes < PREAMBLE_BYTES {
        Err(NativeFrameError::TooSmall { size })
    } else if bytes > bytes_max {
        Err(NativeFrameError::TooLarge {
            size: size as u64,
            bytes_max,
        })
    } else {
        Ok(bytes)
    }
}

/// Whether a frame without its size begins as the first request of a Kafka client does.
#[must_use]
pub fn is_of_kafka(frame: &[u8]) -> bool {
    // A key of the API below 256, and a version of it that is small.
    matches!(frame, [0, _, 0, 0..=32, ..])
}

/// A request and its body, out of a frame without its size.
///
/// # Errors
/// Whatever the bytes are, they are a request or a [`NativeFrameError`].
pub fn decode_request(frame: Bytes) -> Result<(v1::Request, Bytes), NativeFrameError> {
    decode(frame, heads::REQUEST)
}

/// A response and its body, out of a frame without its size.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_response(frame: Bytes) -> Result<(v1::Response, Bytes), NativeFrameError> {
    decode(frame, heads::RESPONSE)
}

/// The first part of a frame, which ends with the head; a body of so many bytes follows it.
///
/// ```
/// use highwater_proto::native::{frame, v1};
///
/// let request = v1::Request { correlation: 7, call: None };
/// let first = frame::encode(&request, 3)?;
/// let whole = [&first[..], b"abc"].concat();
/// let size = frame::frame_size(*whole.first_chunk().unwrap(), 100)?;
/// assert_eq!(size, whole.len() - frame::SIZE_BYTES);
/// let (same, body) = frame::decode_request(whole[frame::SIZE_BYTES..].to_vec().into())?;
/// assert_eq!((same, &body[..]), (request, &b"abc"[..]));
/// # Ok::<(), frame::NativeFrameError>(())
/// ```
///
/// # Errors
/// [`NativeFrameError::TooLarge`] if there is no frame for so much.
pub fn encode(head: &impl Message, body_bytes: usize) -> Result<Bytes, NativeFrameError> {
    let head_bytes = head.encoded_len();
    let too_large = |size: usize, bytes_max| NativeFrameError::TooLarge {
        size: size as u64,
        bytes_max,
    };
    if head_bytes > HEAD_BYTES_MAX {
        return Err(too_large(head_bytes, HEAD_BYTES_MAX));
    }
    let size = PREAMBLE_BYTES.saturating_add(head_bytes);
    let size = size.saturating_add(body_bytes);
    let announced = u32::try_from(size).map_err(|_| too_large(size, u32::MAX as usize))?;
    let mut first = BytesMut::with_capacity(SIZE_BYTES + PREAMBLE_BYTES + head_bytes);
    first.put_u32(announced);
    first.put_u8(VERSION);
    first.put_uint(head_bytes as u64, PREAMBLE_BYTES - 1);
    head.encode_raw(&mut first);
    Ok(first.freeze())
}

fn decode<M: Message + Default>(
    mut frame: Bytes,
    lists: Lists,
) -> Result<(M, Bytes), NativeFrameError> {
    let Some([version, head @ ..]) = frame.first_chunk::<PREAMBLE_BYTES>() else {
        let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        return Err(NativeFrameError::TooSmall { size });
    };
    if *version != VERSION {
        return Err(NativeFrameError::Version { version: *version });
    }
    let head_bytes = head
        .iter()
        .fold(0, |size, byte| size << 8 | usize::from(*byte));
    if head_bytes > frame.len() - PREAMBLE_BYTES {
        return Err(NativeFrameError::HeadTooLarge {
            head: head_bytes,
            frame: frame.len(),
        });
    }
    let body = frame.split_off(PREAMBLE_BYTES + head_bytes);
    let head = frame.split_off(PREAMBLE_BYTES);
    heads::check(&head, lists)?;
    let message = M::decode(head).map_err(|error| NativeFrameError::Head {
        why: error.to_string(),
    })?;
    Ok((message, body))
}

/// The version, and the size of the head.
const PREAMBLE_BYTES: usize = 4;

#[cfg(test)]
mod tests;
