//! Small scope, exhaustive: every sequence of at most two steps, a crash at every operation, and
//! every class of what a crash leaves.

use highwater_kit::sweep::{Images, sweep_all};
use highwater_kit::workload::{AGED, Step, words};

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

/// Two of each point, other ones than of the next; in the long form as many as differ, at most.
fn few_or_many(max: usize) -> Images {
    if is_full() {
        Images::Distinct(max)
    } else {
        Images::Few
    }
}

#[test]
fn a_crash_inside_the_first_start() {
    sweep_words(&words(0), few_or_many(64));
}

#[test]
fn a_crash_inside_each_step() {
    sweep_words(&words(1), few_or_many(64));
}

#[test]
fn a_crash_inside_each_sequence_of_two_steps() {
    sweep_words(&words(2), few_or_many(24));
}

/// Several segments, and a journal that is written over its last life.
#[test]
fn a_crash_inside_each_step_on_an_aged_disk() {
    let words: Vec<Vec<Step>> = Step::ALL
        .iter()
        .map(|step| [&AGED[..], &[*step]].concat())
        .collect();
    sweep_words(&words, few_or_many(64));
}
