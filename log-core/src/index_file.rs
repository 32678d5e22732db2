//! The file of a sparse index: envelopes with 16-byte entries, then a trailer once it is sealed.
//!
//! Floor 1 of log-core. Pure: bytes in, bytes out.
//!
//! Invariants
//! - An index is a cache: whatever is missing or damaged here is rebuilt from the log.
//! - The entries of an unsealed file are written in frames and never synced; what a crash leaves
//!   of them is a valid prefix, and the first frame that does not agree ends it.
//! - The trailer names the count of entries, and length and sum of the segment, so that an index
//!   that belongs to another state of its segment, or to another segment, is not taken.
//! - What an older version wrote names no sums, and is not taken either.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::envelope::{self, ENVELOPE_BYTES};

/// Bytes of an entry of either index.
pub const ENTRY_BYTES: usize = 16;

/// Which index a file holds; told by its magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// Offset to position.
    Offset,
    /// Timestamp to offset.
    Time,
}

impl IndexKind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Offset => b"HWOFFIX\0",
            Self::Time => b"HWTIMEX\0",
        }
    }
}

/// What a sealed index says about its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Entries in the file.
    pub entries: u64,
    /// Length of the segment's `.log` file.
    pub segment_bytes: u64,
    /// The running sum of the segment.
    pub segment_sum: u32,
}

impl Trailer {
    /// Whether it ends the index of the segment that has this length and this sum.
    #[must_use]
    pub fn is_of(&self, (segment_bytes, segment_sum): (u64, u32)) -> bool {
        self.segment_bytes == segment_bytes && self.segment_sum == segment_sum
    }
}

/// What could be read of an index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedIndex {
    /// The entries of all valid frames, [`ENTRY_BYTES`] each.
    pub entries: Bytes,
    /// There once the segment was sealed.
    pub trailer: Option<Trailer>,
    /// Whether the file held nothing else.
    pub is_whole: bool,
    /// Whether an older version wrote the file: it is as good as empty.
    pub is_older: bool,
}

/// One frame of entries.
#[must_use]
pub fn frame(kind: IndexKind, entries: &[u8]) -> Bytes {
    assert!(
        entries.len().is_multiple_of(ENTRY_BYTES),
        "a frame holds whole entries"
    );
    envelope::wrap(kind.magic(), VERSION, entries)
}

/// The last frame of a sealed file.
#[must_use]
pub fn trailer_frame(trailer: Trailer) -> Bytes {
    let mut body = BytesMut::with_capacity(TRAILER_BYTES - ENVELOPE_BYTES);
    body.put_u64(trailer.entries);
    body.put_u64(trailer.segment_bytes);
    body.put_u32(trailer.segment_sum);
    envelope::wrap(TRAILER_MAGIC, VERSION, &body)
}

/// Reads as much of a file as is valid.
#[must_use]
pub fn parse(kind: IndexKind, mut bytes: Bytes) -> LoadedIndex {
    let mut frames = Vec::new();
    while let Ok((version, entries)) = envelope::unwrap(&mut bytes, kind.magic(), VERSION) {
        if version < VERSION || !entries.len().is_multiple_of(ENTRY_BYTES) {
            return LoadedIndex {
                entries: join(frames),
                trailer: None,
                is_whole: false,
                is_older: version < VERSION,
            };
        }
        frames.push(entries);
    }
    let entries = join(frames);
    let count = (entries.len() / ENTRY_BYTES) as u64;
    let is_open = bytes.is_empty();
    let trailer = parse_trailer(bytes).filter(|trailer| trailer.entries == count);
    LoadedIndex {
        entries,
        trailer,
        is_whole: is_open || trailer.is_some(),
        is_older: false,
    }
}

/// Reads a file's last bytes as its trailer.
#[must_use]
pub fn parse_trailer(mut bytes: Bytes) -> Option<Trailer> {
    let (_, mut body) = envelope::unwrap(&mut bytes, TRAILER_MAGIC, VERSION).ok()?;
    let trailer = Trailer {
        entries: body.try_get_u64().ok()?,
        segment_bytes: body.try_get_u64().ok()?,
        segment_sum: body.try_get_u32().ok()?,
    };
    (body.is_empty() && bytes.is_empty()).then_some(trailer)
}

fn join(mut frames: Vec<Bytes>) -> Bytes {
    match frames.len() {
        1 => frames.swap_remove(0),
        _ => frames.concat().into(),
    }
}

const TRAILER_MAGIC: &[u8; 8] = b"HWIXEND\0";
/// The size of a trailer: the last bytes of a sealed file.
pub const TRAILER_BYTES: usize = ENVELOPE_BYTES + 20;
/// Version 1 had no sums in trailers and times.
const VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(frames: &[Vec<u8>], trailer: Option<Trailer>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entries in frames {
            bytes.extend_from_slice(&frame(IndexKind::Offset, entries));
        }
        if let Some(trailer) = trailer {
            bytes.extend_from_slice(&trailer_frame(trailer));
        }
        bytes
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec((0..4_usize, any::<u8>()), 0..5).prop_map(|frames| {
            frames
                .into_iter()
                .map(|(count, byte)| vec![byte; count * ENTRY_BYTES])
                .collect()
        })
    }

    proptest! {
        #[test]
        fn round_trip(frames in frames(), segment_bytes: u64, segment_sum: u32) {
            let entries = frames.concat();
            let count = (entries.len() / ENTRY_BYTES) as u64;
            let trailer = Trailer { entries: count, segment_bytes, segment_sum };
            let open = parse(IndexKind::Offset, file(&frames, None).into());
            prop_assert_eq!((&open.entries[..], open.trailer), (&entries[..], None));
            let sealed = parse(IndexKind::Offset, file(&frames, Some(trailer)).into());
            prop_assert_eq!((&sealed.entries[..], sealed.trailer), (&entries[..], Some(trailer)));
        }

        #[test]
        fn damage_leaves_a_prefix_and_no_trailer(
            frames in frames(), at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let entries = frames.concat();
            let count = (entries.len() / ENTRY_BYTES) as u64;
            let trailer = Trailer { entries: count, segment_bytes: 9, segment_sum: 3 };
            let mut bytes = file(&frames, Some(trailer));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let loaded = parse(IndexKind::Offset, bytes.into());
            prop_assert_eq!(loaded.trailer, None);
            prop_assert!(entries.starts_with(&loaded.entries));
        }
    }

    #[test]
    fn an_index_of_an_older_version_is_not_taken() {
        let bytes = envelope::wrap(IndexKind::Time.magic(), 1, &[7; 16]);
        let loaded = parse(IndexKind::Time, bytes);
        assert!(loaded.is_older && loaded.entries.is_empty() && !loaded.is_whole);
    }

    #[test]
    fn an_index_of_the_other_kind_is_not_taken() {
        let bytes = frame(IndexKind::Time, &[7; 16]);
        assert_eq!(parse(IndexKind::Offset, bytes).entries.len(), 0);
    }
}
