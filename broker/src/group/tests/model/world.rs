//! The world of the model: the machine, its log, a second machine that only reads the log, and
//! what must hold after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::{Mono, Now, Wall};
use highwater_proto::group_log::{GroupRecord, GroupValue};

use super::client::Client;
use crate::error::GroupError;
use crate::group::offsets::Offsets;
use crate::group::{
    Append, Ask, Effects, GroupConfig, GroupMachine, GroupState, Join, Joined, Reply, Ticket,
};

type Partition = (String, String, i32);

/// Who asked, and what.
#[derive(Debug)]
struct Asked {
    group: String,
    client: Option<usize>,
    ask: Ask,
}

pub(super) struct World {
    config: Arc<GroupConfig>,
    pub(super) machine: GroupMachine,
    /// Reads the log, record by record.
    reader: GroupMachine,
    log: Vec<GroupRecord>,
    pub(super) now_ms: u64,
    pub(super) clients: Vec<Client>,
    pub(super) under_way: Vec<Append>,
    /// Requests of this process without an answer.
    open: BTreeMap<Ticket, Asked>,
    tickets: u64,
    /// Answers on their way to clients.
    pub(super) answers: Vec<(usize, Reply)>,
    /// What was committed and acknowledged.
    committed: BTreeMap<Partition, i64>,
    /// Who worked on a partition, by group, generation and partition.
    owners: BTreeMap<(String, i32, u8), String>,
    /// The newest generation of each group in which somebody worked.
    generations: BTreeMap<String, i32>,
    /// A rewriting that is under way: where it began, and groups that are still to be written.
    rewriting: Option<(usize, BTreeSet<Ticket>)>,
    /// Groups that were deleted.
    ended: BTreeSet<String>,
    /// What happened at all, so that a model that reaches nothing is seen.
    pub(super) reached: BTreeSet<&'static str>,
}

impl World {
    pub(super) fn new(config: GroupConfig, clients: Vec<Client>) -> Self {
        let config = Arc::new(config);
        Self {
            machine: GroupMachine::new(Arc::clone(&config)),
            reader: GroupMachine::new(Arc::clone(&config)),
            config,
            log: Vec::new(),
            now_ms: 1,
            clients,
            under_way: Vec::new(),
            open: BTreeMap::new(),
            tickets: 0,
            answers: Vec::new(),
            committed: BTreeMap::new(),
            owners: BTreeMap::new(),
            generations: BTreeMap::new(),
            rewriting: None,
            ended: BTreeSet::new(),
            reached: BTreeSet::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            mono: Mono(self.now_ms * 1_000_000),
            wall: Wall(1_700_000_000_000 + i64::try_from(self.now_ms).unwrap()),
        }
    }

    pub(super) fn ask(&mut self, group: &str, client: Option<usize>, ask: Ask) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let asked = Asked {
            group: group.to_owned(),
            client,
            ask: ask.clone(),
        };
        self.open.insert(ticket, asked);
        let effects = self.machine.ask(self.now(), group, ticket, ask);
        self.take(effects);
        ticket
    }

    pub(super) fn wake(&mut self) {
        let effects = self.machine.wake(self.now());
        self.take(effects);
        assert!(
            self.machine.wake_at() >= self.now().mono,
            "a timer was forgotten"
        );
    }

    /// The broker stands still, and its timers are the first to go on: nothing comes of it.
    pub(super) fn stall(&mut self, ms: u64) {
        self.wake();
        let before = self.machine.list();
        if before.iter().any(|of| of.state == GroupState::Stable) {
            self.reached.insert("members that outlive a stall");
        }
        let describe = |machine: &GroupMachine| -> Vec<_> {
            before
                .iter()
                .map(|of| machine.describe(&of.group))
                .collect()
        };
        let described = describe(&self.machine);
        self.now_ms += ms;
        self.machine.stood_still(Duration::from_millis(ms));
        self.wake();
        assert_eq!(describe(&self.machine), described, "a stall counted");
    }

    /// A write is over.
    pub(super) fn finish(&mut self, at: usize, result: Result<(), String>) {
        let append = self.under_way.remove(at);
        let is_durable = result.is_ok();
        if is_durable {
            self.append(&append);
        } else {
            self.reached.insert("a write that fails");
        }
        let effects = self.machine.written(self.now(), &append.group, result);
        self.take(effects);
        self.check_offsets();
        if is_durable {
            assert_eq!(
                durable(&self.machine),
                durable(&self.reader),
                "the law of the log"
            );
        }
    }

    fn append(&mut self, append: &Append) {
        for record in &append.records {
            let (GroupRecord::Offset { group, .. } | GroupRecord::Group { group, .. }) = record;
            assert_eq!(group, &append.group);
            self.reader.apply(record);
            if matches!(record, GroupRecord::Group { value: None, .. }) {
                // What comes after is another group of the same name.
                self.owners.retain(|(of, _, _), _| of != group);
                self.generations.remove(group);
                self.ended.insert(group.clone());
            }
        }
        self.log.extend(append.records.iter().cloned());
    }

    fn take(&mut self, effects: Effects) {
        let is_commit = |(_, reply): &&(Ticket, Reply)| matches!(reply, Reply::Commit(Ok(())));
        if effects.replies.iter().filter(is_commit).count() > 1 {
            self.reached.insert("commits that are written together");
        }
        for (ticket, reply) in effects.replies {
            let asked = self.open.remove(&ticket);
            let asked = asked.unwrap_or_else(|| panic!("{ticket:?} is answered twice: {reply:?}"));
            self.check_answer(ticket, &asked, &reply);
            if let Some(client) = asked.client {
                self.answers.push((client, reply));
            }
        }
        for append in effects.appends {
            let same = |other: &Append| other.group == append.group;
            assert!(!self.under_way.iter().any(same), "two writes of one group");
            assert!(!append.records.is_empty());
            self.under_way.push(append);
        }
        // Too early is possible, too late is not.
        let due = self.machine.groups.values().map(|group| group.due()).min();
        assert!(
            due.is_none_or(|due| self.machine.wake_at() <= due),
            "a timer is late"
        );
    }

    fn check_answer(&mut self, ticket: Ticket, asked: &Asked, reply: &Reply) {
        match (&asked.ask, reply) {
            (Ask::Join(join), Reply::Join(outcome)) => self.reach_join(join, outcome),
            (Ask::Heartbeat(_), Reply::Heartbeat(_)) => {}
            (Ask::Leave(of), Reply::Leave(outcome)) => {
                assert!(outcome.as_ref().is_ok_and(|each| each.len() == of.len()));
            }
            (Ask::Sync(sync), Reply::Sync(outcome)) => {
                if let Ok(synced) = outcome {
                    self.check_owner(asked, sync.member.generation, &synced.assignment);
                }
            }
            (Ask::Commit(commit), Reply::Commit(outcome)) => {
                if outcome.is_ok() {
                    let generation = commit.member.generation;
                    let newest = self.generations.get(&asked.group).copied().unwrap_or(0);
                    assert!(generation < 0 || generation >= newest, "a zombie commits");
                    for of in &commit.offsets {
                        let key = (asked.group.clone(), of.topic.clone(), of.partition);
                        self.committed.insert(key, of.offset);
                    }
                }
            }
            (Ask::Delete, Reply::Delete(outcome)) => {
                if outcome.is_ok() {
                    self.committed
                        .retain(|(group, _, _), _| *group != asked.group);
                }
            }
            (Ask::DeleteOffsets(of), Reply::DeleteOffsets(outcome)) => {
                for ((topic, partition), outcome) in of.iter().zip(outcome.iter().flatten()) {
                    if outcome.is_ok() {
                        let key = (asked.group.clone(), topic.clone(), *partition);
                        self.committed.remove(&key);
                    }
                }
            }
            (Ask::ForgetTopics(topics), Reply::Done(Ok(()))) => {
                self.committed.retain(|(group, topic, _), _| {
                    *group != asked.group || !topics.contains(topic)
                });
            }
            (Ask::Rewrite, Reply::Done(outcome)) => self.rewritten(ticket, outcome.is_ok()),
            (Ask::ForgetTopics(_) | Ask::Expire, Reply::Done(_)) => {}
            (ask, reply) => panic!("{ask:?} is answered by {reply:?}"),
        }
    }

    fn reach_join(&mut self, join: &Join, outcome: &Result<Joined, GroupError>) {
        self.reached.insert(match outcome {
            Ok(joined) if joined.skip_assignment => "a leader that skips assigning",
            Ok(joined) if joined.generation > 9 => "a tenth generation",
            Ok(_) if join.instance_id.is_some() => "a static member",
            Ok(_) => "a dynamic member",
            Err(GroupError::FencedInstance) => "a fenced member",
            Err(GroupError::UnknownMember) => "an unknown member",
            Err(_) => "another refusal",
        });
    }

    /// Nobody works on what somebody else works on in the same generation.
    fn check_owner(&mut self, asked: &Asked, generation: i32, assignment: &[u8]) {
        let client = &self.clients[asked.client.unwrap()];
        let Ask::Sync(sync) = &asked.ask else {
            panic!("not a sync");
        };
        let name = client.instance.as_ref().unwrap_or(&sync.member.member_id);
        for partition in assignment {
            let key = (asked.group.clone(), generation, *partition);
            let owner = self.owners.entry(key).or_insert_with(|| name.clone());
            assert_eq!(
                owner, name,
                "two owners of {partition} in generation {generation}"
            );
        }
        if self.ended.contains(&asked.group) {
            self.reached.insert("a deleted group that comes again");
        }
        let newest = self.generations.entry(asked.group.clone()).or_default();
        assert!(
            generation >= *newest,
            "generation {generation} comes after {newest}"
        );
        *newest = generation;
    }

    /// Offsets are those that were acknowledged, no more and no less.
    fn check_offsets(&self) {
        let mut found = BTreeMap::new();
        for listed in self.machine.list() {
            for of in self.machine.offsets(&listed.group, None) {
                found.insert((listed.group.clone(), of.topic, of.partition), of.offset);
            }
        }
        assert_eq!(found, self.committed);
    }

    /// Every group is written anew; then the log before that goes.
    pub(super) fn rewrite(&mut self) {
        if self.rewriting.is_some() {
            return;
        }
        // Tickets are known before they are given, since some are answered at once.
        let groups: Vec<_> = self.machine.list().into_iter().map(|of| of.group).collect();
        let first = self.tickets + 1;
        let tickets = (first..).map(Ticket).take(groups.len()).collect();
        self.rewriting = Some((self.log.len(), tickets));
        for group in groups {
            self.ask(&group, None, Ask::Rewrite);
        }
    }

    fn rewritten(&mut self, ticket: Ticket, is_done: bool) {
        let Some((start, mut tickets)) = self.rewriting.take() else {
            return;
        };
        if !is_done {
            return;
        }
        tickets.remove(&ticket);
        if !tickets.is_empty() {
            self.rewriting = Some((start, tickets));
            return;
        }
        self.reached.insert("a log that is written anew");
        self.log.drain(..start);
        let reread = self.reread();
        assert_eq!(
            durable(&reread),
            durable(&self.reader),
            "the log lost something"
        );
    }

    fn reread(&self) -> GroupMachine {
        let mut machine = GroupMachine::new(Arc::clone(&self.config));
        self.log.iter().for_each(|record| machine.apply(record));
        machine
    }

    /// The process ends; of the writes that are under way these were durable. All clients lose
    /// their answers.
    pub(super) fn restart(&mut self, mut is_durable: impl FnMut() -> bool) {
        for append in std::mem::take(&mut self.under_way) {
            if is_durable() {
                self.reached
                    .insert("a restart after a write that nobody heard of");
                self.append(&append);
                self.settle_unanswered(&append);
            } else {
                self.reached.insert("a restart that loses a write");
            }
        }
        self.open.clear();
        self.answers.clear();
        self.rewriting = None;
        self.machine = self.reread();
        self.machine.recovered(self.now());
        assert_eq!(
            durable(&self.machine),
            durable(&self.reader),
            "the law of the log"
        );
        self.check_offsets();
        let now_ms = self.now_ms;
        for client in self.clients.iter_mut().filter(|client| client.is_running()) {
            // The connection is gone, so it asks again what it asked last.
            client.next_at_ms = client.next_at_ms.min(now_ms + 500);
        }
    }

    /// What is in the log counts, though nobody was told; nothing else may be in it.
    fn settle_unanswered(&mut self, append: &Append) {
        let asked = |wanted: &dyn Fn(&Ask) -> bool| {
            let of_group = self
                .open
                .values()
                .filter(|asked| asked.group == append.group);
            of_group.map(|asked| &asked.ask).any(wanted)
        };
        for record in &append.records {
            let GroupRecord::Offset {
                group,
                topic,
                partition,
                value,
            } = record
            else {
                continue;
            };
            let key = (group.clone(), topic.clone(), *partition);
            let Some(value) = value else {
                let deletes = |ask: &Ask| {
                    matches!(
                        ask,
                        Ask::Delete | Ask::DeleteOffsets(_) | Ask::ForgetTopics(_)
                    )
                };
                assert!(asked(&deletes), "nobody asked to delete {key:?}");
                self.committed.remove(&key);
                continue;
            };
            let commits = |ask: &Ask| match ask {
                Ask::Commit(commit) => commit.offsets.iter().any(|of| {
                    (&of.topic, of.partition, of.offset) == (topic, *partition, value.offset)
                }),
                // The same offset as before.
                Ask::Rewrite => self.committed.get(&key) == Some(&value.offset),
                _ => false,
            };
            assert!(asked(&commits), "nobody committed {key:?} {value:?}");
            self.committed.insert(key, value.offset);
        }
    }

    /// Requests that this process has not answered.
    pub(super) fn open(&self) -> Vec<String> {
        self.open
            .values()
            .map(|asked| format!("{asked:?}"))
            .collect()
    }
}

/// The durable state of every group that has one.
pub(super) fn durable(machine: &GroupMachine) -> BTreeMap<&str, (&Option<GroupValue>, &Offsets)> {
    let groups = machine
        .groups
        .iter()
        .filter(|(_, group)| !group.durable.is_empty());
    groups
        .map(|(name, group)| (&**name, (&group.durable.value, &group.durable.offsets)))
        .collect()
}
