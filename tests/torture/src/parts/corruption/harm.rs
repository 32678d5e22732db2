//! What is done to a file.
//!
//! Invariants
//! - It changes the file: one that would leave it as it is is not drawn.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use highwater_broker::ids::TopicId;
use highwater_kit::rng::Rng;

use super::template::Template;

/// One damaged file.
#[derive(Debug)]
pub(super) struct Harm {
    /// Below the data directory.
    pub(super) file: PathBuf,
    /// The bytes that the file has from now on.
    bytes: Vec<u8>,
    /// The first byte that is another one, and the one behind the last.
    pub(super) changed: (u64, u64),
    what: String,
    /// Whether it is repaired before a broker has seen it.
    pub(super) repairs_first: bool,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.what, self.file.display())
    }
}

impl Harm {
    /// Draws a file of a kind, each kind as likely as the others, and what becomes of it.
    pub(super) fn draw(template: &Template, rng: &mut Rng) -> io::Result<Self> {
        let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let mut files = files_below(&template.dir, Path::new(""))?;
        // Ids of topics are drawn anew each time.
        files.sort_by_cached_key(|file| named(template, file));
        for file in files {
            kinds.entry(kind_of(&file)).or_default().push(file);
        }
        let kinds: Vec<Vec<PathBuf>> = kinds.into_values().collect();
        loop {
            // Records are what it is all about.
            let logs = |files: &Vec<PathBuf>| kind_of(&files[0]) == "log";
            let files = match rng.percent(35) {
                true => kinds.iter().find(|files| logs(files)),
                false => kinds.get(rng.below(kinds.len())),
            };
            let Some(files) = files else { continue };
            let file = &files[rng.below(files.len())];
            let was = fs::read(template.dir.join(file))?;
            let older = fs::read(template.older.join(file)).unwrap_or_default();
            let other = fs::read(template.dir.join(&files[rng.below(files.len())]))?;
            let (bytes, what) = damaged(&was, &older, &other, rng);
            if bytes == was {
                continue;
            }
            let is_other = |at: &usize| bytes.get(*at) != was.get(*at);
            let longest = bytes.len().max(was.len());
            let first = (0..longest).find(is_other).unwrap_or(0) as u64;
            let last = (0..longest).rev().find(is_other).unwrap_or(0) as u64;
            return Ok(Self {
                file: file.clone(),
                bytes,
                changed: (first, last + 1),
                what,
                repairs_first: rng.percent(50),
            });
        }
    }

    /// Damages the file in a copy of the template.
    pub(super) fn inflict(&self, dir: &Path) -> io::Result<()> {
        fs::write(dir.join(&self.file), &self.bytes)
    }

    /// What kind of file it is.
    pub(super) fn kind(&self) -> String {
        kind_of(&self.file)
    }

    pub(super) fn is_log(&self) -> bool {
        self.kind() == "log"
    }
}

/// The bytes after one of the ways in which disks fail, and its name.
fn damaged(was: &[u8], older: &[u8], other: &[u8], rng: &mut Rng) -> (Vec<u8>, String) {
    let mut bytes = was.to_vec();
    let len = bytes.len();
    let at = rng.below(len.max(1));
    let size = 1 + rng.below((len - at.min(len)).clamp(1, 600));
    let end = (at + size).min(len);
    let what = match rng.below(8) {
        0 | 1 if len > 0 => {
            bytes[at] ^= 1 << rng.below(8);
            format!("a flipped bit at byte {at}")
        }
        2 if len > 0 => {
            for byte in &mut bytes[at..end] {
                *byte ^= u8::try_from(rng.below(256)).unwrap_or(0);
            }
            format!("garbage in bytes {at} to {end}")
        }
        3 if len > 0 => {
            bytes[at..end].fill(0);
            format!("zeros in bytes {at} to {end}")
        }
        4 if len > 0 => {
            // As a write that went elsewhere: of this file, or of another one of its kind.
            let source = if rng.percent(50) { was } else { other };
            let from = rng.below(source.len().max(1));
            let size = (end - at).min(source.len() - from.min(source.len()));
            bytes[at..at + size].copy_from_slice(&source[from..from + size]);
            format!("{size} bytes from {from} copied to byte {at}")
        }
        5 => {
            bytes.truncate(at);
            format!("the cut at byte {at}")
        }
        6 if !older.is_empty() && len > 0 => {
            let end = end.min(older.len());
            if at < end {
                bytes[at..end].copy_from_slice(&older[at..end]);
            }
            format!("an older state in bytes {at} to {end}")
        }
        _ => {
            bytes = older.to_vec();
            "an older state of all".to_owned()
        }
    };
    (bytes, what)
}

/// All files below a folder, in order, with paths below it.
fn files_below(root: &Path, below: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut names: Vec<_> = fs::read_dir(root.join(below))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    names.sort();
    for name in names {
        let path = below.join(name);
        match root.join(&path).is_dir() {
            true => files.extend(files_below(root, &path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}

/// The path with the name of the topic instead of its id.
fn named(template: &Template, file: &Path) -> PathBuf {
    let named = file.iter().map(|part| {
        let id = u128::from_str_radix(&part.to_string_lossy(), 16);
        let id = id.ok().filter(|_| part.len() == 32);
        let name = id.map(|id| TopicId(id.to_be_bytes())).map(|id| {
            let internal = if id == TopicId::META {
                "__meta"
            } else {
                "__internal"
            };
            template.topics.get(&id).copied().unwrap_or(internal)
        });
        name.map_or(part, OsStr::new)
    });
    named.collect()
}

/// The extension, or the name.
fn kind_of(file: &Path) -> String {
    let name = file.extension().or_else(|| file.file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}
