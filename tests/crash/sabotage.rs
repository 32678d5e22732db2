//! A test that cannot fail is a defect: each broken habit of the disk, or of its use, is found by
//! an exhaustive search, most by random lives, too, and neither finds anything without it.

use highwater_kit::faults::each_call_fails;
use highwater_kit::life::lives;
use highwater_kit::sabotage::Sabotage;
use highwater_kit::sim_fs::{AfterFailedSync, Errno, Fault, Op};
use highwater_kit::sweep::{Counts, Finding, Images, sweep};
use highwater_kit::workload::words;

#[test]
fn every_sabotage_is_caught_by_an_exhaustive_search() {
    let mut missed = Vec::new();
    println!("| sabotage | caught by | oracle | after |");
    println!("|---|---|---|---|");
    for (number, sabotage) in Sabotage::ALL {
        let caught = match sabotage {
            // Only a sync that failed shows them, and the sweep has none.
            Sabotage::SyncError | Sabotage::Recover => by_nth_fault(sabotage),
            _ => by_sweep(sabotage),
        };
        match caught {
            Some(caught) => println!("| {number} {sabotage:?} | {caught} |"),
            None => missed.push(number),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn most_sabotages_are_caught_by_random_lives() {
    let mut missed = Vec::new();
    for (number, sabotage) in Sabotage::ALL {
        if TOO_RARE.contains(&sabotage) {
            continue;
        }
        let found =
            (0..SEEDS_MAX).find_map(|seed| Some((seed, lives(seed, Some(sabotage)).err()?)));
        let Some((seed, finding)) = found else {
            missed.push(number);
            continue;
        };
        lives(seed, None).unwrap_or_else(|own| panic!("found without the sabotage, too: {own}"));
        println!(
            "{number} {sabotage:?}: {:?}, after {} seeds",
            finding.violation.oracle,
            seed + 1
        );
    }
    assert!(
        missed.is_empty(),
        "not caught within {SEEDS_MAX} seeds: {missed:?}"
    );
}

/// The cells of the table for the first finding of the sweep over all short words. The same word
/// has none without the sabotage.
fn by_sweep(sabotage: Sabotage) -> Option<String> {
    let mut counts = Counts::default();
    for word in (0..=2).flat_map(words) {
        if let Err(finding) = sweep(&word, IMAGES, Some(sabotage), &mut counts) {
            sweep(&word, IMAGES, None, &mut Counts::default())
                .unwrap_or_else(|own| panic!("found without the sabotage, too: {own}"));
            return Some(cells(
                "sweep",
                &finding,
                &format!("image {}", counts.images),
            ));
        }
    }
    None
}

/// The same for the search that lets one sync after the other fail.
fn by_nth_fault(sabotage: Sabotage) -> Option<String> {
    let fault = Fault {
        on: Op::Sync,
        nth: 1,
        sticky: false,
        errno: Errno::Io,
        after_sync: AfterFailedSync::CleanNew,
    };
    let finding = each_call_fails(fault, Some(sabotage)).err()?;
    each_call_fails(fault, None)
        .unwrap_or_else(|own| panic!("found without the sabotage, too: {own}"));
    Some(cells("Nth fault", &finding, &finding.how))
}

fn cells(search: &str, finding: &Finding, after: &str) -> String {
    format!("{search} | {:?} | {after}", finding.violation.oracle)
}

const IMAGES: Images = Images::Many(2);
/// Each is to be found within so many seeds. The torture has up to 1,000 for each sabotage of the
/// catalogue, those of the source included.
const SEEDS_MAX: u64 = 100;
/// What a random life meets once in some hundred seeds: the death of the process behind a failed
/// sync of a batch that was read.
const TOO_RARE: [Sabotage; 1] = [Sabotage::Recover];
