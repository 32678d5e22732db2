//! Why a group operation was refused.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - One variant for each thing that a client does differently; `Display` is a sentence that the
//!   owner of the group can act on.

use thiserror::Error;

/// A request of a group's member, or about a group, was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The group id is empty.
    #[error("the group id is empty: set group.id")]
    InvalidGroupId,
    /// The member is not in the group: it was removed, or its session ended. It joins anew.
    #[error("the member is not in the group: it has to join again")]
    UnknownMember,
    /// The generation is not the group's current one.
    #[error("generation {asked} is not the group's current one, which is {current}")]
    IllegalGeneration {
        /// What the request named.
        asked: i32,
        /// What the group has.
        current: i32,
    },
    /// A commit names a generation of a group that does not exist.
    #[error("there is no such group, and so no generation {asked} of it")]
    GenerationOfUnknownGroup {
        /// What the request named.
        asked: i32,
    },
    /// The group's members do not agree on protocol type or protocol.
    #[error("the group cannot agree on a protocol: {why}")]
    InconsistentProtocol {
        /// What does not fit.
        why: String,
    },
    /// The session timeout is outside of what the broker allows.
    #[error("session.timeout.ms {asked} is outside of {min} to {max}, which the broker allows")]
    InvalidSessionTimeout {
        /// What the member asked for.
        asked: i32,
        /// `group.min.session.timeout.ms`.
        min: i32,
        /// `group.max.session.timeout.ms`.
        max: i32,
    },
    /// The group is being rebalanced: the member joins again.
    #[error("the group is being rebalanced: the member has to join again")]
    RebalanceInProgress,
    /// The member has an id from here on and joins again with it.
    #[error("the member joins again with the id {member_id}")]
    MemberIdRequired {
        /// The id that the broker chose.
        member_id: String,
    },
    /// Another member took over the instance id.
    #[error("another member has taken over this group.instance.id")]
    FencedInstance,
    /// The group has as many members as it may have.
    #[error("the group has {members_max} members, as many as group.max.size allows")]
    GroupFull {
        /// The limit.
        members_max: usize,
    },
    /// The group still has members.
    #[error("the group has members: stop them first")]
    NonEmpty,
    /// There is no such group.
    #[error("there is no such group")]
    UnknownGroup,
    /// Members of the group still read the topic.
    #[error("members of the group are subscribed to the topic")]
    SubscribedToTopic,
    /// The metadata beside an offset is too long.
    #[error("the offset's metadata has {bytes} bytes, offset.metadata.max.bytes is {bytes_max}")]
    MetadataTooLarge {
        /// Its length.
        bytes: usize,
        /// `offset.metadata.max.bytes`.
        bytes_max: usize,
    },
    /// The topic or the partition does not exist.
    #[error("the topic or partition does not exist")]
    UnknownTopicOrPartition,
    /// What the request asks of the broker is not allowed.
    #[error("the request is not valid: {why}")]
    InvalidRequest {
        /// What is wrong with it.
        why: String,
    },
    /// There are as many groups as there may be.
    #[error("there are {groups_max} groups, as many as groups.max allows")]
    TooManyGroups {
        /// The limit.
        groups_max: usize,
    },
    /// The group's log cannot be written now.
    #[error("{why}")]
    Unavailable {
        /// What the log said.
        why: String,
    },
}
