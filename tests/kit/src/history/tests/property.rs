//! Right histories of a model have no anomaly; a change of one is found, or is none.

use std::collections::HashMap;
use std::collections::HashSet;

use super::super::Anomaly;
use super::super::made::made;
use super::*;
use crate::rng::Rng;
use crate::rng::seeds;

#[test]
fn right_histories_have_no_anomaly() {
    for seed in seeds(400) {
        let size = 50 + usize::try_from(seed % 7).unwrap() * 300;
        let report = made(seed, size).check(&Limits::default()).unwrap();
        assert!(report.is_clean(), "SEED={seed}: {report}");
    }
}

#[test]
fn the_model_uses_what_the_contract_allows() {
    let mut excused = HashMap::new();
    for seed in 0..100 {
        let report = made(seed, 1000).check(&Limits::default()).unwrap();
        for (name, seen) in &report.anomalies {
            *excused.entry(*name).or_insert(0) += seen.excused;
        }
    }
    for anomaly in [
        Anomaly::InconsistentOffsets,
        Anomaly::Duplicate,
        Anomaly::LostWrite,
        Anomaly::PhantomRead,
        Anomaly::NonmonotonicPoll,
    ] {
        assert!(
            excused.get(anomaly.name()).is_some_and(|count| *count > 0),
            "{anomaly:?}"
        );
    }
}

#[test]
fn a_change_of_a_right_history_is_found_or_is_none() {
    let mut tried: HashMap<&str, u64> = HashMap::new();
    for seed in seeds(1500) {
        let mut rng = Rng::new(seed ^ 0x6d75_7461_7465);
        let mut history = made(seed, 400);
        let (name, change) = CHANGES[rng.below(CHANGES.len())];
        let Some(expected) = change(&mut history, &mut rng) else {
            continue;
        };
        *tried.entry(name).or_default() += 1;
        let report = history.check(&Limits::default()).unwrap();
        match expected {
            [] => assert!(report.is_clean(), "SEED={seed}, {name}: {report}"),
            _ => assert!(
                expected.iter().any(|anomaly| report.found(*anomaly) > 0),
                "SEED={seed}, {name}: {report}"
            ),
        }
    }
    let is_whole = std::env::var_os("SEED").is_some() || tried.len() == CHANGES.len();
    assert!(is_whole, "some changes were never made: {tried:?}");
}

/// Changes a history, and says what must be found then: one of these, or nothing at all if there
/// are none. Nothing if the history has no place for the change.
type Change = fn(&mut History, &mut Rng) -> Option<&'static [Anomaly]>;

const CHANGES: [(&str, Change); 17] = [
    ("a value that nobody sent", foreign_value),
    ("an acknowledged value is in no poll", lost_value),
    ("the drain misses what a consumer has read", missed_by_drain),
    ("a record is read at a second offset", second_offset),
    ("two records of a poll in the wrong order", swapped),
    ("the send of what was read has failed", failed),
    ("a record is left out in the middle", skipped),
    ("a poll comes twice", polled_twice),
    (
        "an acknowledgement names another offset",
        wrong_acknowledgement,
    ),
    ("a committed offset is none", none_committed),
    ("a committed offset was never asked for", high_committed),
    ("a committed offset is an old one", old_committed),
    ("a consumer gets no more", stuck),
    ("a consumer is left out", without_a_consumer),
    ("acknowledgements did not arrive", unanswered),
    ("answers come later", later),
    ("the order of the lines", shuffled),
];

/// Where a read stands: operation, step, place.
type At = (usize, usize, usize);

fn reads(history: &History) -> Vec<(At, Read)> {
    let mut all = Vec::new();
    for (at, operation) in history.operations.iter().enumerate() {
        for (step, it) in operation.steps.iter().enumerate() {
            let Step::Poll(reads) = it else { continue };
            let places = reads.iter().enumerate();
            all.extend(places.map(|(place, read)| ((at, step, place), *read)));
        }
    }
    all
}

fn polled(history: &mut History, (at, step, _): At) -> &mut Vec<Read> {
    match &mut history.operations[at].steps[step] {
        Step::Poll(reads) => reads,
        _ => panic!("it is a poll"),
    }
}

fn role(history: &History, at: usize) -> Role {
    history.processes[history.operations[at].process as usize].role
}

fn is_fsync(history: &History, partition: u32) -> bool {
    history.partitions[partition as usize].durability == Durability::Fsync
}

/// A read that is good for something.
fn choose(
    history: &History,
    rng: &mut Rng,
    is_good: impl Fn(&At, &Read) -> bool,
) -> Option<(At, Read)> {
    let mut all = reads(history);
    all.retain(|(at, read)| is_good(at, read));
    (!all.is_empty()).then(|| all[rng.below(all.len())])
}

/// Values of `fsync` topics that were acknowledged by all.
fn firm(history: &History) -> HashSet<u64> {
    let mut firm = HashSet::new();
    for (at, operation) in history.operations.iter().enumerate() {
        let is_firm = matches!(role(history, at), Role::Idempotent | Role::All);
        for step in &operation.steps {
            if let Step::Send {
                partition,
                value,
                offset: Some(_),
            } = step
                && is_firm
                && is_fsync(history, *partition)
            {
                firm.insert(*value);
            }
        }
    }
    firm
}

fn foreign_value(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let (at, _) = choose(history, rng, |_, _| true)?;
    polled(history, at)[at.2].value = u64::MAX;
    Some(&[Anomaly::NeverSent])
}

fn lost_value(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let firm = firm(history);
    let (_, lost) = choose(history, rng, |_, read| firm.contains(&read.value))?;
    for operation in &mut history.operations {
        for step in &mut operation.steps {
            if let Step::Poll(reads) = step {
                reads.retain(|read| read.value != lost.value);
            }
        }
    }
    Some(&[Anomaly::LostWrite, Anomaly::Unseen])
}

fn missed_by_drain(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let consumed: HashSet<u64> = reads(history)
        .into_iter()
        .filter(|(at, _)| role(history, at.0) != Role::Drain)
        .map(|(_, read)| read.value)
        .collect();
    let (at, _) = choose(history, rng, |at, read| {
        let is_promised = is_fsync(history, read.partition);
        role(history, at.0) == Role::Drain && is_promised && consumed.contains(&read.value)
    })?;
    polled(history, at).remove(at.2);
    // A value that was sent twice is still drained once, and the drain skips its other offset.
    Some(&[Anomaly::PhantomRead])
}

fn second_offset(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let sent: HashSet<u64> = history
        .operations
        .iter()
        .enumerate()
        .filter(|(at, _)| role(history, *at) == Role::Idempotent)
        .flat_map(|(_, operation)| &operation.steps)
        .filter_map(|step| match step {
            Step::Send { value, .. } => Some(*value),
            _ => None,
        })
        .collect();
    let firm = firm(history);
    let (at, read) = choose(history, rng, |_, read| {
        firm.contains(&read.value) && sent.contains(&read.value)
    })?;
    polled(history, at)[at.2].offset = read.offset + 1 + rng.below(3) as u64;
    Some(&[Anomaly::Duplicate])
}

fn swapped(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let all = reads(history);
    let pairs: Vec<At> = all
        .windows(2)
        .filter(|pair| {
            let [(one, a), (other, b)] = [pair[0], pair[1]];
            (one.0, one.1) == (other.0, other.1)
                && a.partition == b.partition
                && is_fsync(history, a.partition)
        })
        .map(|pair| pair[0].0)
        .collect();
    let at = (!pairs.is_empty()).then(|| pairs[rng.below(pairs.len())])?;
    polled(history, at).swap(at.2, at.2 + 1);
    Some(&[Anomaly::IntNonmonotonicPoll])
}

fn failed(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let (_, read) = choose(history, rng, |_, _| true)?;
    let is_send = |step: &Step| matches!(step, Step::Send { value, .. } if *value == read.value);
    let sends = history.operations.iter_mut();
    let mut of_it = sends.filter(|operation| operation.steps.iter().any(is_send));
    of_it.next()?.result = Outcome::Fail;
    Some(&[Anomaly::G1a])
}

fn skipped(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let firm = firm(history);
    // Behind the one that is left out the same poll has another of the partition.
    let all = reads(history);
    let middles: Vec<At> = all
        .windows(3)
        .filter(|three| {
            let same = three.iter().all(|(at, read)| {
                (at.0, at.1) == (three[0].0.0, three[0].0.1)
                    && read.partition == three[0].1.partition
            });
            same && firm.contains(&three[1].1.value)
        })
        .map(|three| three[1].0)
        .collect();
    let at = (!middles.is_empty()).then(|| middles[rng.below(middles.len())])?;
    polled(history, at).remove(at.2);
    Some(&[Anomaly::IntPollSkip])
}

fn polled_twice(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let (at, _) = choose(history, rng, |_, read| is_fsync(history, read.partition))?;
    let mut again = history.operations[at.0].clone();
    again.start_us = again.end_us;
    history.operations.insert(at.0 + 1, again);
    Some(&[Anomaly::NonmonotonicPoll])
}

fn wrong_acknowledgement(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let firm = firm(history);
    let (_, read) = choose(history, rng, |_, read| firm.contains(&read.value))?;
    let mut steps = history.operations.iter_mut().flat_map(|it| &mut it.steps);
    let offset = steps.find_map(|step| match step {
        Step::Send { value, offset, .. } if *value == read.value => Some(offset),
        _ => None,
    })?;
    *offset = offset.map(|offset| offset + 1 + rng.below(5) as u64);
    Some(&[
        Anomaly::Duplicate,
        Anomaly::InconsistentOffsets,
        Anomaly::NonmonotonicSend,
        Anomaly::IntNonmonotonicSend,
    ])
}

/// The operations that read a committed offset behind an acknowledged commit of it, with the
/// offsets that were asked for before.
fn committed(history: &History) -> Vec<(usize, Vec<u64>)> {
    let mut found = Vec::new();
    for (at, operation) in history.operations.iter().enumerate() {
        let [Step::Committed { partition: of, .. }] = &*operation.steps else {
            continue;
        };
        let mut acked = Vec::new();
        let mut is_all_known = true;
        for before in &history.operations {
            let [
                Step::Commit {
                    partition, offset, ..
                },
            ] = &*before.steps
            else {
                continue;
            };
            if partition == of && before.result == Outcome::Ok && before.end_us < operation.start_us
            {
                acked.push((before.end_us, *offset));
            } else if partition == of && before.result != Outcome::Fail {
                is_all_known &= before.start_us > operation.end_us;
            }
        }
        acked.sort_unstable();
        let acked: Vec<u64> = acked.into_iter().map(|(_, offset)| offset).collect();
        if !acked.is_empty() && is_all_known {
            found.push((at, acked));
        }
    }
    found
}

fn commit_becomes(
    history: &mut History,
    rng: &mut Rng,
    other: impl Fn(&[u64]) -> Option<Option<u64>>,
) -> Option<()> {
    let mut all = committed(history);
    all.retain(|(_, acked)| other(acked).is_some());
    let (at, acked) = (!all.is_empty()).then(|| all.swap_remove(rng.below(all.len())))?;
    let [Step::Committed { offset, .. }] = &mut *history.operations[at].steps else {
        panic!("it reads a committed offset");
    };
    *offset = other(&acked)?;
    Some(())
}

fn none_committed(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let offset = rng.pick(&[None, Some(0)]);
    commit_becomes(history, rng, |_| Some(offset))?;
    Some(&[Anomaly::ZeroOffset])
}

fn high_committed(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    commit_becomes(history, rng, |acked| Some(Some(acked.iter().max()? + 1)))?;
    Some(&[Anomaly::CommitAhead, Anomaly::CommitLost])
}

fn old_committed(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    commit_becomes(history, rng, |acked| {
        let (last, before) = acked.split_last()?;
        // The one before the last may overlap with it.
        let old = before
            .split_last()?
            .1
            .iter()
            .find(|old| !acked[1..].contains(old));
        Some(Some(*old?)).filter(|old| *old != Some(*last))
    })?;
    Some(&[Anomaly::CommitLost])
}

fn stuck(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let firm = firm(history);
    let (at, read) = choose(history, rng, |at, read| {
        role(history, at.0) == Role::Assigned && firm.contains(&read.value)
    })?;
    let process = history.operations[at.0].process;
    let from_us = history.operations[at.0].start_us;
    let mine = |it: &Operation| it.process == process && it.start_us >= from_us;
    for operation in history.operations.iter_mut().filter(|it| mine(it)) {
        for step in &mut operation.steps {
            if let Step::Poll(reads) = step {
                reads.retain(|it| it.partition != read.partition);
            }
        }
    }
    let last_us = history.operations.iter().map(|it| it.end_us).max()?;
    let times = [last_us + 31_000_000; 2];
    let empty = vec![Step::Poll(Vec::new())];
    let poll = Operation::new(process, times, Outcome::Info, empty);
    history.operations.push(poll);
    Some(&[Anomaly::StuckConsumer])
}

/// What one consumer saw is not needed for what the others saw to be right.
fn without_a_consumer(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let role = rng.pick(&[Role::Assigned, Role::Subscribed]);
    let (at, _) = choose(history, rng, |at, _| self::role(history, at.0) == role)?;
    let process = history.operations[at.0].process;
    let is_poll = |it: &Operation| matches!(&*it.steps, [Step::Poll(_)]);
    history
        .operations
        .retain(|it| it.process != process || !is_poll(it));
    Some(&[])
}

/// Who does not know whether it was done knows less.
fn unanswered(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    for operation in &mut history.operations {
        let is_request = |it: &Step| matches!(it, Step::Send { .. } | Step::Commit { .. });
        if operation.result != Outcome::Ok
            || !operation.steps.iter().any(is_request)
            || rng.percent(70)
        {
            continue;
        }
        operation.result = Outcome::Info;
        for step in &mut operation.steps {
            if let Step::Send { offset, .. } = step {
                *offset = None;
            }
        }
    }
    Some(&[])
}

/// A longer operation allows more, as long as its process does nothing else meanwhile.
fn later(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    let mut order: Vec<usize> = (0..history.operations.len()).collect();
    order.sort_by_key(|at| {
        let operation = &history.operations[*at];
        (operation.process, operation.start_us)
    });
    for pair in order.windows(2) {
        let until_us = history.operations[pair[1]].start_us;
        let it = &mut history.operations[pair[0]];
        if until_us > it.end_us && rng.percent(50) {
            it.end_us += rng.below(usize::try_from(until_us - it.end_us).unwrap()) as u64;
        }
    }
    Some(&[])
}

fn shuffled(history: &mut History, rng: &mut Rng) -> Option<&'static [Anomaly]> {
    for at in (1..history.operations.len()).rev() {
        history.operations.swap(at, rng.below(at + 1));
    }
    history.faults.reverse();
    Some(&[])
}
