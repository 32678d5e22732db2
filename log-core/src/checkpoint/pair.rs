//! A pair of files that are written in turn: the newest valid one counts.
//!
//! Floor 2 of log-core.
//!
//! Invariants
//! - A write goes to the slot that does not hold the newest valid state, and is synced; a torn
//!   write leaves the other slot to be read.
//! - The generation rises by one with each write and never falls, across restarts too.

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::read_whole;
use crate::envelope::{self, EnvelopeError};
use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};

/// Double-buffered state: `NAME.a` and `NAME.b`.
#[derive(Debug)]
pub struct AbFile {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    names: [String; 2],
    magic: [u8; 8],
    version: u32,
    files: [Option<Arc<dyn File>>; 2],
    generation: u64,
    /// The slot of the next write.
    slot: usize,
    /// Whether the newest state that was found is what was written last: every slot that was ever
    /// written is there, and valid.
    is_whole: bool,
}

impl AbFile {
    /// Opens the pair `dir/name.a` and `dir/name.b`, whose files need not exist, and reads the
    /// newest valid state. `mode` is [`OpenMode::Recover`] after an unclean stop, so that nothing
    /// is believed that only the page cache holds.
    ///
    /// # Errors
    /// The disk's; [`LogError::TooNew`] if a valid slot was written by a newer version.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        name: &str,
        magic: [u8; 8],
        version: u32,
        mode: OpenMode,
    ) -> Result<(Self, Option<Bytes>), LogError> {
        let names = [format!("{name}.a"), format!("{name}.b")];
        let mut newest: Option<(u64, usize, Bytes)> = None;
        let mut valid_count = 0;
        for (slot, name) in names.iter().enumerate() {
            let path = dir.join(name);
            let Some(mut bytes) = read_whole(&*fs, &path, mode, SLOT_BYTES_MAX)? else {
                continue;
            };
            let mut body = match envelope::unwrap(&mut bytes, &magic, version) {
                Ok((_, body)) => body,
                Err(error @ EnvelopeError::TooNew { .. }) => {
                    let why = format!("{}: {error}", path.display());
                    return Err(LogError::TooNew {
                        dir: dir.to_owned(),
                        why,
                    });
                }
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "a slot is not valid");
                    continue;
                }
            };
            let Ok(generation) = body.try_get_u64() else {
                continue;
            };
            valid_count += 1;
            if newest.as_ref().is_none_or(|(best, ..)| generation > *best) {
                newest = Some((generation, slot, body));
            }
        }
        let (generation, slot, state) = match newest {
            Some((generation, slot, body)) => (generation, 1 - slot, Some(body)),
            None => (0, 0, None),
        };
        let dir = dir.to_owned();
        let files = [None, None];
        Ok((
            Self {
                fs,
                dir,
                names,
                magic,
                version,
                files,
                generation,
                slot,
                is_whole: generation > 0 && valid_count == generation.min(2),
            },
            state,
        ))
    }

    /// Writes and syncs a new state; the old one stays valid until this returns. After an error
    /// the state on the disk is the old one or the new one.
    pub fn write(&mut self, state: &[u8]) -> Result<(), LogError> {
        let path = self.dir.join(&self.names[self.slot]);
        let mut body = BytesMut::with_capacity(8 + state.len());
        body.put_u64(self.generation + 1);
        body.put_slice(state);
        let bytes = envelope::wrap(&self.magic, self.version, &body);
        let (file, created) = self.slot_file(&path)?;
        file.write_at(0, &[IoSlice::new(&bytes)])
            .map_err(|error| LogError::io("write", &path, error))?;
        file.sync()
            .map_err(|error| LogError::io("sync", &path, error))?;
        if created {
            self.fs
                .sync_dir(&self.dir)
                .map_err(|error| LogError::io("sync", &self.dir, error))?;
        }
        self.files[self.slot] = Some(file);
        self.generation += 1;
        self.slot = 1 - self.slot;
        Ok(())
    }

    /// Whether what was read is the last state that was written: no slot is torn, damaged or gone.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// How many times the pair was written, ever.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The file of the slot to be written, and whether its name may not be durable yet.
    fn slot_file(&self, path: &Path) -> Result<(Arc<dyn File>, bool), LogError> {
        if let Some(file) = &self.files[self.slot] {
            return Ok((Arc::clone(file), false));
        }
        match self.fs.open(path, OpenMode::Append) {
            Ok(file) => Ok((file, true)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let file = self.fs.create(path);
                Ok((
                    file.map_err(|error| LogError::io("create", path, error))?,
                    true,
                ))
            }
            Err(error) => Err(LogError::io("open", path, error)),
        }
    }
}

/// Holds the recovery points of more than 500,000 logs.
const SLOT_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::mem::MemFs;

    fn open(fs: &MemFs) -> (AbFile, Option<Bytes>) {
        let fs = Arc::new(fs.clone());
        AbFile::open(
            fs,
            Path::new("/d"),
            "s",
            *b"HWTEST\0\0",
            1,
            OpenMode::Recover,
        )
        .unwrap()
    }

    fn disk() -> MemFs {
        let fs = MemFs::new();
        fs.create_dir(Path::new("/d")).unwrap();
        fs
    }

    #[test]
    fn the_newest_state_is_read_back_and_generations_go_on() {
        let fs = disk();
        let (mut pair, none) = open(&fs);
        assert_eq!(none, None);
        for round in 1..=5_u64 {
            let state = vec![b'x'; 10 - usize::try_from(round).unwrap()];
            pair.write(&state).unwrap();
            let (again, back) = open(&fs);
            assert!(again.is_whole());
            assert_eq!(back.unwrap(), state);
            assert_eq!(again.generation(), round);
            pair = again;
        }
    }

    #[test]
    fn a_torn_write_leaves_the_state_before_it() {
        let fs = disk();
        let (mut pair, _) = open(&fs);
        pair.write(b"one").unwrap();
        pair.write(b"two").unwrap();
        pair.write(b"three").unwrap();
        let torn = fs.open(Path::new("/d/s.a"), OpenMode::Append).unwrap();
        torn.write_at(25, &[IoSlice::new(b"?")]).unwrap();
        let (mut pair, back) = open(&fs);
        assert_eq!(back.unwrap(), "two");
        assert!(!pair.is_whole(), "there was a newer state");
        pair.write(b"four").unwrap();
        let (pair, back) = open(&fs);
        assert_eq!(back.unwrap(), "four");
        assert!(pair.is_whole());
        let other = fs.open(Path::new("/d/s.b"), OpenMode::Append).unwrap();
        assert!(
            &other.read_at(0, 100).unwrap().ends_with(b"two"),
            "the good slot was written"
        );
    }

    #[test]
    fn what_was_written_last_is_not_known_without_each_slot() {
        for gone in [&["s.a"][..], &["s.b"], &["s.a", "s.b"]] {
            let fs = disk();
            let (mut pair, _) = open(&fs);
            for state in [b"one", b"two", b"six"] {
                pair.write(state).unwrap();
            }
            for name in gone {
                fs.remove(&Path::new("/d").join(name)).unwrap();
            }
            assert!(!open(&fs).0.is_whole(), "{gone:?}");
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let fs = disk();
        let (mut pair, _) = open(&fs);
        pair.version = 2;
        pair.write(b"one").unwrap();
        let fs: Arc<dyn Fs> = Arc::new(fs);
        let error =
            AbFile::open(fs, Path::new("/d"), "s", *b"HWTEST\0\0", 1, OpenMode::Read).unwrap_err();
        assert!(matches!(error, LogError::TooNew { .. }), "{error}");
    }
}
