//! What can go wrong with a log, typed by what the caller can do about it.
//!
//! Floor 1 of log-core.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_proto::batch::BatchError;
use thiserror::Error;

use crate::keys::Conflict;
use crate::types::{Offset, Position};

/// Whether the disk, or what this process may use of it, is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// An operation on a log failed. Cloned to every waiter of a failed commit.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk refused an operation.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the disk answered.
        source: Arc<io::Error>,
    },
    /// Bytes that were durable are damaged. Nothing was changed; the rest of the log is readable.
    #[error("{} is damaged at byte {position}: {why}; `highwater log verify` lists what is lost, `highwater log repair` goes on without it", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where the damage was noticed.
        position: Position,
        /// What is wrong.
        why: String,
    },
    /// The asked offset is outside the log.
    #[error("offset {asked} is outside the log, which holds {start} to {end}")]
    OutOfRange {
        /// The offset that was asked for.
        asked: Offset,
        /// The first offset of the log.
        start: Offset,
        /// The next offset to be written.
        end: Offset,
    },
    /// The batch is not one that the log may store.
    #[error("the batch was refused: {0}")]
    Rejected(#[from] BatchError),
    /// The producer's epoch or sequence does not continue what the log holds.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The batch is larger than a segment may be.
    #[error(
        "a batch of {bytes} bytes does not fit into a segment of {segment_bytes} bytes; raise segment.bytes"
    )]
    LargerThanSegment {
        /// The size of the batch.
        bytes: usize,
        /// The largest size of a segment.
        segment_bytes: u64,
    },
    /// The disk has less free space than `min.free.bytes`.
    #[error(
        "the disk has {free_bytes} bytes left, fewer than min.free.bytes; free some space and writing resumes"
    )]
    Full {
        /// What is left.
        free_bytes: u64,
    },
    /// The data directory is as large as `log.dirs.max.bytes` lets it become.
    #[error(
        "the data directory holds {dir_bytes} bytes and log.dirs.max.bytes allows {dir_bytes_max}; delete records or topics, or raise it, and writing resumes"
    )]
    OverLimit {
        /// What it holds.
        dir_bytes: u64,
        /// What it may hold, room for offsets and metadata included.
        dir_bytes_max: u64,
    },
    /// A write or sync failed earlier; only a new start, which reads the disk again, heals.
    #[error(
        "the log is read-only since a failed write or sync ({why}); restart the broker to recover"
    )]
    Poisoned {
        /// The first failure.
        why: String,
    },
    /// Another process, or another handle of this one, uses the data directory.
    #[error("the data directory {} is in use: {why}", dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Who holds it.
        why: String,
    },
    /// The data directory was written by a newer version.
    #[error("the data directory {} needs a newer version of Highwater: {why}", dir.display())]
    TooNew {
        /// The data directory.
        dir: PathBuf,
        /// Which feature is unknown here.
        why: String,
    },
    /// What an append expected of a key is not so. Nothing of it was stored.
    #[error("the append was refused: {0}")]
    Conflict(Conflict),
    /// The keys that came with a batch are not those of its records, or the log has no key index.
    #[error("the append was refused: {why}")]
    Keys {
        /// What is wrong.
        why: String,
    },
    /// The log, or the shard that owns it, was closed.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    /// An I/O failure of `op` (a verb) on `path`.
    pub fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            op,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }

    /// Whether the disk had no room for a write. A sync that finds none has lost pages, which is
    /// another matter: it is final.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { op, source, .. } => *op != "sync" && is_full(source),
            _ => false,
        }
    }
}

/// Why a producer's batch does not continue its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProducerError {
    /// A newer instance of this producer has written already.
    #[error("producer {producer_id} has epoch {current}, the batch came with {epoch}")]
    Fenced {
        /// The producer.
        producer_id: i64,
        /// The epoch of the batch.
        epoch: i16,
        /// The epoch that the log knows.
        current: i16,
    },
    /// The batch does not follow the last one.
    #[error("producer {producer_id} sent sequence {sequence}, {expected} was expected")]
    OutOfOrder {
        /// The producer.
        producer_id: i64,
        /// The first sequence of the batch.
        sequence: i32,
        /// The sequence that would have continued the log.
        expected: i32,
    },
}
