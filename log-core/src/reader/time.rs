//! Finds records by their time.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - The answer is a record between the start and the durable mark, as a scan of all records would
//!   give it. A batch is opened only if its header claims a time that is large enough; headers
//!   are the producers' word, and one that claims too little hides its records from the search.
//! - At most one batch is open at a time, and at most 64 MiB of it.
//! - Damage is skipped.

use bytes::Bytes;
use highwater_proto::batch::{BatchHeader, TimestampType, check_crc};
use highwater_proto::record::RecordIter;

use super::LogReader;
use super::walk::{Bounds, DECOMPRESSED_BYTES_MAX, Searched, searched};
use crate::error::LogError;
use crate::types::{LeaderEpoch, Offset};

/// The record that a search by time found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeHit {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp in milliseconds.
    pub timestamp: i64,
    /// The leader epoch that it was appended under.
    pub epoch: LeaderEpoch,
}

impl LogReader {
    /// The first readable record whose timestamp is at least `timestamp_ms`.
    ///
    /// # Errors
    /// [`LogError::Rejected`] if the batch that should hold it cannot be opened; the disk's.
    pub fn find_time(&self, timestamp_ms: i64) -> Result<Option<TimeHit>, LogError> {
        let bounds = self.bounds();
        let view = self.shared.view.load();
        for segment in searched(&view, bounds) {
            let hit = self.search(segment, bounds, timestamp_ms, |records, header| {
                first_at_least(records, header, bounds, timestamp_ms)
            });
            match hit {
                Ok(None) => {}
                Err(_) if segment.is_below(self.start()) => {}
                found => return found,
            }
        }
        Ok(None)
    }

    /// The first of the readable records with the largest timestamp.
    ///
    /// # Errors
    /// As [`Self::find_time`].
    pub fn max_timestamp(&self) -> Result<Option<TimeHit>, LogError> {
        let bounds = self.bounds();
        let view = self.shared.view.load();
        let mut best: Option<TimeHit> = None;
        for segment in searched(&view, bounds) {
            // Only a record above the best one so far is of interest, so that most segments are
            // answered by their largest timestamp alone.
            let mut least = best.map_or(i64::MIN, |hit| hit.timestamp.saturating_add(1));
            loop {
                let hit = self.search(segment, bounds, least, |records, header| {
                    largest_of(records, header, bounds, least)
                });
                match hit {
                    Ok(Some(hit)) if hit.timestamp == i64::MAX => return Ok(Some(hit)),
                    Ok(Some(hit)) => (best, least) = (Some(hit), hit.timestamp + 1),
                    Ok(None) => break,
                    Err(_) if segment.is_below(self.start()) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(best)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            start: self.start(),
            end: self.durable(),
        }
    }

    /// Opens the batches of a segment that claim to reach `least`, in order, until `pick` answers.
    fn search(
        &self,
        segment: Searched<'_>,
        bounds: Bounds,
        least: i64,
        pick: impl Fn(RecordIter, &BatchHeader) -> Result<Option<TimeHit>, LogError>,
    ) -> Result<Option<TimeHit>, LogError> {
        if !segment.may_reach(least) {
            return Ok(None);
        }
        let Some(begin) = segment.begin(bounds.start, least)? else {
            return Ok(None);
        };
        self.walk(segment, begin, bounds.end, |file, position, header| {
            let is_inside = header.last_offset() >= bounds.start.0;
            if header.max_timestamp < least || !is_inside {
                return Ok(None);
            }
            let batch = file.read_at(position, header.total_bytes());
            let batch = batch.map_err(|error| self.io(segment, error))?;
            match check_crc(&batch) {
                Ok(()) => open(batch).and_then(|records| pick(records, header)),
                Err(_) => Ok(None),
            }
        })
    }
}

fn open(batch: Bytes) -> Result<RecordIter, LogError> {
    RecordIter::new(batch, DECOMPRESSED_BYTES_MAX).map_err(LogError::from)
}

/// The first record within the bounds that reaches a time.
fn first_at_least(
    records: RecordIter,
    header: &BatchHeader,
    bounds: Bounds,
    least: i64,
) -> Result<Option<TimeHit>, LogError> {
    for record in records {
        let record = record?;
        if record.timestamp >= least && record.offset >= bounds.start.0 {
            return Ok(Some(hit(record.offset, record.timestamp, header)));
        }
    }
    Ok(None)
}

/// The first of the records within the bounds with the largest timestamp, if that reaches a time.
fn largest_of(
    records: RecordIter,
    header: &BatchHeader,
    bounds: Bounds,
    least: i64,
) -> Result<Option<TimeHit>, LogError> {
    let mut best: Option<TimeHit> = None;
    for record in records {
        let record = record?;
        let floor = best.map_or(least, |best| best.timestamp.saturating_add(1));
        if record.timestamp >= floor && record.offset >= bounds.start.0 {
            best = Some(hit(record.offset, record.timestamp, header));
            if header.timestamp_type() == TimestampType::LogAppendTime {
                break;
            }
        }
    }
    Ok(best)
}

fn hit(offset: i64, timestamp: i64, header: &BatchHeader) -> TimeHit {
    TimeHit {
        offset: Offset(offset),
        timestamp,
        epoch: LeaderEpoch(header.leader_epoch),
    }
}
