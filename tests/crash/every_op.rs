//! Small scope, exhaustive: every sequence of at most two steps, a crash at every operation, and
//! every class of what a crash leaves.

use highwater_tests::sweep::{Images, sweep_all};
use highwater_tests::workload::{Step, words};

use crate::is_full;

fn sweep_words(words: &[Vec<Step>], few: u64, many: u64) {
    let count = if is_full() { many } else { few };
    match sweep_all(words, Images { subsets: count, lengths: count }) {
        Ok(counts) => {
            println!("{counts}");
            assert!(counts.images > counts.points * 4, "{counts}: each point has several images");
        }
        Err(finding) => panic!("{finding}"),
    }
}

#[test]
fn a_crash_inside_the_first_start() {
    sweep_words(&words(0), 5, 50);
}

#[test]
fn a_crash_inside_each_step() {
    sweep_words(&words(1), 2, 20);
}

#[test]
fn a_crash_inside_each_sequence_of_two_steps() {
    sweep_words(&words(2), 1, 6);
}
