//! Small scope, exhaustive: every sequence of at most two steps, a crash at every operation, and
//! every class of what a crash leaves.

use highwater_kit::sweep::{Images, sweep_all};
use highwater_kit::workload::{Step, words};

use crate::is_full;

fn sweep_words(words: &[Vec<Step>], images: Images) {
    match sweep_all(words, images) {
        Ok(counts) => {
            println!("{counts}");
            assert!(
                counts.images >= counts.points * 2,
                "{counts}: each point has its images"
            );
        }
        Err(finding) => panic!("{finding}"),
    }
}

fn few_or_many(count: u64) -> Images {
    if is_full() {
        Images::Many(count)
    } else {
        Images::Few
    }
}

#[test]
fn a_crash_inside_the_first_start() {
    sweep_words(&words(0), few_or_many(50));
}

#[test]
fn a_crash_inside_each_step() {
    sweep_words(&words(1), few_or_many(20));
}

#[test]
fn a_crash_inside_each_sequence_of_two_steps() {
    sweep_words(&words(2), few_or_many(5));
}
