//! A client of the model: joins, assigns by range if it leads, works, commits, and may fail.

use bytes::Bytes;
use highwater_proto::consumer_protocol::Subscription;

use crate::error::GroupError;
use crate::group::{Ask, Commit, Join, Joined, Leaving, Member, OffsetToCommit, Reply, Sync};

pub(super) const PARTITIONS: u8 = 6;
const HEARTBEAT_MS: u64 = 3_000;
const BACKOFF_MS: u64 = 200;
/// A client asks again what was not answered for so long.
const GIVE_UP_MS: u64 = 45_000;

/// What a client does next, once its time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Join,
    Sync,
    Heartbeat,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) group: &'static str,
    pub(super) instance: Option<String>,
    /// Old clients join at once; new ones ask for an id first, and may skip assigning.
    pub(super) is_new_protocol: bool,
    /// Changes with what it wants to read.
    pub(super) wish: u64,
    pub(super) member_id: String,
    pub(super) generation: i32,
    pub(super) next: Next,
    pub(super) next_at_ms: u64,
    /// What it works on, while it does.
    pub(super) work: Option<Vec<u8>>,
    /// What it is to send with its next sync.
    assignments: Vec<(String, Bytes)>,
    /// Fenced: it does not come back by itself.
    pub(super) is_fenced: bool,
}

impl Client {
    pub(super) fn new(group: &'static str, instance: Option<String>, is_new: bool) -> Self {
        Self {
            group,
            instance,
            is_new_protocol: is_new,
            wish: 0,
            member_id: String::new(),
            generation: -1,
            next: Next::Nothing,
            next_at_ms: u64::MAX,
            work: None,
            assignments: Vec::new(),
            is_fenced: false,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.next != Next::Nothing
    }

    pub(super) fn start(&mut self, now_ms: u64) {
        self.member_id.clear();
        self.is_fenced = false;
        self.plan(Next::Join, now_ms);
    }

    /// It is gone without a word.
    pub(super) fn crash(&mut self) {
        self.work = None;
        self.next = Next::Nothing;
        self.next_at_ms = u64::MAX;
        self.generation = -1;
    }

    pub(super) fn plan(&mut self, next: Next, at_ms: u64) {
        if next == Next::Join {
            self.work = None;
        }
        (self.next, self.next_at_ms) = (next, at_ms);
    }

    pub(super) fn who(&self) -> Member {
        Member {
            member_id: self.member_id.clone(),
            instance_id: self.instance.clone(),
            generation: self.generation,
        }
    }

    pub(super) fn leaving(&self) -> Leaving {
        Leaving {
            member_id: self.member_id.clone(),
            instance_id: self.instance.clone(),
        }
    }

    pub(super) fn commit(&self, topic: &str, partition: u8, offset: i64) -> Commit {
        let offset = OffsetToCommit {
            topic: topic.to_owned(),
            partition: i32::from(partition),
            offset,
            ..OffsetToCommit::default()
        };
        Commit {
            member: self.who(),
            retention_ms: None,
            offsets: vec![offset],
        }
    }

    /// The request that is due, and the answer will be waited for until then.
    pub(super) fn act(&mut self, now_ms: u64, new_member_id: String) -> Option<Ask> {
        let ask = match self.next {
            Next::Nothing => return None,
            Next::Join => Ask::Join(self.to_join(new_member_id)),
            Next::Sync => Ask::Sync(Sync {
                member: self.who(),
                protocol_type: self.is_new_protocol.then(|| "consumer".to_owned()),
                protocol: None,
                assignments: self.assignments.clone(),
            }),
            Next::Heartbeat => Ask::Heartbeat(self.who()),
        };
        // If the answer is lost it asks again.
        let wait_ms = if self.next == Next::Heartbeat {
            HEARTBEAT_MS
        } else {
            GIVE_UP_MS
        };
        self.next_at_ms = now_ms + wait_ms;
        Some(ask)
    }

    fn to_join(&self, new_member_id: String) -> Join {
        let wants = Subscription {
            topics: vec!["t".to_owned(), self.wish.to_string()],
            ..Subscription::default()
        };
        let metadata = wants.encode(1).unwrap();
        let names = match self.is_new_protocol {
            true => ["sticky", "range"],
            false => ["range", "sticky"],
        };
        Join {
            member_id: self.member_id.clone(),
            instance_id: self.instance.clone(),
            new_member_id,
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "consumer".to_owned(),
            protocols: names
                .iter()
                .map(|name| ((*name).to_owned(), metadata.clone()))
                .collect(),
            known_member_only: self.is_new_protocol,
            may_skip_assignment: self.is_new_protocol,
            ..Join::default()
        }
    }

    /// Takes an answer. Answers to what it no longer waits for are thrown away, as a client does
    /// whose connection was closed.
    pub(super) fn take(&mut self, now_ms: u64, reply: Reply) {
        match (reply, self.next) {
            (Reply::Join(Ok(joined)), Next::Join) => self.joined(now_ms, joined),
            (Reply::Sync(Ok(synced)), Next::Sync) => {
                self.work = Some(synced.assignment.to_vec());
                self.plan(Next::Heartbeat, now_ms + HEARTBEAT_MS);
            }
            (Reply::Join(Err(error)), Next::Join)
            | (Reply::Sync(Err(error)), Next::Sync)
            | (Reply::Heartbeat(Err(error)) | Reply::Commit(Err(error)), Next::Heartbeat) => {
                self.failed(now_ms, error);
            }
            _ => {}
        }
    }

    fn joined(&mut self, now_ms: u64, joined: Joined) {
        self.member_id = joined.member_id;
        self.generation = joined.generation;
        self.assignments.clear();
        if joined.leader == self.member_id && !joined.skip_assignment {
            let mut ids: Vec<_> = joined.members.into_iter().map(|m| m.member_id).collect();
            ids.sort_unstable();
            let count = u8::try_from(ids.len()).unwrap();
            for (at, id) in (0..count).zip(ids) {
                let part = (0..PARTITIONS).filter(|partition| partition % count == at);
                self.assignments.push((id, Bytes::from_iter(part)));
            }
        }
        self.plan(Next::Sync, now_ms);
    }

    fn failed(&mut self, now_ms: u64, error: GroupError) {
        match error {
            GroupError::MemberIdRequired { member_id } => self.member_id = member_id,
            GroupError::UnknownMember => self.member_id.clear(),
            GroupError::FencedInstance => {
                self.is_fenced = true;
                return self.crash();
            }
            GroupError::RebalanceInProgress
            | GroupError::IllegalGeneration { .. }
            | GroupError::GenerationOfUnknownGroup { .. }
            | GroupError::Unavailable { .. } => {}
            other => panic!("a member that behaves is refused: {other}"),
        }
        self.plan(Next::Join, now_ms + BACKOFF_MS);
    }
}
