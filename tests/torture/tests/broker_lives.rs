//! A few lives of a whole broker on a simulated disk. `SEED=7` lives those of one seed; the torture
//! lives many (`--only broker-seeds`).

use highwater_kit::rng::seeds;
use highwater_tests::broker_life::{Stats, life};

#[test]
fn a_broker_keeps_its_promises_through_its_lives() {
    let mut sum = Stats::default();
    for seed in seeds(5) {
        match life(seed) {
            Ok(stats) => sum.add(&stats),
            Err(broken) => panic!("SEED={seed}: {broken}"),
        }
    }
    println!("{sum:?}");
}

/// The disk died while it made the mark of a clean stop durable, and the mark was left: the leader
/// epoch need not rise then. It was the check that was wrong.
#[test]
fn a_death_that_leaves_the_mark_of_a_clean_stop_is_a_clean_stop() {
    if let Err(broken) = life(1307) {
        panic!("{broken}");
    }
}

/// A disk that fails, or dies, while the check reads what a start has left: the check took what may
/// have been lost there for known (3175), or for not lost (5216).
#[test]
fn what_could_not_be_read_behind_a_start_may_be_lost() {
    for seed in [3175, 5216] {
        if let Err(broken) = life(seed) {
            panic!("SEED={seed}: {broken}");
        }
    }
}
