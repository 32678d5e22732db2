//! Members join, for the first time or again.
//!
//! Floor 2 of broker.
//!
//! - A dynamic member without an id gets one first, and joins again with it (KIP-394).
//! - A join is parked until its generation is complete.

use crate::error::GroupError;
use crate::group::call::{Join, Joined, JoinedMember, Ticket};
use crate::group::member::Member;
use crate::group::state::{Group, Phase};
use crate::group::step::{Step, timeout_ms};

impl Group {
    pub(super) fn join(&mut self, step: &mut Step<'_>, ticket: Ticket, join: Join) {
        if let Err(error) = self.try_join(step, ticket, join) {
            step.joined(ticket, Err(error));
        }
    }

    /// An error is the answer; without one the join was answered or is parked.
    fn try_join(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        join: Join,
    ) -> Result<(), GroupError> {
        check_session_timeout(step, &join)?;
        let is_new = join.member_id.is_empty();
        if !is_new && self.is_unknown() {
            return Err(GroupError::UnknownMember);
        }
        self.check_room(step, &join)?;
        self.check_protocols(&join)?;
        if is_new {
            self.join_new(step, ticket, join)
        } else if self.roster.pending.contains_key(&join.member_id) {
            self.join_pending(step, ticket, &join)
        } else {
            self.join_again(step, ticket, &join)
        }
    }

    /// A member without an id.
    fn join_new(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        join: Join,
    ) -> Result<(), GroupError> {
        if let Some(instance) = &join.instance_id {
            match self.roster.of_instance(instance).map(str::to_owned) {
                Some(old) => self.replace(step, ticket, old, join),
                None => self.add(step, ticket, join.new_member_id.clone(), &join),
            }
            return Ok(());
        }
        if !join.known_member_only {
            self.add(step, ticket, join.new_member_id.clone(), &join);
            return Ok(());
        }
        if self.roster.pending.len() >= PENDING_MAX {
            let why = "too many new members are on their way into this group".to_owned();
            return Err(GroupError::Unavailable { why });
        }
        let until = step.after_ms(timeout_ms(join.session_timeout_ms));
        let member_id = join.new_member_id;
        self.roster.pending.insert(member_id.clone(), until);
        Err(GroupError::MemberIdRequired { member_id })
    }

    /// A member that uses the id which it was given.
    fn join_pending(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        join: &Join,
    ) -> Result<(), GroupError> {
        if join.instance_id.is_some() {
            let why = "a static member joins without the id of a dynamic one".to_owned();
            return Err(GroupError::InvalidRequest { why });
        }
        self.add(step, ticket, join.member_id.clone(), join);
        Ok(())
    }

    fn add(&mut self, step: &mut Step<'_>, ticket: Ticket, id: String, join: &Join) {
        if self.is_empty() {
            self.protocol_type.clone_from(&join.protocol_type);
        }
        if let Phase::Preparing {
            initial: Some(initial),
            ..
        } = &mut self.phase
        {
            initial.has_grown = true;
        }
        let mut member = Member::new(self.roster.next_number(), join, step.now.mono);
        member.join = Some(ticket);
        self.roster.insert(id, member);
        self.rebalance(step);
    }

    /// A member of the group joins again.
    fn join_again(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        join: &Join,
    ) -> Result<(), GroupError> {
        let id = join.member_id.as_str();
        self.roster.check(id, join.instance_id.as_deref())?;
        let leads = self.roster.is_leader(id);
        let member = self.roster.get_mut(id).ok_or(GroupError::UnknownMember)?;
        let is_unchanged = member.protocols == join.protocols;
        let has_its_generation = match self.phase {
            Phase::Empty | Phase::Preparing { .. } => false,
            // The answer to its first join was lost.
            Phase::Completing { .. } => is_unchanged,
            // The leader joins again to have everything assigned anew.
            Phase::Stable { .. } => is_unchanged && !leads,
        };
        if has_its_generation {
            let joined = self.to_joined(id);
            step.joined(ticket, Ok(joined));
            return Ok(());
        }
        member.update(join);
        if let Some(older) = member.join.replace(ticket) {
            // The client gave up on its older request.
            step.joined(older, Err(GroupError::RebalanceInProgress));
        }
        self.rebalance(step);
        Ok(())
    }

    /// The answer to a member whose generation is complete.
    pub(super) fn to_joined(&self, id: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = match self.roster.is_leader(id) {
            true => self.roster.iter().map(|(id, member)| JoinedMember {
                member_id: id.to_owned(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(&protocol),
            }),
            false => return self.to_follower(id),
        };
        Joined {
            members: members.collect(),
            ..self.to_follower(id)
        }
    }

    /// The answer to a member that does not lead.
    pub(super) fn to_follower(&self, id: &str) -> Joined {
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().unwrap_or_default(),
            leader: self.roster.leader().unwrap_or_default().to_owned(),
            member_id: id.to_owned(),
            members: Vec::new(),
            skip_assignment: false,
        }
    }

    /// `group.max.size`: those that are in are let in again, new ones while there is room.
    fn check_room(&mut self, step: &mut Step<'_>, join: &Join) -> Result<(), GroupError> {
        let members_max = step.config.members_max;
        let old = join
            .instance_id
            .as_deref()
            .and_then(|of| self.roster.of_instance(of));
        let member = old.or_else(|| {
            self.roster
                .contains(&join.member_id)
                .then_some(&join.member_id)
        });
        let has_room = match self.phase {
            Phase::Empty => true,
            Phase::Preparing { .. } => {
                let joined = self
                    .roster
                    .iter()
                    .filter(|(_, member)| member.join.is_some())
                    .count();
                joined < members_max
                    || member
                        .and_then(|id| self.roster.get(id))
                        .is_some_and(|m| m.join.is_some())
            }
            Phase::Completing { .. } | Phase::Stable { .. } => {
                member.is_some() || self.roster.len() < members_max
            }
        };
        if has_room {
            return Ok(());
        }
        self.turn_away(step, &join.member_id);
        Err(GroupError::GroupFull { members_max })
    }

    /// Protocol type and protocols must suit all members.
    fn check_protocols(&self, join: &Join) -> Result<(), GroupError> {
        let inconsistent = |why: String| Err(GroupError::InconsistentProtocol { why });
        if self.is_empty() {
            if join.protocol_type.is_empty() || join.protocols.is_empty() {
                return inconsistent("the first member names no protocol".to_owned());
            }
            return Ok(());
        }
        if join.protocol_type != self.protocol_type {
            let (asked, has) = (&join.protocol_type, &self.protocol_type);
            return inconsistent(format!(
                "the member's type is {asked:?}, the group's is {has:?}"
            ));
        }
        let suits_all = |name: &str| self.roster.iter().all(|(_, of)| of.supports(name));
        if join.protocols.iter().any(|(name, _)| suits_all(name)) {
            return Ok(());
        }
        inconsistent("no protocol of the member suits all members".to_owned())
    }
}

fn check_session_timeout(step: &Step<'_>, join: &Join) -> Result<(), GroupError> {
    if step.group.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let asked = join.session_timeout_ms;
    let (min, max) = (
        step.config.session_timeout_ms_min,
        step.config.session_timeout_ms_max,
    );
    if (min..=max).contains(&asked) {
        return Ok(());
    }
    Err(GroupError::InvalidSessionTimeout { asked, min, max })
}

/// How many ids of a group may be given out and not yet used.
pub(super) const PENDING_MAX: usize = 4096;
