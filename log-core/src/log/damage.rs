//! What is damaged is noted for good, and given up when somebody says so.
//!
//! Floor 6 of log-core.
//!
//! Invariants
//! - No byte of a `.log` file is changed. What is given up is copied aside before, durably.
//! - A checkpoint and an index that were made over different damage are never met together: the
//!   index goes first, and comes back last.

use std::path::PathBuf;
use std::sync::Arc;

use highwater_proto::clock::Now;

use super::{Log, Quarantined};
use crate::checkpoint::SealedInfo;
use crate::error::LogError;
use crate::fs::{File, OpenMode};
use crate::index_file::IndexKind;
use crate::recovery::{copy_aside, forget_index, log_name, quarantine_of};
use crate::segment::{
    BadRange, Sealed, SegmentFile, Survey, file_of, report, sealed_info, write_whole,
};
use crate::types::{Offset, Position};
use crate::view::View;

impl Log {
    /// Notes what a whole read of a sealed segment has found; answers what was not noted before.
    /// A segment that retention has removed meanwhile has nothing to note.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn note_damage(
        &mut self,
        base: Offset,
        survey: Survey,
        now: Now,
    ) -> Result<Vec<Quarantined>, LogError> {
        let view = self.shared.view.load();
        let Some(sealed) = view.sealed.iter().find(|sealed| sealed.info.base == base) else {
            return Ok(Vec::new());
        };
        let noted = sealed.bad().noted();
        let is_news = |bad: &&BadRange| !noted.contains(bad);
        let news: Vec<_> = survey.bad.iter().filter(is_news).copied().collect();
        if news.is_empty() {
            return Ok(Vec::new());
        }
        self.replace_sealed(base, survey, now)?;
        report(&self.dir, base, &news);
        Ok(news
            .iter()
            .map(|bad| quarantined(base, bad, None))
            .collect())
    }

    /// Reads everything, and gives up what is damaged: reads pass over it from now on. It is copied
    /// aside before. Answers what was given up.
    ///
    /// # Errors
    /// The disk's. Called again, it goes on where it stopped.
    pub(crate) fn give_up_damage(&mut self, now: Now) -> Result<Vec<Quarantined>, LogError> {
        if self.active_is_damaged()? {
            self.roll(now)?;
        }
        let mut given_up = Vec::new();
        let view = self.shared.view.load();
        for sealed in &view.sealed {
            let base = sealed.info.base;
            let (file, mut survey) = sealed.survey(&view.epochs)?;
            let damaged = survey.bad.iter_mut().filter(|bad| !bad.is_hole);
            let mut is_damaged = false;
            for bad in damaged {
                is_damaged = true;
                let copy = self.copy_range(base, &*file, bad)?;
                given_up.push(quarantined(base, bad, copy));
                bad.is_hole = true;
            }
            if is_damaged {
                self.replace_sealed(base, survey, now)?;
            }
        }
        Ok(given_up)
    }

    fn active_is_damaged(&self) -> Result<bool, LogError> {
        let (base, tally) = (self.writer.base(), *self.writer.tally());
        let path = SegmentFile::Log.path(&self.dir, base);
        let noted = self.writer.shared().bad().noted();
        let info = sealed_info(base, &tally, 0);
        let view = self.shared.view.load();
        let file = self.fs.open(&path, OpenMode::Recover);
        let survey = file.and_then(|file| Survey::of_sealed(&*file, &info, &noted, &view.epochs));
        let survey = survey.map_err(|error| LogError::io("read", &path, error))?;
        Ok(survey.bad.iter().any(|bad| !bad.is_hole))
    }

    /// `None` if the file has none of the bytes.
    fn copy_range(
        &self,
        base: Offset,
        file: &dyn File,
        bad: &BadRange,
    ) -> Result<Option<PathBuf>, LogError> {
        let path = SegmentFile::Log.path(&self.dir, base);
        let len = file
            .len()
            .map_err(|error| LogError::io("measure", &path, error))?;
        let (from, to) = (bad.position, bad.position_end.min(len));
        if from >= to {
            return Ok(None);
        }
        let name = format!("{}-{:020}-{from}.bad", log_name(&self.dir), base.0);
        let quarantine = quarantine_of(&self.dir);
        copy_aside(&*self.fs, &quarantine, &name, file, from, to).map(Some)
    }

    /// Gives a sealed segment the damage and the indexes of a survey.
    fn replace_sealed(&mut self, base: Offset, survey: Survey, now: Now) -> Result<(), LogError> {
        self.expect_healthy()?;
        let view = self.shared.view.load();
        let slot = view
            .sealed
            .binary_search_by_key(&base, |sealed| sealed.info.base)
            .expect("the caller has seen the segment, and nobody else changes the View");
        let old = &view.sealed[slot];
        let info = SealedInfo {
            sum: survey.tally.sum,
            ..old.info
        };
        let index_files = survey.indexes.sealed_files((info.bytes, info.sum));
        let (fs, dir) = (Arc::clone(&self.fs), Arc::clone(&self.dir));
        let sealed =
            Sealed::new(fs, dir, info, old.last_append_ms, survey.bad).with_indexes(survey.indexes);
        let mut all = view.sealed.clone();
        all[slot] = Arc::new(sealed);
        let view = View {
            sealed: all,
            ..View::clone(&view)
        };
        let forgotten = forget_index(&*self.fs, &self.dir, base);
        forgotten.map_err(|error| self.settle(error.into()))?;
        let saved = self.save_view(&view, self.marks.start(), now);
        saved.map_err(|failed| self.settle(failed))?;
        self.shared.view.store(view);
        for (kind, bytes) in [IndexKind::Offset, IndexKind::Time]
            .into_iter()
            .zip(index_files)
        {
            // A cache: without it the next start reads the segment.
            let path = file_of(kind).path(&self.dir, base);
            if let Err(error) = write_whole(&*self.fs, &path, &bytes) {
                tracing::warn!(%error, "an index is left to the next start");
            }
        }
        Ok(())
    }
}

fn quarantined(base: Offset, bad: &BadRange, copy: Option<PathBuf>) -> Quarantined {
    Quarantined {
        segment: base,
        position: Position(bad.position),
        bytes: bad.position_end - bad.position,
        first: bad.first,
        end: bad.end,
        copy,
    }
}
