//! What was counted so far, in a file: a run that stops goes on from there.
//!
//! Invariants
//! - What was counted counts only as long as the code that it covers is the same.
//! - The file is replaced whole, so that a run that is killed leaves the one before.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::part::{Part, Tier};

/// What a part has done in a tier.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The code that it was done with, see [`code`].
    pub code: String,
    /// The first item that was not begun.
    pub next: u64,
    /// Units done.
    pub done: u64,
    /// How long it took.
    pub seconds: f64,
    /// What was found.
    pub findings: Vec<String>,
    /// What it wants to be read: name and what was seen.
    pub notes: BTreeMap<String, String>,
}

/// The ledger.
#[derive(Debug, Default)]
pub struct Ledger {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Reads the file; a missing or unreadable one is an empty ledger.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let entries = fs::read(path).ok();
        let entries = entries.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            path: path.to_path_buf(),
            entries: entries.unwrap_or_default(),
        }
    }

    /// What a part has done with this code; nothing if the code has changed.
    #[must_use]
    pub fn entry(&self, part: &Part, tier: Tier, code: &str) -> Entry {
        let entry = self.entries.get(&key(part, tier));
        let entry = entry.filter(|entry| entry.code == code).cloned();
        entry.unwrap_or_else(|| Entry {
            code: code.to_owned(),
            ..Entry::default()
        })
    }

    /// Keeps what a part has done.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn keep(&mut self, part: &Part, tier: Tier, entry: Entry) -> io::Result<()> {
        self.entries.insert(key(part, tier), entry);
        let text = serde_json::to_string_pretty(&self.entries).map_err(io::Error::other)?;
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let new = self.path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, &self.path)
    }
}

fn key(part: &Part, tier: Tier) -> String {
    format!("{tier}/{}", part.name)
}

/// A sum of all sources in some folders of the project, names included.
///
/// # Errors
/// If they cannot be read.
pub fn code(root: &Path, folders: &[&str]) -> io::Result<String> {
    let mut files = Vec::new();
    let mut dirs: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            match path.extension().and_then(|end| end.to_str()) {
                _ if path.is_dir() => dirs.push(path),
                Some("rs" | "toml" | "patch") => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    let mut sum = crc32fast::Hasher::new();
    for path in &files {
        sum.update(path.to_string_lossy().as_bytes());
        sum.update(&fs::read(path)?);
    }
    Ok(format!("{:08x}", sum.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::{Unable, Work};
    use crate::place::Place;

    fn no_work(_: &Place, _: Tier) -> Result<Box<dyn Work>, Unable> {
        Err(Unable("a test".to_owned()))
    }

    const PART: Part = Part {
        name: "part",
        unit: "units",
        asked: [1, 2, 3],
        ci_seconds: 1,
        threads: 1,
        covers: &[],
        open: no_work,
    };

    #[test]
    fn what_was_done_is_kept_until_the_code_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/ledger.json");
        let mut ledger = Ledger::open(&path);
        let mut entry = ledger.entry(&PART, Tier::Nightly, "one");
        assert_eq!((entry.next, entry.done), (0, 0));
        (entry.next, entry.done) = (7, 70);
        ledger.keep(&PART, Tier::Nightly, entry).unwrap();

        let ledger = Ledger::open(&path);
        assert_eq!(ledger.entry(&PART, Tier::Nightly, "one").next, 7);
        assert_eq!(ledger.entry(&PART, Tier::Ci, "one").next, 0);
        assert_eq!(ledger.entry(&PART, Tier::Nightly, "two").next, 0);
    }

    #[test]
    fn each_source_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/x.rs"), "one").unwrap();
        let one = code(dir.path(), &["a"]).unwrap();
        fs::write(dir.path().join("a/notes.txt"), "not code").unwrap();
        assert_eq!(code(dir.path(), &["a"]).unwrap(), one);
        fs::write(dir.path().join("a/x.rs"), "two").unwrap();
        assert_ne!(code(dir.path(), &["a"]).unwrap(), one);
    }
}
