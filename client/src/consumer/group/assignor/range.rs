//! `range`: of each topic, every member that wants it gets a run of partitions.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - The runs of one topic differ by one partition at most; the first members get the longer ones.

use super::{Assignments, Assignor, Counts, Wanting, in_order};

#[derive(Debug)]
pub(super) struct Range;

impl Assignor for Range {
    fn assign(&self, members: &[Wanting], counts: &Counts) -> Assignments {
        let mut assignments = Assignments::empty(members.len());
        let order = in_order(members);
        for (topic, count) in &counts.0 {
            let wants = |place: &usize| {
                let member = members.get(*place);
                member.is_some_and(|member| member.topics.contains(topic))
            };
            let takers: Vec<usize> = order.iter().copied().filter(wants).collect();
            let Ok(takers_count) = i32::try_from(takers.len()) else {
                continue;
            };
            let (Some(share), Some(longer)) = (
                count.checked_div(takers_count),
                count.checked_rem(takers_count),
            ) else {
                continue;
            };
            let mut next = 0;
            for (taker, place) in (0..takers_count).zip(takers) {
                let end = next + share + i32::from(taker < longer);
                for partition in next..end {
                    assignments.give(place, topic, partition);
                }
                next = end;
            }
        }
        assignments
    }
}
