//! What an opening of a log is told, and what it tells.
//!
//! Floor 4 of log-core.

use std::path::PathBuf;

use crate::checkpoint::RecoveryPoint;
use crate::keys::KeySeed;
use crate::types::{LeaderEpoch, LogId, Offset, Position};

/// What is known about a log when its directory is opened.
#[derive(Clone, Debug)]
pub struct RecoveryStart {
    /// Which log it is: what another one has written is not believed.
    pub id: LogId,
    /// The log's recovery point, if one was written.
    pub point: Option<RecoveryPoint>,
    /// Whether the last process stopped cleanly.
    pub clean: bool,
    /// Whether this point, or its absence, is what was noted last: then the log's checkpoint and
    /// this know every epoch that was ever begun in it.
    pub is_newest: bool,
    /// The epoch of a log that is made now.
    pub epoch: LeaderEpoch,
    /// What the keys of a log that gets its key index now are hashed with.
    pub key_seed: KeySeed,
}

impl RecoveryStart {
    /// A log of which nothing is known.
    #[must_use]
    pub const fn unknown(id: LogId) -> Self {
        Self {
            id,
            point: None,
            clean: false,
            is_newest: false,
            epoch: LeaderEpoch(0),
            key_seed: KeySeed([0; 16]),
        }
    }
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes that were cut off above the recovery point.
    pub torn_bytes: u64,
    /// Batches that were read and checked above the recovery point.
    pub batches_scanned: u64,
    /// Their bytes.
    pub bytes_scanned: u64,
    /// Damage that is listed now, and copies of what was cut off.
    pub quarantined: Vec<Quarantined>,
    /// Segments whose indexes were made anew.
    pub rebuilt_indexes: u64,
}

/// A range of a log that is not what was written, or was cut off with right batches in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The first offset of its segment.
    pub segment: Offset,
    /// Where it begins in the segment's log file.
    pub position: Position,
    /// How long it is.
    pub bytes: u64,
    /// The first offset that it held.
    pub first: Offset,
    /// The offset behind the last one that it held, as far as that is known.
    pub end: Offset,
    /// The copy, if it was cut off.
    pub copy: Option<PathBuf>,
}
