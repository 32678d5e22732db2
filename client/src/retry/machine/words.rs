//! The words of the machine: what goes in, what comes out, and the rules.
//!
//! Floor 6 of client. Pure.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::lane::Queue;
use crate::admin::CommittedOffset;
use crate::failure::FailureClass;
use crate::handler::Undone;
use crate::retry::backoff::Backoff;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::retry) struct Place {
    pub(in crate::retry) topic: Arc<str>,
    pub(in crate::retry) partition: i32,
}

impl Place {
    /// An offset to commit.
    pub(in crate::retry) fn committed(&self, offset: i64) -> CommittedOffset {
        CommittedOffset {
            topic: self.topic.to_string(),
            partition: self.partition,
            offset,
            ..CommittedOffset::default()
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A record of one assignment of a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::retry) struct Id {
    pub(in crate::retry) place: Place,
    pub(in crate::retry) epoch: u64,
    pub(in crate::retry) offset: i64,
}

/// Which records wait for one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those with the same key in the same partition; records without a key wait for none. While
    /// one key waits, the others go on.
    #[default]
    Key,
    /// All of a partition: while one record waits, its partition does.
    Partition,
}

/// What happens with a record whose attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::retry) enum Exhausted {
    /// It is stored among the dead letters, and its queue goes on.
    Record,
    /// Its partition stops.
    Halt,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::retry) struct Rules {
    pub(in crate::retry) backoff: Backoff,
    pub(in crate::retry) order: Order,
    pub(in crate::retry) exhausted: Exhausted,
    /// Calls and dead letters that are under way at a time.
    pub(in crate::retry) concurrency: usize,
    /// Records of one partition that are called together, as long as none of them has failed.
    pub(in crate::retry) together_max: usize,
    /// Keys of one partition that wait for their next attempt; then the partition is paused.
    pub(in crate::retry) waiting_max: usize,
    /// Offsets between the lowest unfinished record and the newest; then the partition is paused.
    pub(in crate::retry) distance_max: u64,
    /// Bytes of unfinished records; then everything is paused.
    pub(in crate::retry) bytes_max: usize,
}

#[derive(Clone, Debug)]
pub(in crate::retry) enum Input {
    /// The partition is read from now on.
    Assigned(Place),
    /// It goes to somebody else: what is under way is waited for, then it is `Released`.
    Revoked(Place),
    /// It belongs to somebody else already, or has been waited for long enough.
    Dropped(Place),
    Arrived {
        place: Place,
        offset: i64,
        key: Option<Bytes>,
        bytes: usize,
    },
    /// A call has ended.
    Called(Id, Result<(), FailureClass>),
    /// A call of several records has ended.
    CalledTogether(Vec<Id>, Result<(), Undone>),
    /// A dead letter is stored, or could not be.
    Recorded(Id, Stored),
    /// Time has passed.
    Tick,
    /// Nothing new is begun.
    Stop,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::retry) enum Stored {
    Yes,
    No,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::retry) enum Effect {
    Call {
        id: Id,
        attempt: u32,
    },
    /// Call these of one partition together, in this order: the first attempt of each.
    CallTogether(Vec<Id>),
    /// Store it among the dead letters, after so many attempts.
    Record {
        id: Id,
        attempts: u32,
    },
    /// It is finished: its bytes may go.
    Finished(Id),
    /// Its attempts are used up, and its partition has stopped at it.
    Halted(Id),
    Pause(Place),
    Resume(Place),
    /// Nothing of it is under way; with the offset that may be committed.
    Released(Place, Option<i64>),
    /// A dependency seems to be down: only probes are called.
    OutageBegan,
    OutageEnded,
}

/// How a call failed that may be tried again.
pub(super) struct Failure {
    pub(super) queue: Queue,
    pub(super) class: FailureClass,
    pub(super) was_probe: bool,
}
