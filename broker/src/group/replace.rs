//! A static member comes back without its id (KIP-345): it takes the place of its former self.
//!
//! Floor 2 of broker.
//!
//! - The former id is fenced.
//! - In a stable group nothing moves, as long as the group would follow the same protocol: the
//!   new id is written, then the member goes on in its generation.

use highwater_proto::group_log::GroupValue;

use crate::error::GroupError;
use crate::group::call::{Join, Joined, Ticket};
use crate::group::member::Member;
use crate::group::state::{Group, Phase, Then};
use crate::group::step::Step;
use crate::group::vote::elected;

/// A replacement whose write is under way.
#[derive(Debug)]
pub(super) struct Replacement {
    ticket: Ticket,
    /// The former id.
    old: String,
    id: String,
    member: Member,
    may_skip_assignment: bool,
}

impl Group {
    pub(super) fn replace(&mut self, step: &mut Step<'_>, ticket: Ticket, old: String, join: Join) {
        let Some(former) = self.roster.get(&old) else {
            return step.joined(ticket, Err(GroupError::UnknownMember));
        };
        let mut member = Member::new(former.number, &join, step.now.mono);
        let id = join.new_member_id;
        if matches!(self.phase, Phase::Stable { .. }) && self.keeps_its_protocol(&member) {
            member.assignment = former.assignment.clone();
            member.has_synced = true;
            let value = self.value_with(step, &old, &id, &member);
            let may_skip_assignment = join.may_skip_assignment;
            let replacement = Replacement {
                ticket,
                old,
                id,
                member,
                may_skip_assignment,
            };
            let then = Then::Replaced(Box::new(replacement));
            return self.write(step, vec![step.record(value)], then);
        }
        member.join = Some(ticket);
        self.take_over(step, &old, id, member);
        self.rebalance(step);
    }

    /// The new id is durable, or could not be written.
    pub(super) fn replaced(
        &mut self,
        step: &mut Step<'_>,
        replacement: Replacement,
        result: Result<(), GroupError>,
    ) {
        let Replacement {
            ticket,
            old,
            id,
            mut member,
            may_skip_assignment,
        } = replacement;
        if let Err(error) = result {
            return step.joined(ticket, Err(error));
        }
        member.is_new = false;
        member.keep_alive(step.now.mono);
        self.take_over(step, &old, id.clone(), member);
        let leads = self.roster.is_leader(&id);
        let joined = match (leads, may_skip_assignment) {
            (false, _) => self.to_follower(&id),
            (true, true) => Joined {
                skip_assignment: true,
                ..self.to_joined(&id)
            },
            // A client that cannot skip must not assign either: the others would not hear of it.
            // It does not know itself in the leader's former id.
            (true, false) => Joined {
                leader: old,
                ..self.to_follower(&id)
            },
        };
        step.joined(ticket, Ok(joined));
    }

    fn take_over(&mut self, step: &mut Step<'_>, old: &str, id: String, member: Member) {
        if let Some(former) = self.roster.get_mut(old) {
            if let Some(ticket) = former.join.take() {
                step.joined(ticket, Err(GroupError::FencedInstance));
            }
            if let Some(ticket) = former.sync.take() {
                step.synced(ticket, Err(GroupError::FencedInstance));
            }
        }
        self.roster.rename(old, id, member);
    }

    /// Whether the group follows the same protocol with this member in its former self's place.
    fn keeps_its_protocol(&self, member: &Member) -> bool {
        let mut members = self.roster.in_order();
        for of in &mut members {
            if of.number == member.number {
                *of = member;
            }
        }
        elected(&members) == self.protocol.as_deref()
    }

    /// The current generation with the member in its former self's place.
    fn value_with(&self, step: &Step<'_>, old: &str, id: &str, member: &Member) -> GroupValue {
        let mut value = self.to_value(step, |_, of| of.assignment.clone());
        let protocol = self.protocol.as_deref().unwrap_or_default();
        for of in value.members.iter_mut().filter(|of| of.member_id == old) {
            *of = member.to_value(id, protocol, member.assignment.clone());
        }
        if value.leader.as_deref() == Some(old) {
            value.leader = Some(id.to_owned());
        }
        value
    }
}
