//! Long random lives with every class of fault, where small scope ends.

use highwater_kit::life::lives;
use highwater_kit::rng::seeds;

use crate::is_full;

#[test]
fn random_lives_keep_every_promise() {
    let seeds = seeds(if is_full() { 5000 } else { 300 });
    for seed in &seeds {
        if let Err(finding) = lives(*seed, None) {
            panic!("{finding}");
        }
    }
    println!("{} seeds of three lives each", seeds.len());
}
