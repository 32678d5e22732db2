//! The end of a script on a disk that lost or changed what it had said it has.
//!
//! Invariants
//! - Nothing wrong is served, what is taken is served, and what nothing happened to is all there.

use std::path::{Path, PathBuf};

use super::script::{Change, Rot};
use super::{Class, Life};
use crate::oracle::{Oracle, Survived, violation};
use crate::rng::Rng;
use crate::world::{Damage, Stop};

impl Life {
    /// The power failed on a disk that had lied about its syncs.
    pub(super) fn lied(&mut self) -> Result<(), Stop> {
        self.is_over = true;
        self.world.start()?;
        self.world.verify_sound()
    }

    /// The disk changes while nobody uses it.
    pub(super) fn rot(&mut self, rot: Rot) -> Result<(), Stop> {
        let mut rng = Rng::new(rot.salt);
        self.world.heal();
        self.world.disk.crash_at(usize::MAX);
        if self.lies || self.world.disk.is_dead() || self.world.poisoned().is_some() {
            return self.last().map(|()| self.is_over = true);
        }
        // What a disk that failed kept from being read: retention may have moved on meanwhile.
        self.world.observe()?;
        if rot.stops {
            self.world.close()?;
        }
        self.crash(Class::Nothing, &mut Survived::PowerCut, &mut rng);
        self.is_over = true;
        let Some(path) = self.change(rot.change, &mut rng) else {
            return Ok(());
        };
        self.world.distrust();
        match self.world.start() {
            // What says whose directory it is cannot be made anew.
            Err(_) if is_named(&path, "VERSION") => return Ok(()),
            other => other?,
        }
        let Damage { refused, wrong } = self.world.read_damaged();
        if !wrong.is_empty() {
            let text = format!("{}: {wrong:?} are served wrong", path.display());
            return Err(violation(Oracle::NoDamageServed, text).into());
        }
        let is_data = path.extension().is_some_and(|end| end == "log");
        let is_journal = !rot.stops && path.to_string_lossy().contains("journal");
        if refused.is_empty() || is_data || is_journal {
            return Ok(());
        }
        let text = format!("{}: {refused:?} are refused", path.display());
        Err(violation(Oracle::NothingLost, text).into())
    }

    /// Changes some bytes of one file. Nothing: it was empty.
    fn change(&self, change: Change, rng: &mut Rng) -> Option<PathBuf> {
        let disk = &self.world.disk;
        let files = disk.files();
        let path = &files[rng.below(files.len())];
        let content = disk.content(path).filter(|content| !content.is_empty())?;
        let position = rng.below(content.len());
        let sector = position - position % SECTOR_BYTES;
        match change {
            Change::Bit => disk.damage(path, position, 1 << rng.below(8)),
            Change::Zeros => disk.overwrite(path, sector, &[0; SECTOR_BYTES]),
            Change::Misdirected => {
                let other = &files[rng.below(files.len())];
                let mut bytes = disk.content(other).unwrap_or_default();
                let from = rng.below(bytes.len() / SECTOR_BYTES + 1) * SECTOR_BYTES;
                bytes.drain(..from);
                bytes.resize(SECTOR_BYTES, 0);
                disk.overwrite(path, sector, &bytes);
            }
        }
        Some(path.clone())
    }
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|found| found == name)
}

const SECTOR_BYTES: usize = 512;
