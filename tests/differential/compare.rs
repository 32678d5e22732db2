//! Two transcripts of one scenario, compared.
//!
//! Invariants
//! - Steps are paired in order; a side that has more of them, or other ones, is a difference.

use std::collections::BTreeSet;
use std::fmt;

use crate::peer::Step;

/// A field that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What was asked.
    pub(crate) step: String,
    /// The field of the answer.
    pub(crate) path: String,
    /// What Highwater answered.
    pub(crate) ours: String,
    /// What Apache Kafka answered.
    pub(crate) theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            path,
            ours,
            theirs,
        } = self;
        write!(f, "{step}: {path}: {ours} here, {theirs} there")
    }
}

/// All differences, and how many fields were compared.
pub(crate) fn compare(ours: &[Step], theirs: &[Step]) -> (Vec<Difference>, usize) {
    let mut found = Vec::new();
    let mut fields_count = 0;
    if ours.len() != theirs.len() {
        found.push(Difference {
            step: "the whole".to_owned(),
            path: "steps".to_owned(),
            ours: ours.len().to_string(),
            theirs: theirs.len().to_string(),
        });
    }
    for (mine, other) in ours.iter().zip(theirs) {
        if mine.label != other.label {
            found.push(Difference {
                step: mine.label.clone(),
                path: "step".to_owned(),
                ours: mine.label.clone(),
                theirs: other.label.clone(),
            });
            continue;
        }
        let paths: BTreeSet<&String> = mine.facts.keys().chain(other.facts.keys()).collect();
        fields_count += paths.len();
        let differing = paths.into_iter().filter_map(|path| {
            let [ours, theirs] = [mine, other].map(|step| step.facts.get(path));
            (ours != theirs).then(|| Difference {
                step: mine.label.clone(),
                path: path.clone(),
                ours: ours.map_or_else(|| "nothing".to_owned(), Clone::clone),
                theirs: theirs.map_or_else(|| "nothing".to_owned(), Clone::clone),
            })
        });
        found.extend(differing);
    }
    (found, fields_count)
}
