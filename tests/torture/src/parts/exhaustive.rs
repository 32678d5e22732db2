//! Small scope, exhaustive: a crash at every operation of the last step of every word, and up to 64
//! different disks that each leaves.
//!
//! Invariants
//! - An item is a word, the shorter ones first: what is counted in the tier ci covers all of at
//!   most two steps, and a sample of those of three.

use highwater_kit::sweep::{Counts, Images, sweep};
use highwater_kit::workload::{word, word_count};

use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "exhaustive",
    unit: "images",
    asked: [100_000, 1_000_000, 10_000_000],
    ci_seconds: 60,
    threads: 2,
    covers: &["proto/src", "log-core/src", "tests/kit/src"],
    open,
};

fn open(_place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    Ok(Box::new(Words))
}

struct Words;

impl Work for Words {
    fn item(&self, number: u64, _notes: &Notes) -> Result<u64, Finding> {
        let steps = word(number).ok_or_else(|| Finding::new("there is no such word"))?;
        let mut counts = Counts::default();
        let images = Images::Distinct(images_max(steps.len()));
        sweep(&steps, images, None, &mut counts)
            .map_err(|finding| Finding::new(finding.to_string()))?;
        Ok(counts.images as u64)
    }

    fn items(&self) -> u64 {
        word_count()
    }
}

/// How many disks a crash leaves at most: more for the shortest words, which are few.
const fn images_max(steps: usize) -> usize {
    if steps <= 1 { 64 } else { 24 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_many_images() {
        let images = Words.item(1, &Notes::default()).unwrap();
        assert!(images > 20, "{images}");
        assert!(Words.item(word_count(), &Notes::default()).is_err());
    }
}
