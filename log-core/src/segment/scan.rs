//! Goes over the batches of a file in order, on copies of its bytes.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - No length is believed before it is compared with what the file holds.
//! - A batch is given only if it continues what was before it: next offset, no falling epoch, none
//!   that was never begun.

use std::io;
use std::ops::{Range, RangeInclusive};

use bytes::Bytes;
use highwater_proto::batch::{BatchHeader, HEADER_BYTES, check_crc};

use super::{SUMMED_BYTES, head_of};
use crate::fs::File;
use crate::types::{LeaderEpoch, Offset};

/// How much of a batch is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Header and place only; record bytes are not even read where they are large.
    Header,
    /// The batch's CRC-32C, too.
    Crc,
}

/// What stands at the scan's position.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Batch {
        header: BatchHeader,
        head: [u8; SUMMED_BYTES],
    },
    End,
    /// No batch that continues the log.
    Invalid {
        why: String,
    },
}

/// A position in a file, and the offset and epochs that may come there.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    file: &'a dyn File,
    position: u64,
    limit: u64,
    expected: Offset,
    /// What the next epoch may be; `None` if epochs may be wrong.
    epochs: Option<RangeInclusive<i32>>,
    chunk: Bytes,
    chunk_position: u64,
    last_batch_bytes: usize,
}

impl<'a> Scan<'a> {
    /// A scan of `file` from `position`, where `expected` must begin, to `limit`.
    pub(crate) fn new(file: &'a dyn File, position: u64, limit: u64, expected: Offset) -> Self {
        Self {
            file,
            position,
            limit,
            expected,
            epochs: None,
            chunk: Bytes::new(),
            chunk_position: position,
            last_batch_bytes: 0,
        }
    }

    /// Refuses batches of other epochs, and of one below that of the batch before them.
    #[must_use]
    pub(crate) fn with_epochs(mut self, epochs: RangeInclusive<LeaderEpoch>) -> Self {
        self.epochs = Some(epochs.start().0..=epochs.end().0);
        self
    }

    /// The first byte that was not given out.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The offset that must come next.
    pub(crate) fn expected(&self) -> Offset {
        self.expected
    }

    /// Goes on elsewhere, behind damage.
    pub(crate) fn jump(&mut self, position: u64, expected: Offset) {
        self.position = position;
        self.expected = expected;
    }

    /// Takes the next batch.
    pub(crate) fn next(&mut self, check: Check) -> io::Result<Found> {
        let left = self.limit.saturating_sub(self.position);
        if left == 0 {
            return Ok(Found::End);
        }
        let want = match check {
            Check::Header if self.last_batch_bytes >= CHUNK_BYTES / 4 => HEADER_BYTES,
            _ => CHUNK_BYTES,
        };
        let seen = self.bytes(HEADER_BYTES, want)?;
        let header = match BatchHeader::parse(&seen) {
            Ok(header) => header,
            Err(error) => {
                return Ok(Found::Invalid {
                    why: error.to_string(),
                });
            }
        };
        let total = header.total_bytes();
        if total as u64 > left {
            let why = format!("a batch of {total} bytes does not fit into the {left} that follow");
            return Ok(Found::Invalid { why });
        }
        if let Err(why) = self.continues(&header) {
            return Ok(Found::Invalid { why });
        }
        if check == Check::Crc {
            let batch = self.bytes(total, total.max(CHUNK_BYTES))?;
            if let Err(error) = check_crc(&batch[..total.min(batch.len())]) {
                return Ok(Found::Invalid {
                    why: error.to_string(),
                });
            }
        }
        let Some(head) = head_of(&seen) else {
            return Ok(Found::Invalid {
                why: "the header is cut".into(),
            });
        };
        self.position += total as u64;
        self.expected = Offset(header.last_offset()).plus(1);
        if let Some(epochs) = &mut self.epochs {
            *epochs = header.leader_epoch..=*epochs.end();
        }
        self.last_batch_bytes = total;
        Ok(Found::Batch { header, head })
    }

    fn continues(&self, header: &BatchHeader) -> Result<(), String> {
        if header.base_offset != self.expected.0 {
            return Err(format!(
                "offset {} follows, not {}",
                header.base_offset, self.expected
            ));
        }
        if header.last_offset_delta < 0 {
            return Err(format!(
                "the batch ends {} before it begins",
                header.last_offset_delta
            ));
        }
        let epoch = header.leader_epoch;
        match &self.epochs {
            Some(epochs) if epoch < *epochs.start() => {
                Err(format!("epoch {epoch} follows epoch {}", epochs.start()))
            }
            Some(epochs) if epoch > *epochs.end() => Err(format!(
                "epoch {epoch} was never begun, the last one is {}",
                epochs.end()
            )),
            _ => Ok(()),
        }
    }

    /// At least `need` bytes at the position (fewer only at the limit), from the chunk in hand or
    /// from a new one of `want` bytes.
    fn bytes(&mut self, need: usize, want: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.limit - self.position).unwrap_or(usize::MAX);
        let need = need.min(left);
        let skip = self.position.checked_sub(self.chunk_position);
        let skip = skip
            .and_then(|skip| usize::try_from(skip).ok())
            .unwrap_or(usize::MAX);
        if skip.saturating_add(need) > self.chunk.len() {
            self.chunk = self.file.read_at(self.position, want.min(left))?;
            self.chunk_position = self.position;
            return Ok(self.chunk.clone());
        }
        Ok(self.chunk.slice(skip..))
    }
}

/// Searches `[from, limit)` for a batch with a right checksum and an offset of at least `least`:
/// its position and header.
pub(crate) fn find_valid(
    file: &dyn File,
    from: u64,
    limit: u64,
    least: Offset,
) -> io::Result<Option<(u64, BatchHeader)>> {
    find_within(file, from, limit, least..Offset(i64::MAX))
}

/// Searches `[from, limit)` for where a log goes on behind damage that held the offset
/// `offsets.start` and ends before `offsets.end`. A right batch that a misdirected write has put
/// where it does not belong is told by what stands behind it: offsets that it should come after.
pub(crate) fn find_behind_damage(
    file: &dyn File,
    from: u64,
    limit: u64,
    offsets: Range<Offset>,
) -> io::Result<Option<(u64, BatchHeader)>> {
    let offsets = offsets.start.plus(1)..offsets.end;
    let mut found = find_within(file, from, limit, offsets.clone())?;
    while let Some((position, header)) = found {
        let mut run = Scan::new(file, position, limit, Offset(header.base_offset));
        let is_over = loop {
            match run.next(Check::Crc)? {
                Found::Batch { .. } if run.position() - position < RUN_BYTES => {}
                Found::Batch { .. } | Found::End => break true,
                Found::Invalid { .. } => break false,
            }
        };
        if is_over {
            break;
        }
        let next = find_within(file, run.position(), limit, offsets.clone())?;
        if next.is_none_or(|(_, next)| next.base_offset >= run.expected().0) {
            break;
        }
        found = next;
    }
    Ok(found)
}

fn find_within(
    file: &dyn File,
    from: u64,
    limit: u64,
    offsets: Range<Offset>,
) -> io::Result<Option<(u64, BatchHeader)>> {
    let mut window_position = from;
    while limit.saturating_sub(window_position) >= HEADER_BYTES as u64 {
        let left = usize::try_from(limit - window_position).unwrap_or(usize::MAX);
        let window = file.read_at(window_position, left.min(CHUNK_BYTES + HEADER_BYTES))?;
        let starts = (window.len() + 1)
            .saturating_sub(HEADER_BYTES)
            .min(CHUNK_BYTES);
        for start in 0..starts {
            let bytes = &window[start..];
            if bytes.get(MAGIC_POSITION) != Some(&MAGIC) {
                continue;
            }
            let position = window_position + start as u64;
            let Ok(header) = BatchHeader::parse(bytes) else {
                continue;
            };
            if is_plausible(&header, &offsets, limit - position) {
                let batch = file.read_at(position, header.total_bytes())?;
                if batch.len() == header.total_bytes() && check_crc(&batch).is_ok() {
                    return Ok(Some((position, header)));
                }
            }
        }
        if starts == 0 {
            break;
        }
        window_position += starts as u64;
    }
    Ok(None)
}

/// Cheap tests that leave the checksum to be computed for true candidates only.
fn is_plausible(header: &BatchHeader, offsets: &Range<Offset>, left: u64) -> bool {
    let least = offsets.start.0;
    header.base_offset >= least
        && header.base_offset.saturating_sub(least) <= OFFSETS_SKIPPED_MAX
        && header.last_offset() < offsets.end.0
        && header.total_bytes() as u64 <= left
        && header.leader_epoch >= 0
        && header.last_offset_delta >= 0
        && header.records_count >= 0
}

/// So many bytes that continue one another belong where they are.
const RUN_BYTES: u64 = 1 << 20;
/// What one read of a scan brings in.
const CHUNK_BYTES: usize = 256 << 10;
/// A segment is below 2 GiB, so that damage hides fewer records than this.
const OFFSETS_SKIPPED_MAX: i64 = 1 << 32;
const MAGIC_POSITION: usize = 16;
const MAGIC: u8 = 2;
