//! A few thousand inputs of every fuzz target, by the driver of `tests/fuzz`.
//!
//! For longer runs: `tests/fuzz/run`.

#[expect(
    unreachable_pub,
    reason = "it is public in the library that it comes from"
)]
#[path = "fuzz/src/targets/mod.rs"]
mod fuzz;

use fuzz::driver::{self, Inputs};
use highwater_kit::rng;
use highwater_proto::compress::{Codec, decompress};

#[test]
fn every_target_takes_its_seeds_and_mutations_of_them() {
    for seed in rng::seeds(1) {
        for target in fuzz::TARGETS {
            let inputs = Inputs::new(target, seed);
            let fresh = driver::seeds(target.name).len();
            for input in inputs.take(fresh + MUTATIONS) {
                if let Err(why) = driver::check(target, &input) {
                    let input = driver::hex(&input);
                    panic!(
                        "{why}\nSEED={seed}, tests/fuzz/run {} --input {input}",
                        target.name
                    );
                }
            }
        }
    }
}

/// A driver whose mutations are all refused at once finds nothing: some of them must decode, and
/// some must not.
#[test]
fn mutations_are_neither_all_valid_nor_all_broken() {
    for (name, codec) in [("t7_gzip", Codec::Gzip), ("t9_lz4", Codec::Lz4)] {
        let target = fuzz::TARGETS
            .iter()
            .find(|target| target.name == name)
            .unwrap();
        let decoded = Inputs::new(target, 0)
            .take(MUTATIONS)
            .filter(|input| decompress(codec, input, 1 << 16).is_ok())
            .count();
        assert!(
            (20..MUTATIONS - 20).contains(&decoded),
            "{name}: {decoded} of {MUTATIONS}"
        );
    }
}

const MUTATIONS: usize = 2000;
