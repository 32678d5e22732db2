//! Files and directories of the operating system, reached through std and the system calls of
//! the parent module.
//!
//! Floor 1 of log-core.
//!
//! Invariants
//! - Directories are 0700 and files 0600; symbolic links are not followed by any open.
//! - `sync` reaches the disk, not only its cache, wherever the system offers that.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the seam to the real disk"
)]

use std::fs;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::sys;
use crate::fs::{DirLock, File, Fs, LOCK_FILE, OpenMode};

/// The real disk.
///
/// ```no_run
/// use std::path::Path;
/// use highwater_log::fs::{Fs, os::OsFs};
///
/// let fs = OsFs::new();
/// let _lock = fs.lock(Path::new("/var/lib/highwater"))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFs;

impl OsFs {
    /// The real disk; it has no state.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Fs for OsFs {
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // Every name of ours is ASCII; any other is a stranger's and shown as well as it can.
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match sys::dir_builder().create(dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists && is_dir(dir)? => Ok(()),
            done => done,
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = sys::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let writes = matches!(mode, OpenMode::Append | OpenMode::Recover);
        let file = OsFile(sys::options().read(true).write(writes).open(path)?);
        match mode {
            OpenMode::Read | OpenMode::Append => Ok(Arc::new(file)),
            OpenMode::Mapped => super::mapped::map(file),
            OpenMode::Recover => {
                file.sync()?;
                sys::drop_cached_pages(&file.0)?;
                Ok(Arc::new(file))
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if is_dir(path)? {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        sys::sync_dir(dir)
    }

    fn lock(&self, dir: &Path) -> io::Result<DirLock> {
        sys::expect_private(dir)?;
        let path = dir.join(LOCK_FILE);
        let mut options = sys::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        // The lock belongs to this open file: a second open, in this process too, is refused,
        // and closing any other handle of the file does not release it.
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What the holder wrote serves the message only.
                let _ = file.take(LOCK_TEXT_BYTES_MAX).read_to_string(&mut holder);
                let holder = if holder.is_empty() {
                    "another process"
                } else {
                    holder.trim()
                };
                let why = format!("{holder} holds its lock");
                return Err(io::Error::new(ErrorKind::WouldBlock, why));
            }
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
        file.set_len(0)?;
        writeln!(file, "process {}", std::process::id())?;
        Ok(DirLock::new(file))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        sys::free_bytes(dir)
    }

    fn total_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        sys::total_bytes(dir).map(Some)
    }

    fn parallel_syncs(&self) -> usize {
        PARALLEL_SYNCS
    }
}

/// The kernel joins the flushes of concurrent syncs: 12 files cost 3.5 times one file with 12
/// threads, 7 times with 4, 17 times with one (ADR 1).
const PARALLEL_SYNCS: usize = 12;

/// More than [`OsFs::lock`] ever writes.
const LOCK_TEXT_BYTES_MAX: u64 = 64;

/// Reads up to this size are allocated without asking how much the file holds.
const BLIND_READ_BYTES_MAX: usize = 4096;

/// Reads from this size on go to memory that lies on its page as the bytes lie on theirs.
const ALIGNED_READ_BYTES_MIN: usize = 64 << 10;

/// The unit in which the kernel caches files; with larger pages less is gained and nothing lost.
const PAGE_BYTES: usize = 4096;

/// An empty vector for so many bytes of a file, or one that begins with a pad which is not part of
/// them: a cached read is a copy page by page, and the kernel copies whole pages a third faster
/// when source and destination are aligned alike.
fn room_for(position: u64, len: usize) -> Vec<u8> {
    if len < ALIGNED_READ_BYTES_MIN {
        return Vec::with_capacity(len);
    }
    let mut room: Vec<u8> = Vec::with_capacity(len + PAGE_BYTES - 1);
    let wanted = usize::try_from(position % PAGE_BYTES as u64).unwrap_or(0);
    let pad = (PAGE_BYTES + wanted - room.as_ptr().addr() % PAGE_BYTES) % PAGE_BYTES;
    room.resize(pad, 0);
    room
}

fn is_dir(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_dir())
}

#[derive(Debug)]
pub(super) struct OsFile(pub(super) fs::File);

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut parts = parts.to_vec();
        let mut rest = parts.as_mut_slice();
        let mut at = position;
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match sys::write_some_at(&self.0, at, rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    at += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let mut len = len;
        if len > BLIND_READ_BYTES_MAX {
            let left = self.len()?.saturating_sub(position);
            len = usize::try_from(left).map_or(len, |left| left.min(len));
        }
        let mut bytes = room_for(position, len);
        let pad = bytes.len();
        while bytes.len() - pad < len {
            let read = bytes.len() - pad;
            match sys::read_some_at(&self.0, position + read as u64, len - read, &mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        let mut bytes = Bytes::from(bytes);
        bytes.advance(pad);
        Ok(bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.len()? {
            return Err(io::Error::new(ErrorKind::InvalidInput, "set_len only cuts"));
        }
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync on Linux, F_FULLFSYNC on macOS, FlushFileBuffers on Windows.
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_reads_lie_on_their_page_as_the_bytes_lie_on_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let file = OsFs::new().create(&dir.path().join("f")).unwrap();
        let bytes: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        file.write_at(0, &[IoSlice::new(&bytes)]).unwrap();
        for position in [0, 1, 16, 4095, 4096, 32_084, 200_001] {
            for len in [0, 100, 65_535, 65_536, 99_999, 400_000] {
                let read = file.read_at(position as u64, len).unwrap();
                let end = bytes.len().min(position + len);
                assert_eq!(read, bytes[position..end], "{len} bytes at {position}");
                if read.len() >= ALIGNED_READ_BYTES_MIN {
                    let page = |at: usize| at % PAGE_BYTES;
                    assert_eq!(page(read.as_ptr().addr()), page(position));
                }
            }
        }
    }
}
