//! Goes over a sealed segment in small steps and checks every byte, whether anybody reads it or
//! not.
//!
//! Floor 5 of log-core.
//!
//! Invariants
//! - Nothing is changed. What is found is not noted here: whoever asked does that.
//! - Bytes come from the disk, not from what was cached when the segment was begun.

use std::sync::Arc;

use super::LogReader;
use crate::error::LogError;
use crate::fs::File;
use crate::segment::{Sealed, Survey};
use crate::types::Offset;

/// A sealed segment that is being checked.
#[derive(Debug)]
pub struct Scrub {
    sealed: Arc<Sealed>,
    file: Arc<dyn File>,
    /// The interval to check next.
    slot: usize,
}

/// What a step has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes that were read.
    pub bytes: u64,
    /// Whether something in them is not what was written, and not noted as damage.
    pub is_damaged: bool,
    /// Whether that was the end of the segment.
    pub is_over: bool,
}

impl LogReader {
    /// The first offsets of the segments that do not change any more.
    #[must_use]
    pub fn sealed_segments(&self) -> Vec<Offset> {
        let view = self.shared.view.load();
        view.sealed.iter().map(|sealed| sealed.info.base).collect()
    }

    /// Begins to check a segment; `None` if there is no such segment any more.
    ///
    /// # Errors
    /// The disk's.
    pub fn scrub(&self, segment: Offset) -> Result<Option<Scrub>, LogError> {
        let Some(sealed) = self.sealed(segment) else {
            return Ok(None);
        };
        let file = sealed.reopened()?;
        Ok(Some(Scrub {
            sealed,
            file,
            slot: 0,
        }))
    }

    /// Reads a sealed segment whole; `None` if it is gone, or nothing is wrong that was not noted.
    pub(crate) fn survey(&self, segment: Offset) -> Result<Option<Survey>, LogError> {
        let Some(sealed) = self.sealed(segment) else {
            return Ok(None);
        };
        let (_, survey) = sealed.survey(&self.shared.view.load().epochs)?;
        Ok(Some(survey).filter(|survey| survey.has_news(&sealed.bad().noted())))
    }

    fn sealed(&self, segment: Offset) -> Option<Arc<Sealed>> {
        let view = self.shared.view.load();
        let mut sealed = view.sealed.iter();
        sealed.find(|sealed| sealed.info.base == segment).cloned()
    }
}

impl Scrub {
    /// Checks at least one interval, and further ones until `bytes` have been read.
    ///
    /// # Errors
    /// The disk's: also what it cannot read is lost.
    pub fn step(&mut self, bytes: u64) -> Result<Scrubbed, LogError> {
        let mut scrubbed = Scrubbed {
            bytes: 0,
            is_damaged: false,
            is_over: false,
        };
        loop {
            let Some((read, is_right)) = self.sealed.scrub(&*self.file, self.slot)? else {
                scrubbed.is_over = true;
                return Ok(scrubbed);
            };
            self.slot += 1;
            scrubbed.bytes += read;
            scrubbed.is_damaged |= !is_right;
            if scrubbed.bytes >= bytes || scrubbed.is_damaged {
                return Ok(scrubbed);
            }
        }
    }
}
