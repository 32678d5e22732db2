//! Dealing out to members that all want the same topics.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - Numbers of partitions differ by one at most.
//! - Each member keeps what it owns, up to its number.

use std::collections::{BTreeSet, VecDeque};

use super::{Deal, Partition};

/// Fills every share up to the smaller number, and as many as need be up to the larger one.
pub(super) fn deal(deal: &mut Deal<'_>) {
    let all: BTreeSet<Partition<'_>> = deal.partitions().collect();
    let (Some(low), Some(longer_count)) = (
        all.len().checked_div(deal.shares.len()),
        all.len().checked_rem(deal.shares.len()),
    ) else {
        return;
    };
    let mut longer = 0;
    // Shares below the smaller number, and those that may get one beyond it.
    let (mut hungry, mut ready) = (VecDeque::new(), VecDeque::new());
    let mut free = all;
    for (number, share) in deal.shares.iter_mut().enumerate() {
        share.partitions.sort_by_key(|it| (it.index, it.topic));
        if share.partitions.len() < low {
            hungry.push_back(number);
        } else if share.partitions.len() > low && longer < longer_count {
            longer += 1;
            share.partitions.truncate(low + 1);
        } else {
            share.partitions.truncate(low);
            ready.push_back(number);
        }
        for partition in &share.partitions {
            free.remove(partition);
        }
    }
    // By turns, to the hungry ones first; a share that has the smaller number waits behind.
    for partition in free {
        let Some(number) = hungry.pop_front().or_else(|| ready.pop_front()) else {
            return;
        };
        let Some(share) = deal.shares.get_mut(number) else {
            return;
        };
        share.partitions.push(partition);
        match share.partitions.len() {
            length if length < low => hungry.push_back(number),
            length if length == low => ready.push_back(number),
            _ => {}
        }
    }
}
