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

/// A sequence of `length` steps that follows from the generator.
pub fn random_word(length: usize, rng: &mut Rng) -> Vec<Step> {
    (0..length).map(|_| rng.pick(&Step::ALL)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_all_there() {
        assert_eq!(words(0), [Vec::new()]);
        assert_eq!(words(1).len(), 15);
        let two = words(2);
        assert_eq!(two.len(), 225);
        assert_eq!(two[0], [Step::Append, Step::Append]);
        assert_eq!(two[224], [Step::Kill, Step::Kill]);
    }
}
