//! The envelope around every small structure of ours on the disk: magic, version, length, CRC-32.
//!
//! Floor 0 of log-core. Pure: bytes in, bytes out.
//!
//! Layout, big-endian: magic (8 bytes), version (4), body length (4), CRC-32 of the 16 bytes
//! before it and of the body (4), body.
//!
//! Invariants
//! - A reader never trusts a length before it has compared it with the bytes that are there.
//! - Bytes behind the envelope are not looked at: a slot may be overwritten by a shorter one.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Bytes in front of the body.
pub const ENVELOPE_BYTES: usize = 20;

/// Bytes that are not the envelope that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Fewer bytes than the envelope announces, or than it needs itself.
    #[error("it ends after {have} of {need} bytes")]
    Short {
        /// The bytes that are there.
        have: usize,
        /// The bytes that are needed.
        need: usize,
    },
    /// Another kind of structure, or none at all.
    #[error("it does not start with its magic")]
    Magic,
    /// The checksum does not agree.
    #[error("its checksum does not agree")]
    Checksum,
    /// Written by a newer version of the library.
    #[error("it has version {found}, this library reads up to {known}")]
    TooNew {
        /// The version found.
        found: u32,
        /// The newest version that is understood.
        known: u32,
    },
    /// Whole, and written for another log.
    #[error("it belongs to another log")]
    Foreign,
    /// The checksum agrees, but the body is not what its version says.
    #[error("its body is malformed")]
    Body,
}

/// Puts `body` into an envelope, behind what `out` holds already.
pub fn wrap_into(out: &mut BytesMut, magic: &[u8; 8], version: u32, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("a small structure is below 4 GiB");
    let start = out.len();
    out.reserve(ENVELOPE_BYTES + body.len());
    out.put_slice(magic);
    out.put_u32(version);
    out.put_u32(length);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out[start..]);
    crc.update(body);
    out.put_u32(crc.finalize());
    out.put_slice(body);
}

/// Puts `body` into an envelope.
#[must_use]
pub fn wrap(magic: &[u8; 8], version: u32, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(ENVELOPE_BYTES + body.len());
    wrap_into(&mut out, magic, version, body);
    out.freeze()
}

/// Takes one envelope off the front of `bytes`: its version and its body. The checksum is
/// compared before the version, so that damage is never taken for a newer version.
pub fn unwrap(
    bytes: &mut Bytes,
    magic: &[u8; 8],
    version_known: u32,
) -> Result<(u32, Bytes), EnvelopeError> {
    let have = bytes.len();
    if have < ENVELOPE_BYTES {
        return Err(EnvelopeError::Short {
            have,
            need: ENVELOPE_BYTES,
        });
    }
    if bytes[..8] != magic[..] {
        return Err(EnvelopeError::Magic);
    }
    let mut head = bytes.slice(8..ENVELOPE_BYTES);
    let (version, length, crc) = (head.get_u32(), head.get_u32() as usize, head.get_u32());
    let need = ENVELOPE_BYTES.saturating_add(length);
    if have < need {
        return Err(EnvelopeError::Short { have, need });
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes[..16]);
    sum.update(&bytes[ENVELOPE_BYTES..need]);
    if sum.finalize() != crc {
        return Err(EnvelopeError::Checksum);
    }
    if version > version_known {
        return Err(EnvelopeError::TooNew {
            found: version,
            known: version_known,
        });
    }
    let body = bytes.slice(ENVELOPE_BYTES..need);
    bytes.advance(need);
    Ok((version, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAGIC: &[u8; 8] = b"HWTEST\0\0";

    #[test]
    fn layout_is_fixed() {
        let bytes = wrap(MAGIC, 3, b"ab");
        assert_eq!(&bytes[..16], b"HWTEST\0\0\0\0\0\x03\0\0\0\x02");
        assert_eq!(&bytes[20..], b"ab");
    }

    #[test]
    fn newer_version_is_told_from_damage() {
        let newer = wrap(MAGIC, 2, b"x");
        let error = unwrap(&mut newer.clone(), MAGIC, 1);
        assert_eq!(error, Err(EnvelopeError::TooNew { found: 2, known: 1 }));
        let mut damaged = newer.to_vec();
        damaged[11] ^= 4;
        assert_eq!(
            unwrap(&mut Bytes::from(damaged), MAGIC, 1),
            Err(EnvelopeError::Checksum)
        );
    }

    proptest! {
        #[test]
        fn round_trip_leaves_what_follows(body in prop::collection::vec(any::<u8>(), 0..200),
                                          rest in prop::collection::vec(any::<u8>(), 0..50)) {
            let mut bytes = BytesMut::new();
            wrap_into(&mut bytes, MAGIC, 1, &body);
            bytes.put_slice(&rest);
            let mut bytes = bytes.freeze();
            let (version, back) = unwrap(&mut bytes, MAGIC, 1).unwrap();
            prop_assert_eq!((version, &back[..]), (1, &body[..]));
            prop_assert_eq!(&bytes[..], &rest[..]);
        }

        #[test]
        fn each_flipped_bit_and_each_cut_is_noticed(
            body in prop::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let good = wrap(MAGIC, 1, &body);
            let at = at.index(good.len());
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            prop_assert!(unwrap(&mut Bytes::from(bad), MAGIC, 1).is_err());
            prop_assert!(unwrap(&mut good.slice(..at), MAGIC, 1).is_err());
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _answer = unwrap(&mut Bytes::from(bytes), MAGIC, 1);
        }
    }
}
