//! Which bugs there are, and who has to find them.
//!
//! Of the catalogue, these have no feature yet. Z7 and Z26: no segment is recycled, and the zeros
//! that a journal finds ahead of it are for speed alone. Z27: there is no compaction. Z28: there
//! are no transactions.

use highwater_kit::sabotage::Sabotage;

use super::hunt::Search;

/// A deliberate bug.
#[derive(Clone, Copy, Debug)]
pub struct Bug {
    /// Its name: its number in the catalogue, and which form of it. A bug of the source is switched
    /// on by it.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// How it is done, if it is done at the seam; else a patch does it.
    pub seam: Option<Sabotage>,
    /// The searches that look for it, one after the other.
    pub searches: &'static [Search],
}

impl Bug {
    /// Its name, so that names sort by number.
    #[must_use]
    pub fn number(&self) -> String {
        let digits = &self.name[1..];
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        format!("Z{digits:0>width$}", width = digits.len() + 2 - count)
    }
}

/// All of them.
pub const BUGS: [Bug; 30] = [
    seam("Z1", "the sync of data does nothing", Sabotage::DataSync),
    seam(
        "Z2",
        "the sync of a directory after a create does nothing",
        Sabotage::DirSyncAfterCreate,
    ),
    seam(
        "Z3",
        "the sync of a directory after a rename does nothing",
        Sabotage::DirSyncAfterRename,
    ),
    seam(
        "Z4",
        "the sync of a checkpoint does nothing",
        Sabotage::CheckpointSync,
    ),
    seam(
        "Z5",
        "a failed sync is answered as a success",
        Sabotage::SyncError,
    ),
    seam(
        "Z6",
        "the cut of a torn tail does nothing",
        Sabotage::SetLen,
    ),
    seam(
        "Z8",
        "the last slice of a write is dropped",
        Sabotage::LastSlice,
    ),
    seam("Z9", "the lock is always granted", Sabotage::Lock),
    seam(
        "Z10",
        "the recovered state is not synced before it is served",
        Sabotage::Recover,
    ),
    source("Z11", "waiters are released before the sync returns", CORE),
    source("Z12", "a failed sync is tried again", CORE),
    source("Z13", "followers of a failed group get success", CORE),
    source("Z14-early", "recovery cuts one batch too early", CORE),
    source("Z14-late", "recovery cuts one batch too late", CORE),
    source("Z15", "recovery ignores the CRC of a batch", CORE),
    source(
        "Z16",
        "damage below the recovery point is cut off",
        &[Search::Mishaps],
    ),
    source("Z17", "an unknown directory is removed", &[Search::Mishaps]),
    source("Z18", "the producer window is not restored", CORE),
    source(
        "Z19",
        "a producer snapshot newer than the log is believed",
        &[Search::Mishaps],
    ),
    source("Z20", "the durable mark is published before the sync", CORE),
    source(
        "Z21",
        "the durable mark jumps over what was written between two cycles",
        CORE,
    ),
    source("Z22", "a fetch registers without looking again", BROKER),
    source(
        "Z23",
        "an offset commit is answered before it is durable",
        BROKER,
    ),
    source(
        "Z24",
        "a step of a machine changes what a crash loses",
        BROKER,
    ),
    source(
        "Z25",
        "the leader epoch is not raised after an unclean start",
        BROKER,
    ),
    source(
        "Z26",
        "a run of the key index that knows more than the log is believed",
        KEYS,
    ),
    source(
        "Z27",
        "the start of a log moves before its key index is durable",
        KEYS,
    ),
    source(
        "Z28",
        "a conflict is answered before what it tells of is durable",
        STREAMS,
    ),
    source(
        "Z29",
        "an expectation is not compared with what its own group will write",
        KEYS,
    ),
    source(
        "Z30",
        "an append that finds another event in its place is taken for a repeat",
        STREAMS,
    ),
];

const CORE: &[Search] = &[Search::CoreSeeds];
const BROKER: &[Search] = &[Search::BrokerSeeds];
const KEYS: &[Search] = &[Search::KeySeeds];
const STREAMS: &[Search] = &[Search::StreamSeeds];

const fn seam(name: &'static str, what: &'static str, sabotage: Sabotage) -> Bug {
    Bug {
        name,
        what,
        seam: Some(sabotage),
        searches: CORE,
    }
}

const fn source(name: &'static str, what: &'static str, searches: &'static [Search]) -> Bug {
    Bug {
        name,
        what,
        seam: None,
        searches,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_they_count() {
        let numbers: Vec<String> = BUGS.iter().map(Bug::number).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers[0], "Z01");
        assert_eq!(numbers[13], "Z14-late");
    }

    #[test]
    fn each_bug_of_the_source_has_its_patch() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sabotage");
        for bug in BUGS.iter().filter(|bug| bug.seam.is_none()) {
            let patch = format!("{folder}/{}.patch", bug.name.to_lowercase());
            let text = std::fs::read_to_string(&patch).unwrap_or_else(|e| panic!("{patch}: {e}"));
            let switch = format!("sabotage::is(\"{}\")", bug.name);
            assert!(text.contains(&switch), "{patch} has no {switch}");
        }
    }
}
