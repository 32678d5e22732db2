//! The format of a data directory: which features its files use.
//!
//! Floor 5 of log-core. Pure: values in, bytes out.
//!
//! Layout of `VERSION`, in an envelope, big-endian: compatible, read-only compatible and
//! incompatible features, one bit each (8 bytes each).
//!
//! Invariants
//! - A library that meets an incompatible feature that it does not know opens nothing; one that
//!   meets an unknown read-only compatible feature writes nothing.
//! - A bit, once given to a feature, never means anything else.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::envelope::{self, EnvelopeError};

/// What the files of a data directory use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Features {
    /// An older library may read and write.
    pub(super) compatible: u64,
    /// An older library may read.
    pub(super) read_only: u64,
    /// An older library would lose data or see too little.
    pub(super) incompatible: u64,
}

/// The newest durable batches may stand in a journal file only.
const JOURNAL: u64 = 1;

/// What this library writes.
pub(super) const OURS: Features = Features {
    compatible: 0,
    read_only: 0,
    incompatible: JOURNAL,
};

impl Features {
    pub(super) fn encode(self) -> Bytes {
        let mut body = BytesMut::with_capacity(24);
        body.put_u64(self.compatible);
        body.put_u64(self.read_only);
        body.put_u64(self.incompatible);
        envelope::wrap(MAGIC, VERSION, &body)
    }

    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, EnvelopeError> {
        let (_, mut body) = envelope::unwrap(&mut bytes, MAGIC, VERSION)?;
        let mut mask = || body.try_get_u64().map_err(|_| EnvelopeError::Body);
        Ok(Self {
            compatible: mask()?,
            read_only: mask()?,
            incompatible: mask()?,
        })
    }

    /// Why this library must not even read the directory.
    pub(super) fn refusal_to_read(self) -> Option<String> {
        let unknown = self.incompatible & !OURS.incompatible;
        (unknown != 0)
            .then(|| format!("its files use features that are unknown here (bits {unknown:#x})"))
    }

    /// Why this library, which reads and writes, must not open the directory.
    pub(super) fn refusal(self) -> Option<String> {
        let unknown = self.read_only & !OURS.read_only;
        self.refusal_to_read().or_else(|| {
            (unknown != 0).then(|| {
                format!(
                    "its files use features that this version must not write (bits {unknown:#x})"
                )
            })
        })
    }

    /// These, and what this library writes.
    pub(super) fn with_ours(self) -> Self {
        Self {
            compatible: self.compatible | OURS.compatible,
            read_only: self.read_only | OURS.read_only,
            incompatible: self.incompatible | OURS.incompatible,
        }
    }
}

const MAGIC: &[u8; 8] = b"HWVERSN\0";
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_fixed() {
        let bytes = OURS.encode();
        assert_eq!(&bytes[..16], b"HWVERSN\0\0\0\0\x01\0\0\0\x18");
        assert_eq!(
            &bytes[20..],
            [[0; 8], [0; 8], [0, 0, 0, 0, 0, 0, 0, 1]].as_flattened()
        );
        assert_eq!(Features::decode(bytes), Ok(OURS));
    }

    #[test]
    fn only_an_unknown_compatible_feature_is_tolerated() {
        let bit = 1 << 40;
        assert_eq!(
            Features {
                compatible: bit,
                ..OURS
            }
            .refusal(),
            None
        );
        let sentence = Features {
            read_only: bit,
            ..OURS
        }
        .refusal()
        .unwrap();
        assert!(
            sentence.contains("must not write (bits 0x10000000000)"),
            "{sentence}"
        );
        let sentence = Features {
            incompatible: bit | 1,
            ..OURS
        }
        .refusal()
        .unwrap();
        assert!(
            sentence.contains("unknown here (bits 0x10000000000)"),
            "{sentence}"
        );
    }
}
