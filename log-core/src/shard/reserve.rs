//! A file of noise that can be given up when the disk is full, so that the logs which must go on
//! have room.
//!
//! Floor 7 of log-core.
//!
//! Invariants
//! - The name `RESERVE` means that the whole file is on the disk: it is written and synced under
//!   another name first.
//! - Nothing is lost with it: it is removed at any moment, and made again when there is room.

use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::checkpoint::TEMPORARY_SUFFIX;
use crate::error::LogError;
use crate::fs::{File, Fs, OpenMode};

/// The reserve of a data directory.
#[derive(Debug)]
pub(super) struct Reserve {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    bytes: u64,
    is_there: AtomicBool,
}

impl Reserve {
    /// Looks whether it is there; with no bytes there is to be none.
    pub(super) fn find(fs: Arc<dyn Fs>, dir: &Path, bytes: u64) -> Result<Self, LogError> {
        let path = dir.join(RESERVE);
        let length = match fs.open(&path, OpenMode::Read) {
            Ok(file) => Some(file.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(LogError::io("open", &path, error)),
        };
        let length = length
            .transpose()
            .map_err(|error| LogError::io("measure", &path, error))?;
        let is_there = length.is_some_and(|length| length == bytes && bytes > 0);
        let reserve = Self {
            fs,
            dir: dir.to_owned(),
            bytes,
            is_there: AtomicBool::new(is_there),
        };
        if length.is_some() && !is_there {
            // One of another size: it makes room for the right one.
            reserve.remove(RESERVE)?;
        }
        reserve.remove(&temporary())?;
        Ok(reserve)
    }

    /// What is still to be made of it, in bytes.
    pub(super) fn missing_bytes(&self) -> u64 {
        if self.is_there.load(Ordering::Relaxed) {
            0
        } else {
            self.bytes
        }
    }

    /// Its size, there or not.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives it up. Whether there was one to be given up.
    pub(super) fn release(&self) -> bool {
        if !self.is_there.swap(false, Ordering::AcqRel) {
            return false;
        }
        match self.remove(RESERVE) {
            Ok(()) => {
                tracing::warn!(
                    bytes = self.bytes,
                    "the disk is full: the reserve is given up, so that offsets and metadata go on"
                );
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the reserve cannot be given up");
                false
            }
        }
    }

    /// Makes it; what does not come about is thrown away, and tried again later. One thread at a
    /// time, and only while it is missing.
    ///
    /// # Errors
    /// A sync's, which is final for every file of the disk.
    pub(super) fn make(&self) -> Result<(), LogError> {
        match self.write() {
            Ok(()) => self.is_there.store(true, Ordering::Release),
            Err(error @ LogError::Io { op: "sync", .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the reserve is not made now");
                if let Err(error) = self.remove(&temporary()) {
                    tracing::debug!(%error, "half a reserve is left behind");
                }
            }
        }
        Ok(())
    }

    fn write(&self) -> Result<(), LogError> {
        let source = self.dir.join(temporary());
        let file = self
            .fs
            .create(&source)
            .map_err(|error| LogError::io("create", &source, error))?;
        self.fill(&*file)
            .map_err(|error| LogError::io("write", &source, error))?;
        file.sync()
            .map_err(|error| LogError::io("sync", &source, error))?;
        self.fs
            .rename(&source, &self.dir.join(RESERVE))
            .map_err(|error| LogError::io("rename", &source, error))?;
        self.fs
            .sync_dir(&self.dir)
            .map_err(|error| LogError::io("sync", &self.dir, error))
    }

    /// Noise, because a file system that compresses keeps no room for zeros.
    fn fill(&self, file: &dyn File) -> std::io::Result<()> {
        let mut noise = vec![0; usize::try_from(self.bytes).map_or(STEP, |b| b.min(STEP))];
        let mut state = 1;
        let mut position = 0;
        while position < self.bytes {
            for word in noise.chunks_mut(8) {
                state = xorshift(state);
                let bytes = state.to_le_bytes();
                word.copy_from_slice(&bytes[..word.len()]);
            }
            if position == 0 {
                let magic = MAGIC.len().min(noise.len());
                noise[..magic].copy_from_slice(&MAGIC[..magic]);
            }
            let left = usize::try_from(self.bytes - position).unwrap_or(STEP);
            let part = &noise[..left.min(noise.len())];
            file.write_at(position, &[IoSlice::new(part)])?;
            position += part.len() as u64;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), LogError> {
        let path = self.dir.join(name);
        match self.fs.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(LogError::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }
}

fn temporary() -> String {
    format!("{RESERVE}{TEMPORARY_SUFFIX}")
}

/// Marsaglia's generator: enough that nothing is saved by compressing it.
const fn xorshift(state: u64) -> u64 {
    let a = state ^ (state << 13);
    let b = a ^ (a >> 7);
    b ^ (b << 17)
}

const RESERVE: &str = "RESERVE";
const MAGIC: &[u8; 8] = b"HWSPARE\0";
const STEP: usize = 1 << 20;
