//! Goes over the batches of a log's segments, for whoever looks for one.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - Headers are read, and no more. Damage is passed over, up to the next interval.

use std::sync::Arc;

use highwater_proto::batch::BatchHeader;

use super::LogReader;
use crate::error::LogError;
use crate::fs::File;
use crate::segment::{Active, Boundary, Check, Found, Scan, Sealed, SegmentFile};
use crate::types::Offset;
use crate::view::View;

/// Either kind of segment, as far as a search needs it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Searched<'a> {
    Sealed(&'a Sealed),
    Active(&'a Active),
}

/// The offsets among which the answer lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) start: Offset,
    pub(super) end: Offset,
}

impl LogReader {
    /// Goes from `begin`, a boundary of the segment, to the batch that reaches `end`, until `visit`
    /// answers something. It gets the file, the position of a batch and its header.
    pub(super) fn walk<T>(
        &self,
        segment: Searched<'_>,
        begin: Boundary,
        end: Offset,
        mut visit: impl FnMut(&dyn File, u64, &BatchHeader) -> Result<Option<T>, LogError>,
    ) -> Result<Option<T>, LogError> {
        let file = segment.file()?;
        let mut scan = Scan::new(&*file, begin.position, segment.bytes(), begin.offset);
        while scan.expected() < end {
            let position = scan.position();
            let found = scan
                .next(Check::Header)
                .map_err(|error| self.io(segment, error))?;
            match found {
                Found::Batch { header, .. } => {
                    let answer = visit(&*file, position, &header)?;
                    if answer.is_some() {
                        return Ok(answer);
                    }
                }
                Found::End => break,
                Found::Invalid { .. } => match segment.interval_behind(position)? {
                    Some(next) => scan.jump(next.position, next.offset),
                    None => break,
                },
            }
        }
        Ok(None)
    }

    pub(super) fn io(&self, segment: Searched<'_>, error: std::io::Error) -> LogError {
        let path = SegmentFile::Log.path(&self.shared.dir, segment.base());
        LogError::io("read", &path, error)
    }
}

impl<'a> Searched<'a> {
    pub(super) fn base(self) -> Offset {
        match self {
            Self::Sealed(sealed) => sealed.info.base,
            Self::Active(active) => active.base,
        }
    }

    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Sealed(sealed) => sealed.info.bytes,
            Self::Active(active) => active.written(),
        }
    }

    pub(super) fn file(self) -> Result<Arc<dyn File>, LogError> {
        match self {
            Self::Sealed(sealed) => sealed.file().map(Arc::clone),
            Self::Active(active) => Ok(Arc::clone(active.file())),
        }
    }

    /// Whether retention has removed the segment since the View was loaded.
    pub(super) fn is_below(self, start: Offset) -> bool {
        matches!(self, Self::Sealed(sealed) if sealed.info.end <= start)
    }

    pub(super) fn may_reach(self, timestamp: i64) -> bool {
        match self {
            Self::Sealed(sealed) => sealed.info.max_timestamp >= timestamp,
            Self::Active(_) => true,
        }
    }

    /// The later one of where the log starts and where the first batch lies that reaches a time.
    pub(super) fn begin(self, start: Offset, timestamp: i64) -> Result<Option<Boundary>, LogError> {
        let (by_offset, by_time) = match self {
            Self::Sealed(sealed) => (
                sealed.interval_of(start)?,
                sealed.interval_reaching(timestamp)?,
            ),
            Self::Active(active) => (
                active.interval_of(start),
                active.interval_reaching(timestamp),
            ),
        };
        Ok(by_offset
            .into_iter()
            .chain(by_time)
            .max_by_key(|begin| begin.position))
    }

    pub(super) fn interval_behind(self, position: u64) -> Result<Option<Boundary>, LogError> {
        match self {
            Self::Sealed(sealed) => sealed.interval_behind(position),
            Self::Active(active) => Ok(active.interval_behind(position)),
        }
    }
}

/// The segments that hold offsets within the bounds, in order.
pub(super) fn searched(view: &View, bounds: Bounds) -> impl Iterator<Item = Searched<'_>> {
    let sealed = view
        .sealed
        .iter()
        .filter(move |sealed| sealed.info.end > bounds.start && sealed.info.base < bounds.end)
        .map(|sealed| Searched::Sealed(sealed));
    sealed.chain([Searched::Active(&view.active)])
}

/// The most that one batch may unpack to for a look into it: 64 MiB.
pub(super) const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// What the log has accepted was measured then; no batch unpacks to more.
pub(super) const ACCEPTED_BYTES_MAX: usize = i32::MAX as usize;
