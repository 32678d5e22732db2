//! The commits of a consumer: one after the other, so that none overtakes another.
//!
//! Floor 5 of client. Pure.
//!
//! Invariants
//! - At most one commit is under way; what comes meanwhile is added to the one that waits, where a
//!   newer position replaces an older one.
//! - A commit that is refused because the group has gone on, while this member joins it, waits for
//!   the next generation: the member keeps its partitions so long, and nobody else has them.
//! - Commits end in the order of their numbers.

use std::sync::Arc;

use highwater_proto::code::ErrorCode;

use crate::admin::CommittedOffset;
use crate::consumer::assigned::Asked;
use crate::error::ClientError;

/// The next record of a partition, and the leader epoch of the one before.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// Which assignment it is of; generation 0 is of none.
    pub(super) asked: Asked,
    pub(super) offset: i64,
    pub(super) leader_epoch: Option<i32>,
    pub(super) metadata: String,
}

impl Position {
    /// A place that the caller chose.
    pub(super) fn told(offset: CommittedOffset) -> Self {
        Self {
            asked: Asked {
                topic: Arc::from(offset.topic),
                partition: offset.partition,
                generation: 0,
            },
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: offset.metadata,
        }
    }

    pub(super) fn to_commit(&self) -> CommittedOffset {
        CommittedOffset {
            topic: self.asked.topic.to_string(),
            partition: self.asked.partition,
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.clone(),
        }
    }

    fn is_same_place(&self, other: &Self) -> bool {
        self.asked.topic == other.asked.topic && self.asked.partition == other.asked.partition
    }
}

/// Positions to commit, in a generation.
#[derive(Debug)]
pub(in crate::consumer) struct Commit {
    number: u64,
    generation: i32,
    pub(super) positions: Vec<Position>,
}

/// Puts positions over older ones.
pub(super) fn put_over(older: &mut Vec<Position>, newer: Vec<Position>) {
    older.retain(|old| !newer.iter().any(|new| new.is_same_place(old)));
    older.extend(newer);
}

#[derive(Debug)]
pub(super) struct Commits {
    count: u64,
    state: State,
    queued: Option<(u64, Vec<Position>)>,
    /// The newest commit that has ended, and how.
    ended: (u64, Result<(), ClientError>),
}

#[derive(Debug)]
enum State {
    Idle,
    UnderWay,
    /// The coordinator takes none in this generation any more.
    Held(i32, ClientError),
}

impl Commits {
    pub(super) const fn new() -> Self {
        Self {
            count: 0,
            state: State::Idle,
            queued: None,
            ended: (0, Ok(())),
        }
    }

    /// Whether a new commit would have to wait.
    pub(super) const fn is_busy(&self) -> bool {
        !matches!(self.state, State::Idle)
    }

    /// Adds a commit; gives its number.
    pub(super) fn add(&mut self, positions: Vec<Position>) -> u64 {
        self.count += 1;
        let (_, mut all) = self.queued.take().unwrap_or_default();
        put_over(&mut all, positions);
        self.queued = Some((self.count, all));
        self.count
    }

    /// The commit to be sent now, if there is one. `generation` is the newest one that a commit
    /// can be sent in; `is_joining` says that there will be a newer one.
    pub(super) fn next(&mut self, generation: Option<i32>, is_joining: bool) -> Option<Commit> {
        match (&self.state, generation) {
            (State::UnderWay, _) => return None,
            (State::Held(refused, error), generation) if generation == Some(*refused) => {
                if !is_joining {
                    let error = error.clone();
                    self.give_up(error);
                }
                return None;
            }
            _ => {}
        }
        let generation = generation?;
        let (number, positions) = self.queued.take()?;
        self.state = State::UnderWay;
        Some(Commit {
            number,
            generation,
            positions,
        })
    }

    /// The commit under way has ended; whether that is final.
    pub(super) fn ended(
        &mut self,
        commit: &Commit,
        result: Result<(), ClientError>,
        (generation, is_joining): (Option<i32>, bool),
    ) -> bool {
        self.state = State::Idle;
        match result {
            Err(error) if has_gone_on(&error) && (is_joining || is_newer(generation, commit)) => {
                let (number, mut all) = (commit.number, commit.positions.clone());
                let (number, newer) = self.queued.take().unwrap_or((number, Vec::new()));
                put_over(&mut all, newer);
                self.queued = Some((number, all));
                self.state = State::Held(commit.generation, error);
                false
            }
            result => {
                self.ended = (commit.number, result);
                true
            }
        }
    }

    /// What waits is not committed any more.
    pub(super) fn give_up(&mut self, error: ClientError) {
        if let State::Held(..) = self.state {
            self.state = State::Idle;
        }
        if let Some((number, _)) = self.queued.take() {
            self.ended = (number, Err(error));
        }
    }

    /// The commit under way will not be answered.
    pub(super) fn fail(&mut self, error: ClientError) {
        self.queued = None;
        (self.state, self.ended) = (State::Idle, (self.count, Err(error)));
    }

    /// What became of a commit; nothing while it waits or is under way.
    pub(super) fn outcome(&self, number: u64) -> Option<&Result<(), ClientError>> {
        let (newest, result) = &self.ended;
        (*newest >= number).then_some(result)
    }
}

fn is_newer(generation: Option<i32>, commit: &Commit) -> bool {
    generation.is_some_and(|newest| newest > commit.generation)
}

/// Whether the group is in, or on its way to, a newer generation.
fn has_gone_on(error: &ClientError) -> bool {
    matches!(
        error.code(),
        Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration)
    )
}
