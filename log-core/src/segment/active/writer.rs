//! The segment that is being written, as its only writer holds it.
//!
//! Floor 3 of log-core.
//!
//! Invariants
//! - A write that failed leaves no fragment: the file is cut back to the length it had, and if
//!   that fails too, the error says that the file's state is unknown.
//! - The segment is synced before it is sealed, and its index files before anybody needs them.

use std::io::IoSlice;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use highwater_proto::batch::{BatchHeader, PREFIX_BYTES};

use super::{Active, ActiveIndex};
use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};
use crate::index_file::{IndexKind, frame};
use crate::segment::{
    BadRange, BadRanges, Boundary, Checked, Indexes, SUMMED_BYTES, SegmentFile, Tally,
};
use crate::types::Offset;

/// A batch as it is stored: a new prefix, and the rest as its producer sent it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) header: BatchHeader,
    pub(crate) prefix: [u8; PREFIX_BYTES],
    pub(crate) rest: Bytes,
}

impl Stored {
    fn head(&self) -> [u8; SUMMED_BYTES] {
        let mut head = [0; SUMMED_BYTES];
        head[..PREFIX_BYTES].copy_from_slice(&self.prefix);
        head[PREFIX_BYTES..].copy_from_slice(&self.rest[..SUMMED_BYTES - PREFIX_BYTES]);
        head
    }
}

/// A write failed.
#[derive(Debug)]
pub(crate) struct WriteFailed {
    pub(crate) error: LogError,
    /// Whether the file may hold what it should not: nothing may be written to it any more.
    pub(crate) is_unknown: bool,
}

/// The writer of the active segment.
#[derive(Debug)]
pub(crate) struct ActiveWriter {
    shared: Arc<Active>,
    tally: Tally,
    interval_bytes: u32,
    /// Where the last interval begins; `None` without a batch.
    last_interval: Option<u64>,
    index_files: [IndexFile; 2],
    /// Monotonic milliseconds, as the log counts them.
    since_ms: i64,
    last_append_ms: i64,
}

/// The unsealed file of one index.
#[derive(Debug)]
struct IndexFile {
    kind: IndexKind,
    file: Option<Arc<dyn File>>,
    position: u64,
    /// Entries that are in the file.
    entries: usize,
    /// After a failed write nothing more goes there until the segment is sealed.
    is_lost: bool,
}

/// What an index file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedIndex {
    /// Its length.
    pub(crate) bytes: u64,
    pub(crate) entries: usize,
}

/// What recovery knows about a segment that goes on being written.
#[derive(Debug)]
pub(crate) struct RecoveredSegment {
    pub(crate) file: Arc<dyn File>,
    pub(crate) tally: Tally,
    pub(crate) indexes: Indexes,
    pub(crate) bad: Vec<BadRange>,
    /// What the index files hold, if it is the begin of these indexes and nothing else.
    pub(crate) saved: Option<[SavedIndex; 2]>,
    pub(crate) since_ms: i64,
    pub(crate) last_append_ms: i64,
}

impl ActiveWriter {
    /// Creates an empty segment and syncs its file; the caller syncs the directory.
    pub(crate) fn create(
        fs: &dyn Fs,
        dir: &Arc<Path>,
        base: Offset,
        interval_bytes: u32,
        now_ms: i64,
    ) -> Result<Self, LogError> {
        let path = SegmentFile::Log.path(dir, base);
        let file = create_or_take_empty(fs, &path)?;
        file.sync()
            .map_err(|error| LogError::io("sync", &path, error))?;
        let recovered = RecoveredSegment {
            file,
            tally: Tally::empty(base),
            indexes: Indexes::default(),
            bad: Vec::new(),
            saved: None,
            since_ms: now_ms,
            last_append_ms: now_ms,
        };
        Ok(Self::adopt(fs, dir, base, interval_bytes, recovered))
    }

    /// Goes on with a segment that recovery has read.
    pub(crate) fn adopt(
        fs: &dyn Fs,
        dir: &Arc<Path>,
        base: Offset,
        interval_bytes: u32,
        recovered: RecoveredSegment,
    ) -> Self {
        let RecoveredSegment {
            file,
            tally,
            indexes,
            bad,
            saved,
            since_ms,
            last_append_ms,
        } = recovered;
        let index_files = [IndexKind::Offset, IndexKind::Time].map(|kind| {
            let path = file_of(kind).path(dir, base);
            let saved = saved.map(|saved| saved[kind as usize]);
            // An empty file is taken by the first frame that goes there.
            let saved = saved.filter(|saved| saved.entries > 0);
            let file = saved.and_then(|_| fs.open(&path, OpenMode::Append).ok());
            let (position, entries) = match (&file, saved) {
                (Some(_), Some(saved)) => (saved.bytes, saved.entries),
                _ => (0, 0),
            };
            IndexFile {
                kind,
                file,
                position,
                entries,
                is_lost: false,
            }
        });
        let last_interval = indexes
            .offsets
            .entries()
            .last()
            .map(|last| u64::from(last.position));
        let mut checked = Checked::default();
        checked.grow(indexes.offsets.entries().len());
        let shared = Active {
            base,
            dir: Arc::clone(dir),
            file,
            written: AtomicU64::new(tally.position),
            index: RwLock::new(ActiveIndex { indexes, checked }),
            opened: Boundary {
                offset: tally.end,
                position: tally.position,
                sum: tally.sum,
            },
            tail_checked: AtomicU64::new(0),
            bad: BadRanges::new(bad),
        };
        Self {
            shared: Arc::new(shared),
            tally,
            interval_bytes,
            last_interval,
            index_files,
            since_ms,
            last_append_ms,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Active> {
        &self.shared
    }

    pub(crate) fn base(&self) -> Offset {
        self.shared.base
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tally.batches == 0
    }

    /// When the first batch came, or the segment if there is none.
    pub(crate) fn since_ms(&self) -> i64 {
        self.since_ms
    }

    pub(crate) fn last_append_ms(&self) -> i64 {
        self.last_append_ms
    }

    /// Writes batches, whose offsets continue the segment, by one vectored write for every
    /// [`BATCHES_PER_WRITE`] of them.
    pub(crate) fn write(
        &mut self,
        fs: &dyn Fs,
        batches: &[Stored],
        now_ms: i64,
    ) -> Result<(), WriteFailed> {
        let mut position = self.tally.position;
        for batches in batches.chunks(BATCHES_PER_WRITE) {
            let mut parts = Vec::with_capacity(2 * batches.len());
            for batch in batches {
                parts.extend([IoSlice::new(&batch.prefix), IoSlice::new(&batch.rest)]);
            }
            if let Err(error) = self.shared.file.write_at(position, &parts) {
                return Err(self.cut_back(error));
            }
            position += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        }
        if self.is_empty() {
            self.since_ms = now_ms;
        }
        self.last_append_ms = now_ms;
        for batch in batches {
            self.note(batch);
        }
        self.shared
            .written
            .store(self.tally.position, Ordering::Release);
        self.save_index(fs, FRAME_ENTRIES);
        Ok(())
    }

    /// Counts a batch, and indexes it if it begins an interval.
    fn note(&mut self, batch: &Stored) {
        let position = self.tally.position;
        let begins = self
            .last_interval
            .is_none_or(|last| position - last >= u64::from(self.interval_bytes));
        if begins {
            let mut index = self
                .shared
                .index
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let closed = index.indexes.offsets.entries().len().checked_sub(1);
            index
                .indexes
                .note(self.shared.base, &self.tally, self.interval_bytes);
            index.checked.grow(closed.map_or(1, |slot| slot + 2));
            let is_checked = self.shared.tail_checked.load(Ordering::Acquire) >= position;
            if let Some(slot) = closed.filter(|_| is_checked) {
                index.checked.set(slot);
            }
            self.last_interval = Some(position);
        }
        let end = Offset(batch.header.last_offset()).plus(1);
        self.tally.add(&batch.header, end, batch.head());
    }

    /// Makes the file what it was before a write that failed, durably: else a power cut could bring
    /// back whole batches of that write, in the place of those that the journal has for it.
    fn cut_back(&self, error: std::io::Error) -> WriteFailed {
        let path = self.path(SegmentFile::Log);
        let file = &self.shared.file;
        let kept = self.tally.position;
        let cut = file.len().and_then(|len| {
            if len > kept {
                file.set_len(kept)?;
                file.sync()?;
            }
            Ok(())
        });
        WriteFailed {
            error: LogError::io("write", &path, error),
            is_unknown: cut.is_err(),
        }
    }

    /// Writes index entries to their files once at least `entries_min` of them wait. A failure
    /// costs nothing but the time to rebuild the index after a crash.
    pub(crate) fn save_index(&mut self, fs: &dyn Fs, entries_min: usize) {
        let base = self.base();
        for slot in 0..self.index_files.len() {
            let target = &mut self.index_files[slot];
            let new = {
                let index = self
                    .shared
                    .index
                    .read()
                    .unwrap_or_else(PoisonError::into_inner);
                let indexes = &index.indexes;
                let count = match target.kind {
                    IndexKind::Offset => indexes.offsets.entries().len(),
                    IndexKind::Time => indexes.times.entries().len(),
                };
                if target.is_lost || count - target.entries < entries_min.max(1) {
                    continue;
                }
                let bytes = match target.kind {
                    IndexKind::Offset => indexes.offsets.encode_from(target.entries),
                    IndexKind::Time => indexes.times.encode_from(target.entries),
                };
                target.entries = count;
                frame(target.kind, &bytes)
            };
            let path = file_of(target.kind).path(&self.shared.dir, base);
            if let Err(error) = target.append(fs, &path, &new) {
                target.is_lost = true;
                tracing::warn!(%error, segment = %base, "an index could not be saved");
            }
        }
    }

    /// Syncs what [`Self::save_index`] wrote.
    pub(crate) fn sync_index(&self) -> Result<(), LogError> {
        for target in &self.index_files {
            if let Some(file) = &target.file {
                let path = self.path(file_of(target.kind));
                file.sync()
                    .map_err(|error| LogError::io("sync", &path, error))?;
            }
        }
        Ok(())
    }

    /// Syncs the log file, then writes and syncs the index files whole. May be repeated.
    pub(crate) fn prepare_seal(&mut self, fs: &dyn Fs) -> Result<(), LogError> {
        for target in &mut self.index_files {
            // Should the roll fail later, the files no longer end where the next frame would go.
            target.is_lost = true;
        }
        let path = self.path(SegmentFile::Log);
        let file = &self.shared.file;
        // The disk may have set blocks aside for what would have come next: it gets them back.
        file.set_len(self.tally.position)
            .map_err(|error| LogError::io("cut", &path, error))?;
        file.sync()
            .map_err(|error| LogError::io("sync", &path, error))?;
        let Tally { position, sum, .. } = self.tally;
        let files = self.indexes().sealed_files((position, sum));
        for (kind, bytes) in [IndexKind::Offset, IndexKind::Time].into_iter().zip(files) {
            write_whole(fs, &self.path(file_of(kind)), &bytes)?;
        }
        Ok(())
    }

    /// A copy of the indexes.
    pub(crate) fn indexes(&self) -> Indexes {
        let index = self
            .shared
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        index.indexes.clone()
    }

    fn path(&self, file: SegmentFile) -> std::path::PathBuf {
        file.path(&self.shared.dir, self.shared.base)
    }
}

impl IndexFile {
    fn append(&mut self, fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(create_or_take_empty(fs, path)?),
        };
        file.write_at(self.position, &[IoSlice::new(bytes)])
            .map_err(|error| LogError::io("write", path, error))?;
        self.position += bytes.len() as u64;
        Ok(())
    }
}

/// Which file holds an index.
pub(crate) fn file_of(kind: IndexKind) -> SegmentFile {
    match kind {
        IndexKind::Offset => SegmentFile::Index,
        IndexKind::Time => SegmentFile::TimeIndex,
    }
}

/// Creates a file; one that a crash or a failed roll left is taken if it holds nothing that
/// counts: a log file must be empty, an index file is emptied.
fn create_or_take_empty(fs: &dyn Fs, path: &Path) -> Result<Arc<dyn File>, LogError> {
    match fs.create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(LogError::io("create", path, error)),
        Ok(file) => return Ok(file),
    }
    let file = fs
        .open(path, OpenMode::Append)
        .map_err(|e| LogError::io("open", path, e))?;
    let len = file
        .len()
        .map_err(|error| LogError::io("measure", path, error))?;
    if len > 0 {
        if path.extension().is_some_and(|extension| extension == "log") {
            return Err(LogError::Corrupt {
                file: path.to_owned(),
                position: crate::types::Position(0),
                why: format!("it holds {len} bytes, and a new segment begins there"),
            });
        }
        file.set_len(0)
            .map_err(|error| LogError::io("cut", path, error))?;
    }
    Ok(file)
}

/// Writes and syncs a whole index file over whatever is there.
pub(crate) fn write_whole(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let file = create_or_take_empty(fs, path)?;
    file.write_at(0, &[IoSlice::new(bytes)])
        .map_err(|error| LogError::io("write", path, error))?;
    file.sync()
        .map_err(|error| LogError::io("sync", path, error))
}

/// One write takes at most 512 slices: half of what every system takes.
const BATCHES_PER_WRITE: usize = 256;
/// Entries of a frame of an unsealed index: 2 MiB of log at the default interval.
const FRAME_ENTRIES: usize = 64;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use highwater_proto::batch_builder::BatchBuilder;
    use highwater_proto::compress::Codec;

    use super::*;
    use crate::fs::os::OsFs;

    #[test]
    fn a_sealed_segment_keeps_no_blocks_for_what_does_not_come() {
        let temporary = tempfile::tempdir().unwrap();
        let dir: Arc<Path> = temporary.path().into();
        let fs = OsFs::new();
        let mut writer = ActiveWriter::create(&fs, &dir, Offset(0), 4096, 0).unwrap();
        let mut builder = BatchBuilder::new(Codec::None);
        let value = vec![b'v'; 1 << 20];
        builder.append(1_000, None, Some(&value), &[]).unwrap();
        let bytes = builder.build().unwrap();
        for offset in 0..20 {
            let mut header = BatchHeader::parse(&bytes).unwrap();
            header.base_offset = offset;
            let mut prefix = [0; PREFIX_BYTES];
            prefix.copy_from_slice(&header.to_bytes()[..PREFIX_BYTES]);
            let rest = bytes.slice(PREFIX_BYTES..);
            let stored = Stored {
                header,
                prefix,
                rest,
            };
            writer.write(&fs, &[stored], 0).unwrap();
        }
        writer.prepare_seal(&fs).unwrap();
        let log = std::fs::metadata(SegmentFile::Log.path(&dir, Offset(0))).unwrap();
        assert_eq!(log.len(), 20 * bytes.len() as u64);
        assert!(log.blocks() * 512 <= log.len() + (1 << 20), "{log:?}");
    }
}
