//! What a disk may look like after the machine stopped.
//!
//! Invariants
//! - What a successful sync covered is there, whole.
//! - Nothing is there that no program wrote, but zeros where a length arrived before its data.

use super::disk::{Change, Disk, NodeId};
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
    /// C2: an arbitrary subset of sectors, cuts and names.
    Subset,
    /// C3: lengths without their data, and data without its length.
    Lengths,
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
        Crash::Lengths => lengths(disk, changes, rng),
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
        for piece in change.sectors() {
            if rng.percent(percent) {
                piece.reach_disk(disk);
            }
        }
    }
}

fn lengths(disk: &mut Disk, changes: &[Change], rng: &mut Rng) {
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
        for change in changes.iter().filter(|change| change.file() == Some(id)) {
            for piece in change.sectors() {
                if rng.percent(data_percent) {
                    piece.reach_disk(disk);
                }
            }
        }
        disk.file(id).durable.resize(len, 0);
    }
}
