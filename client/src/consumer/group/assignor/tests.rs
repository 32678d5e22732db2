//! Kafka's own examples, and what holds for all members and counts.

use proptest::prelude::*;

use super::*;

fn member(id: &str, instance: Option<&str>, topics: &[&str]) -> Wanting {
    Wanting {
        member_id: id.to_owned(),
        instance_id: instance.map(str::to_owned),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        owned: Vec::new(),
        generation: -1,
    }
}

fn counts(counts: &[(&str, i32)]) -> Counts {
    let owned = |(topic, count): &(&str, i32)| ((*topic).to_owned(), *count);
    Counts(counts.iter().map(owned).collect())
}

/// `t0:0,1 t1:2` for each member.
fn dealt_out(
    strategy: AssignmentStrategy,
    members: &[Wanting],
    topics: &[(&str, i32)],
) -> Vec<String> {
    let assignments = of(strategy).assign(members, &counts(topics));
    let text = |topics: BTreeMap<String, Vec<i32>>| {
        let topic = |(topic, partitions): (String, Vec<i32>)| {
            let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
            format!("{topic}:{}", numbers.join(","))
        };
        topics.into_iter().map(topic).collect::<Vec<_>>().join(" ")
    };
    assignments.0.into_iter().map(text).collect()
}

#[test]
fn range_is_that_of_kafka() {
    // The examples of RangeAssignor's documentation.
    let two = [
        member("c0", None, &["t0", "t1"]),
        member("c1", None, &["t0", "t1"]),
    ];
    let range = AssignmentStrategy::Range;
    assert_eq!(
        dealt_out(range, &two, &[("t0", 3), ("t1", 3)]),
        ["t0:0,1 t1:0,1", "t0:2 t1:2"]
    );
    let swapped = [
        member("c0", Some("i1"), &["t0", "t1"]),
        member("c1", Some("i0"), &["t0", "t1"]),
    ];
    assert_eq!(
        dealt_out(range, &swapped, &[("t0", 3), ("t1", 3)]),
        ["t0:2 t1:2", "t0:0,1 t1:0,1"]
    );
    let mixed = [
        member("a", None, &["t"]),
        member("z", Some("i"), &["t"]),
        member("b", None, &["other"]),
    ];
    assert_eq!(
        dealt_out(range, &mixed, &[("other", 0), ("t", 1)]),
        ["", "t:0", ""]
    );
    let many = ["a", "b", "c", "d", "e"].map(|id| member(id, None, &["t"]));
    assert_eq!(
        dealt_out(range, &many, &[("t", 12)]),
        ["t:0,1,2", "t:3,4,5", "t:6,7", "t:8,9", "t:10,11"]
    );
}

#[test]
fn round_robin_is_that_of_kafka() {
    // The examples of RoundRobinAssignor's documentation.
    let round_robin = AssignmentStrategy::RoundRobin;
    let two = [
        member("c0", None, &["t0", "t1"]),
        member("c1", None, &["t0", "t1"]),
    ];
    assert_eq!(
        dealt_out(round_robin, &two, &[("t0", 3), ("t1", 3)]),
        ["t0:0,2 t1:1", "t0:1 t1:0,2"]
    );
    let unlike = [
        member("c0", None, &["t0"]),
        member("c1", None, &["t0", "t1"]),
        member("c2", None, &["t0", "t1", "t2"]),
    ];
    assert_eq!(
        dealt_out(round_robin, &unlike, &[("t0", 1), ("t1", 2), ("t2", 3)]),
        ["t0:0", "t1:0", "t1:1 t2:0,1,2"]
    );
}

#[test]
fn a_topic_that_nobody_wants_or_that_does_not_exist_is_nobodys() {
    for strategy in [AssignmentStrategy::Range, AssignmentStrategy::RoundRobin] {
        let one = [member("a", None, &["t", "missing"])];
        let topics = [("missing", 0), ("t", 1), ("unwanted", 5)];
        assert_eq!(dealt_out(strategy, &one, &topics), ["t:0"]);
        assert!(dealt_out(strategy, &[], &topics).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_wanted_partition_has_one_owner_who_wants_it(
        wants in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 0..8),
        statics in prop::collection::vec(any::<bool>(), 8),
        numbers in prop::collection::vec(0..20_i32, 4),
    ) {
        let names = ["t0", "t1", "t2", "t3"];
        let members: Vec<Wanting> = wants
            .iter()
            .zip(&statics)
            .enumerate()
            .map(|(index, (wants, is_static))| {
                let topics = names.iter().zip(wants).filter(|(_, it)| **it);
                let topics: Vec<&str> = topics.map(|(name, _)| *name).collect();
                let id = format!("m{index}");
                member(&id, is_static.then_some(&*id), &topics)
            })
            .collect();
        let topics: Vec<(&str, i32)> = names.iter().copied().zip(numbers).collect();
        for strategy in [AssignmentStrategy::Range, AssignmentStrategy::RoundRobin] {
            let assignments = of(strategy).assign(&members, &counts(&topics));
            prop_assert_eq!(assignments.0.len(), members.len());
            for (topic, count) in &topics {
                let mut dealt_out = Vec::new();
                for (assignment, member) in assignments.0.iter().zip(&members) {
                    let partitions = assignment.get(*topic).cloned().unwrap_or_default();
                    prop_assert!(partitions.is_empty() || member.topics.contains(*topic));
                    dealt_out.extend(partitions);
                }
                dealt_out.sort_unstable();
                let is_wanted = members.iter().any(|member| member.topics.contains(*topic));
                let expected = 0..if is_wanted { *count } else { 0 };
                prop_assert_eq!(dealt_out, expected.collect::<Vec<_>>());
            }
            // The order of the list does not matter.
            let reversed: Vec<Wanting> = members.iter().rev().cloned().collect();
            let mut again = of(strategy).assign(&reversed, &counts(&topics));
            again.0.reverse();
            prop_assert_eq!(again, assignments);
        }
    }
}
