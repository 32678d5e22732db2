//! Brings the producers' windows up to the end of the log.
//!
//! Floor 4 of log-core.
//!
//! Invariants
//! - A snapshot that knows more than the log holds is not believed: it knows batches that are gone.
//! - Headers are read only from where the snapshot ends, or from the recovery point if it has the
//!   windows that moved since, or from where it says that the first batch with a sequence may lie.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{PRODUCERS_FILE, Recovery};
use crate::checkpoint::RecoveryPoint;
use crate::checkpoint::read_whole;
use crate::error::LogError;
use crate::fs::{File, OpenMode};
use crate::producers::{Moved, Producers};
use crate::segment::{ActiveWriter, Boundary, Check, Found, Scan, Sealed, SegmentFile};
use crate::types::Offset;

/// The windows, and how far they go.
struct Replay {
    producers: Producers,
    from: Offset,
    /// The first batch with a sequence that the snapshot does not know.
    first_unknown: Option<Offset>,
    /// The offset of the snapshot; absent if there is none that is believed.
    snapshot: Option<Offset>,
    /// The producers whose windows the snapshot does not know.
    moved: BTreeSet<i64>,
    now_ms: i64,
}

/// The windows at the end of the log, and what the file has of them.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) producers: Producers,
    /// The first batch with a sequence that no snapshot knows.
    pub(crate) first_unknown: Option<Offset>,
    /// The windows that the snapshot does not know.
    pub(crate) moved: Moved,
    /// The offset of the snapshot; absent if there is none that is believed.
    pub(crate) snapshot: Option<Offset>,
    /// Whether the next start would do the same work again, or believe what this one does not.
    pub(super) is_stale: bool,
}

impl Recovery<'_> {
    /// The windows at the end of the log.
    pub(super) fn replay(
        &self,
        sealed: &[Arc<Sealed>],
        writer: &ActiveWriter,
    ) -> Result<Restored, LogError> {
        let end = writer.tally().end;
        let mut replay = self.snapshot(end)?;
        let from = replay.from;
        for segment in sealed.iter().filter(|segment| segment.info.end > from) {
            let Some(begin) = segment.interval_of(from)? else {
                continue;
            };
            let file = Arc::clone(segment.file()?);
            let path = SegmentFile::Log.path(self.dir, segment.info.base);
            replay.headers((&*file, &path), begin, segment.info.bytes, |at| {
                segment.interval_behind(at)
            })?;
        }
        let active = writer.shared();
        if let Some(begin) = active.interval_of(from).filter(|_| end > from) {
            let file = Arc::clone(active.file());
            let path = SegmentFile::Log.path(self.dir, active.base);
            replay.headers((&*file, &path), begin, active.written(), |at| {
                Ok(active.interval_behind(at))
            })?;
        }
        let point = self.from.point.as_ref();
        let is_far = point.is_some_and(|point| from < point.offset.min(end));
        let is_stale = replay.snapshot.is_none()
            || replay.moved.len() > MOVED_MAX
            || (is_far && !replay.moved.is_empty());
        Ok(Restored {
            moved: Moved::of(&replay.producers, replay.moved),
            producers: replay.producers,
            first_unknown: replay.first_unknown,
            snapshot: replay.snapshot,
            is_stale,
        })
    }

    /// The snapshot, if it is to be believed, what the recovery point has since, and the offset
    /// that the walk begins at.
    fn snapshot(&self, end: Offset) -> Result<Replay, LogError> {
        let mut replay = Replay {
            producers: Producers::default(),
            from: Offset::ZERO,
            first_unknown: None,
            snapshot: None,
            moved: BTreeSet::new(),
            now_ms: self.now_ms,
        };
        let path = self.dir.join(PRODUCERS_FILE);
        // It was synced before it got its name.
        let bytes = read_whole(&**self.fs, &path, OpenMode::Read, SNAPSHOT_BYTES_MAX)?;
        let decoded = bytes.map(|bytes| Producers::decode(bytes, Some(self.from.id), self.now_ms));
        match decoded {
            Some(Ok((offset, producers))) if offset <= end => {
                (replay.producers, replay.from) = (producers, offset);
                replay.snapshot = Some(offset);
                let point = self.from.point.as_ref();
                if let Some(point) = point.filter(|at| offset < at.offset && at.offset <= end) {
                    replay.take_point(point);
                }
            }
            Some(answer) => {
                let is_newer = answer.is_ok();
                tracing::warn!(file = %path.display(), is_newer, "the producers are replayed");
            }
            None => {}
        }
        Ok(replay)
    }
}

impl Replay {
    /// Goes on to a recovery point behind the snapshot, as far as it says what lies between. One
    /// that counts on a later snapshot says nothing: a disk that lies has lost that.
    fn take_point(&mut self, point: &RecoveryPoint) {
        let Some(moved) = &point.moved else {
            self.from = self.from.max(point.producers_from.min(point.offset));
            return;
        };
        let taken = (moved.since <= self.from).then(|| {
            self.producers
                .take_moved(moved.windows.clone(), self.now_ms)
        });
        if let Some(ids) = taken.flatten() {
            self.moved.extend(ids);
            self.first_unknown = (!moved.windows.is_empty()).then_some(self.from);
            self.from = point.offset;
        }
    }

    /// Applies the headers from `begin` to `limit`; over damage it goes on with the next interval.
    fn headers(
        &mut self,
        (file, path): (&dyn File, &Path),
        begin: Boundary,
        limit: u64,
        next_interval: impl Fn(u64) -> Result<Option<Boundary>, LogError>,
    ) -> Result<(), LogError> {
        let mut scan = Scan::new(file, begin.position, limit, begin.offset);
        loop {
            let found = scan
                .next(Check::Header)
                .map_err(|error| LogError::io("read", path, error))?;
            match found {
                Found::Batch { header, .. } => {
                    let base = Offset(header.base_offset);
                    let is_new = base >= self.from;
                    if is_new && self.producers.apply(&header, self.now_ms).is_some() {
                        self.moved.insert(header.producer_id);
                        self.first_unknown.get_or_insert(base);
                    }
                }
                Found::End => return Ok(()),
                Found::Invalid { .. } => match next_interval(scan.position())? {
                    Some(next) => scan.jump(next.position, next.offset),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// The windows that a log may carry from start to start in its recovery point: 3 KiB.
const MOVED_MAX: usize = 32;
/// More than the bounded count of producers takes.
pub(crate) const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;
