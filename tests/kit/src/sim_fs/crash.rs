//! What a disk may look like after the machine stopped.
//!
//! Invariants
//! - What a successful sync covered is there, whole.
//! - Nothing is there that no program wrote, but zeros where a length arrived before its data.
//! - Bytes that another file held turn up in [`Crash::Stale`] only.

use std::sync::Arc;

use bytes::Bytes;

use super::change::{Change, put};
use super::disk::{BLOCK_BYTES, Disk, NodeId};
use crate::rng::Rng;

/// How much of what was not synced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Only the process died: the page cache survives, names too, and nothing more is durable
    /// than before.
    Killed,
    /// C0: nothing.
    Nothing,
    /// C1: the first changes, in order.
    Prefix(usize),
    /// C2: an arbitrary subset of sectors, cuts and names, each in its order. Where a file is
    /// written again, as the journal is, what is left out shows the batches of its last life (C4).
    Subset,
    /// C3: lengths without their data, and data without its length.
    Lengths,
    /// C4: as C3, and the blocks that a file grew by show what they held before: they were used
    /// again, and belonged to files of the same directory that were removed or cut. (No file system
    /// in its normal mode shows the blocks of other files. Log files are recycled within a log.)
    Stale,
    /// C5: names in any order, or not, whatever became of the data; bytes all, none or in part.
    Names,
}

impl Crash {
    /// The classes in which the power fails and chance decides.
    pub const RANDOM: [Self; 4] = [Self::Subset, Self::Lengths, Self::Stale, Self::Names];
}

/// Applies to `disk` what survives of `changes`, then drops the page cache.
pub(super) fn cut_power(disk: &mut Disk, changes: &[Change], crash: Crash, rng: &mut Rng) {
    match crash {
        Crash::Killed => return,
        Crash::Nothing => {}
        Crash::Prefix(count) => changes[..count]
            .iter()
            .for_each(|change| change.reach_disk(disk)),
        Crash::Subset => subset(disk, changes, rng),
        Crash::Lengths => lengths(disk, changes, &[], rng),
        Crash::Stale => {
            let free_blocks = disk.free_blocks();
            lengths(disk, changes, &free_blocks, rng);
        }
        Crash::Names => names(disk, changes, rng),
    }
    disk.forget_cache();
}

fn subset(disk: &mut Disk, changes: &[Change], rng: &mut Rng) {
    // Losing nearly all and losing nearly nothing find other bugs than half and half.
    let data_percent = rng.pick(&[10, 50, 90]);
    let name_percent = rng.pick(&[30, 70, 100]);
    for change in changes {
        let percent = if change.file().is_some() {
            data_percent
        } else {
            name_percent
        };
        some_sectors(disk, change, percent, rng);
    }
}

fn lengths(disk: &mut Disk, changes: &[Change], free_blocks: &[(NodeId, Bytes)], rng: &mut Rng) {
    let name_percent = rng.pick(&[80, 100]);
    for change in changes.iter().filter(|change| change.file().is_none()) {
        if rng.percent(name_percent) {
            change.reach_disk(disk);
        }
    }
    let mut files: Vec<NodeId> = changes.iter().filter_map(Change::file).collect();
    files.sort_unstable();
    files.dedup();
    for id in files {
        let old_len = disk.file(id).durable.len();
        let new_len = disk.file(id).now.len().max(old_len);
        let (len, data_percent) = match rng.below(4) {
            // The length came first: behind the old end stand zeros, all or most.
            0 => (new_len, 0),
            1 => (new_len, 30),
            // The data came first: its blocks are there, the length does not cover them.
            2 => (old_len, 100),
            _ => (old_len + rng.below(new_len - old_len + 1), 70),
        };
        reuse(disk, id, new_len, free_blocks, rng);
        for change in changes.iter().filter(|change| change.file() == Some(id)) {
            some_sectors(disk, change, data_percent, rng);
        }
        Arc::make_mut(&mut disk.file(id).durable).resize(len, 0);
    }
}

/// The blocks behind the last one of a file are used ones, as they are. (The last one is the file's
/// own; the kernel keeps zeros behind the end of the file.)
fn reuse(disk: &mut Disk, id: NodeId, len: usize, free_blocks: &[(NodeId, Bytes)], rng: &mut Rng) {
    let home = disk.home(id);
    let of_home = free_blocks.iter().filter(|(other, _)| *other == home);
    let blocks: Vec<&Bytes> = of_home.map(|(_, block)| block).collect();
    if blocks.is_empty() {
        return;
    }
    let content = Arc::make_mut(&mut disk.file(id).durable);
    let first = content.len().next_multiple_of(BLOCK_BYTES);
    for position in (first..len).step_by(BLOCK_BYTES) {
        // The others were cleaned.
        if rng.percent(USED_PERCENT) {
            let block: &Bytes = rng.pick(&blocks);
            put(content, position, block);
        }
    }
}

fn names(disk: &mut Disk, changes: &[Change], rng: &mut Rng) {
    let data_percent = rng.pick(&[0, 50, 100]);
    let name_percent = rng.pick(&[30, 70, 100]);
    let mut named: Vec<&Change> = Vec::new();
    for change in changes {
        if change.file().is_some() {
            some_sectors(disk, change, data_percent, rng);
        } else if rng.percent(name_percent) {
            let place = rng.below(named.len() + 1);
            named.insert(place, change);
        }
    }
    named.iter().for_each(|change| change.reach_disk(disk));
}

fn some_sectors(disk: &mut Disk, change: &Change, percent: usize, rng: &mut Rng) {
    for piece in change.sectors() {
        if rng.percent(percent) {
            piece.reach_disk(disk);
        }
    }
}

/// Of a hundred blocks that a file grows by.
const USED_PERCENT: usize = 70;
