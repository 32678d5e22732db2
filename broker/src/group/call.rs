//! What the group machine is asked and what it answers, in domain words.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Nothing here is checked yet; the machine does that.
//! - A ticket is answered exactly once.

use bytes::Bytes;
use highwater_proto::group_log::GroupRecord;

use crate::error::GroupError;

/// Whom an answer is for; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// One request about one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A member joins, or joins again.
    Join(Join),
    /// A member wants its assignment; the leader brings those of all.
    Sync(Sync),
    /// A member is alive.
    Heartbeat(Member),
    /// Members leave.
    Leave(Vec<Leaving>),
    /// Offsets are committed.
    Commit(Commit),
    /// The group is deleted, with its offsets.
    Delete,
    /// Offsets of these partitions are deleted.
    DeleteOffsets(Vec<(String, i32)>),
    /// These topics are deleted: their offsets go.
    ForgetTopics(Vec<String>),
    /// Offsets that nobody has used for longer than the retention go; an empty group without
    /// offsets goes with them.
    Expire,
    /// The whole durable state of the group is written anew, so that the log before it can go.
    Rewrite,
}

impl Ask {
    /// The answer of the same kind that says why there is none.
    pub(super) fn refused(&self, why: GroupError) -> Reply {
        match self {
            Self::Join(_) => Reply::Join(Err(why)),
            Self::Sync(_) => Reply::Sync(Err(why)),
            Self::Heartbeat(_) => Reply::Heartbeat(Err(why)),
            Self::Leave(_) => Reply::Leave(Err(why)),
            Self::Commit(_) => Reply::Commit(Err(why)),
            Self::Delete => Reply::Delete(Err(why)),
            Self::DeleteOffsets(_) => Reply::DeleteOffsets(Err(why)),
            Self::ForgetTopics(_) | Self::Expire | Self::Rewrite => Reply::Done(Err(why)),
        }
    }
}

/// The answer to an [`Ask`], of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Ask::Join`].
    Join(Result<Joined, GroupError>),
    /// To [`Ask::Sync`].
    Sync(Result<Synced, GroupError>),
    /// To [`Ask::Heartbeat`].
    Heartbeat(Result<(), GroupError>),
    /// To [`Ask::Leave`]: one outcome for each member, in order.
    Leave(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To [`Ask::Commit`].
    Commit(Result<(), GroupError>),
    /// To [`Ask::Delete`].
    Delete(Result<(), GroupError>),
    /// To [`Ask::DeleteOffsets`]: one outcome for each partition, in order.
    DeleteOffsets(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To [`Ask::ForgetTopics`], [`Ask::Expire`] and [`Ask::Rewrite`].
    Done(Result<(), GroupError>),
}

/// Who asks, as it sees itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The id that the broker gave it; empty for none yet.
    pub member_id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// The generation that it knows; below 0 for none.
    pub generation: i32,
}

/// A member joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// The id that the broker gave it before; empty for none yet.
    pub member_id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// The id that it gets if it has none: its client id (its instance id, if it is a static
    /// member), `-` and a random UUID.
    pub new_member_id: String,
    /// The client's id.
    pub client_id: String,
    /// Where the client is, as tools show it: `/127.0.0.1`.
    pub client_host: String,
    /// `session.timeout.ms`.
    pub session_timeout_ms: i32,
    /// How long the others wait for it in a rebalance, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`...
    pub protocol_type: String,
    /// The protocols that it can follow, the best first, each with the member's metadata.
    pub protocols: Vec<(String, Bytes)>,
    /// A dynamic member without an id is first given one, and joins again with it.
    pub known_member_only: bool,
    /// The member understands that it may lead without assigning.
    pub may_skip_assignment: bool,
}

/// A member is in, and a generation is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// `consumer`, `connect`...
    pub protocol_type: String,
    /// The protocol that all follow.
    pub protocol: String,
    /// The id of the leader.
    pub leader: String,
    /// The id of the member that asked.
    pub member_id: String,
    /// All members, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
    /// The leader keeps the assignments as they are.
    pub skip_assignment: bool,
}

/// A member, as its leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// What it said beside the protocol that all follow.
    pub metadata: Bytes,
}

/// A member wants its assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sync {
    /// Who asks.
    pub member: Member,
    /// The protocol type that it expects; `None` from clients that do not say.
    pub protocol_type: Option<String>,
    /// The protocol that it expects; `None` from clients that do not say.
    pub protocol: Option<String>,
    /// The assignment of each member id, from the leader; empty from the others.
    pub assignments: Vec<(String, Bytes)>,
}

/// What a member is to work on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// `consumer`, `connect`...
    pub protocol_type: String,
    /// The protocol that all follow.
    pub protocol: String,
    /// The leader's words for this member; empty if it had none.
    pub assignment: Bytes,
}

/// One member that leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// Its id; empty if it is named by its instance id alone.
    pub member_id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
}

/// Offsets to commit: of partitions that exist, with metadata that is not too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Who asks; without id and generation for a commit from outside of the group.
    pub member: Member,
    /// How long the offsets are kept, in milliseconds; `None` for the broker's retention.
    pub retention_ms: Option<i64>,
    /// The offsets.
    pub offsets: Vec<OffsetToCommit>,
}

/// One offset to commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it; -1 for unknown.
    pub leader_epoch: i32,
    /// Whatever the client wants to find beside it.
    pub metadata: String,
}

/// What a step wants to happen.
#[derive(Debug, Default)]
pub struct Effects {
    /// Answers to be given now.
    pub replies: Vec<(Ticket, Reply)>,
    /// Records to be made durable, at most one write under way for each group; each is answered
    /// by `GroupMachine::written`.
    pub appends: Vec<Append>,
}

/// Records of one group, to be written in one batch or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The group.
    pub group: String,
    /// Its records.
    pub records: Vec<GroupRecord>,
}

/// A committed offset, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read; -1 if none is committed.
    pub offset: i64,
    /// The leader epoch that was committed; -1 for none.
    pub leader_epoch: i32,
    /// What the client left beside it.
    pub metadata: String,
}

/// One group of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its id.
    pub group: String,
    /// `consumer`, `connect`...; empty for a group that only keeps offsets.
    pub protocol_type: String,
    /// What it does.
    pub state: GroupState,
    /// How many members it has.
    pub members_count: usize,
}

/// A group, as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its id.
    pub group: String,
    /// What it does; `Dead` for a group that does not exist.
    pub state: GroupState,
    /// `consumer`, `connect`...
    pub protocol_type: String,
    /// The protocol that all follow, while the group is stable.
    pub protocol: String,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// A member, as tools see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// Where it is: `/127.0.0.1`.
    pub client_host: String,
    /// What it said beside the protocol that all follow; empty unless the group is stable.
    pub metadata: Bytes,
    /// What it works on; empty between a new generation and its leader's word.
    pub assignment: Bytes,
}

/// What a group does; the names on the wire are these, as they are written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// Nobody is in it; it may keep offsets.
    Empty,
    /// It waits for its members to join.
    PreparingRebalance,
    /// It waits for its leader's assignments.
    CompletingRebalance,
    /// Its members work.
    Stable,
    /// It does not exist.
    Dead,
}

impl GroupState {
    /// Kafka's name of the state.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}
