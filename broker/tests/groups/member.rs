//! Members of groups, step by step, and short questions about groups.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::error::GroupError;
use highwater_broker::service::Service;
use highwater_broker::service::groups::{
    Commit, GroupState, Join, Joined, Leaving, Member, OffsetToCommit, Sync,
};
use highwater_log::fs::mem::MemFs;
use tokio::task::JoinHandle;

use crate::disk::FaultyFs;
use crate::kit::{Rig, START, answer_of, until};

pub(crate) const SESSION_MS: i32 = 6_000;
pub(crate) const REBALANCE_MS: i32 = 60_000;

/// A consumer of one topic, moved by hand.
pub(crate) struct Worker {
    service: Service,
    group: String,
    topic: String,
    pub(crate) id: String,
    pub(crate) generation: i32,
}

impl Worker {
    /// Asks for a member id, and gets one.
    pub(crate) async fn new(rig: &Rig, group: &str, name: &str) -> Self {
        let mut worker = Self {
            service: rig.service.clone(),
            group: group.to_owned(),
            topic: "t".to_owned(),
            id: String::new(),
            generation: -1,
        };
        let mut join = worker.join_request();
        join.new_member_id = format!("{name}-0001");
        match worker.service.join_group(worker.group.clone(), join).await {
            Err(GroupError::MemberIdRequired { member_id }) => worker.id = member_id,
            other => panic!("a member id is given first, not {other:?}"),
        }
        worker
    }

    fn join_request(&self) -> Join {
        Join {
            member_id: self.id.clone(),
            client_id: "test".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: REBALANCE_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), subscription(&self.topic))],
            known_member_only: true,
            ..Join::default()
        }
    }

    /// Begins to join; the task ends when the generation is complete.
    pub(crate) fn begin_join(&self) -> JoinHandle<Result<Joined, GroupError>> {
        let (service, group, join) = (
            self.service.clone(),
            self.group.clone(),
            self.join_request(),
        );
        tokio::spawn(async move { service.join_group(group, join).await })
    }

    pub(crate) async fn joined(&mut self, join: JoinHandle<Result<Joined, GroupError>>) -> Joined {
        let joined = answer_of(join).await.unwrap();
        assert_eq!(joined.member_id, self.id);
        self.generation = joined.generation;
        joined
    }

    fn member(&self) -> Member {
        Member {
            member_id: self.id.clone(),
            instance_id: None,
            generation: self.generation,
        }
    }

    /// Begins to sync; the leader brings assignments.
    pub(crate) fn begin_sync(&self, assignments: &[(&str, &'static str)]) -> JoinHandle<Bytes> {
        let assignments = assignments
            .iter()
            .map(|(id, text)| ((*id).to_owned(), Bytes::from_static(text.as_bytes())));
        let sync = Sync {
            member: self.member(),
            protocol_type: Some("consumer".to_owned()),
            protocol: Some("range".to_owned()),
            assignments: assignments.collect(),
        };
        let (service, group) = (self.service.clone(), self.group.clone());
        tokio::spawn(async move { service.sync_group(group, sync).await.unwrap().assignment })
    }

    pub(crate) async fn heartbeat(&self) -> Result<(), GroupError> {
        self.service.heartbeat(&self.group, self.member()).await
    }

    pub(crate) async fn leave(&self) {
        let leaving = vec![Leaving {
            member_id: self.id.clone(),
            instance_id: None,
        }];
        let left = self.service.leave_group(self.group.clone(), leaving).await;
        assert_eq!(left.unwrap(), [Ok(())]);
    }

    pub(crate) async fn commit(&self, offset: i64) -> Result<(), GroupError> {
        answer_of(self.begin_commit(offset)).await
    }

    /// Begins to commit; the task ends when the offset is durable.
    pub(crate) fn begin_commit(&self, offset: i64) -> JoinHandle<Result<(), GroupError>> {
        let commit = Commit {
            member: self.member(),
            retention_ms: None,
            offsets: vec![offset_of(&self.topic, 0, offset)],
        };
        let (service, group) = (self.service.clone(), self.group.clone());
        tokio::spawn(async move {
            let mut outcomes = service.commit_offsets(group, commit).await?;
            assert_eq!(outcomes.len(), 1);
            outcomes.remove(0)
        })
    }
}

/// Two members of a stable group of generation 2: the first one, who leads, was alone before.
pub(crate) async fn two(rig: &Rig, group: &str) -> (Worker, Worker) {
    let mut leader = Worker::new(rig, group, "a").await;
    let join = leader.begin_join();
    let alone = leader.joined(join).await;
    assert_eq!((alone.generation, alone.members.len()), (1, 1));
    let synced = leader.begin_sync(&[(&leader.id, "all")]);
    assert_eq!(answer_of(synced).await, "all");
    let mut other = Worker::new(rig, group, "b").await;
    let join = other.begin_join();
    until(|| state_of(rig, group) == GroupState::PreparingRebalance).await;
    assert_eq!(
        leader.heartbeat().await,
        Err(GroupError::RebalanceInProgress)
    );
    let again = leader.begin_join();
    let joined = leader.joined(again).await;
    assert_eq!((joined.generation, joined.members.len()), (2, 2));
    assert!(other.joined(join).await.members.is_empty());
    share(&leader, &other).await;
    (leader, other)
}

/// A broker over a disk that fails when it is told to.
pub(crate) fn faulty() -> (Rig, FaultyFs) {
    let fs = MemFs::new();
    let disk = FaultyFs::new(fs.clone());
    let clock = VirtualClock::new(START);
    let rig = Rig::on(Arc::new(disk.clone()), fs, clock, BrokerConfig::default());
    (rig, disk)
}

/// The leader gives each its part.
pub(crate) async fn share(leader: &Worker, other: &Worker) {
    let waiting = other.begin_sync(&[]);
    let synced = leader.begin_sync(&[(&leader.id, "mine"), (&other.id, "yours")]);
    assert_eq!(answer_of(synced).await, "mine");
    assert_eq!(answer_of(waiting).await, "yours");
}

pub(crate) fn offset_of(topic: &str, partition: i32, offset: i64) -> OffsetToCommit {
    OffsetToCommit {
        topic: topic.to_owned(),
        partition,
        offset,
        leader_epoch: 0,
        metadata: format!("at {offset}"),
    }
}

/// Commits from outside of a group.
pub(crate) async fn commit_all(
    service: &Service,
    group: &str,
    offsets: Vec<OffsetToCommit>,
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    let commit = Commit {
        member: Member {
            generation: -1,
            ..Member::default()
        },
        retention_ms: None,
        offsets,
    };
    service.commit_offsets(group.to_owned(), commit).await
}

pub(crate) async fn commit(
    rig: &Rig,
    group: &str,
    topic: &str,
    offset: i64,
) -> Result<(), GroupError> {
    let offsets = vec![offset_of(topic, 0, offset)];
    commit_all(&rig.service, group, offsets).await?.remove(0)
}

/// The committed offset of partition 0; -1 for none.
pub(crate) fn committed(rig: &Rig, group: &str, topic: &str) -> i64 {
    let of = [(topic.to_owned(), 0)];
    rig.service.fetch_offsets(group, Some(&of))[0].offset
}

pub(crate) fn state_of(rig: &Rig, group: &str) -> GroupState {
    rig.service.describe_group(group).state
}

/// Lets time pass, and waits until all of the broker's timers that were due have done their work
/// and sleep again: there are so many of them.
pub(crate) async fn pass(rig: &Rig, ms: u64, timers_count: usize) {
    until(|| rig.clock.sleepers_count() >= timers_count).await;
    rig.advance_ms(ms);
    until(|| rig.clock.sleepers_count() >= timers_count).await;
}

/// Lets time pass until the groups wait for nothing any more.
pub(crate) async fn pass_all(rig: &Rig, ms: u64) {
    until(|| rig.clock.sleepers_count() >= TIMERS).await;
    rig.advance_ms(ms);
    until(|| rig.clock.sleepers_count() >= TIMERS_IDLE).await;
}

/// Retention, the search for damage, syncs, expiry of offsets, key indexes; and one for all groups,
/// if any group waits for something.
pub(crate) const TIMERS_IDLE: usize = 5;
pub(crate) const TIMERS: usize = TIMERS_IDLE + 1;

/// What a consumer says that reads one topic: version 0, the topic, no user data.
fn subscription(topic: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    bytes.put_i16(i16::try_from(topic.len()).unwrap());
    bytes.put_slice(topic.as_bytes());
    bytes.put_i32(-1);
    bytes.freeze()
}
