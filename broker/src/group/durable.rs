//! What a group has in the log: its last complete generation and its offsets.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Changed by [`Durable::apply`] only, while the machine runs as at recovery.

use highwater_proto::group_log::{GroupRecord, GroupValue};

use crate::group::offsets::Offsets;

/// The facts of one group that outlive the process.
#[derive(Debug, Default)]
pub(super) struct Durable {
    /// The last complete generation; none for a group that only keeps offsets.
    pub(super) value: Option<GroupValue>,
    pub(super) offsets: Offsets,
}

impl Durable {
    pub(super) fn is_empty(&self) -> bool {
        self.value.is_none() && self.offsets.is_empty()
    }

    /// Takes over one record that is in the log.
    pub(super) fn apply(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Offset {
                topic,
                partition,
                value,
                ..
            } => {
                self.offsets.apply(&topic, partition, value.as_ref());
            }
            GroupRecord::Group { value, .. } => self.value = value,
        }
    }

    /// All of it as records, so that the log before them can go.
    pub(super) fn rewritten(&self, group: &str) -> Vec<GroupRecord> {
        let value = self.value.iter().map(|value| GroupRecord::Group {
            group: group.to_owned(),
            value: Some(value.clone()),
        });
        value.chain(self.offsets.rewrite(group)).collect()
    }

    /// The end of all of it as records.
    pub(super) fn tombstones(&self, group: &str) -> Vec<GroupRecord> {
        let tombstone = |record| match record {
            GroupRecord::Offset {
                group,
                topic,
                partition,
                ..
            } => GroupRecord::Offset {
                group,
                topic,
                partition,
                value: None,
            },
            GroupRecord::Group { group, .. } => GroupRecord::Group { group, value: None },
        };
        self.rewritten(group).into_iter().map(tombstone).collect()
    }
}
