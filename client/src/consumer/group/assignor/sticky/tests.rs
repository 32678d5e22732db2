//! Kafka's own examples, and what holds for all members, counts and claims.

use bytes::Bytes;
use highwater_proto::consumer_protocol::Subscription;
use proptest::prelude::*;

use super::*;
use crate::config::AssignmentStrategy;
use crate::consumer::group::call::Last;

fn member(id: &str, topics: &[&str], owned: &[(&str, &[i32])], generation: i32) -> Wanting {
    let topic = |(topic, partitions): &(&str, &[i32])| ((*topic).to_owned(), partitions.to_vec());
    Wanting {
        member_id: id.to_owned(),
        instance_id: None,
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        owned: owned.iter().map(topic).collect(),
        generation,
    }
}

fn counts(counts: &[(&str, i32)]) -> Counts {
    let owned = |(topic, count): &(&str, i32)| ((*topic).to_owned(), *count);
    Counts(counts.iter().map(owned).collect())
}

/// `t0:0,1 t1:2` for each member.
fn dealt_out(assignor: &dyn Assignor, members: &[Wanting], topics: &[(&str, i32)]) -> Vec<String> {
    let text = |topics: BTreeMap<String, Vec<i32>>| {
        let topic = |(topic, mut partitions): (String, Vec<i32>)| {
            partitions.sort_unstable();
            let numbers: Vec<String> = partitions.iter().map(i32::to_string).collect();
            format!("{topic}:{}", numbers.join(","))
        };
        topics.into_iter().map(topic).collect::<Vec<_>>().join(" ")
    };
    let shares = assignor.assign(members, &counts(topics)).0;
    shares.into_iter().map(text).collect()
}

#[test]
fn members_that_want_the_same_share_as_in_kafka() {
    let topics = ["t0", "t1", "t2", "t3"];
    let sizes = topics.map(|topic| (topic, 2));
    // The first example of StickyAssignor's documentation.
    let three = ["c0", "c1", "c2"].map(|id| member(id, &topics, &[], -1));
    assert_eq!(
        dealt_out(&Sticky, &three, &sizes),
        ["t0:0 t1:1 t3:0", "t0:1 t2:0 t3:1", "t1:0 t2:1"]
    );
    // The second member is gone; both others keep what they had.
    let two = [
        member(
            "c0",
            &topics,
            &[("t0", &[0]), ("t1", &[1]), ("t3", &[0])],
            1,
        ),
        member("c2", &topics, &[("t1", &[0]), ("t2", &[1])], 1),
    ];
    assert_eq!(
        dealt_out(&Sticky, &two, &sizes),
        ["t0:0,1 t1:1 t3:0", "t1:0 t2:0,1 t3:1"]
    );
}

#[test]
fn members_that_want_different_topics_share_as_in_kafka() {
    // The second example of StickyAssignor's documentation.
    let sizes = [("t0", 1), ("t1", 2), ("t2", 3)];
    let c1 = |owned: &[(&str, &[i32])]| member("c1", &["t0", "t1"], owned, 1);
    let c2 = |owned: &[(&str, &[i32])]| member("c2", &["t0", "t1", "t2"], owned, 1);
    let three = [member("c0", &["t0"], &[], 1), c1(&[]), c2(&[])];
    assert_eq!(
        dealt_out(&Sticky, &three, &sizes),
        ["t0:0", "t1:0,1", "t2:0,1,2"]
    );
    let two = [c1(&[("t1", &[0, 1])]), c2(&[("t2", &[0, 1, 2])])];
    assert_eq!(
        dealt_out(&Sticky, &two, &sizes),
        ["t0:0 t1:0,1", "t2:0,1,2"]
    );
}

#[test]
fn a_newcomer_gets_its_share_when_it_is_free() {
    let old = |owned: &[i32]| member("a", &["t"], &[("t", owned)], 1);
    let new = member("b", &["t"], &[], -1);
    let members = [old(&[0, 1, 2]), new.clone()];
    assert_eq!(dealt_out(&Sticky, &members, &[("t", 3)]), ["t:0,1", "t:2"]);
    assert_eq!(
        dealt_out(&CooperativeSticky, &members, &[("t", 3)]),
        ["t:0,1", ""],
        "it is still worked on"
    );
    let members = [old(&[0, 1]), new];
    assert_eq!(
        dealt_out(&CooperativeSticky, &members, &[("t", 3)]),
        ["t:0,1", "t:2"]
    );
}

#[test]
fn of_two_claims_the_newer_one_counts_and_equal_ones_do_not() {
    let claims = |generations: [i32; 2]| {
        let ids = ["a", "b"].into_iter().zip(generations);
        let members = ids.map(|(id, it)| member(id, &["t"], &[("t", &[0, 1])], it));
        members.collect::<Vec<_>>()
    };
    let deal = |generations| dealt_out(&Sticky, &claims(generations), &[("t", 4)]);
    assert_eq!(deal([3, 2]), ["t:0,1", "t:2,3"]);
    assert_eq!(deal([2, 3]), ["t:2,3", "t:0,1"]);
    assert_eq!(deal([3, 3]), ["t:0,2", "t:1,3"]);
    assert_eq!(
        dealt_out(&CooperativeSticky, &claims([3, 3]), &[("t", 4)]),
        ["t:2", "t:3"],
        "both have to give it back first"
    );
}

#[test]
fn what_members_tell_each_other_is_laid_out_as_in_java() {
    let last = Last {
        generation: 5,
        partitions: vec![("t".to_owned(), vec![0, 2])],
    };
    let told = user_data(AssignmentStrategy::Sticky, Some(&last)).unwrap();
    let bytes = b"\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\x05";
    assert_eq!(told.as_deref(), Some(&bytes[..]));
    let read = |bytes: &[u8]| {
        let subscription = Subscription {
            user_data: Some(Bytes::copy_from_slice(bytes)),
            ..Subscription::default()
        };
        owned(AssignmentStrategy::Sticky, &subscription)
    };
    assert_eq!(read(bytes), (last.partitions.clone(), 5));
    let first_version = &bytes[..bytes.len() - 4];
    assert_eq!(read(first_version), (last.partitions.clone(), -1));
    for length in 0..first_version.len() {
        assert_eq!(read(&bytes[..length]), (Vec::new(), -1), "{length}");
    }
    assert_eq!(user_data(AssignmentStrategy::Sticky, None).unwrap(), None);
    let cooperative = AssignmentStrategy::CooperativeSticky;
    let told = user_data(cooperative, Some(&last)).unwrap();
    assert_eq!(told.as_deref(), Some(&b"\0\0\0\x05"[..]));
    let mut subscription = Subscription {
        user_data: told,
        owned_partitions: last.partitions.clone(),
        ..Subscription::default()
    };
    assert_eq!(
        owned(cooperative, &subscription),
        (last.partitions.clone(), 5)
    );
    subscription.generation = 7;
    assert_eq!(owned(cooperative, &subscription), (last.partitions, 7));
}

const NAMES: [&str; 4] = ["t0", "t1", "t2", "t3"];

/// Members with wishes and claims of any kind; what they claim may not exist, be somebody else's
/// or not be wanted.
fn members() -> impl Strategy<Value = Vec<Wanting>> {
    let owned = prop::collection::vec((0..4_usize, prop::collection::vec(0..9_i32, 0..6)), 0..4);
    let wants = prop_oneof![
        3 => Just(vec![true; 4]),
        2 => prop::collection::vec(any::<bool>(), 4),
    ];
    prop::collection::vec((wants, owned, -1..3_i32), 1..7).prop_map(|members| {
        let member = |(number, (wants, owned, generation)): (usize, (Vec<bool>, Vec<_>, i32))| {
            let wanted = NAMES.iter().zip(wants).filter(|(_, it)| *it);
            let topics: Vec<&str> = wanted.map(|(name, _)| *name).collect();
            let owned: Vec<(&str, Vec<i32>)> = owned
                .into_iter()
                .map(|(topic, partitions): (usize, _)| (NAMES[topic], partitions))
                .collect();
            let owned: Vec<(&str, &[i32])> = owned.iter().map(|it| (it.0, &it.1[..])).collect();
            member(&format!("m{number}"), &topics, &owned, generation)
        };
        members.into_iter().enumerate().map(member).collect()
    })
}

fn sizes() -> impl Strategy<Value = Counts> {
    let numbers = prop::collection::vec(0..12_i32, 4);
    numbers.prop_map(|numbers| counts(&NAMES.into_iter().zip(numbers).collect::<Vec<_>>()))
}

fn places(topics: &BTreeMap<String, Vec<i32>>) -> BTreeSet<(String, i32)> {
    let topic = |(topic, partitions): (&String, &Vec<i32>)| {
        let place = |partition: &i32| (topic.clone(), *partition);
        partitions.iter().map(place).collect::<Vec<_>>()
    };
    topics.iter().flat_map(topic).collect()
}

/// The members with what they were dealt out as their claims.
fn working(members: &[Wanting], shares: &Assignments, generation: i32) -> Vec<Wanting> {
    let member = |(member, share): (&Wanting, &BTreeMap<String, Vec<i32>>)| Wanting {
        owned: share.clone().into_iter().collect(),
        generation,
        ..member.clone()
    };
    members.iter().zip(&shares.0).map(member).collect()
}

/// Everything wanted has one owner who wants it, and nothing can move to a smaller share.
fn check(members: &[Wanting], counts: &Counts, shares: &Assignments) -> Result<(), TestCaseError> {
    let mut owners = BTreeMap::new();
    for (number, (member, share)) in members.iter().zip(&shares.0).enumerate() {
        let given: usize = share.values().map(Vec::len).sum();
        prop_assert_eq!(places(share).len(), given, "one is given twice");
        for place in places(share) {
            prop_assert!(
                member.topics.contains(&place.0),
                "{:?} is not wanted",
                place
            );
            prop_assert_eq!(owners.insert(place, number), None);
        }
    }
    let size = |number: usize| places(&shares.0[number]).len();
    for (topic, count) in &counts.0 {
        let takers: Vec<usize> = (0..members.len())
            .filter(|number| members[*number].topics.contains(topic))
            .collect();
        for partition in 0..*count {
            let owner = owners.remove(&(topic.clone(), partition));
            prop_assert_eq!(
                owner.is_some(),
                !takers.is_empty(),
                "{}-{}",
                topic,
                partition
            );
            let smallest = takers.iter().map(|number| size(*number)).min();
            if let (Some(owner), Some(smallest)) = (owner, smallest) {
                prop_assert!(
                    size(owner) <= smallest + 1,
                    "{}-{} can move",
                    topic,
                    partition
                );
            }
        }
    }
    prop_assert!(owners.is_empty(), "{:?} do not exist", owners);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_deal_is_total_even_and_stays_when_nothing_changes(
        members in members(),
        counts in sizes(),
    ) {
        let shares = Sticky.assign(&members, &counts);
        check(&members, &counts, &shares)?;
        let again = Sticky.assign(&working(&members, &shares, 3), &counts);
        for (share, before) in again.0.iter().zip(&shares.0) {
            prop_assert_eq!(places(share), places(before));
        }
        let reversed: Vec<Wanting> = members.iter().rev().cloned().collect();
        let mut again = Sticky.assign(&reversed, &counts);
        again.0.reverse();
        prop_assert_eq!(again, shares, "the order of the list matters");
    }

    #[test]
    fn who_comes_or_goes_moves_no_more_than_it_must(
        (members, gone) in (1..7_usize, 0..3_usize),
        counts in sizes(),
    ) {
        let ids: Vec<String> = (0..members + gone).map(|number| format!("m{number}")).collect();
        let all: Vec<Wanting> = ids.iter().map(|id| member(id, &NAMES, &[], -1)).collect();
        let before = Sticky.assign(&all, &counts);
        let fewer = working(&all[gone..], &Assignments(before.0[gone..].to_vec()), 1);
        let after_leave = Sticky.assign(&fewer, &counts);
        check(&fewer, &counts, &after_leave)?;
        for (share, before) in after_leave.0.iter().zip(&before.0[gone..]) {
            prop_assert!(places(share).is_superset(&places(before)));
        }
        let back = working(&all[gone..], &after_leave, 2);
        let back = [&all[..gone], &back].concat();
        let after_return = Sticky.assign(&back, &counts);
        check(&back, &counts, &after_return)?;
        for (share, before) in after_return.0[gone..].iter().zip(&after_leave.0) {
            prop_assert!(places(share).is_subset(&places(before)));
        }
    }

    #[test]
    fn cooperative_members_are_done_after_a_second_round(
        members in members(),
        counts in sizes(),
    ) {
        let mut members = members;
        let mut last = None;
        for generation in 3..7 {
            let shares = CooperativeSticky.assign(&members, &counts);
            for (number, share) in shares.0.iter().enumerate() {
                for place in places(share) {
                    let claims = |it: &&Wanting| {
                        let mut claims = it.owned.iter();
                        claims.any(|(topic, indexes)| {
                            *topic == place.0 && indexes.contains(&place.1)
                        })
                    };
                    let mut others = members.iter().filter(claims);
                    let is_mine = claims(&&members[number]);
                    prop_assert!(is_mine || others.next().is_none(), "{:?} is taken", place);
                }
            }
            if generation >= 5 {
                check(&members, &counts, &shares)?;
                let places: Vec<_> = shares.0.iter().map(places).collect();
                let before = last.replace(places.clone());
                prop_assert!(before.is_none_or(|before| before == places));
            }
            // Each keeps what it got, and gives the rest back.
            members = working(&members, &shares, generation);
        }
    }
}
