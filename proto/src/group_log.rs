//! The records of `__consumer_offsets`, in Kafka's own layouts, so that Kafka's tools read them.
//!
//! Floor 5 of proto.
//!
//! Invariants
//! - Key and value start with an int16: the type of the record, and the version of the value.
//! - Value version 3 is written for offsets and for groups, version 1 for an offset with an end of
//!   its own; every version up to 4 is read.
//! - Any bytes give a record or an error. What is read shares no buffer with the input.
//!
//! ```
//! use highwater_proto::group_log::{GroupRecord, OffsetValue};
//!
//! let record = GroupRecord::Offset {
//!     group: "billing".to_owned(),
//!     topic: "orders".to_owned(),
//!     partition: 3,
//!     value: Some(OffsetValue { offset: 42, ..OffsetValue::default() }),
//! };
//! let (key, value) = record.encode()?;
//! assert_eq!(GroupRecord::decode(&key, value.as_deref())?, record);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod layout;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use thiserror::Error;

use crate::cursor::EncodeError;
use crate::cursor::Reader;
use crate::error::DecodeError;

/// One fact about a group. Without a value it is a tombstone: the fact is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRecord {
    /// How far a group got in a partition.
    Offset {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset, or that there is none any more.
        value: Option<OffsetValue>,
    },
    /// A group's last complete generation.
    Group {
        /// The group.
        group: String,
        /// The generation, or that there is no such group any more.
        value: Option<GroupValue>,
    },
}

/// A committed offset. By default there is no leader epoch and no end of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetValue {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it; -1 for unknown.
    pub leader_epoch: i32,
    /// Whatever the client wants to find beside it.
    pub metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub commit_timestamp_ms: i64,
    /// When it ends, in milliseconds since 1970, if the client said so; -1 for the broker's
    /// retention. A value with it is written in version 1, which has no leader epoch.
    pub expire_timestamp_ms: i64,
}

impl Default for OffsetValue {
    fn default() -> Self {
        Self {
            offset: 0,
            leader_epoch: -1,
            metadata: String::new(),
            commit_timestamp_ms: 0,
            expire_timestamp_ms: -1,
        }
    }
}

/// A generation of a classic group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupValue {
    /// `consumer`, `connect`...; empty for a group that only keeps offsets.
    pub protocol_type: String,
    /// The generation.
    pub generation: i32,
    /// The protocol that all follow.
    pub protocol: Option<String>,
    /// The id of the leader.
    pub leader: Option<String>,
    /// Since when the group is in its state, in milliseconds since 1970; -1 for unknown.
    pub state_timestamp_ms: i64,
    /// Its members.
    pub members: Vec<MemberValue>,
}

/// A member of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberValue {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// Where it is: `/127.0.0.1`.
    pub client_host: String,
    /// How long the others wait for it in a rebalance, in milliseconds; its session timeout, where
    /// the version has no such field.
    pub rebalance_timeout_ms: i32,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// What it said beside the protocol that all follow.
    pub subscription: Bytes,
    /// What it works on.
    pub assignment: Bytes,
}

/// Why a record of the log of groups could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupLogError {
    /// A record of another kind: of KIP-848 (3 to 8, 16), of share groups, or of a later Kafka.
    #[error("a record of type {0} is not known here: the log belongs to a later broker")]
    UnknownType(i16),
    /// The key does not parse.
    #[error("the key does not parse: {0}")]
    Key(#[source] DecodeError),
    /// The value does not parse.
    #[error("the value does not parse: {0}")]
    Value(#[source] DecodeError),
}

impl GroupRecord {
    /// Key and value of the record; no value for a tombstone.
    ///
    /// # Errors
    /// A string of more than 32767 bytes: the layouts have no room for it.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let (key, value) = match self {
            Self::Offset {
                group,
                topic,
                partition,
                value,
            } => (
                layout::offset_key(group, topic, *partition)?,
                value.as_ref().map(layout::newest_offset_value),
            ),
            Self::Group { group, value } => (
                layout::group_key(group)?,
                value
                    .as_ref()
                    .map(|value| layout::group_value(value, layout::VALUE_VERSION)),
            ),
        };
        Ok((key, value.transpose()?))
    }

    /// The record of this key and value.
    ///
    /// # Errors
    /// [`GroupLogError::UnknownType`] for a record that another kind of group wrote, else what is
    /// wrong with the bytes.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, GroupLogError> {
        // The copy lets what is kept of the value (subscriptions) free the batch that it came in.
        let own = |bytes| Reader::new(Bytes::copy_from_slice(bytes));
        let mut key = own(key);
        let key = match key.i16().map_err(GroupLogError::Key)? {
            0 | 1 => layout::read_offset_key(&mut key),
            2 => layout::read_group_key(&mut key),
            other => return Err(GroupLogError::UnknownType(other)),
        };
        let mut record = key.map_err(GroupLogError::Key)?;
        if let Some(bytes) = value {
            let mut reader = own(bytes);
            match &mut record {
                Self::Offset { value, .. } => {
                    layout::read_offset_value(&mut reader).map(|read| *value = Some(read))
                }
                Self::Group { value, .. } => {
                    layout::read_group_value(&mut reader).map(|read| *value = Some(read))
                }
            }
            .map_err(GroupLogError::Value)?;
        }
        Ok(record)
    }
}
