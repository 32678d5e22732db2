//! The batches of one segment file, in order and over damage.
//!
//! Floor 8 of log-core.
//!
//! Invariants
//! - Every byte of the file lies in exactly one stretch, and the iteration ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use highwater_proto::batch::{BatchHeader, check_crc};

use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};
use crate::segment::{Check, Found, Scan, SegmentFile, find_valid};
use crate::types::{Offset, Position};

/// What stands somewhere in a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// A batch in its place.
    Batch {
        /// Its first byte.
        position: Position,
        /// Its header: offsets, timestamps, codec, producer and the rest.
        header: BatchHeader,
        /// Whether its checksum agrees.
        is_crc_right: bool,
    },
    /// No batch that continues the segment. No byte: offsets are missing between two batches.
    Damage {
        /// The first byte.
        position: Position,
        /// How many there are.
        bytes: u64,
        /// The offset that should follow here.
        expected: Offset,
        /// What is wrong with the first of them.
        why: String,
    },
}

/// Iterates over a segment file; see [`dump`].
#[derive(Debug)]
pub struct Dump {
    path: PathBuf,
    file: Arc<dyn File>,
    position: u64,
    limit: u64,
    expected: Offset,
    has_failed: bool,
}

/// Opens a segment's `.log` file, of a running broker too: what it holds now is shown.
///
/// # Errors
/// The disk's; [`LogError::Corrupt`] if the name is not that of a segment.
pub fn dump(fs: &dyn Fs, path: &Path) -> Result<Dump, LogError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some((base, SegmentFile::Log)) = name.and_then(SegmentFile::parse) else {
        return Err(LogError::Corrupt {
            file: path.to_owned(),
            position: Position(0),
            why: "a segment is named by its first offset in 20 digits and .log".to_owned(),
        });
    };
    let io = |error| LogError::io("read", path, error);
    let file = fs.open(path, OpenMode::Read).map_err(io)?;
    let limit = file.len().map_err(io)?;
    Ok(Dump {
        path: path.to_owned(),
        file,
        position: 0,
        limit,
        expected: base,
        has_failed: false,
    })
}

impl Dump {
    /// The length of the file when it was opened, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.limit
    }

    fn step(&mut self) -> std::io::Result<Option<Stretch>> {
        let position = self.position;
        let mut scan = Scan::new(&*self.file, position, self.limit, self.expected);
        match scan.next(Check::Header)? {
            Found::End => Ok(None),
            Found::Batch { header, .. } => {
                let batch = self.file.read_at(position, header.total_bytes())?;
                (self.position, self.expected) = (scan.position(), scan.expected());
                Ok(Some(Stretch::Batch {
                    position: Position(position),
                    header,
                    is_crc_right: check_crc(&batch).is_ok(),
                }))
            }
            Found::Invalid { why } => {
                let expected = self.expected;
                let found = find_valid(&*self.file, position, self.limit, expected)?;
                let next = found.map(|(position, header)| (position, Offset(header.base_offset)));
                (self.position, self.expected) = next.unwrap_or((self.limit, expected));
                Ok(Some(Stretch::Damage {
                    position: Position(position),
                    bytes: self.position - position,
                    expected,
                    why,
                }))
            }
        }
    }
}

impl Iterator for Dump {
    type Item = Result<Stretch, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let step = self.step();
        self.has_failed = step.is_err();
        step.map_err(|error| LogError::io("read", &self.path, error))
            .transpose()
    }
}
