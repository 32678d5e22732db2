//! Groups and offsets end: deleted, forgotten, expired; and the log of a group is written anew.
//!
//! Floor 2 of broker.
//!
//! - Members lose nothing that they are subscribed to.

use std::collections::BTreeSet;

use highwater_proto::consumer_protocol::{PROTOCOL_TYPE, Subscription};
use highwater_proto::group_log::GroupRecord;

use crate::error::GroupError;
use crate::group::call::{Reply, Ticket};
use crate::group::offsets::ExpireFrom;
use crate::group::state::{Group, Phase, Then};
use crate::group::step::Step;

impl Group {
    pub(super) fn delete(&mut self, step: &mut Step<'_>, ticket: Ticket) {
        let refusal = match self.phase {
            _ if self.is_unknown() => GroupError::UnknownGroup,
            Phase::Empty => {
                // Ids that were given out are worth nothing any more.
                self.roster.pending.clear();
                let records = self.durable.tombstones(step.group);
                if records.is_empty() {
                    self.start_over();
                }
                return self.write(step, records, Then::Answer(vec![ticket], Reply::Delete));
            }
            _ => GroupError::NonEmpty,
        };
        step.reply(ticket, Reply::Delete(Err(refusal)));
    }

    pub(super) fn delete_offsets(
        &mut self,
        step: &mut Step<'_>,
        ticket: Ticket,
        of: &[(String, i32)],
    ) {
        let refusal = match self.phase {
            _ if self.is_unknown() => Some(GroupError::UnknownGroup),
            Phase::Empty => None,
            _ => (self.protocol_type != PROTOCOL_TYPE).then_some(GroupError::NonEmpty),
        };
        if let Some(refusal) = refusal {
            return step.reply(ticket, Reply::DeleteOffsets(Err(refusal)));
        }
        let subscribed = self.subscribed();
        let is_free = |topic: &String| subscribed.as_ref().is_some_and(|of| !of.contains(topic));
        let outcomes = of.iter().map(|(topic, _)| match is_free(topic) {
            true => Ok(()),
            false => Err(GroupError::SubscribedToTopic),
        });
        let outcomes = outcomes.collect();
        let of: Vec<_> = of
            .iter()
            .filter(|(topic, _)| is_free(topic))
            .cloned()
            .collect();
        let records = self.durable.offsets.delete_records(step.group, &of);
        self.write(step, records, Then::OffsetsDeleted(ticket, outcomes));
    }

    pub(super) fn forget_topics(&mut self, step: &mut Step<'_>, ticket: Ticket, topics: &[String]) {
        let records = self.durable.offsets.forget_topics(step.group, topics);
        self.write(step, records, Then::Answer(vec![ticket], Reply::Done));
    }

    /// Offsets that are over go; and with the last of them an empty group that nobody is about to
    /// join.
    pub(super) fn expire_offsets(&mut self, step: &mut Step<'_>, ticket: Ticket) {
        let (now, retention_ms) = (step.now.wall, step.config.offsets_retention_ms);
        let offsets = &self.durable.offsets;
        let mut records = offsets.expired(step.group, now, retention_ms, self.expires_from());
        let is_deserted = self.is_empty() && self.roster.pending.is_empty();
        if is_deserted && records.len() == offsets.iter().count() && self.durable.value.is_some() {
            records.push(GroupRecord::Group {
                group: step.group.to_owned(),
                value: None,
            });
        }
        self.write(step, records, Then::Answer(vec![ticket], Reply::Done));
    }

    pub(super) fn rewrite(&mut self, step: &mut Step<'_>, ticket: Ticket) {
        let records = self.durable.rewritten(step.group);
        self.write(step, records, Then::Answer(vec![ticket], Reply::Done));
    }

    fn expires_from(&self) -> ExpireFrom {
        match self.phase {
            Phase::Empty => match self.empty_since {
                Some(since) if !self.protocol_type.is_empty() => ExpireFrom::EmptySince(since),
                _ => ExpireFrom::Commit { subscribed: None },
            },
            Phase::Stable { .. } if self.protocol_type == PROTOCOL_TYPE => {
                match self.subscribed() {
                    Some(topics) => ExpireFrom::Commit {
                        subscribed: Some(topics),
                    },
                    None => ExpireFrom::Never,
                }
            }
            _ => ExpireFrom::Never,
        }
    }

    /// The topics that members read; `None` if one of them does not say so that we understand it.
    fn subscribed(&self) -> Option<BTreeSet<String>> {
        let mut topics = BTreeSet::new();
        for (_, member) in self.roster.iter() {
            let named = self
                .protocol
                .as_deref()
                .filter(|name| member.supports(name));
            let (best, _) = member.protocols.first()?;
            let metadata = member.metadata(named.unwrap_or(best));
            topics.extend(Subscription::decode_topics(&metadata).ok()?);
        }
        Some(topics)
    }
}
