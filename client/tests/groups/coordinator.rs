//! A model of a group's coordinator: the classic protocol of one group, with time as an argument.
//!
//! What it promises, it checks: an offset never goes back. And what members promise each other: a
//! partition has one owner in a generation, and none of those who keep theirs while they join gets
//! one that another member still has.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use highwater_client::ErrorCode;
use highwater_proto::clock::Mono;
use highwater_proto::consumer_protocol::{Assignment, Subscription};
use highwater_proto::kafka::messages::heartbeat::HeartbeatResponse;
use highwater_proto::kafka::messages::join_group::{
    JoinGroupMember, JoinGroupProtocol, JoinGroupRequest, JoinGroupResponse,
};
use highwater_proto::kafka::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, LeaveGroupResult,
};
use highwater_proto::kafka::messages::offset_commit::{
    OffsetCommitPartitionResult, OffsetCommitRequest, OffsetCommitResponse, OffsetCommitTopicResult,
};
use highwater_proto::kafka::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    state: State,
    generation: i32,
    leader: String,
    protocol: String,
    members: BTreeMap<String, Member>,
    pending: BTreeSet<String>,
    ids_count: u32,
    /// When a rebalance goes on without those who did not join.
    deadline: Option<Mono>,
    pub(crate) offsets: HashMap<(String, i32), i64>,
    /// Every join that was parked, and every one that was answered.
    pub(crate) parked_count: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Empty,
    Preparing,
    Completing,
    Stable,
}

#[derive(Debug, Default)]
struct Member {
    protocols: Vec<(String, Bytes)>,
    session: Duration,
    rebalance: Duration,
    expires_at: Mono,
    join: Option<oneshot::Sender<JoinGroupResponse>>,
    sync: Option<oneshot::Sender<SyncGroupResponse>>,
    assignment: Bytes,
}

/// An answer, now or later.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Now(T),
    Later(oneshot::Receiver<T>),
}

impl Coordinator {
    pub(crate) fn generation(&self) -> i32 {
        self.generation
    }

    /// The strategy that all members agreed on.
    pub(crate) fn protocol(&self) -> &str {
        &self.protocol
    }

    pub(crate) fn members_count(&self) -> usize {
        self.members.len()
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Mono) {
        let is_gone = |member: &Member| {
            member.join.is_none() && member.sync.is_none() && member.expires_at <= now
        };
        let before = self.members.len();
        self.members.retain(|_, member| !is_gone(member));
        if self.members.len() < before {
            self.rebalance(now);
        }
        if self.state == State::Preparing && self.deadline.is_some_and(|at| at <= now) {
            self.members.retain(|_, member| member.join.is_some());
            self.complete_if_all_joined(now);
        }
    }

    pub(crate) fn join(
        &mut self,
        now: Mono,
        request: &JoinGroupRequest,
    ) -> Answer<JoinGroupResponse> {
        let refuse = |code: ErrorCode, member_id: &str| {
            Answer::Now(JoinGroupResponse {
                error_code: code.code(),
                member_id: member_id.to_owned().into(),
                ..Default::default()
            })
        };
        let id = request.member_id.to_string();
        if id.is_empty() {
            self.ids_count += 1;
            let id = format!("member-{}", self.ids_count);
            self.pending.insert(id.clone());
            return refuse(ErrorCode::MemberIdRequired, &id);
        }
        let is_new = self.pending.remove(&id);
        let protocol = |it: &JoinGroupProtocol| (it.name.to_string(), it.metadata.clone());
        let protocols: Vec<_> = request.protocols.iter().map(protocol).collect();
        if self.common(&protocols, &id).is_none() {
            return refuse(ErrorCode::InconsistentGroupProtocol, &id);
        }
        match self.members.get(&id) {
            None if !is_new => return refuse(ErrorCode::UnknownMemberId, &id),
            Some(member) if member.protocols == protocols => {
                let is_current = match self.state {
                    State::Completing => true,
                    State::Stable => id != self.leader,
                    State::Empty | State::Preparing => false,
                };
                if is_current {
                    return Answer::Now(self.joined(&id));
                }
            }
            _ => {}
        }
        let (answer, answered) = oneshot::channel();
        let ms = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap());
        let member = self.members.entry(id).or_default();
        member.protocols = protocols;
        member.session = ms(request.session_timeout_ms);
        member.rebalance = ms(request.rebalance_timeout_ms);
        member.join = Some(answer);
        self.parked_count += 1;
        self.rebalance(now);
        Answer::Later(answered)
    }

    /// The first of these strategies that all other members know.
    fn common(&self, protocols: &[(String, Bytes)], id: &str) -> Option<String> {
        let knows = |member: &Member, name: &str| member.protocols.iter().any(|it| it.0 == name);
        let others = || self.members.iter().filter(|(other, _)| *other != id);
        let all_know = |name: &str| others().all(|(_, member)| knows(member, name));
        let mut names = protocols.iter().map(|(name, _)| name);
        names.find(|name| all_know(name)).cloned()
    }

    fn rebalance(&mut self, now: Mono) {
        if self.state != State::Preparing {
            for member in self.members.values_mut() {
                member.assignment = Bytes::new();
                if let Some(sync) = member.sync.take() {
                    let code = ErrorCode::RebalanceInProgress;
                    let _ = sync.send(sync_refused(code));
                    member.expires_at = now.plus(member.session);
                }
            }
            self.state = State::Preparing;
            let longest = self.members.values().map(|member| member.rebalance).max();
            self.deadline = Some(now.plus(longest.unwrap_or_default()));
        }
        self.complete_if_all_joined(now);
    }

    fn complete_if_all_joined(&mut self, now: Mono) {
        if self.members.values().any(|member| member.join.is_none()) {
            return;
        }
        self.generation += 1;
        self.deadline = None;
        let Some(first) = self.members.keys().next().cloned() else {
            self.state = State::Empty;
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first;
        }
        let protocols = &self.members[&self.leader].protocols;
        self.protocol = self.common(protocols, &self.leader).unwrap();
        self.state = State::Completing;
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined(&id);
            let member = self.members.get_mut(&id).unwrap();
            member.expires_at = now.plus(member.session);
            // Whoever asked may have given up.
            let _ = member.join.take().unwrap().send(response);
        }
    }

    fn joined(&self, id: &str) -> JoinGroupResponse {
        let member = |(id, member): (&String, &Member)| JoinGroupMember {
            member_id: id.clone().into(),
            group_instance_id: None,
            metadata: member.metadata(&self.protocol),
        };
        let members = match self.leader == id {
            true => self.members.iter().map(member).collect(),
            false => Vec::new(),
        };
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: Some("consumer".into()),
            protocol_name: Some(self.protocol.clone().into()),
            leader: self.leader.clone().into(),
            member_id: id.to_owned().into(),
            members,
            ..Default::default()
        }
    }

    pub(crate) fn sync(
        &mut self,
        now: Mono,
        request: &SyncGroupRequest,
    ) -> Answer<SyncGroupResponse> {
        let id = request.member_id.as_str();
        let checked = self.check(id, request.generation_id);
        let code = match (checked, self.state) {
            (Err(code), _) => code,
            (Ok(()), State::Stable) => {
                let assignment = self.members[id].assignment.clone();
                return Answer::Now(SyncGroupResponse {
                    assignment,
                    ..Default::default()
                });
            }
            (Ok(()), State::Completing) => {
                let (answer, answered) = oneshot::channel();
                self.members.get_mut(id).unwrap().sync = Some(answer);
                if self.leader == id {
                    self.assign(now, request);
                }
                return Answer::Later(answered);
            }
            (Ok(()), State::Preparing | State::Empty) => ErrorCode::RebalanceInProgress,
        };
        Answer::Now(sync_refused(code))
    }

    fn assign(&mut self, now: Mono, request: &SyncGroupRequest) {
        for assignment in &request.assignments {
            if let Some(member) = self.members.get_mut(assignment.member_id.as_str()) {
                member.assignment = assignment.assignment.clone();
            }
        }
        self.check_assignments();
        self.state = State::Stable;
        for member in self.members.values_mut() {
            if let Some(sync) = member.sync.take() {
                member.expires_at = now.plus(member.session);
                let _ = sync.send(SyncGroupResponse {
                    assignment: member.assignment.clone(),
                    ..Default::default()
                });
            }
        }
    }

    fn check_assignments(&self) {
        let mut owners: HashMap<(String, i32), &str> = HashMap::new();
        let mut claims: HashMap<(String, i32), Vec<&str>> = HashMap::new();
        for (id, member) in &self.members {
            let subscription = Subscription::decode(&member.metadata(&self.protocol)).unwrap();
            for place in places(&subscription.owned_partitions) {
                claims.entry(place).or_default().push(id);
            }
            for place in places(&Assignment::decode(&member.assignment).unwrap().partitions) {
                let before = owners.insert(place.clone(), id);
                assert_eq!(before, None, "{place:?} is also given to {id}");
            }
        }
        for (place, owner) in owners {
            let claims = claims.get(&place).map_or(&[][..], Vec::as_slice);
            assert!(
                claims.is_empty() || claims.contains(&owner),
                "{place:?} is given to {owner}, while {claims:?} have it"
            );
        }
    }

    pub(crate) fn beat(&mut self, now: Mono, id: &str, generation: i32) -> HeartbeatResponse {
        let checked = self.check(id, generation).and_then(|()| {
            let member = self.members.get_mut(id).unwrap();
            member.expires_at = now.plus(member.session);
            match self.state {
                State::Preparing => Err(ErrorCode::RebalanceInProgress),
                _ => Ok(()),
            }
        });
        HeartbeatResponse {
            error_code: checked.err().map_or(0, ErrorCode::code),
            ..Default::default()
        }
    }

    pub(crate) fn leave(&mut self, now: Mono, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        let result = |member_id: highwater_proto::cursor::Str, code| LeaveGroupResult {
            member_id,
            group_instance_id: None,
            error_code: code,
        };
        let mut results = Vec::new();
        for leaving in &request.members {
            let id = leaving.member_id.as_str();
            let is_known = self.pending.remove(id) || self.members.contains_key(id);
            if self.members.remove(id).is_some() {
                self.rebalance(now);
            }
            let code = ErrorCode::UnknownMemberId.code();
            results.push(result(
                leaving.member_id.clone(),
                if is_known { 0 } else { code },
            ));
        }
        LeaveGroupResponse {
            members: results,
            ..Default::default()
        }
    }

    pub(crate) fn commit(
        &mut self,
        now: Mono,
        request: &OffsetCommitRequest,
    ) -> OffsetCommitResponse {
        let id = request.member_id.as_str();
        let outside = request.generation_id < 0 && self.members.is_empty();
        let checked = match outside {
            true => Ok(()),
            false => self.check(id, request.generation_id),
        };
        let checked = checked.and(match self.state {
            State::Completing => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        });
        if checked.is_ok()
            && let Some(member) = self.members.get_mut(id)
        {
            member.expires_at = now.plus(member.session);
        }
        let mut topics = Vec::new();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for partition in &topic.partitions {
                if checked.is_ok() {
                    let key = (topic.name.to_string(), partition.index);
                    let before = self.offsets.insert(key, partition.committed_offset);
                    assert!(
                        outside || before.is_none_or(|before| before <= partition.committed_offset),
                        "the offset of {} went back from {before:?} to {}",
                        partition.index,
                        partition.committed_offset
                    );
                }
                partitions.push(OffsetCommitPartitionResult {
                    index: partition.index,
                    error_code: checked.err().map_or(0, ErrorCode::code),
                });
            }
            topics.push(OffsetCommitTopicResult {
                name: topic.name.clone(),
                partitions,
            });
        }
        OffsetCommitResponse {
            topics,
            ..Default::default()
        }
    }

    fn check(&self, id: &str, generation: i32) -> Result<(), ErrorCode> {
        match self.members.get(id) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(_) if generation != self.generation => Err(ErrorCode::IllegalGeneration),
            Some(_) => Ok(()),
        }
    }
}

impl Member {
    /// What it says under a strategy.
    fn metadata(&self, protocol: &str) -> Bytes {
        let mut protocols = self.protocols.iter();
        let said = protocols.find(|(name, _)| name == protocol);
        said.map(|(_, metadata)| metadata.clone()).unwrap()
    }
}

fn places(topics: &[(String, Vec<i32>)]) -> Vec<(String, i32)> {
    let topic = |(topic, partitions): &(String, Vec<i32>)| {
        let place = |partition: &i32| (topic.clone(), *partition);
        partitions.iter().map(place).collect::<Vec<_>>()
    };
    topics.iter().flat_map(topic).collect()
}

fn sync_refused(code: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: code.code(),
        ..Default::default()
    }
}
