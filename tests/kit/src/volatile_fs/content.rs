//! The bytes of one file: what the disk has, and what was written over it and not synced.
//!
//! Invariants
//! - What is seen is the real file up to `cut`, with the extents over and behind it.
//! - The real file is never shorter than `cut`: what stands behind that is not seen.
//! - The seen length is the end of the last extent, or `cut` if that is behind it.
//! - A sync covers what was written before it was called, and nothing else is sure.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use highwater_log::fs::File;

use super::evictor::{Early, Evictor};

/// A file, whatever its name; all handles of it share one.
#[derive(Debug)]
pub(super) struct Content {
    real: Arc<dyn File>,
    overlay: Mutex<Overlay>,
    /// One sync at a time.
    syncing: Mutex<()>,
    evictor: Arc<Evictor>,
}

#[derive(Clone, Debug)]
struct Overlay {
    /// By position; they do not overlap.
    extents: BTreeMap<u64, Extent>,
    len: u64,
    cut: u64,
    /// The lowest length that the file was cut to since the last sync began.
    lowest: u64,
    /// Counts the syncs that began.
    epoch: u64,
}

#[derive(Clone, Debug)]
struct Extent {
    bytes: Bytes,
    epoch: u64,
}

impl Content {
    /// The bytes of a real file.
    pub(super) fn new(real: Arc<dyn File>, evictor: Arc<Evictor>) -> io::Result<Self> {
        let len = real.len()?;
        let overlay = Overlay {
            extents: BTreeMap::new(),
            len,
            cut: len,
            lowest: u64::MAX,
            epoch: 0,
        };
        Ok(Self {
            real,
            overlay: Mutex::new(overlay),
            syncing: Mutex::new(()),
            evictor,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.overlay().len
    }

    pub(super) fn write_at(&self, position: u64, bytes: Bytes) -> io::Result<()> {
        let mut overlay = self.overlay();
        if bytes.is_empty() {
            return Ok(());
        }
        if position > overlay.len {
            let gap = usize::try_from(position - overlay.len);
            let gap = gap.map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
            let end = overlay.len;
            overlay.put(end, vec![0; gap].into());
        }
        overlay.put(position, bytes);
        self.evict(&overlay)
    }

    pub(super) fn read_at(&self, position: u64, len: usize) -> io::Result<Bytes> {
        let overlay = self.overlay();
        let end = position.saturating_add(len as u64).min(overlay.len);
        if position >= end {
            return Ok(Bytes::new());
        }
        let over = overlay.within(position, end);
        if over.is_empty() {
            return self.real.read_at(position, size(end - position)?);
        }
        let mut seen = vec![0; size(end - position)?];
        let below = overlay.cut.min(end);
        if position < below {
            let real = self.real.read_at(position, size(below - position)?)?;
            seen[..real.len()].copy_from_slice(&real);
        }
        for (at, bytes) in over {
            let start = size(at - position)?;
            seen[start..start + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(seen.into())
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let mut overlay = self.overlay();
        if len > overlay.len {
            return Err(io::Error::new(ErrorKind::InvalidInput, "set_len only cuts"));
        }
        overlay.carve(len, u64::MAX);
        overlay.len = len;
        overlay.cut = overlay.cut.min(len);
        overlay.lowest = overlay.lowest.min(len);
        self.evict(&overlay)
    }

    /// Hands what was written to the kernel, which a kill does not reach: the power cut of this
    /// disk is the death of the process, so there is nothing to gain from waiting for the real one.
    pub(super) fn sync(&self) -> io::Result<()> {
        let _one = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let covered = self.overlay().begin_sync();
        self.evictor.stall();
        let mut overlay = self.overlay();
        if covered.cut < self.real.len()? {
            self.real.set_len(covered.cut)?;
        }
        let extents: Vec<_> = covered.extents.iter().collect();
        for index in self.evictor.order(extents.len()) {
            let (at, extent) = extents[index];
            self.real.write_at(*at, &[IoSlice::new(&extent.bytes)])?;
        }
        overlay.end_sync(&covered);
        Ok(())
    }

    /// What the kernel writes early goes to the disk, and is seen as before.
    fn evict(&self, overlay: &Overlay) -> io::Result<()> {
        let real_len = self.real.len()?;
        match self.evictor.data() {
            None => {}
            Some(Early::Cut) if overlay.cut < real_len => self.real.set_len(overlay.cut)?,
            Some(Early::Cut) => {}
            Some(Early::Length) if real_len < overlay.len => {
                let last = real_len + self.evictor.below(overlay.len - real_len);
                self.real.write_at(last, &[IoSlice::new(&[0])])?;
            }
            Some(Early::Length) => {}
            Some(Early::All) => {
                for (at, extent) in &overlay.extents {
                    self.real.write_at(*at, &[IoSlice::new(&extent.bytes)])?;
                }
            }
            Some(Early::Sectors(count)) => {
                for _ in 0..count {
                    let sector = self.evictor.below(overlay.len.max(1)) / SECTOR_BYTES;
                    let start = sector * SECTOR_BYTES;
                    for (at, bytes) in overlay.within(start, start + SECTOR_BYTES) {
                        self.real.write_at(at, &[IoSlice::new(&bytes)])?;
                    }
                }
            }
        }
        Ok(())
    }

    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        // No code between lock and unlock leaves it half changed.
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Overlay {
    fn put(&mut self, position: u64, bytes: Bytes) {
        let end = position + bytes.len() as u64;
        self.carve(position, end);
        let epoch = self.epoch;
        self.extents.insert(position, Extent { bytes, epoch });
        self.len = self.len.max(end);
    }

    /// Takes out whatever extents have between two positions.
    fn carve(&mut self, from: u64, to: u64) {
        let before = self.extents.range(..from).next_back();
        let first = before.filter(|(start, extent)| extent.end(**start) > from);
        let first = first.map(|(start, _)| *start);
        let inside = self.extents.range(from..to).map(|(start, _)| *start);
        let touched: Vec<u64> = first.into_iter().chain(inside).collect();
        for start in touched {
            let Some(old) = self.extents.remove(&start) else {
                continue;
            };
            let end = old.end(start);
            if start < from {
                self.extents.insert(start, old.slice(start, start, from));
            }
            if end > to {
                self.extents.insert(to, old.slice(start, to, end));
            }
        }
    }

    /// What extents have between two positions, in order.
    fn within(&self, from: u64, to: u64) -> Vec<(u64, Bytes)> {
        let before = self.extents.range(..from).next_back();
        let first = before.filter(|(start, extent)| extent.end(**start) > from);
        let touched = first.into_iter().chain(self.extents.range(from..to));
        let part = |(start, extent): (&u64, &Extent)| {
            let (low, high) = (from.max(*start), to.min(extent.end(*start)));
            (low, extent.slice(*start, low, high).bytes)
        };
        touched.map(part).collect()
    }

    /// What a sync that begins now covers.
    fn begin_sync(&mut self) -> Self {
        let covered = self.clone();
        self.epoch += 1;
        self.lowest = u64::MAX;
        covered
    }

    /// What was covered is in the real file; whatever came since lies over it.
    fn end_sync(&mut self, covered: &Self) {
        self.extents
            .retain(|_, extent| extent.epoch > covered.epoch);
        self.cut = covered.len.min(self.lowest);
    }
}

impl Extent {
    fn end(&self, start: u64) -> u64 {
        start + self.bytes.len() as u64
    }

    /// The part between two positions of an extent that begins at `start`.
    fn slice(&self, start: u64, from: u64, to: u64) -> Self {
        let index = |position: u64| usize::try_from(position - start).expect("it is in memory");
        Self {
            bytes: self.bytes.slice(index(from)..index(to)),
            epoch: self.epoch,
        }
    }
}

fn size(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| ErrorKind::FileTooLarge.into())
}

/// What a disk tears at: a sector is written whole or not at all.
const SECTOR_BYTES: u64 = 512;
