//! Committed offsets: each rule of expiry, and a model of the store.
//!
//! Floor 2 of broker; compiled for its tests only.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::group::call::OffsetToCommit;

const DAY_MS: i64 = 24 * 3600 * 1000;
const WEEK_MS: i64 = 7 * DAY_MS;
const TODAY: Wall = Wall(1_750_000_000_000);
const FIFTY_YEARS_MS: i64 = 50 * 365 * DAY_MS;

fn after(ms: i64) -> Wall {
    Wall(TODAY.0 + ms)
}

fn commit(offsets: &[(&str, i32, i64)]) -> Commit {
    let offsets = offsets
        .iter()
        .map(|&(topic, partition, offset)| OffsetToCommit {
            topic: topic.to_owned(),
            partition,
            offset,
            leader_epoch: 2,
            metadata: format!("at {offset}"),
        });
    Commit {
        offsets: offsets.collect(),
        ..Commit::default()
    }
}

fn apply(offsets: &mut Offsets, records: &[GroupRecord]) {
    for record in records {
        let GroupRecord::Offset {
            group,
            topic,
            partition,
            value,
        } = record
        else {
            panic!("{record:?} is no offset");
        };
        assert_eq!(group, "g");
        offsets.apply(topic, *partition, value.as_ref());
    }
}

/// A store in which this was committed at that time.
fn committed(at: Wall, commit: &Commit) -> Offsets {
    let mut offsets = Offsets::default();
    let records = offsets.commit_records("g", at, commit);
    assert!(offsets.is_empty(), "deciding changes nothing");
    apply(&mut offsets, &records);
    offsets
}

fn names(records: &[GroupRecord]) -> Vec<(String, i32)> {
    let name = |record: &GroupRecord| match record {
        GroupRecord::Offset {
            topic,
            partition,
            value: None,
            ..
        } => (topic.clone(), *partition),
        other => panic!("{other:?} is no tombstone of an offset"),
    };
    records.iter().map(name).collect()
}

fn partitions(of: &[(&str, i32)]) -> Vec<(String, i32)> {
    of.iter()
        .map(|&(topic, partition)| (topic.to_owned(), partition))
        .collect()
}

fn simple() -> ExpireFrom {
    ExpireFrom::Commit { subscribed: None }
}

/// Whether the only offset of a store ends.
fn ends(offsets: &Offsets, now: Wall, from: ExpireFrom) -> bool {
    let expired = offsets.expired("g", now, WEEK_MS, from);
    assert!(expired.len() <= 1);
    !expired.is_empty()
}

#[test]
fn what_is_committed_is_read_back_and_the_rest_is_minus_one() {
    let offsets = committed(TODAY, &commit(&[("b", 0, 7), ("a", 1, 5)]));
    let row = |topic: &str, partition, offset: i64| FetchedOffset {
        topic: topic.to_owned(),
        partition,
        offset,
        leader_epoch: if offset < 0 { -1 } else { 2 },
        metadata: if offset < 0 {
            String::new()
        } else {
            format!("at {offset}")
        },
    };
    assert_eq!(offsets.get(None), [row("a", 1, 5), row("b", 0, 7)]);
    let asked = partitions(&[("b", 0), ("b", 1), ("c", 0), ("a", 1)]);
    let expected = [
        row("b", 0, 7),
        row("b", 1, -1),
        row("c", 0, -1),
        row("a", 1, 5),
    ];
    assert_eq!(offsets.get(Some(&asked)), expected);
}

#[test]
fn only_offsets_that_are_there_get_tombstones() {
    let offsets = committed(TODAY, &commit(&[("a", 0, 1), ("a", 1, 1), ("b", 0, 1)]));
    let asked = partitions(&[("a", 1), ("a", 2), ("c", 0)]);
    let gone = offsets.delete_records("g", &asked);
    assert_eq!(names(&gone), partitions(&[("a", 1)]));
    let gone = offsets.forget_topics("g", &["a".to_owned(), "c".to_owned()]);
    assert_eq!(names(&gone), partitions(&[("a", 0), ("a", 1)]));
}

#[test]
fn an_offset_of_a_simple_group_ages_from_its_commit() {
    let offsets = committed(TODAY, &commit(&[("a", 0, 1)]));
    assert!(!ends(&offsets, after(WEEK_MS - 1), simple()));
    assert!(ends(&offsets, after(WEEK_MS), simple()));
}

#[test]
fn an_offset_of_an_empty_group_ages_from_the_last_use_of_the_group() {
    let offsets = committed(TODAY, &commit(&[("a", 0, 1)]));
    let emptied = || ExpireFrom::EmptySince(after(DAY_MS));
    assert!(!ends(&offsets, after(WEEK_MS + DAY_MS - 1), emptied()));
    assert!(ends(&offsets, after(WEEK_MS + DAY_MS), emptied()));
}

/// Kafka lets an offset that a tool resets in a long empty group end at the next check.
#[test]
fn a_commit_to_a_group_that_has_long_been_empty_is_kept_for_the_retention() {
    let offsets = committed(TODAY, &commit(&[("a", 0, 1)]));
    let emptied = || ExpireFrom::EmptySince(after(-100 * DAY_MS));
    assert!(!ends(&offsets, after(WEEK_MS - 1), emptied()));
    assert!(ends(&offsets, after(WEEK_MS), emptied()));
}

#[test]
fn an_offset_of_a_working_group_ends_only_where_nobody_subscribes() {
    let offsets = committed(TODAY, &commit(&[("a", 0, 1), ("b", 0, 1), ("b", 1, 1)]));
    let from = ExpireFrom::Commit {
        subscribed: Some(BTreeSet::from(["a".to_owned()])),
    };
    let late = after(WEEK_MS);
    let gone = offsets.expired("g", late, WEEK_MS, from);
    assert_eq!(names(&gone), partitions(&[("b", 0), ("b", 1)]));
    let gone = offsets.expired("g", late, WEEK_MS, ExpireFrom::Never);
    assert_eq!(gone, []);
}

#[test]
fn an_offset_with_an_end_of_its_own_ends_then_and_has_no_epoch() {
    let offsets = committed(
        TODAY,
        &Commit {
            retention_ms: Some(DAY_MS),
            ..commit(&[("a", 0, 1)])
        },
    );
    assert_eq!(offsets.get(None)[0].leader_epoch, -1);
    for from in [simple(), ExpireFrom::EmptySince(after(WEEK_MS))] {
        assert!(!ends(&offsets, after(DAY_MS - 1), from.clone()));
        assert!(ends(&offsets, after(DAY_MS), from));
    }
    assert!(!ends(&offsets, after(DAY_MS), ExpireFrom::Never));
}

#[test]
fn a_retention_of_minus_one_is_that_of_the_broker() {
    let default = Commit {
        retention_ms: Some(-1),
        ..commit(&[("a", 0, 1)])
    };
    let offsets = committed(TODAY, &default);
    assert_eq!(offsets, committed(TODAY, &commit(&[("a", 0, 1)])));
}

#[test]
fn a_clock_that_goes_back_keeps_everything() {
    let offsets = committed(TODAY, &commit(&[("a", 0, 1)]));
    for now in [after(-FIFTY_YEARS_MS), Wall(0), Wall(i64::MIN)] {
        assert!(!ends(&offsets, now, simple()));
        assert!(!ends(
            &offsets,
            now,
            ExpireFrom::EmptySince(after(-WEEK_MS))
        ));
    }
}

#[test]
fn what_was_committed_before_the_clock_was_set_is_kept_after() {
    for unset in [Wall(0), Wall(5 * 60_000), Wall(i64::MIN)] {
        let offsets = committed(unset, &commit(&[("a", 0, 1)]));
        assert!(!ends(&offsets, TODAY, simple()));
        assert!(!ends(&offsets, TODAY, ExpireFrom::EmptySince(unset)));
        let own_end = Commit {
            retention_ms: Some(DAY_MS),
            ..commit(&[("a", 0, 1)])
        };
        assert!(!ends(&committed(unset, &own_end), TODAY, simple()));
    }
    // Under the same clock it ages as any other.
    let offsets = committed(Wall(0), &commit(&[("a", 0, 1)]));
    assert!(ends(&offsets, Wall(WEEK_MS), simple()));
}

#[test]
fn what_was_committed_50_years_ahead_is_kept_once_the_clock_is_right() {
    let ahead = after(FIFTY_YEARS_MS);
    let offsets = committed(ahead, &commit(&[("a", 0, 1)]));
    assert!(!ends(&offsets, TODAY, simple()));
    assert!(!ends(&offsets, TODAY, ExpireFrom::EmptySince(TODAY)));
}

#[test]
fn times_at_the_ends_of_their_range_do_not_overflow() {
    for at in [Wall(i64::MIN), Wall(i64::MAX)] {
        for retention_ms in [Some(i64::MAX), Some(0), None] {
            let commit = Commit {
                retention_ms,
                ..commit(&[("a", 0, 1)])
            };
            let offsets = committed(at, &commit);
            for now in [Wall(i64::MIN), TODAY, Wall(i64::MAX)] {
                for retention_ms in [i64::MIN, 0, i64::MAX] {
                    let from = ExpireFrom::EmptySince(at);
                    let expired = offsets.expired("g", now, retention_ms, from);
                    assert!(expired.len() <= 1);
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u8, i32, i64)>),
    Delete(Vec<(u8, i32)>),
    Forget(u8),
    Expire { subscribed: Option<u8> },
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..4_u8;
    let place = (name.clone(), 0..4_i32);
    let step = prop_oneof![
        4 => vec((name.clone(), 0..4_i32, any::<i64>()), 0..6).prop_map(Step::Commit),
        1 => vec(place, 0..4).prop_map(Step::Delete),
        1 => name.clone().prop_map(Step::Forget),
        2 => prop::option::of(name).prop_map(|subscribed| Step::Expire { subscribed }),
        4 => (0..4 * DAY_MS).prop_map(Step::Pass),
    ];
    vec(step, 0..40)
}

fn topic(name: u8) -> String {
    format!("topic-{name}")
}

proptest! {
    /// The store against a flat map, and against a second store that only sees rewritten records.
    #[test]
    fn the_store_does_what_a_flat_map_does(steps in steps()) {
        let mut model: BTreeMap<(String, i32), (i64, Wall)> = BTreeMap::new();
        let (mut offsets, mut now) = (Offsets::default(), TODAY);
        for step in steps {
            let records = match step {
                Step::Pass(ms) => {
                    now = Wall(now.0 + ms);
                    continue;
                }
                Step::Commit(places) => {
                    let places: Vec<_> = places
                        .into_iter()
                        .map(|(name, partition, offset)| (topic(name), partition, offset))
                        .collect();
                    let borrowed: Vec<_> =
                        places.iter().map(|(name, at, offset)| (&name[..], *at, *offset)).collect();
                    let records = offsets.commit_records("g", now, &commit(&borrowed));
                    for (name, partition, offset) in places {
                        model.insert((name, partition), (offset, now));
                    }
                    records
                }
                Step::Delete(places) => {
                    let places: Vec<_> =
                        places.into_iter().map(|(name, at)| (topic(name), at)).collect();
                    model.retain(|place, _| !places.contains(place));
                    offsets.delete_records("g", &places)
                }
                Step::Forget(name) => {
                    model.retain(|(other, _), _| *other != topic(name));
                    offsets.forget_topics("g", &[topic(name)])
                }
                Step::Expire { subscribed } => {
                    let subscribed = subscribed.map(|name| BTreeSet::from([topic(name)]));
                    model.retain(|(name, _), (_, at)| {
                        now.0 - at.0 < WEEK_MS
                            || subscribed.as_ref().is_some_and(|topics| topics.contains(name))
                    });
                    offsets.expired("g", now, WEEK_MS, ExpireFrom::Commit { subscribed })
                }
            };
            apply(&mut offsets, &records);
            let rows: Vec<_> = offsets
                .iter()
                .map(|(name, partition, value)| {
                    let at = Wall(value.commit_timestamp_ms);
                    ((name.to_owned(), partition), (value.offset, at))
                })
                .collect();
            prop_assert_eq!(rows, model.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(offsets.is_empty(), model.is_empty());
            let mut again = Offsets::default();
            apply(&mut again, &offsets.rewrite("g"));
            prop_assert_eq!(&again, &offsets);
        }
    }
}
