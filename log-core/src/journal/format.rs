//! The bytes of a journal file.
//!
//! Floor 5 of log-core. Pure: values in, bytes out.
//!
//! Layout, big-endian. Block 0 (4 KiB): the life's header in an envelope: number (8), salt (8).
//! Then groups, each from the start of a block on: length of all that follows the CRC (4), CRC-32
//! over the length and all that follows (4), salt of the life (8), sequence in the life (8), number
//! of entries (4); an entry: topic (16), partition (4), length (4), the stored batch.
//!
//! Invariants
//! - A group is replayed whole or not at all.
//! - Nobody outside ever sees a salt, so that no producer can make bytes that pass for a group.

use bytes::{Buf, Bytes, BytesMut};

use crate::envelope::{self, EnvelopeError};
use crate::types::LogId;

/// A group starts at a fresh block: a torn write of the next one cannot touch what this one
/// acknowledged, and the kernel never reads a page back to fill the rest of it.
pub(super) const BLOCK_BYTES: u64 = BLOCK.len() as u64;
/// An empty block.
pub(super) const BLOCK: [u8; 4096] = [0; 4096];
pub(super) const GROUP_HEAD_BYTES: usize = 28;
pub(super) const ENTRY_HEAD_BYTES: usize = 24;

/// What identifies one use of a journal file, from its first group to its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LifeHeader {
    pub(super) number: u64,
    pub(super) salt: u64,
}

impl LifeHeader {
    /// The envelope, filled up to a block.
    pub(super) fn encode(self) -> Bytes {
        let mut body = [0; 16];
        body[..8].copy_from_slice(&self.number.to_be_bytes());
        body[8..].copy_from_slice(&self.salt.to_be_bytes());
        let mut block = BytesMut::from(&envelope::wrap(MAGIC, VERSION, &body)[..]);
        block.resize(BLOCK.len(), 0);
        block.freeze()
    }

    pub(super) fn decode(mut block: Bytes) -> Result<Self, EnvelopeError> {
        let (_, mut body) = envelope::unwrap(&mut block, MAGIC, VERSION)?;
        let number = body.try_get_u64().map_err(|_| EnvelopeError::Body)?;
        let salt = body.try_get_u64().map_err(|_| EnvelopeError::Body)?;
        Ok(Self { number, salt })
    }
}

/// The head of a group whose entries have `entries_bytes` together, heads included.
pub(super) fn group_head<'a>(
    life: LifeHeader,
    sequence: u64,
    count: u32,
    entries_bytes: u32,
    entries: impl Iterator<Item = &'a [u8]>,
) -> [u8; GROUP_HEAD_BYTES] {
    let length = entries_bytes + COUNTED_HEAD_BYTES;
    let mut head = [0; GROUP_HEAD_BYTES];
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[8..16].copy_from_slice(&life.salt.to_be_bytes());
    head[16..24].copy_from_slice(&sequence.to_be_bytes());
    head[24..].copy_from_slice(&count.to_be_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head[..4]);
    crc.update(&head[8..]);
    entries.for_each(|part| crc.update(part));
    head[4..8].copy_from_slice(&crc.finalize().to_be_bytes());
    head
}

/// The head of an entry.
pub(super) fn entry_head(log: LogId, batch_bytes: u32) -> [u8; ENTRY_HEAD_BYTES] {
    let mut head = [0; ENTRY_HEAD_BYTES];
    head[..16].copy_from_slice(&log.topic);
    head[16..20].copy_from_slice(&log.partition.to_be_bytes());
    head[20..].copy_from_slice(&batch_bytes.to_be_bytes());
    head
}

/// What the head of a group says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHead {
    /// Of the whole group.
    pub(super) bytes: u64,
    pub(super) crc: u32,
    pub(super) salt: u64,
    pub(super) sequence: u64,
}

impl GroupHead {
    /// Reads the head; `None` for bytes that cannot be one.
    pub(super) fn decode(mut head: Bytes) -> Option<Self> {
        let bytes = u64::from(head.try_get_u32().ok()?) + LENGTH_AND_CRC_BYTES as u64;
        let crc = head.try_get_u32().ok()?;
        let (salt, sequence) = (head.try_get_u64().ok()?, head.try_get_u64().ok()?);
        (bytes >= GROUP_HEAD_BYTES as u64).then_some(Self {
            bytes,
            crc,
            salt,
            sequence,
        })
    }
}

/// The stored batches of a whole group; `None` unless its checksum agrees.
pub(super) fn group_entries(group: &Bytes) -> Option<Vec<(LogId, Bytes)>> {
    let head = GroupHead::decode(group.clone())?;
    let mut rest = group.slice(LENGTH_AND_CRC_BYTES..);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&group[..4]);
    crc.update(&rest);
    if head.bytes != group.len() as u64 || head.crc != crc.finalize() {
        return None;
    }
    rest.advance(GROUP_HEAD_BYTES - LENGTH_AND_CRC_BYTES - 4);
    let count = rest.try_get_u32().ok()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let log = LogId::decode(&mut rest)?;
        let batch_bytes = rest.try_get_u32().ok()? as usize;
        if batch_bytes > rest.len() {
            return None;
        }
        entries.push((log, rest.split_to(batch_bytes)));
    }
    rest.is_empty().then_some(entries)
}

const MAGIC: &[u8; 8] = b"HWJOURN\0";
const VERSION: u32 = 1;
const LENGTH_AND_CRC_BYTES: usize = 8;
/// The part of the head that the length counts.
const COUNTED_HEAD_BYTES: u32 = 20;
const _: () = assert!(LENGTH_AND_CRC_BYTES + COUNTED_HEAD_BYTES as usize == GROUP_HEAD_BYTES);
