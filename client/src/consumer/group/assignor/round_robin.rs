//! `roundrobin`: the partitions of all topics, one after the other, to the members by turns.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - A member that does not want the topic at hand is passed over, and its turn with it.

use super::{Assignments, Assignor, Counts, Wanting, in_order};

#[derive(Debug)]
pub(super) struct RoundRobin;

impl Assignor for RoundRobin {
    fn assign(&self, members: &[Wanting], counts: &Counts) -> Assignments {
        let mut assignments = Assignments::empty(members.len());
        let order = in_order(members);
        let mut turns = order.iter().copied().cycle();
        for (topic, count) in &counts.0 {
            let wants = |place: &usize| {
                let member = members.get(*place);
                member.is_some_and(|member| member.topics.contains(topic))
            };
            // Within one round of the turns there is somebody.
            if !order.iter().any(wants) {
                continue;
            }
            for partition in 0..*count {
                if let Some(place) = turns.by_ref().find(wants) {
                    assignments.give(place, topic, partition);
                }
            }
        }
        assignments
    }
}
