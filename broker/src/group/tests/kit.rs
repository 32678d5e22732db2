//! A group under test: one clock, one log, members that are named by their ids.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::{Mono, Now, Wall};
use highwater_proto::consumer_protocol::Subscription;
use highwater_proto::group_log::{GroupRecord, GroupValue};

use crate::error::GroupError;
use crate::group::{
    Append, Ask, Commit, Effects, GroupConfig, GroupDescription, GroupMachine, GroupState, Join,
    Joined, Leaving, Member, OffsetToCommit, Reply, Sync, Synced, Ticket,
};

pub(super) const GROUP: &str = "g";
pub(super) const SESSION_MS: u64 = 10_000;
pub(super) const REBALANCE_MS: u64 = 60_000;
const MS: u64 = 1_000_000;

pub(super) fn config() -> GroupConfig {
    GroupConfig {
        session_timeout_ms_min: 6_000,
        session_timeout_ms_max: 1_800_000,
        initial_rebalance_delay_ms: 0,
        members_max: 5,
        groups_max: 3,
        offsets_retention_ms: 1_000_000,
    }
}

/// The machine, its clock, its log, and the answers that were not looked at yet.
pub(super) struct Kit {
    pub(super) machine: GroupMachine,
    pub(super) now: Now,
    /// What is durable.
    pub(super) log: Vec<GroupRecord>,
    /// Writes that are under way: they end with [`Kit::finish`], or at once unless held.
    pub(super) under_way: Vec<Append>,
    pub(super) holds_writes: bool,
    config: Arc<GroupConfig>,
    answers: BTreeMap<Ticket, Reply>,
    tickets: u64,
}

impl Kit {
    pub(super) fn new() -> Self {
        Self::with(config())
    }

    pub(super) fn with(config: GroupConfig) -> Self {
        let config = Arc::new(config);
        Self {
            machine: GroupMachine::new(Arc::clone(&config)),
            now: Now {
                mono: Mono(7),
                wall: Wall(1_700_000_000_000),
            },
            log: Vec::new(),
            under_way: Vec::new(),
            holds_writes: false,
            config,
            answers: BTreeMap::new(),
            tickets: 0,
        }
    }

    pub(super) fn ask_of(&mut self, group: &str, ask: Ask) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let effects = self.machine.ask(self.now, group, ticket, ask);
        self.take(effects);
        ticket
    }

    pub(super) fn ask(&mut self, ask: Ask) -> Ticket {
        self.ask_of(GROUP, ask)
    }

    fn take(&mut self, effects: Effects) {
        for (ticket, reply) in effects.replies {
            let before = self.answers.insert(ticket, reply);
            assert_eq!(before, None, "{ticket:?} is answered twice");
        }
        for append in effects.appends {
            let same = |other: &Append| other.group == append.group;
            assert!(!self.under_way.iter().any(same), "two writes of one group");
            self.under_way.push(append);
        }
        if !self.holds_writes && !self.under_way.is_empty() {
            self.finish(Ok(()));
        }
    }

    /// The oldest write is over.
    pub(super) fn finish(&mut self, result: Result<(), String>) {
        let append = self.under_way.remove(0);
        if result.is_ok() {
            self.log.extend(append.records);
        }
        let effects = self.machine.written(self.now, &append.group, result);
        self.take(effects);
    }

    /// Moves the clock; the machine is woken when it says so, and not otherwise.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.mono.0 + ms * MS;
        let mut wakes_left = 1_000;
        while self.machine.wake_at().0 <= end {
            wakes_left -= 1;
            assert!(wakes_left > 0, "the machine is never done");
            self.set_clock(self.machine.wake_at().0.max(self.now.mono.0));
            let effects = self.machine.wake(self.now);
            self.take(effects);
        }
        self.set_clock(end);
    }

    /// The broker stands still for so long; then the timers come first.
    pub(super) fn stall(&mut self, ms: u64) {
        self.set_clock(self.now.mono.0 + ms * MS);
        self.machine.stood_still(Duration::from_millis(ms));
        let effects = self.machine.wake(self.now);
        self.take(effects);
    }

    fn set_clock(&mut self, mono: u64) {
        let passed = i64::try_from((mono - self.now.mono.0) / MS).unwrap();
        self.now.mono = Mono(mono);
        self.now.wall = Wall(self.now.wall.0 + passed);
    }

    /// The process ends and another one reads the log.
    pub(super) fn restart(&mut self) {
        self.machine = GroupMachine::new(Arc::clone(&self.config));
        self.log
            .iter()
            .for_each(|record| self.machine.apply(record));
        self.machine.recovered(self.now);
        self.under_way.clear();
    }

    /// The answer, if it is there; it is taken away.
    pub(super) fn answer(&mut self, ticket: Ticket) -> Option<Reply> {
        self.answers.remove(&ticket)
    }

    pub(super) fn is_parked(&self, ticket: Ticket) -> bool {
        !self.answers.contains_key(&ticket)
    }

    pub(super) fn joined(&mut self, ticket: Ticket) -> Result<Joined, GroupError> {
        match self.answer(ticket) {
            Some(Reply::Join(outcome)) => outcome,
            other => panic!("no answer to a join: {other:?}"),
        }
    }

    pub(super) fn synced(&mut self, ticket: Ticket) -> Result<Synced, GroupError> {
        match self.answer(ticket) {
            Some(Reply::Sync(outcome)) => outcome,
            other => panic!("no answer to a sync: {other:?}"),
        }
    }

    pub(super) fn committed(&mut self, ticket: Ticket) -> Result<(), GroupError> {
        match self.answer(ticket) {
            Some(Reply::Commit(outcome)) => outcome,
            other => panic!("no answer to a commit: {other:?}"),
        }
    }

    pub(super) fn left(&mut self, members: Vec<Leaving>) -> Vec<Result<(), GroupError>> {
        let ticket = self.ask(Ask::Leave(members));
        match self.answer(ticket) {
            Some(Reply::Leave(outcome)) => outcome.unwrap(),
            other => panic!("no answer to a leave: {other:?}"),
        }
    }

    /// Asks what is answered with an outcome alone: delete, expire, rewrite, forget.
    pub(super) fn done(&mut self, ask: Ask) -> Result<(), GroupError> {
        let ticket = self.ask(ask);
        match self.answer(ticket) {
            Some(Reply::Delete(outcome) | Reply::Done(outcome)) => outcome,
            other => panic!("no outcome: {other:?}"),
        }
    }

    pub(super) fn join(&mut self, join: Join) -> Ticket {
        self.ask(Ask::Join(join))
    }

    pub(super) fn sync(&mut self, id: &str, generation: i32, of: &[(&str, &str)]) -> Ticket {
        self.ask(Ask::Sync(sync(id, generation, of)))
    }

    pub(super) fn heartbeat(&mut self, id: &str, generation: i32) -> Result<(), GroupError> {
        self.heartbeat_of(member(id, generation))
    }

    pub(super) fn heartbeat_of(&mut self, member: Member) -> Result<(), GroupError> {
        let ticket = self.ask(Ask::Heartbeat(member));
        match self.answer(ticket) {
            Some(Reply::Heartbeat(outcome)) => outcome,
            other => panic!("no answer to a heartbeat: {other:?}"),
        }
    }

    pub(super) fn commit(&mut self, member: Member, topic: &str, offset: i64) -> Ticket {
        self.ask(Ask::Commit(commit(member, topic, offset)))
    }

    /// The offset of partition 0; -1 for none.
    pub(super) fn offset(&self, topic: &str) -> i64 {
        self.machine.offsets(GROUP, Some(&[(topic.to_owned(), 0)]))[0].offset
    }

    pub(super) fn group(&self) -> GroupDescription {
        self.machine.describe(GROUP)
    }

    pub(super) fn state(&self) -> GroupState {
        self.group().state
    }

    /// The group's last complete generation in the log.
    pub(super) fn logged(&self) -> Option<GroupValue> {
        let group = |record: &GroupRecord| match record {
            GroupRecord::Group { value, .. } => Some(value.clone()),
            GroupRecord::Offset { .. } => None,
        };
        self.log.iter().rev().find_map(group).flatten()
    }

    /// Makes the group stable with these members, of which the first leads; each works on its own
    /// name. Returns the generation.
    pub(super) fn stable(&mut self, ids: &[&str]) -> i32 {
        let joins: Vec<_> = ids.iter().map(|id| first_join(id)).collect();
        self.stable_of(joins)
    }

    pub(super) fn stable_of(&mut self, joins: Vec<Join>) -> i32 {
        let mut ids = Vec::new();
        let mut tickets = Vec::new();
        for join in joins {
            // Those who are in join again, so that the rebalance is over.
            ids.push((join.new_member_id.clone(), join.clone()));
            tickets.push(self.join(join));
        }
        for (id, join) in &ids[..ids.len() - 1] {
            tickets.push(self.join(again(join, id)));
        }
        let last = *tickets.last().unwrap();
        let generation = self.joined(last).unwrap().generation;
        let work: Vec<_> = ids
            .iter()
            .map(|(id, _)| (id.as_str(), id.as_str()))
            .collect();
        for (id, _) in ids.iter().rev() {
            self.sync(id, generation, if *id == ids[0].0 { &work } else { &[] });
        }
        assert_eq!(self.state(), GroupState::Stable);
        self.answers.clear();
        generation
    }

    /// Every member heartbeats each second for so long.
    pub(super) fn pass_alive(&mut self, ms: u64, ids: &[&str], generation: i32) {
        for _ in 0..ms / 1_000 {
            self.pass(1_000);
            for id in ids {
                let _ = self.heartbeat(id, generation);
            }
        }
    }
}

/// A member joins for the first time, and gets this id.
pub(super) fn first_join(id: &str) -> Join {
    Join {
        new_member_id: id.to_owned(),
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), subscription("t"))],
        ..Join::default()
    }
}

/// The same member joins again.
pub(super) fn again(join: &Join, id: &str) -> Join {
    Join {
        member_id: id.to_owned(),
        ..join.clone()
    }
}

/// A member with an id joins again.
pub(super) fn rejoin(id: &str) -> Join {
    again(&first_join(id), id)
}

/// A static member joins without an id, and gets this one.
pub(super) fn static_join(instance: &str, id: &str) -> Join {
    Join {
        instance_id: Some(instance.to_owned()),
        ..first_join(id)
    }
}

pub(super) fn subscription(topic: &str) -> Bytes {
    let wants = Subscription {
        topics: vec![topic.to_owned()],
        ..Subscription::default()
    };
    wants.encode(1).unwrap()
}

/// A member that would rather read another topic.
pub(super) fn changed(join: Join) -> Join {
    Join {
        protocols: vec![("range".to_owned(), subscription("other"))],
        ..join
    }
}

pub(super) fn member(id: &str, generation: i32) -> Member {
    Member {
        member_id: id.to_owned(),
        instance_id: None,
        generation,
    }
}

pub(super) fn of_instance(instance: &str, id: &str, generation: i32) -> Member {
    Member {
        instance_id: Some(instance.to_owned()),
        ..member(id, generation)
    }
}

/// Somebody who is not a member.
pub(super) fn outside() -> Member {
    member("", -1)
}

pub(super) fn sync(id: &str, generation: i32, of: &[(&str, &str)]) -> Sync {
    let bytes = |(id, work): &(&str, &str)| {
        let work = Bytes::copy_from_slice(work.as_bytes());
        ((*id).to_owned(), work)
    };
    Sync {
        member: member(id, generation),
        protocol_type: None,
        protocol: None,
        assignments: of.iter().map(bytes).collect(),
    }
}

pub(super) fn leaving(id: &str) -> Leaving {
    Leaving {
        member_id: id.to_owned(),
        instance_id: None,
    }
}

pub(super) fn commit(member: Member, topic: &str, offset: i64) -> Commit {
    let offset = OffsetToCommit {
        topic: topic.to_owned(),
        partition: 0,
        offset,
        leader_epoch: 3,
        metadata: "note".to_owned(),
    };
    Commit {
        member,
        retention_ms: None,
        offsets: vec![offset],
    }
}
