//! One partition's log: the only writer of its segments.
//!
//! Floor 6 of log-core.
//!
//! Invariants
//! - `start <= stable <= durable <= end`; none of them goes back while the log lives.
//! - Every segment but the last is sealed, synced and noted in the checkpoint, or the log is
//!   poisoned; sealed bytes never change.
//! - A write that failed leaves nothing behind, or the log is poisoned. A sync that failed always
//!   poisons it: it refuses every change until it is opened again, and reads go on.
//! - Names and the checkpoint are durable before anything depends on them.

mod append;
mod damage;
mod keyed;
mod oldest;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use highwater_proto::clock::Now;

pub use self::append::Appended;
use self::keyed::Placed;
pub use self::keyed::Sent;
pub use self::upkeep::Retired;
use crate::checkpoint::MovedProducers;
use crate::checkpoint::RecoveryPoint;
use crate::config::{Durability, LogConfig};
use crate::error::LogError;
use crate::fs::{File, Fs};
use crate::keys::KeySeed;
use crate::producers::Moved;
use crate::producers::Producers;
use crate::reader::Shared;
pub use crate::reader::{LogReader, SegmentInfo, Slice, TimeHit};
use crate::recovery::recover;
pub use crate::recovery::{Quarantined, Recovered, RecoveryStart};
use crate::segment::{ActiveWriter, SegmentFile, Tally};
use crate::types::{LeaderEpoch, LogId, Offset};
use crate::view::{CurrentView, Marks, View};

/// A log, as its writer holds it.
///
/// ```
/// use std::path::PathBuf;
/// use std::sync::Arc;
///
/// use highwater_log::config::LogConfig;
/// use highwater_log::fs::mem::MemFs;
/// use highwater_log::log::Log;
/// use highwater_log::reader::{Minimum, UpTo};
/// use highwater_log::types::{LeaderEpoch, LogId, Offset};
/// use highwater_proto::batch::{ProduceLimits, validate_produced};
/// use highwater_proto::batch_builder::BatchBuilder;
/// use highwater_proto::clock::Now;
/// use highwater_proto::compress::Codec;
///
/// let mut builder = BatchBuilder::new(Codec::None);
/// builder.append(1_700_000_000_000, None, Some(b"hello"), &[])?;
/// let batch = validate_produced(&builder.build()?, &ProduceLimits::default())?;
///
/// let (fs, dir) = (Arc::new(MemFs::new()), PathBuf::from("/log"));
/// let (id, now) = (LogId { topic: [1; 16], partition: 0 }, Now::default());
/// let mut log = Log::create(fs, dir, id, LogConfig::default(), LeaderEpoch(0), now)?;
/// let appended = log.append(&[batch], now).remove(0)?;
/// assert_eq!(appended.base_offset, Offset(0));
///
/// let target = log.sync_target();
/// target.sync()?;
/// log.marks().advance_durable(target.end());
/// let slice = log.reader().read(Offset(0), 1 << 20, UpTo::Durable, Minimum::OneBatch)?;
/// assert_eq!(slice.next_offset, Offset(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Log {
    id: LogId,
    fs: Arc<dyn Fs>,
    dir: Arc<Path>,
    config: LogConfig,
    marks: Arc<Marks>,
    shared: Arc<Shared>,
    writer: ActiveWriter,
    epoch: LeaderEpoch,
    /// Entries of the epoch history that the checkpoint has.
    epochs_saved: usize,
    producers: Producers,
    /// The first batch with a sequence that no snapshot knows.
    producers_from: Option<Offset>,
    /// For the key index, if it has none to go on with.
    key_seed: KeySeed,
    /// Empty between two appends.
    placed: Placed,
    synced: Arc<Mutex<Synced>>,
    poisoned: Option<Arc<str>>,
}

/// Up to where the segment files are synced.
#[derive(Clone, Copy, Debug)]
struct SyncedPoint {
    segment: Offset,
    tally: Tally,
}

/// What is synced, and what the recovery point notes of it.
#[derive(Debug)]
struct Synced {
    point: SyncedPoint,
    moved: Moved,
    /// The offset of the snapshot that `moved` builds on; absent if the snapshot lacks more.
    snapshot: Option<Offset>,
}

impl Log {
    /// Makes a new log in `dir`, whose parent exists; `dir` need not.
    ///
    /// # Errors
    /// The disk's; [`LogError::Corrupt`] if the directory holds a log already.
    pub fn create(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        epoch: LeaderEpoch,
        now: Now,
    ) -> Result<Self, LogError> {
        fs.create_dir(&dir)
            .map_err(|error| LogError::io("create", &dir, error))?;
        if let Some(parent) = dir.parent() {
            fs.sync_dir(parent)
                .map_err(|error| LogError::io("sync", parent, error))?;
        }
        let names = fs
            .list(&dir)
            .map_err(|error| LogError::io("list", &dir, error))?;
        if let Some(name) = names.iter().find(|name| SegmentFile::parse(name).is_some()) {
            return Err(LogError::Corrupt {
                file: dir.join(name),
                position: crate::types::Position(0),
                why: "a new log was to be made where there is one".to_owned(),
            });
        }
        let start = RecoveryStart {
            epoch,
            ..RecoveryStart::unknown(id)
        };
        let (log, _) = Self::open(fs, dir, config, start, now)?;
        Ok(log)
    }

    /// Opens the log in `dir`, which exists; an empty directory is a new log.
    ///
    /// # Errors
    /// The disk's; [`LogError::TooNew`] for a directory that a newer version wrote. Damage is no
    /// error: it is in the report, and reads of it answer [`LogError::Corrupt`].
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        config: LogConfig,
        from: RecoveryStart,
        now: Now,
    ) -> Result<(Self, Recovered), LogError> {
        let dir: Arc<Path> = dir.into();
        let opened = recover(&fs, &dir, &config, &from, now)?;
        let restored = opened.restored;
        let end = opened.writer.tally().end;
        let marks = Arc::new(Marks::new(opened.start, end));
        let synced = Synced {
            point: SyncedPoint {
                segment: opened.writer.base(),
                tally: *opened.writer.tally(),
            },
            moved: restored.moved,
            snapshot: restored.snapshot,
        };
        let shared = Arc::new(Shared {
            dir: Arc::clone(&dir),
            marks: Arc::clone(&marks),
            verify: AtomicU8::default(),
            skips_damage: AtomicBool::default(),
            keys: OnceLock::new(),
            produced_bytes: AtomicU64::default(),
            events: AtomicU64::default(),
            conflicts: AtomicU64::default(),
            fetched_bytes: AtomicU64::default(),
            view: CurrentView::new(View {
                sealed: opened.sealed,
                active: Arc::clone(opened.writer.shared()),
                epochs: opened.epochs,
            }),
        });
        shared.configure(&config);
        let mut log = Self {
            id: from.id,
            fs,
            dir,
            config,
            marks,
            epoch: shared.view.load().epochs.current(),
            shared,
            writer: opened.writer,
            epochs_saved: opened.epochs_saved,
            producers: restored.producers,
            producers_from: restored.first_unknown,
            key_seed: from.key_seed,
            placed: Placed::default(),
            synced: Arc::new(Mutex::new(synced)),
            poisoned: None,
        };
        if opened.is_changed {
            log.save(now).map_err(|failed| failed.error)?;
        }
        log.open_keys()?;
        Ok((log, opened.report))
    }

    /// The offsets that bound the log, shared with its readers.
    #[must_use]
    pub fn marks(&self) -> &Arc<Marks> {
        &self.marks
    }

    /// A reader; it stays valid whatever becomes of the log.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    /// The policies in force.
    #[must_use]
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Changes the policies. The index interval holds from the next segment on. A log that becomes
    /// `page-cache` shows at once what is written; before one becomes `fsync` the caller syncs it,
    /// since the durable mark does not go back. A log that is to have a key index gets it now.
    ///
    /// # Errors
    /// The disk's, while it makes the key index. The policies are in force all the same, and
    /// appends are refused until a later call succeeds.
    pub fn set_config(&mut self, config: LogConfig) -> Result<(), LogError> {
        if config.durability == Durability::PageCache && self.poisoned.is_none() {
            self.marks.advance_durable(self.marks.end());
        }
        self.shared.configure(&config);
        self.config = config;
        self.open_keys()
    }

    /// Why the log refuses changes, if it does.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// Refuses every change from now on. The first reason stays.
    pub fn poison(&mut self, why: &str) {
        self.poisoned.get_or_insert_with(|| why.into());
    }

    /// Begins a leader epoch at the end of the log, before its first batch is there; one that is
    /// not above the current epoch changes nothing. Answers whether it was begun: then the recovery
    /// point, which carries it, has to be written before a batch is appended under it.
    pub fn raise_epoch(&mut self, epoch: LeaderEpoch) -> bool {
        let view = self.shared.view.load();
        let mut epochs = view.epochs.clone();
        let is_begun = epochs.raise(epoch, self.marks.end());
        if is_begun {
            self.epoch = epoch;
            self.shared.view.store(View {
                epochs,
                ..View::clone(&view)
            });
        }
        is_begun
    }

    /// Saves what the index files of the active segment lack. They are caches: a failure is told
    /// in the log, and no sync is needed.
    pub(crate) fn save_index(&mut self) {
        if self.poisoned.is_none() {
            self.writer.save_index(&*self.fs, 1);
        }
    }

    /// The file to sync, and what is safe once it is: captured before the sync.
    #[must_use]
    pub fn sync_target(&self) -> SyncTarget {
        lock(&self.synced).moved.begin_sync(self.writer.tally().end);
        SyncTarget {
            file: Arc::clone(self.writer.shared().file()),
            path: SegmentFile::Log.path(&self.dir, self.writer.base()),
            point: SyncedPoint {
                segment: self.writer.base(),
                tally: *self.writer.tally(),
            },
            marks: Arc::clone(&self.marks),
            synced: Arc::clone(&self.synced),
        }
    }

    /// The log's recovery point: everything below it is in its files and synced.
    #[must_use]
    pub fn recovery_point(&self) -> RecoveryPoint {
        let (SyncedPoint { segment, tally }, moved) = {
            let synced = lock(&self.synced);
            let moved = synced.snapshot.map(|since| MovedProducers {
                since,
                windows: synced.moved.encode(),
            });
            (synced.point, moved)
        };
        let view = self.shared.view.load();
        let unsaved = view.epochs.entries().iter().skip(self.epochs_saved);
        RecoveryPoint {
            segment,
            offset: tally.end,
            position: crate::types::Position(tally.position),
            sum: tally.sum,
            batches: tally.batches,
            max_timestamp: tally.max_timestamp,
            start: self.marks.start(),
            producers_from: self.producers_from.unwrap_or(tally.end).min(tally.end),
            epochs: unsaved.copied().collect(),
            moved,
        }
    }

    /// Begins a leader epoch and writes it into the checkpoint, unless it is there already.
    pub(crate) fn note_epoch(&mut self, epoch: LeaderEpoch, now: Now) -> Result<(), LogError> {
        match self.raise_epoch(epoch) {
            true => self.save(now).map_err(|failed| failed.error),
            false => Ok(()),
        }
    }

    fn expect_healthy(&self) -> Result<(), LogError> {
        match &self.poisoned {
            Some(why) => Err(LogError::Poisoned {
                why: why.to_string(),
            }),
            None => Ok(()),
        }
    }

    /// Passes an error on; one after which the disk's state is unknown poisons the log.
    fn poisoning<T>(&mut self, result: Result<T, LogError>) -> Result<T, LogError> {
        result.map_err(|error| self.poison_by(&error))
    }

    fn poison_by(&mut self, error: &LogError) -> LogError {
        let why = error.to_string();
        tracing::error!(dir = %self.dir.display(), %why, "the log is read-only from now on");
        self.poison(&why);
        LogError::Poisoned { why }
    }
}

/// A sync that covers what was written when it was made. It holds no lock while it syncs.
#[derive(Clone, Debug)]
pub struct SyncTarget {
    file: Arc<dyn File>,
    path: PathBuf,
    point: SyncedPoint,
    marks: Arc<Marks>,
    synced: Arc<Mutex<Synced>>,
}

impl SyncTarget {
    /// The offset below which everything is synced once [`Self::sync`] has returned.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.point.tally.end
    }

    /// Syncs, then moves the log's synced mark and its recovery point. The durable mark is the
    /// caller's to move, in order.
    ///
    /// # Errors
    /// The disk's. It is final: the caller poisons the log, and never tries again.
    pub fn sync(&self) -> Result<(), LogError> {
        self.file
            .sync()
            .map_err(|error| LogError::io("sync", &self.path, error))?;
        move_to(&self.synced, self.point);
        self.marks.advance_synced(self.end());
        Ok(())
    }
}

/// Moves the synced point forward; one that another sync has passed stays.
fn move_to(synced: &Mutex<Synced>, point: SyncedPoint) {
    let mut synced = lock(synced);
    let order = |point: &SyncedPoint| (point.segment, point.tally.end);
    if order(&point) > order(&synced.point) {
        synced.point = point;
        synced.moved.synced(point.tally.end);
    }
}

/// The point is one value, whole at every moment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
