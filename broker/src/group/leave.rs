//! Members leave: by their own word, by an administrator's, or by silence.
//!
//! Floor 2 of broker.
//!
//! - What a member that is gone still waited for is answered.

use crate::error::GroupError;
use crate::group::call::{Leaving, Reply, Ticket};
use crate::group::state::{Group, Phase};
use crate::group::step::Step;

impl Group {
    pub(super) fn leave(&mut self, step: &mut Step<'_>, ticket: Ticket, members: &[Leaving]) {
        if step.group.is_empty() {
            return step.reply(ticket, Reply::Leave(Err(GroupError::InvalidGroupId)));
        }
        let count = self.roster.len();
        let outcomes = members.iter().map(|leaving| self.leave_one(step, leaving));
        let outcomes = outcomes.collect();
        step.reply(ticket, Reply::Leave(Ok(outcomes)));
        self.settle(step, count);
    }

    fn leave_one(&mut self, step: &mut Step<'_>, leaving: &Leaving) -> Result<(), GroupError> {
        let instance = leaving.instance_id.as_deref();
        let mut id = leaving.member_id.as_str();
        if self.roster.pending.remove(id).is_some() {
            return Ok(());
        }
        // An administrator removes a static member by its instance id alone.
        if id.is_empty() {
            let holder = instance.and_then(|instance| self.roster.of_instance(instance));
            id = holder.ok_or(GroupError::UnknownMember)?;
        }
        self.roster.check(id, instance)?;
        let id = id.to_owned();
        self.remove(step, &id);
        Ok(())
    }

    /// Members whose session is over are gone, and ids that nobody came back with.
    pub(super) fn expire_members(&mut self, step: &mut Step<'_>) {
        let (count, now) = (self.roster.len(), step.now.mono);
        self.roster.pending.retain(|_, until| *until > now);
        for id in self.roster.ids(|member| member.expires_at() <= now) {
            self.remove(step, &id);
        }
        self.settle(step, count);
    }

    /// There is no room for this member, if it was one.
    pub(super) fn turn_away(&mut self, step: &mut Step<'_>, id: &str) {
        let count = self.roster.len();
        self.roster.pending.remove(id);
        self.remove(step, id);
        self.settle(step, count);
    }

    /// Takes a member out; its open requests are answered.
    pub(super) fn remove(&mut self, step: &mut Step<'_>, id: &str) {
        let Some(member) = self.roster.remove(id) else {
            return;
        };
        if let Some(ticket) = member.join {
            step.joined(ticket, Err(GroupError::UnknownMember));
        }
        if let Some(ticket) = member.sync {
            step.synced(ticket, Err(GroupError::UnknownMember));
        }
    }

    /// After members or pending ids went: those who stay share the work anew.
    fn settle(&mut self, step: &mut Step<'_>, count_before: usize) {
        match self.phase {
            Phase::Empty => {}
            Phase::Preparing { .. } => self.rebalance(step),
            Phase::Completing { .. } | Phase::Stable { .. } => {
                if self.roster.len() < count_before {
                    self.rebalance(step);
                }
            }
        }
    }
}
