//! What tools see of a group.
//!
//! Floor 2 of broker.

use bytes::Bytes;

use crate::group::call::{GroupDescription, GroupListing, GroupState, MemberDescription};
use crate::group::member::Member;
use crate::group::state::{Group, Phase};

impl Group {
    pub(super) fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty if self.is_unknown() => GroupState::Dead,
            Phase::Empty => GroupState::Empty,
            Phase::Preparing { .. } => GroupState::PreparingRebalance,
            Phase::Completing { .. } => GroupState::CompletingRebalance,
            Phase::Stable { .. } => GroupState::Stable,
        }
    }

    pub(super) fn list(&self, group: &str) -> GroupListing {
        GroupListing {
            group: group.to_owned(),
            protocol_type: self.protocol_type.clone(),
            state: self.state(),
            members_count: self.roster.iter().count(),
        }
    }

    /// Protocol and metadata are told while the group is stable; an assignment until a newer
    /// generation begins, since its member works on until it has joined again.
    pub(super) fn describe(&self, group: &str) -> GroupDescription {
        let state = self.state();
        let protocol = self
            .protocol
            .as_deref()
            .filter(|_| state == GroupState::Stable);
        let members = self.roster.iter();
        GroupDescription {
            group: group.to_owned(),
            state,
            protocol_type: self.protocol_type.clone(),
            protocol: protocol.unwrap_or_default().to_owned(),
            members: members
                .map(|(id, member)| described(id, member, protocol))
                .collect(),
        }
    }
}

fn described(id: &str, member: &Member, protocol: Option<&str>) -> MemberDescription {
    MemberDescription {
        member_id: id.to_owned(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: protocol.map_or_else(Bytes::new, |protocol| member.metadata(protocol)),
        assignment: member.assignment.clone(),
    }
}
