//! Long random lives with every class of fault, where small scope ends. The long form is the part
//! `core-seeds` of the torture.

use std::collections::BTreeSet;

use highwater_kit::client::{Shape, Size};
use highwater_kit::life::Class::Lengths;
use highwater_kit::life::Event::Crash;
use highwater_kit::life::Event::Write;
use highwater_kit::life::Target::Plain;
use highwater_kit::life::Then::Same;
use highwater_kit::life::{
    End, Event, Script, drawn, lives, lives_keyed, past_seeds, run, shrink, twice,
};
use highwater_kit::rng::seeds;
use highwater_kit::sabotage::Sabotage;
use highwater_kit::watch::Watch;

use crate::is_full;

#[test]
fn random_lives_keep_every_promise() {
    let seeds = seeds(if is_full() { 2000 } else { 20 });
    for seed in &seeds {
        if let Err(finding) = lives(*seed, None) {
            panic!("{finding}");
        }
    }
    println!("{} seeds", seeds.len());
}

#[test]
fn random_lives_of_logs_with_keys_keep_every_promise() {
    for seed in seeds(if is_full() { 2000 } else { 20 }) {
        if let Err(finding) = lives_keyed(seed, None) {
            panic!("{finding}");
        }
    }
}

#[test]
fn seeds_that_found_something_once_find_nothing_any_more() {
    let past = past_seeds();
    assert!(!past.is_empty(), "the list of seeds was not read");
    for (seed, reason) in past {
        if let Err(finding) = lives(seed, None) {
            panic!("seed {seed}, known for `{reason}`: {finding}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_calls_and_answers_again() {
    for seed in [0, 1] {
        if let Err(finding) = twice(seed) {
            panic!("{finding}");
        }
    }
}

/// What the seeds draw is what the specification asks for: enough operations and crashes, and each
/// kind of event and fault sooner or later.
#[test]
fn seeds_draw_every_kind_of_event() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let (_, script) = drawn(seed);
        let ends = |event: &&Event| matches!(event, Crash(_) | Event::Die(..));
        let crashes = script.events.iter().filter(ends).count();
        assert!(crashes >= 3, "seed {seed}: {crashes} crashes");
        assert!(
            script.events.len() - crashes >= 200,
            "seed {seed} is too short"
        );
        for event in &script.events {
            let name = match event {
                Event::Fail(fault, _) => format!("{:?} {:?}", fault.on, fault.errno),
                Crash(end) => format!("{:?}", end.class),
                Event::Do(step) => format!("{step:?}"),
                Event::Rot(rot) => format!("{:?}", rot.change),
                other => format!("{other:?}"),
            };
            seen.insert(name.split('(').next().unwrap_or_default().to_owned());
        }
    }
    for name in [
        "Stale",
        "Names",
        "Lengths",
        "Killed",
        "Die",
        "Overlap",
        "Lie",
        "Bit",
        "Misdirected",
        "Room",
        "Full",
        "Switch",
        "Jump",
        "Kill",
        "RemoveLog",
        "Sync Io",
        "Open FilesOfProcess",
        "Write Quota",
        "Read Interrupted",
    ] {
        assert!(seen.contains(name), "no seed draws {name}: {seen:?}");
    }
}

/// A script that finds something is made so short that it can be read.
#[test]
fn what_a_seed_finds_is_shrunk_to_a_few_events() {
    let sabotage = Some(Sabotage::EarlyAck);
    let seed = (0..100).find(|seed| lives(*seed, sabotage).is_err());
    let (_, script) = drawn(seed.expect("the sabotage is caught"));
    let shrunk = shrink(&script, sabotage, 300).expect("it was caught");
    let text = shrunk.script.to_string();
    assert!(shrunk.script.events.len() <= 3, "too much is left:\n{text}");
    assert!(text.starts_with("Script {"), "{text}");
    let own = shrink(&shrunk.script, None, 1);
    assert!(own.is_none(), "found without the sabotage, too");
}

/// The text of a script is Rust, so that a finding becomes a named test as it was printed: here
/// what was left of a seed that met a cut of the torn tail which did nothing.
#[test]
fn a_printed_script_is_a_test() {
    let script = Script {
        disk: 15615949510946006490,
        shape: Shape {
            segment_bytes: 16384,
            journal_bytes: 0,
            journal_batch_bytes_max: 600,
            small: Size {
                records: 1,
                value_bytes: 439,
            },
            large: Size {
                records: 1,
                value_bytes: 1400,
            },
            retention_bytes: 12288,
            raises_epochs: false,
            keys: false,
        },
        events: vec![
            Write(Plain, 1),
            Crash(End {
                class: Lengths,
                salt: 0,
                again: [None, None],
                then: Same,
            }),
        ],
    };
    run(&script, Some(Sabotage::SetLen), Watch::default()).unwrap_err();
    run(&script, None, Watch::default()).unwrap();
    let text = script.to_string();
    assert!(
        text.contains("Crash(End { class: Lengths, salt: 0"),
        "{text}"
    );
}
