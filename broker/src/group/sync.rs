//! Members ask for their part of the work; the leader brings everybody's.
//!
//! Floor 2 of broker.
//!
//! - Nobody gets an assignment before it is durable.

use std::collections::HashMap;

use bytes::Bytes;
use highwater_proto::clock::Mono;

use crate::error::GroupError;
use crate::group::call::{Sync, Synced, Ticket};
use crate::group::member::Member;
use crate::group::state::{Group, Phase, Then};
use crate::group::step::Step;

impl Group {
    pub(super) fn sync(&mut self, step: &mut Step<'_>, ticket: Ticket, sync: Sync) {
        if let Err(error) = self.try_sync(step, ticket, &sync) {
            step.synced(ticket, Err(error));
        }
    }

    /// An error is the answer; without one the sync was answered or is parked.
    fn try_sync(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        sync: &Sync,
    ) -> Result<(), GroupError> {
        if step.group.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let id = sync.member.member_id.as_str();
        self.checked(&sync.member)?;
        self.check_same_protocol(sync)?;
        match self.phase {
            Phase::Empty => Err(GroupError::UnknownMember),
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress),
            Phase::Completing { .. } => {
                self.park_sync(step, ticket, id);
                if self.roster.is_leader(id) {
                    self.write_assignments(step, &sync.assignments);
                }
                Ok(())
            }
            Phase::Stable { .. } => {
                let synced = self.sync_again(id, step.now.mono)?;
                step.synced(ticket, Ok(synced));
                self.end_sync_time();
                Ok(())
            }
        }
    }

    fn check_same_protocol(&self, sync: &Sync) -> Result<(), GroupError> {
        let differs = |asked: &Option<String>, has: &str| {
            asked
                .as_ref()
                .filter(|asked| asked.as_str() != has)
                .cloned()
        };
        let (of_type, of) = (
            &self.protocol_type,
            self.protocol.as_deref().unwrap_or_default(),
        );
        let asked = differs(&sync.protocol_type, of_type).or_else(|| differs(&sync.protocol, of));
        match asked {
            None => Ok(()),
            Some(asked) => Err(GroupError::InconsistentProtocol {
                why: format!("the member follows {asked:?}, the group {of:?} of type {of_type:?}"),
            }),
        }
    }

    /// A stable group answers from what it has.
    fn sync_again(&mut self, id: &str, now: Mono) -> Result<Synced, GroupError> {
        let member = self.roster.get_mut(id).ok_or(GroupError::UnknownMember)?;
        member.has_synced = true;
        member.keep_alive(now);
        Ok(Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment: member.assignment.clone(),
        })
    }

    fn park_sync(&mut self, step: &mut Step<'_>, ticket: Ticket, id: &str) {
        let Some(member) = self.roster.get_mut(id) else {
            return step.synced(ticket, Err(GroupError::UnknownMember));
        };
        member.has_synced = true;
        if let Some(older) = member.sync.replace(ticket) {
            // The client gave up on its older request.
            step.synced(older, Err(GroupError::RebalanceInProgress));
        }
    }

    /// The leader has spoken. Members that it left out get nothing to do.
    fn write_assignments(&mut self, step: &mut Step<'_>, assignments: &[(String, Bytes)]) {
        let of: HashMap<&str, &Bytes> = assignments
            .iter()
            .map(|(id, of)| (id.as_str(), of))
            .collect();
        let assigned = |id: &str, _: &Member| {
            of.get(id)
                .map_or_else(Bytes::new, |of| Bytes::copy_from_slice(of))
        };
        let value = self.to_value(step, assigned);
        self.write(step, vec![step.record(value)], Then::Stable);
    }

    /// The assignments are durable, or could not be written: then all join again.
    pub(super) fn assigned(&mut self, step: &mut Step<'_>, result: Result<(), GroupError>) {
        if let Err(error) = result {
            self.answer_syncs(step, Err(&error));
            return self.rebalance(step);
        }
        if let Some(value) = &self.durable.value {
            for written in &value.members {
                if let Some(member) = self.roster.get_mut(&written.member_id) {
                    member.assignment = written.assignment.clone();
                }
            }
        }
        if let Phase::Completing { sync_by } = self.phase {
            self.phase = Phase::Stable { sync_by };
        }
        self.answer_syncs(step, Ok(()));
        self.end_sync_time();
    }

    /// Answers everyone who waits for an assignment; their sessions start anew.
    pub(super) fn answer_syncs(&mut self, step: &mut Step<'_>, outcome: Result<(), &GroupError>) {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        for (_, member) in self.roster.iter_mut() {
            let Some(ticket) = member.sync.take() else {
                continue;
            };
            member.keep_alive(step.now.mono);
            let synced = outcome.map(|()| Synced {
                protocol_type: self.protocol_type.clone(),
                protocol: protocol.to_owned(),
                assignment: member.assignment.clone(),
            });
            step.synced(ticket, synced.map_err(Clone::clone));
        }
    }

    /// Once all have synced there is nobody to wait for.
    fn end_sync_time(&mut self) {
        if let Phase::Stable { sync_by } = &mut self.phase
            && self.roster.iter().all(|(_, member)| member.has_synced)
        {
            *sync_by = Mono::NEVER;
        }
    }
}
