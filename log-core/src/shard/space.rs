//! How much the disk may still take: appends fail before the disk does.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - The disk is asked at most once a second and after every 16 MiB written; what was written
//!   since counts as gone.
//! - Writing resumes by itself within a second after space has returned.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;

use crate::fs::Fs;
use crate::sync::{Mutex, lock};

/// Watches the free bytes of the data directory's disk.
#[derive(Debug)]
pub(super) struct Space {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    min_free_bytes: u64,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    free_bytes: u64,
    written_bytes: u64,
    /// Never: the disk was not asked yet.
    at: Option<Mono>,
}

impl Space {
    pub(super) fn new(fs: Arc<dyn Fs>, dir: PathBuf, min_free_bytes: u64) -> Self {
        let seen = Mutex::new(Seen {
            free_bytes: u64::MAX,
            written_bytes: 0,
            at: None,
        });
        Self {
            fs,
            dir,
            min_free_bytes,
            seen,
        }
    }

    /// What is free, if that is less than there must be before `bytes` more are written.
    pub(super) fn shortage(&self, bytes: u64, now: Mono) -> Option<u64> {
        let mut seen = lock(&self.seen);
        let is_old = seen.at.is_none_or(|at| now.since(at) >= ASK_EVERY);
        if is_old || seen.written_bytes >= ASK_AFTER_BYTES {
            // A disk that cannot tell is found full by writing to it.
            seen.free_bytes = self.fs.free_bytes(&self.dir).unwrap_or(u64::MAX);
            seen.written_bytes = 0;
            seen.at = Some(now);
        }
        let free_bytes = seen.free_bytes.saturating_sub(seen.written_bytes);
        if free_bytes < self.min_free_bytes {
            return Some(free_bytes);
        }
        seen.written_bytes = seen.written_bytes.saturating_add(bytes);
        None
    }
}

const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_AFTER_BYTES: u64 = 16 << 20;
