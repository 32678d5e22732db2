//! A group goes on from what the log says of it.
//!
//! Floor 2 of broker.
//!
//! - The generation goes on; its members have a whole session to tell that they are alive.

use highwater_proto::clock::{Mono, Wall};

use crate::group::member::Member;
use crate::group::state::{Group, Phase};
use crate::group::step::Step;

impl Group {
    /// Recovery is over: the group goes on from what the log says of it.
    pub(super) fn recover(&mut self, step: &mut Step<'_>) {
        let Some(value) = &self.durable.value else {
            return;
        };
        self.generation = value.generation;
        self.protocol_type.clone_from(&value.protocol_type);
        self.protocol.clone_from(&value.protocol);
        if value.members.is_empty() {
            self.empty_since =
                (value.state_timestamp_ms >= 0).then_some(Wall(value.state_timestamp_ms));
            return;
        }
        let protocol = value.protocol.as_deref().unwrap_or_default();
        for member in &value.members {
            let number = self.roster.next_number();
            let recovered = Member::recovered(number, member, protocol, step.now.mono);
            self.roster.insert(member.member_id.clone(), recovered);
        }
        let leader = value.leader.clone();
        self.roster
            .set_leader(leader.filter(|id| self.roster.contains(id)));
        self.phase = Phase::Stable {
            sync_by: Mono::NEVER,
        };
        if self.roster.len() > step.config.members_max {
            self.rebalance(step);
        }
    }
}
