//! How much the disk and the data directory may still take: appends fail before the disk does.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - The disk is asked at most once a second and after every 16 MiB written; what was written
//!   since counts as gone.
//! - Writing resumes by itself within a second after space has returned.
//! - What the reserve lacks counts as gone: no record takes its place.
//! - Appends stop before the directory holds what it may, by a margin for what goes on: offsets,
//!   metadata, indexes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use highwater_proto::clock::Mono;

use super::ShardConfig;
use super::reserve::Reserve;
use crate::data_dir::{DataDir, Meter};
use crate::error::LogError;
use crate::fs::Fs;
use crate::sync::{Mutex, lock};

/// Watches the free bytes of the data directory's disk, and the size of the directory.
#[derive(Debug)]
pub(super) struct Space {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    min_free_bytes: Option<u64>,
    reserve: Reserve,
    limit: Option<Limit>,
    seen: Mutex<Seen>,
    /// When the shard was opened.
    opened_at: Mono,
    /// Whether appends are refused.
    is_short: AtomicBool,
}

#[derive(Debug)]
struct Seen {
    free_bytes: u64,
    min_free_bytes: u64,
    written_bytes: u64,
    /// Never: the disk was not asked yet.
    at: Option<Mono>,
}

/// The most that the directory may hold.
#[derive(Debug)]
struct Limit {
    meter: Arc<Meter>,
    bytes_max: u64,
    /// Whether a tick was asked for already, to make room.
    is_asked: AtomicBool,
}

impl Limit {
    /// Where appends stop.
    fn refuse_at(&self) -> u64 {
        self.bytes_max - (self.bytes_max / 16).min(MARGIN_BYTES_MAX)
    }

    /// Where room begins to be made: before that, so that nobody has to wait for it.
    fn crowded_at(&self) -> u64 {
        self.refuse_at() - self.bytes_max / 16
    }
}

impl Space {
    /// Looks at the disk, and measures the directory if it has a limit. Comes before anything in
    /// the directory is opened.
    pub(super) fn new(dir: &DataDir, config: &ShardConfig, now: Mono) -> Result<Self, LogError> {
        let (fs, root) = (Arc::clone(dir.fs()), dir.root().to_owned());
        let limit = match config.dir_bytes_max {
            None => None,
            Some(bytes_max) => Some(Limit {
                meter: dir.measure()?,
                bytes_max,
                is_asked: AtomicBool::new(false),
            }),
        };
        // A disk without an end never fills up.
        let has_end = matches!(fs.total_bytes(&root), Ok(Some(_)));
        let allowed = config.dir_bytes_max.map_or(u64::MAX, |max| max / 8);
        let reserve_bytes = if has_end { config.reserve_bytes } else { 0 };
        let reserve = Reserve::find(Arc::clone(&fs), &root, reserve_bytes.min(allowed))?;
        let seen = Mutex::new(Seen {
            free_bytes: u64::MAX,
            min_free_bytes: 0,
            written_bytes: 0,
            at: None,
        });
        let space = Self {
            fs,
            dir: root,
            min_free_bytes: config.min_free_bytes,
            reserve,
            limit,
            seen,
            opened_at: now,
            is_short: AtomicBool::new(false),
        };
        // A start writes, too.
        if space.free_bytes() < space.reserve.bytes() {
            space.release();
        }
        Ok(space)
    }

    /// Why `bytes` more must not be written now, if so.
    pub(super) fn shortage(&self, bytes: u64, now: Mono) -> Option<LogError> {
        self.on_disk(bytes, now).or_else(|| self.in_dir(bytes))
    }

    /// Notes whether appends are refused.
    pub(super) fn note_short(&self, is_short: bool) {
        self.is_short.store(is_short, Ordering::Relaxed);
    }

    fn on_disk(&self, bytes: u64, now: Mono) -> Option<LogError> {
        let mut seen = lock(&self.seen);
        let is_old = seen.at.is_none_or(|at| now.since(at) >= ASK_EVERY);
        if is_old || seen.written_bytes >= ASK_AFTER_BYTES {
            self.ask(&mut seen, now);
        }
        let free_bytes = seen.free_bytes.saturating_sub(seen.written_bytes);
        let needed = seen
            .min_free_bytes
            .saturating_add(self.reserve.missing_bytes());
        if free_bytes < needed {
            return Some(LogError::Full { free_bytes });
        }
        seen.written_bytes = seen.written_bytes.saturating_add(bytes);
        None
    }

    fn in_dir(&self, bytes: u64) -> Option<LogError> {
        let limit = self.limit.as_ref()?;
        let dir_bytes = limit.meter.bytes();
        // Once in its log, and once in the journal.
        let after = dir_bytes.saturating_add(bytes.saturating_mul(2));
        (after > limit.refuse_at()).then_some(LogError::OverLimit {
            dir_bytes,
            dir_bytes_max: limit.bytes_max,
        })
    }

    fn ask(&self, seen: &mut Seen, now: Mono) {
        seen.free_bytes = self.free_bytes();
        if seen.free_bytes < self.reserve.bytes() / 4 && self.reserve.release() {
            seen.free_bytes = self.free_bytes();
        }
        seen.min_free_bytes = self.min_free_bytes();
        seen.written_bytes = 0;
        seen.at = Some(now);
        if let Some(limit) = &self.limit {
            limit.is_asked.store(false, Ordering::Relaxed);
        }
    }

    /// A disk that cannot tell is found full by writing to it.
    fn free_bytes(&self) -> u64 {
        self.fs.free_bytes(&self.dir).unwrap_or(u64::MAX)
    }

    fn min_free_bytes(&self) -> u64 {
        self.min_free_bytes.unwrap_or_else(|| {
            let total = self.fs.total_bytes(&self.dir).ok().flatten();
            (total.unwrap_or(0) / 100).max(MIN_FREE_BYTES)
        })
    }

    /// Gives up the reserve. Whether there was one.
    pub(super) fn release(&self) -> bool {
        self.doubt();
        self.reserve.release()
    }

    /// Asks the disk again at the next append: it is not as it was seen last.
    pub(super) fn doubt(&self) {
        lock(&self.seen).at = None;
    }

    /// Looks at the disk, if nobody else does, and makes the reserve if there is room for it.
    pub(super) fn look(&self, now: Mono) -> Result<(), LogError> {
        let is_short = self.shortage(0, now).is_some();
        // In a crowded directory the next append may be refused all the same.
        if is_short || !self.is_crowded() {
            self.note_short(is_short);
        }
        let missing_bytes = self.reserve.missing_bytes();
        let is_young = now.since(self.opened_at) < RESERVE_AFTER;
        if missing_bytes > 0 && !is_short && !is_young && self.in_dir(missing_bytes).is_none() {
            self.reserve.make()?;
            self.doubt();
        }
        Ok(())
    }

    /// Whether the directory is so full that room should be made.
    pub(super) fn is_crowded(&self) -> bool {
        let limit = self.limit.as_ref();
        limit.is_some_and(|limit| limit.meter.bytes() >= limit.crowded_at())
    }

    /// Whether somebody must be woken to make room: once, until it was tried.
    pub(super) fn wants_room(&self) -> bool {
        self.is_crowded()
            && self
                .limit
                .as_ref()
                .is_some_and(|limit| !limit.is_asked.swap(true, Ordering::Relaxed))
    }

    /// Room was made: whoever finds that it is too little may say so.
    pub(super) fn made_room(&self) {
        if let Some(limit) = &self.limit {
            limit.is_asked.store(false, Ordering::Relaxed);
        }
    }

    /// Whether appends are refused, for all that is known.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// What the directory holds, if that is counted.
    pub(super) fn dir_bytes(&self) -> Option<u64> {
        self.limit.as_ref().map(|limit| limit.meter.bytes())
    }
}

const ASK_EVERY: Duration = Duration::from_secs(1);
/// Who lives shorter, as many a test does, is spared the writing of the reserve.
const RESERVE_AFTER: Duration = Duration::from_secs(1);
const ASK_AFTER_BYTES: u64 = 16 << 20;
/// What is kept free of any disk that is not asked to keep more.
const MIN_FREE_BYTES: u64 = 64 << 20;
/// Offsets and metadata need no more, however large the directory is.
const MARGIN_BYTES_MAX: u64 = 16 << 20;
