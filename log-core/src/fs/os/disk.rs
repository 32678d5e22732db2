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
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::rooms::Rooms;
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
#[derive(Clone, Debug, Default)]
pub struct OsFs {
    rooms: Arc<Rooms>,
}

impl OsFs {
    /// The real disk. It and its clones share the memory that large reads use again.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
        Ok(Arc::new(OsFile::new(file, &self.rooms)))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let writes = matches!(mode, OpenMode::Append | OpenMode::Recover);
        let file = sys::options().read(true).write(writes).open(path)?;
        let file = OsFile::new(file, &self.rooms);
        match mode {
            OpenMode::Read | OpenMode::Append => Ok(Arc::new(file)),
            OpenMode::Mapped => super::mapped::map(file),
            OpenMode::Recover => {
                file.sync()?;
                sys::drop_cached_pages(&file.file)?;
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
        let told = file
            .set_len(0)
            .and_then(|()| writeln!(file, "process {}", std::process::id()));
        match told {
            // The lock is held all the same, and a full disk is no reason not to start.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded
                ) => {}
            other => other?,
        }
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

    fn release_unused(&self) {
        self.rooms.release_unused();
    }
}

/// The kernel joins the flushes of concurrent syncs: 12 files cost 3.5 times one file with 12
/// threads, 7 times with 4, 17 times with one (ADR 1).
const PARALLEL_SYNCS: usize = 12;

/// More than [`OsFs::lock`] ever writes.
const LOCK_TEXT_BYTES_MAX: u64 = 64;

/// Reads up to this size are allocated without asking how much the file holds.
const BLIND_READ_BYTES_MAX: usize = 4096;

/// A file that has grown by so much since it was synced is likely to go on.
const AHEAD_FROM_BYTES: u64 = 1 << 20;

/// The most that is set aside at once. More gains nothing.
const AHEAD_BYTES_MAX: u64 = 16 << 20;

/// Writes all slices by calls of which each may write less than it was given, or be interrupted.
fn write_whole(
    position: u64,
    parts: &[IoSlice<'_>],
    mut write_some: impl FnMut(u64, &[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut parts = parts.to_vec();
    let mut rest = parts.as_mut_slice();
    let mut at = position;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match write_some(at, rest) {
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

/// Appends `len` bytes by calls of which each may read less, or be interrupted; fewer only at the
/// end of the file, where a call reads nothing.
fn read_whole(
    position: u64,
    len: usize,
    into: &mut Vec<u8>,
    mut read_some: impl FnMut(u64, usize, &mut Vec<u8>) -> io::Result<usize>,
) -> io::Result<()> {
    let first = into.len();
    while into.len() - first < len {
        let read = into.len() - first;
        match read_some(position + read as u64, len - read, into) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn is_dir(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_dir())
}

#[derive(Debug)]
pub(super) struct OsFile {
    pub(super) file: fs::File,
    ahead: Ahead,
    rooms: Arc<Rooms>,
}

impl OsFile {
    fn new(file: fs::File, rooms: &Arc<Rooms>) -> Self {
        Self {
            file,
            ahead: Ahead::default(),
            rooms: Arc::clone(rooms),
        }
    }
}

/// Blocks behind the end of a file that grows fast without being synced: set aside many at once,
/// they cost an append a sixth less than one by one, and a file gets no more of them than it has
/// taken since its last sync. They change neither length nor content; a file that is synced all
/// the time would pay more for them than it gains.
#[derive(Debug, Default)]
struct Ahead {
    /// Bytes written since the last sync.
    unsynced_bytes: AtomicU64,
    /// Where the blocks end that were set aside.
    end: AtomicU64,
}

impl Ahead {
    /// Called before a write. A disk that cannot set blocks aside is not asked again.
    fn before_write(&self, file: &fs::File, position: u64, bytes: u64) {
        let unsynced_bytes = self.unsynced_bytes.fetch_add(bytes, Ordering::Relaxed);
        let end = position.saturating_add(bytes);
        if unsynced_bytes < AHEAD_FROM_BYTES || end <= self.end.load(Ordering::Relaxed) {
            return;
        }
        let ahead = unsynced_bytes.min(AHEAD_BYTES_MAX);
        let set_aside = sys::set_blocks_aside(file, position, ahead);
        let end = set_aside.map_or(u64::MAX, |()| position.saturating_add(ahead));
        self.end.store(end, Ordering::Relaxed);
    }
}

impl File for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        self.ahead.before_write(&self.file, position, bytes);
        write_whole(position, parts, |at, rest| {
            sys::write_some_at(&self.file, at, rest)
        })
    }

    fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let mut len = len;
        if len > BLIND_READ_BYTES_MAX {
            let left = self.len()?.saturating_sub(position);
            len = usize::try_from(left).map_or(len, |left| left.min(len));
        }
        let mut room = self.rooms.take(position, len);
        let pad = room.len();
        read_whole(position, len, &mut room, |at, len, into| {
            sys::read_some_at(&self.file, at, len, into)
        })?;
        Ok(self.rooms.lend(room, pad))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.len()? {
            return Err(io::Error::new(ErrorKind::InvalidInput, "set_len only cuts"));
        }
        self.file.set_len(len)?;
        // The blocks behind it are gone as well.
        self.ahead.end.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync on Linux, F_FULLFSYNC on macOS, FlushFileBuffers on Windows.
        self.ahead.unsynced_bytes.store(0, Ordering::Relaxed);
        self.file.sync_data()
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
                if read.len() >= 64 << 10 {
                    let page = |at: usize| at % 4096;
                    assert_eq!(page(read.as_ptr().addr()), page(position));
                }
            }
        }
    }

    /// The disk may have no such blocks to give; then there is nothing to give back either.
    #[cfg(target_os = "linux")]
    #[test]
    fn blocks_are_set_aside_for_what_grows_unsynced_only_and_a_cut_gives_them_back() {
        use std::os::unix::fs::MetadataExt as _;

        let dir = tempfile::tempdir().unwrap();
        let piece = vec![7; 256 << 10];
        let (piece_bytes, pieces) = (256 << 10, AHEAD_BYTES_MAX / (256 << 10) + 1);
        let grown = |name: &str, pieces: u64, is_synced: bool| {
            let path = dir.path().join(name);
            let file = OsFs::new().create(&path).unwrap();
            for i in 0..pieces {
                file.write_at(i * piece_bytes, &[IoSlice::new(&piece)])
                    .unwrap();
                if is_synced && i % 4 == 3 {
                    file.sync().unwrap();
                }
            }
            (file, path)
        };
        let held = |path: &Path| fs::metadata(path).unwrap().blocks() * 512;
        let (synced, synced_path) = grown("synced", pieces, true);
        synced.sync().unwrap();
        let (unsynced, path) = grown("unsynced", pieces, false);
        unsynced.sync().unwrap();
        let len = pieces * piece_bytes;
        assert_eq!((synced.len().unwrap(), unsynced.len().unwrap()), (len, len));
        let (_begun, begun_path) = grown("begun", 5, false);
        assert!(held(&begun_path) <= 5 * piece_bytes + AHEAD_FROM_BYTES);
        let probe = fs::File::create(dir.path().join("probe")).unwrap();
        if sys::set_blocks_aside(&probe, 0, 1).is_ok() {
            let ahead = held(&path) - held(&synced_path);
            assert!((AHEAD_BYTES_MAX / 2..=AHEAD_BYTES_MAX + (1 << 20)).contains(&ahead));
        }
        unsynced.set_len(len).unwrap();
        assert!(held(&path) <= len + (1 << 20));
        assert!(unsynced.read_at(0, piece.len()).unwrap() == piece);
        assert!(unsynced.read_at(len - 1, 2).unwrap() == [7][..]);
    }

    /// What the kernel does with call number `n`: it is interrupted, or takes a few bytes.
    fn count_of(n: usize, wanted: usize) -> io::Result<usize> {
        match n % 3 {
            0 => Err(ErrorKind::Interrupted.into()),
            more => Ok(wanted.min(more * 3)),
        }
    }

    #[test]
    fn short_and_interrupted_writes_go_on_where_they_stopped() {
        let mut written = vec![0; 7];
        let parts = [&b"first"[..], b"", b"second", b"the third one"].map(IoSlice::new);
        let mut calls = 0;
        write_whole(7, &parts, |at, rest| {
            calls += 1;
            assert_eq!(at, written.len() as u64);
            let left: Vec<u8> = rest.iter().flat_map(|part| part.to_vec()).collect();
            let count = count_of(calls, left.len())?;
            written.extend(&left[..count]);
            Ok(count)
        })
        .unwrap();
        assert_eq!(written[7..], *b"firstsecondthe third one");
        assert!(calls > 6);
        let stuck = write_whole(0, &parts, |_, _| Ok(0)).expect_err("nothing is taken");
        assert_eq!(stuck.kind(), ErrorKind::WriteZero);
        write_whole(0, &[IoSlice::new(b"")], |_, _| {
            panic!("there is nothing to write")
        })
        .unwrap();
        write_whole(0, &parts, |_, _| Err(io::Error::other("EIO"))).expect_err("it failed");
    }

    #[test]
    fn short_and_interrupted_reads_go_on_where_they_stopped() {
        let file: Vec<u8> = (0..100).collect();
        for (position, len, end) in [(0, 50, 50), (10, 90, 100), (60, 500, 100), (100, 5, 100)] {
            let mut into = vec![9, 9];
            let mut calls = 0;
            read_whole(position, len, &mut into, |at, len, into| {
                calls += 1;
                let at = usize::try_from(at).unwrap();
                let count = count_of(calls, len.min(file.len() - at))?;
                into.extend(&file[at..at + count]);
                Ok(count)
            })
            .unwrap();
            assert_eq!(into[..2], [9, 9]);
            assert_eq!(into[2..], file[usize::try_from(position).unwrap()..end]);
        }
        let failed = read_whole(0, 5, &mut Vec::new(), |_, _, _| {
            Err(io::Error::other("EIO"))
        });
        failed.expect_err("it failed");
    }
}
