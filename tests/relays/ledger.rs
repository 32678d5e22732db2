//! What was run so far, in a file: a run that is stopped goes on from there.
//!
//! Invariants
//! - What was run counts only as long as the binary is the same.
//! - The file is replaced whole.

#![expect(
    clippy::disallowed_methods,
    reason = "the file of a test, which is no data directory"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use highwater::cli::table::{Side, Table};
use serde::{Deserialize, Serialize};

use crate::relaying::said;

/// What a series has come to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The next step.
    pub(crate) next: usize,
    pub(crate) is_done: bool,
    pub(crate) runs: u64,
    pub(crate) kills: u64,
    pub(crate) rows: u64,
    pub(crate) again: u64,
    pub(crate) effects: u64,
    /// What was undone by power cuts, lost or made up: of nobody but the controls.
    pub(crate) undone: u64,
    pub(crate) ghosts: u64,
    pub(crate) lost: u64,
    pub(crate) seconds: f64,
    /// What is wrong.
    pub(crate) finding: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Of the binary that did it.
    build: String,
    pub(crate) entries: BTreeMap<String, Entry>,
    #[serde(skip)]
    path: Option<PathBuf>,
}

impl Ledger {
    /// What a file says, if it was written by this binary; without a path it is forgotten.
    ///
    /// # Errors
    /// If the binary cannot be looked at.
    pub(crate) fn open(path: Option<PathBuf>) -> Result<Self, String> {
        let binary = std::env::current_exe().and_then(fs::metadata);
        let binary = binary.map_err(said)?;
        let build = format!("{} {:?}", binary.len(), binary.modified().map_err(said)?);
        let found = path.as_ref().and_then(|path| fs::read(path).ok());
        let found = found.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let found = found.filter(|it| it.build == build).unwrap_or_default();
        Ok(Self {
            build,
            path,
            ..found
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn keep(&self) -> Result<(), String> {
        match &self.path {
            Some(path) => self.write(path),
            None => Ok(()),
        }
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        let made = path.with_extension("made");
        let text = serde_json::to_vec_pretty(self).map_err(said)?;
        fs::write(&made, text).map_err(said)?;
        fs::rename(made, path).map_err(said)
    }

    /// The counts as a table.
    pub(crate) fn table(&self) -> Table {
        let head = [
            "RUNS", "KILLS", "ROWS", "AGAIN", "EFFECTS", "UNDONE", "GHOSTS", "LOST", "S",
        ];
        let [a, b, c, d, e, f, g, h, i] = head.map(|name| (name, Side::Right));
        let mut table = Table::new([("SERIES", Side::Left), a, b, c, d, e, f, g, h, i]);
        for (name, it) in &self.entries {
            let counts = [
                it.runs, it.kills, it.rows, it.again, it.effects, it.undone, it.ghosts, it.lost,
            ];
            let [a, b, c, d, e, f, g, h] = counts.map(|it| it.to_string());
            let seconds = format!("{:.1}", it.seconds);
            table.row([name.clone(), a, b, c, d, e, f, g, h, seconds]);
        }
        table
    }
}

/// How long something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "the seconds of the table")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
