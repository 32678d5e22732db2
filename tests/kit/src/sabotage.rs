//! A disk, or its use, with one habit broken, to prove that the tests notice.
//!
//! A call that a program forgot and a call without effect are the same bug, so each sabotage but
//! the last is a wrapper around the simulated disk; none needs a change of the product.

use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Z1: the sync of a log or journal file does nothing.
    DataSync,
    /// Z2: the sync of a directory after a create does nothing.
    DirSyncAfterCreate,
    /// Z3: the sync of a directory after a rename does nothing.
    DirSyncAfterRename,
    /// Z4: the sync of checkpoints, recovery points and every other small file does nothing.
    CheckpointSync,
    /// Z5: a failed sync is answered as a success.
    SyncError,
    /// Z6: cutting a file does nothing.
    SetLen,
    /// Z8: the last slice of a write is dropped.
    LastSlice,
    /// Z9: the lock is granted to everybody.
    Lock,
    /// Z10: an open for recovery neither syncs the file nor reads it again from the disk.
    Recover,
    /// Z11: the client is answered before the sync, as if the batch were durable. Done by the
    /// [`World`](crate::world::World).
    EarlyAck,
}

impl Sabotage {
    /// All of them, with their numbers in the catalogue of sabotages.
    pub const ALL: [(&'static str, Self); 10] = [
        ("Z1", Self::DataSync),
        ("Z2", Self::DirSyncAfterCreate),
        ("Z3", Self::DirSyncAfterRename),
        ("Z4", Self::CheckpointSync),
        ("Z5", Self::SyncError),
        ("Z6", Self::SetLen),
        ("Z8", Self::LastSlice),
        ("Z9", Self::Lock),
        ("Z10", Self::Recover),
        ("Z11", Self::EarlyAck),
    ];
}

/// A disk that works but for one sabotage.
#[derive(Clone, Debug)]
pub struct SabotagedFs {
    disk: Arc<dyn Fs>,
    sabotage: Sabotage,
    /// Directories in which a name was created, or renamed, since their last sync.
    touched: Arc<Mutex<Touched>>,
}

#[derive(Debug, Default)]
struct Touched {
    created: BTreeSet<PathBuf>,
    renamed: BTreeSet<PathBuf>,
}

impl SabotagedFs {
    /// Breaks one habit of a disk.
    pub fn new(disk: Arc<dyn Fs>, sabotage: Sabotage) -> Self {
        Self {
            disk,
            sabotage,
            touched: Arc::default(),
        }
    }

    fn wrap(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        let is_data = path.extension().is_some_and(|end| end == "log")
            || path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("journal"));
        Arc::new(SabotagedFile {
            file,
            sabotage: self.sabotage,
            is_data,
        })
    }

    fn touch(&self, path: &Path, of: impl Fn(&mut Touched) -> &mut BTreeSet<PathBuf>) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = path.parent() {
            of(&mut touched).insert(dir.to_owned());
        }
    }
}

impl Fs for SabotagedFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = self.disk.create(path)?;
        self.touch(path, |touched| &mut touched.created);
        Ok(self.wrap(path, file))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mode = match mode {
            OpenMode::Recover if self.sabotage == Sabotage::Recover => OpenMode::Append,
            mode => mode,
        };
        Ok(self.wrap(path, self.disk.open(path, mode)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)?;
        self.touch(to, |touched| &mut touched.renamed);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let renamed = touched.renamed.remove(dir);
        // A name that was created to be renamed counts as renamed.
        let created = touched.created.remove(dir) && !renamed;
        drop(touched);
        match self.sabotage {
            Sabotage::DirSyncAfterCreate if created => Ok(()),
            Sabotage::DirSyncAfterRename if renamed => Ok(()),
            _ => self.disk.sync_dir(dir),
        }
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        match self.disk.lock(dir) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.sabotage == Sabotage::Lock => {
                Ok(DirLock::new(()))
            }
            answer => answer,
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

#[derive(Debug)]
struct SabotagedFile {
    file: Arc<dyn File>,
    sabotage: Sabotage,
    is_data: bool,
}

impl File for SabotagedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        match parts.split_last() {
            Some((_, parts)) if self.sabotage == Sabotage::LastSlice && !parts.is_empty() => {
                self.file.write_at(position, parts)
            }
            _ => self.file.write_at(position, parts),
        }
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        self.file.read_at(position, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match self.sabotage {
            Sabotage::SetLen => Ok(()),
            _ => self.file.set_len(len),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self.sabotage {
            Sabotage::DataSync if self.is_data => Ok(()),
            Sabotage::CheckpointSync if !self.is_data => Ok(()),
            Sabotage::SyncError => {
                // The failure is swallowed, which is the sabotage.
                let _ = self.file.sync();
                Ok(())
            }
            _ => self.file.sync(),
        }
    }
}
