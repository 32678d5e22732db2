//! Whether the sum of an interval bears the right batches out although others are damaged.
//!
//! Floor 3 of log-core. Pure.
//!
//! A whole batch of another log can stand in the place of one of ours, with the offset that belongs
//! there: a write that went astray has put it there, and only the interval's sum tells. Beside
//! other damage the sum cannot be made from what the file holds; but the head of a damaged batch is
//! often known, since it is not what is damaged, or follows from what stands around it.
//!
//! Invariants
//! - A batch that is not ours passes only by an accident of the sum: 2^-32 for each guess.
//! - The number of guesses has a limit.

use highwater_proto::batch::{OVERHEAD_BYTES, crc_of, prefix};

use super::{SUMMED_BYTES, head_of, sum_after};
use crate::types::Offset;

type Head = [u8; SUMMED_BYTES];

/// A part of an interval, in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// The head of a batch that is right, if it is ours.
    Right(Head),
    /// What stands in the place of one or several batches, and the offset that they began with.
    Damaged(&'a [u8], Offset),
}

/// Whether one sum leads to the other over these parts, with some heads for what is damaged.
pub(super) fn bears_out(parts: &[Part<'_>], from: u32, to: u32) -> bool {
    let mut sums = vec![from];
    for (at, part) in parts.iter().enumerate() {
        let (before, behind) = (&parts[..at], &parts[at + 1..]);
        sums = match part {
            Part::Right(head) => sums.iter().map(|sum| sum_after(*sum, *head)).collect(),
            Part::Damaged(bytes, first) => {
                let epochs = [epoch_of(before.iter().rev()), epoch_of(behind.iter())];
                let guesses = guesses(bytes, *first, epochs);
                let over = |sum: &u32| {
                    let sum = *sum;
                    guesses
                        .iter()
                        .map(move |heads| heads.iter().copied().fold(sum, sum_after))
                };
                sums.iter().flat_map(over).take(SUMS_MAX).collect()
            }
        };
    }
    sums.contains(&to)
}

/// What the heads may have been of the batches that stood in damaged bytes: as the file has them,
/// or that of one batch, by its place, its length, its neighbours' epoch and its body's checksum.
fn guesses(bytes: &[u8], first: Offset, epochs: [Option<i32>; 2]) -> Vec<Vec<Head>> {
    let mut guesses: Vec<_> = heads_in(bytes).into_iter().collect();
    let (Some(stored), Some(length)) = (head_of(bytes), bytes.len().checked_sub(OVERHEAD_BYTES))
    else {
        return guesses;
    };
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    for epoch in epochs.into_iter().flatten().chain([epoch_in(&stored)]) {
        for crc in [
            &crc_of(bytes).to_be_bytes()[..],
            &stored[SUMMED_BYTES - 4..],
        ] {
            let head = [&prefix(first.0, length, epoch)[..], &[MAGIC], crc].concat();
            guesses.extend(head_of(&head).map(|head| vec![head]));
        }
    }
    guesses
}

/// The heads of batches that fill these bytes, by the lengths that they name.
fn heads_in(bytes: &[u8]) -> Option<Vec<Head>> {
    let (mut heads, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let head = head_of(rest)?;
        let length = rest.get(8..12)?.try_into().ok().map(i32::from_be_bytes)?;
        let total = usize::try_from(length).ok()?.checked_add(OVERHEAD_BYTES)?;
        rest = rest.get(total..)?;
        heads.push(head);
    }
    Some(heads)
}

fn epoch_of<'a>(mut parts: impl Iterator<Item = &'a Part<'a>>) -> Option<i32> {
    parts.find_map(|part| match part {
        Part::Right(head) => Some(epoch_in(head)),
        Part::Damaged(..) => None,
    })
}

fn epoch_in(head: &Head) -> i32 {
    let [.., a, b, c, d, _, _, _, _, _] = *head;
    i32::from_be_bytes([a, b, c, d])
}

/// An interval with much damage has more ways than are worth a look.
const SUMS_MAX: usize = 256;
const MAGIC: u8 = 2;
