//! Reads of sealed files without a copy, where that is safe.
//!
//! Floor 1 of log-core.
//!
//! Invariants
//! - A page of a map is brought in, or found unreadable, before its first reader touches it.
//! - Only Linux can be asked for that; elsewhere, and on file systems that another machine may
//!   change, a file is read by position.

use std::io;
use std::sync::Arc;

use super::disk::OsFile;
use crate::fs::File;

#[cfg(target_os = "linux")]
pub(super) fn map(file: OsFile) -> io::Result<Arc<dyn File>> {
    if file.is_empty()? || !super::sys::is_local(&file.file)? {
        return Ok(Arc::new(file));
    }
    Ok(Arc::new(linux::MappedFile::new(file)?))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn map(file: OsFile) -> io::Result<Arc<dyn File>> {
    Ok(Arc::new(file))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, IoSlice};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use memmap2::{Advice, Mmap};

    use super::super::sys;
    use super::{File, OsFile};

    /// What one call brings in: large enough for the disk, small enough for a first read.
    const CHUNK_BYTES: usize = 256 << 10;

    #[derive(Debug)]
    pub(super) struct MappedFile {
        file: OsFile,
        /// The whole map; slices of it keep it alive.
        bytes: Bytes,
        map: Arc<Mmap>,
        /// Chunks that were brought in once.
        populated: Box<[AtomicBool]>,
    }

    struct Owner(Arc<Mmap>);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    impl MappedFile {
        pub(super) fn new(file: OsFile) -> io::Result<Self> {
            let map = Arc::new(sys::map_sealed(&file.file)?);
            let populated = (0..map.len().div_ceil(CHUNK_BYTES)).map(|_| AtomicBool::new(false));
            let bytes = Bytes::from_owner(Owner(Arc::clone(&map)));
            Ok(Self {
                file,
                bytes,
                map,
                populated: populated.collect(),
            })
        }

        /// Touching a page that the disk cannot read is the death of the process; asking the
        /// kernel to bring it in is an error. Linux before 5.14 does not know the request.
        fn populate(&self, start: usize, end: usize) -> io::Result<()> {
            for chunk in start / CHUNK_BYTES..end.div_ceil(CHUNK_BYTES) {
                if !self.populated[chunk].load(Ordering::Relaxed) {
                    let from = chunk * CHUNK_BYTES;
                    let len = CHUNK_BYTES.min(self.map.len() - from);
                    self.map.advise_range(Advice::PopulateRead, from, len)?;
                    self.populated[chunk].store(true, Ordering::Relaxed);
                }
            }
            Ok(())
        }
    }

    impl File for MappedFile {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn write_at(&self, position: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
            self.file.write_at(position, parts)
        }

        fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
            let start = usize::try_from(position).map_or(self.bytes.len(), |at| at);
            let start = start.min(self.bytes.len());
            let end = start.saturating_add(len).min(self.bytes.len());
            match self.populate(start, end) {
                Ok(()) => Ok(self.bytes.slice(start..end)),
                // Reading answers a proper error for the page that is bad.
                Err(_) => self.file.read_at(position, len),
            }
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }

        fn sync(&self) -> io::Result<()> {
            self.file.sync()
        }
    }
}
