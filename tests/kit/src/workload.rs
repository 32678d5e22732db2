//! What happens to a shard: the alphabet of steps, and its words.

use crate::rng::Rng;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A small batch, acknowledged as durable.
    Append,
    /// A batch of three sectors, acknowledged as durable.
    AppendLarge,
    /// Two batches in one commit, acknowledged as durable.
    AppendTwice,
    /// A batch each to two logs in one commit, acknowledged as durable.
    AppendBoth,
    /// A small batch that is acknowledged once it is written, without a sync.
    AppendWritten,
    /// Two small batches to a page-cache log, without a sync.
    AppendCached,
    /// The segments grow too old, and the next batch opens new ones.
    Roll,
    /// What page-cache logs hold is synced in the background.
    Flush,
    /// The background writes recovery points and frees the journal.
    Checkpoint,
    /// A log is created and gets a batch.
    CreateLog,
    /// That log is removed.
    RemoveLog,
    /// Records are deleted up to the end.
    DeleteRecords,
    /// Time passes until old segments may go.
    Retention,
    /// A clean stop and a start.
    Restart,
    /// The process dies, the machine lives on; a start.
    Kill,
}

impl Step {
    /// The alphabet.
    pub const ALL: [Self; 15] = [
        Self::Append,
        Self::AppendLarge,
        Self::AppendTwice,
        Self::AppendBoth,
        Self::AppendWritten,
        Self::AppendCached,
        Self::Roll,
        Self::Flush,
        Self::Checkpoint,
        Self::CreateLog,
        Self::RemoveLog,
        Self::DeleteRecords,
        Self::Retention,
        Self::Restart,
        Self::Kill,
    ];
}

/// Every sequence of exactly `length` steps.
#[must_use]
pub fn words(length: usize) -> Vec<Vec<Step>> {
    let mut words = vec![Vec::new()];
    for _ in 0..length {
        words = words
            .iter()
            .flat_map(|word| Step::ALL.map(|step| [word.as_slice(), &[step]].concat()))
            .collect();
    }
    words
}

/// The word with a number, of the exhaustive search: all of at most two steps; each step behind
/// [`AGED`]; then, in an order that looks random, all of three steps and all of two behind
/// [`AGED`]; then those of four. `None` behind the last one.
#[must_use]
pub fn word(number: u64) -> Option<Vec<Step>> {
    let mut index = usize::try_from(number).ok()?;
    let groups: [&[(usize, u32)]; 6] = [
        &[(0, 0)],
        &[(0, 1)],
        &[(0, 2)],
        &[(AGED.len(), 1)],
        &[(0, 3), (AGED.len(), 2)],
        &[(0, 4)],
    ];
    for kinds in groups {
        let counts: Vec<usize> = kinds.iter().map(|(_, length)| count(*length)).collect();
        let total = counts.iter().sum();
        if index >= total {
            index -= total;
            continue;
        }
        let is_sampled = kinds.iter().any(|(_, length)| *length >= 3);
        let mut index = if is_sampled {
            shuffled(index, total)
        } else {
            index
        };
        for ((aged, length), count) in kinds.iter().zip(counts) {
            if index < count {
                return Some([&AGED[..*aged], &nth_word(*length, index)].concat());
            }
            index -= count;
        }
    }
    None
}

/// How many words [`word`] has.
#[must_use]
pub fn word_count() -> u64 {
    let counts = [0, 1, 2, 1, 3, 2, 4].map(count);
    counts.iter().sum::<usize>() as u64
}

/// How many words have exactly `length` steps.
const fn count(length: u32) -> usize {
    Step::ALL.len().pow(length)
}

/// The word with an index among those of its length, in the order of [`words`].
fn nth_word(length: u32, index: usize) -> Vec<Step> {
    let places = (0..length).rev();
    places
        .map(|place| Step::ALL[index / count(place) % Step::ALL.len()])
        .collect()
}

/// Another index below `total` for each: steps through it by a number that shares no factor with
/// `total`, far enough that neighbours differ in every step.
fn shuffled(index: usize, total: usize) -> usize {
    let is_coprime = |step: &usize| common_factor(*step, total) == 1;
    let step = (total * 5 / 13..).find(is_coprime);
    index * step.expect("one of them is prime") % total
}

const fn common_factor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_factor(b, a % b) }
}

/// What comes before a word on a disk that is not new: several segments, sealed and growing, and a
/// journal in its third life, whose unsynced groups lie over old ones.
pub const AGED: [Step; 7] = [
    Step::AppendLarge,
    Step::AppendBoth,
    Step::Checkpoint,
    Step::Roll,
    Step::AppendBoth,
    Step::Checkpoint,
    Step::AppendBoth,
];

/// A sequence of `length` steps that follows from the generator.
pub fn random_word(length: usize, rng: &mut Rng) -> Vec<Step> {
    (0..length).map(|_| rng.pick(&Step::ALL)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::world::World;

    #[test]
    fn words_are_all_there() {
        assert_eq!(words(0), [Vec::new()]);
        assert_eq!(words(1).len(), 15);
        let two = words(2);
        assert_eq!(two.len(), 225);
        assert_eq!(two[0], [Step::Append, Step::Append]);
        assert_eq!(two[224], [Step::Kill, Step::Kill]);
    }

    #[test]
    fn each_word_has_one_number() {
        let all: BTreeSet<_> = (0..word_count()).map(|n| word(n).unwrap()).collect();
        assert_eq!(all.len() as u64, word_count());
        assert_eq!(word(word_count()), None);
        let short: Vec<_> = (0..241).map(|n| word(n).unwrap()).collect();
        assert_eq!(short, [words(0), words(1), words(2)].concat());
        // The first hundred of a sample are spread over the alphabet.
        for place in 0..2 {
            let sample = (256..356).map(|n| word(n).unwrap()).rev();
            let steps: BTreeSet<_> = sample.map(|word| word[word.len() - 1 - place]).collect();
            assert_eq!(steps.len(), Step::ALL.len(), "{place} before the last");
        }
    }

    #[test]
    fn an_aged_disk_writes_its_journal_over_an_old_life() {
        let mut world = World::new_started();
        let mut lives = BTreeSet::new();
        for step in AGED {
            world.step(step).unwrap();
            let files = world.disk.files().into_iter();
            let journal = files.filter(|path| path.ends_with("journal-0"));
            lives
                .extend(journal.filter_map(|path| Some(world.disk.content(&path)?[..64].to_vec())));
        }
        assert_eq!(
            lives.len(),
            2,
            "the first life of the file, and the third of the journal"
        );
    }
}
