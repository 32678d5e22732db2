//! A member of a group: joins, leads if it is told to, reads what it is given, commits how far it
//! got; sometimes it falls silent, leaves, or dies and comes back as another one.

mod reading;

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_broker::error::GroupError;
use highwater_broker::service::groups::{self, Join, Joined, Leaving, Sync};
use highwater_broker::service::offsets::OffsetAt;
use highwater_kit::rng::Rng;

use super::TOPICS;
use super::committer::{Pointer, commit};
use crate::broker_life::book::Oracle;
use crate::broker_life::life::{Life, Request};
use crate::broker_life::model::{Place, Value};
use crate::broker_life::plan::Plan;

/// A member between two steps.
pub(in crate::broker_life) struct Member {
    client: u32,
    group: String,
    rng: Rng,
    /// Clients that it was before.
    deaths: u32,
    is_unreliable: bool,
    /// The id that the broker gave it; empty for none.
    id: String,
    generation: i32,
    is_in: bool,
    positions: BTreeMap<(String, i32), Position>,
    /// Values that it sends while it waits for records.
    numbers: u32,
}

/// How far a member has read a partition.
#[derive(Clone, Debug)]
struct Position {
    place: Place,
    next: i64,
    /// The epoch of the record before it; -1 for none.
    epoch: i32,
    /// That record.
    last: Option<(i64, Value)>,
    /// Whether it was durable when it was read, and all before it.
    is_durable: bool,
}

impl Member {
    pub(in crate::broker_life) const fn new(
        client: u32,
        group: String,
        plan: &Plan,
        rng: Rng,
    ) -> Self {
        Self {
            client,
            group,
            rng,
            deaths: 0,
            is_unreliable: plan.unreliable,
            id: String::new(),
            generation: -1,
            is_in: false,
            positions: BTreeMap::new(),
            numbers: 0,
        }
    }

    pub(in crate::broker_life) async fn step(&mut self, life: &Life) {
        if !self.is_in {
            self.join(life).await;
            return;
        }
        match self.rng.below(100) {
            0..=14 => {
                let ms = self.rng.pick(&[1, 20, 500]);
                life.ask(Request::Long("a pause"), life.clock.sleep_ms(ms))
                    .await;
            }
            15..=29 => self.heartbeat(life).await,
            30..=44 => self.commit(life).await,
            45..=47 => self.leave(life).await,
            48..=51 if self.is_unreliable => {
                // Longer than its session: the others go on without it.
                let silence = life.clock.sleep_ms(2 * SESSION_MS.unsigned_abs() as u64);
                life.ask(Request::Long("a silence"), silence).await;
            }
            52..=54 if self.is_unreliable => {
                self.deaths += 1;
                self.id.clear();
                self.is_in = false;
            }
            _ => self.read(life).await,
        }
    }

    fn as_member(&self) -> groups::Member {
        groups::Member {
            member_id: self.id.clone(),
            instance_id: None,
            generation: self.generation,
        }
    }

    /// One attempt to be in.
    async fn join(&mut self, life: &Life) {
        let join = Join {
            member_id: self.id.clone(),
            new_member_id: format!("m{}-{}-{}", self.client, self.deaths, self.rng.bits()),
            client_id: format!("c{}", self.client),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: SESSION_MS,
            rebalance_timeout_ms: SESSION_MS,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(SUBSCRIPTION))],
            known_member_only: true,
            ..Join::default()
        };
        let asked = life.service.join_group(self.group.clone(), join);
        let answer = life.ask(Request::Long("join"), asked).await;
        match answer {
            Some(Ok(joined)) => {
                life.note(format!(
                    "{} is in generation {}",
                    joined.member_id, joined.generation
                ));
                life.model().saw_generation(&self.group, joined.generation);
                self.id.clone_from(&joined.member_id);
                self.generation = joined.generation;
                self.sync(life, joined).await;
            }
            Some(Err(GroupError::MemberIdRequired { member_id })) => self.id = member_id,
            Some(Err(error)) => self.turned_away(life, &error).await,
            None => {}
        }
    }

    async fn sync(&mut self, life: &Life, joined: Joined) {
        let leads = joined.leader == self.id;
        let assignments = if leads {
            share(life, &joined)
        } else {
            Vec::new()
        };
        if leads {
            let mut model = life.model();
            let group = model.groups.entry(self.group.clone()).or_default();
            for (member, text) in &assignments {
                let key = (joined.generation, member.clone());
                group.brought.insert(key, text.clone());
            }
        }
        let sync = Sync {
            member: self.as_member(),
            protocol_type: Some("consumer".to_owned()),
            protocol: Some("range".to_owned()),
            assignments: assignments
                .into_iter()
                .map(|(member, text)| (member, Bytes::from(text)))
                .collect(),
        };
        let asked = life.service.sync_group(self.group.clone(), sync);
        match life.ask(Request::Long("sync"), asked).await {
            Some(Ok(synced)) => {
                let text = String::from_utf8_lossy(&synced.assignment).into_owned();
                self.assigned(life, &text);
                self.begin(life, &text).await;
            }
            Some(Err(error)) => self.turned_away(life, &error).await,
            None => {}
        }
    }

    fn assigned(&mut self, life: &Life, text: &str) {
        let (generation, id) = (self.generation, self.id.clone());
        life.note(format!("{id} works on {text:?} in generation {generation}"));
        self.is_in = true;
        let mut model = life.model();
        model.book.stats.generations += 1;
        let group = model.groups.entry(self.group.clone()).or_default();
        group.synced = group.synced.max(generation);
        let brought = group.brought.get(&(generation, id.clone()));
        if brought.is_none_or(|brought| brought != text) {
            let text = format!(
                "group {}: {id} is told {text:?} in generation {generation}, its leader said \
                 {brought:?}",
                self.group
            );
            model.broken(Oracle::O15, text);
        }
    }

    /// Looks up where to go on.
    async fn begin(&mut self, life: &Life, text: &str) {
        self.positions.clear();
        for one in text.split(',').filter(|one| !one.is_empty()) {
            let Some((topic, partition)) = one.split_once('/') else {
                continue;
            };
            let partition: i32 = partition.parse().expect("the leader wrote a number");
            let Some(id) = life.model().sure_id(topic) else {
                continue;
            };
            let place = (id, partition);
            let of = [(topic.to_owned(), partition)];
            let fetched = life.service.fetch_offsets(&self.group, Some(&of));
            let committed = fetched.first().map_or(-1, |fetched| fetched.offset);
            let epoch = fetched.first().map_or(-1, |fetched| fetched.leader_epoch);
            // No await since the id was looked up.
            life.model().saw_committed(&self.group, place, committed);
            let next = match committed {
                -1 => life
                    .offset_at(topic, partition, OffsetAt::Earliest)
                    .await
                    .map(|at| at.offset.0),
                committed => Some(committed),
            };
            let Some(next) = next else { continue };
            let position = Position {
                place,
                next,
                epoch: if committed == -1 { -1 } else { epoch },
                last: None,
                is_durable: false,
            };
            self.positions
                .insert((topic.to_owned(), partition), position);
        }
    }

    async fn heartbeat(&mut self, life: &Life) {
        let (group, member) = (self.group.clone(), self.as_member());
        let asked = life.service.heartbeat(&group, member);
        match life.ask(Request::Short("heartbeat"), asked).await {
            Some(Ok(())) => {
                let generation = self.generation;
                let mut model = life.model();
                let synced = model.groups.get(&group).map_or(0, |group| group.synced);
                if generation < synced {
                    let text = format!(
                        "group {group}: {} of generation {generation} is fine, though the \
                         assignments of generation {synced} were given out",
                        self.id
                    );
                    model.broken(Oracle::O15, text);
                }
            }
            Some(Err(error)) => self.turned_away(life, &error).await,
            None => {}
        }
    }

    async fn commit(&mut self, life: &Life) {
        let pointers: Vec<Pointer> = {
            let model = life.model();
            let sure = |((topic, _), position): (&(String, i32), &Position)| {
                let is_there = model.sure_id(topic) == Some(position.place.0);
                is_there.then(|| Pointer {
                    topic: topic.clone(),
                    place: position.place,
                    offset: position.next,
                    epoch: position.epoch,
                })
            };
            self.positions.iter().filter_map(sure).collect()
        };
        let gives_up = (self.is_unreliable && self.rng.percent(15)).then(|| self.rng.below(8));
        let committed = commit(life, &self.group, self.as_member(), pointers, gives_up).await;
        if let Err(error) = committed {
            self.turned_away(life, &error).await;
        }
    }

    async fn leave(&mut self, life: &Life) {
        let leaving = vec![Leaving {
            member_id: self.id.clone(),
            instance_id: None,
        }];
        let asked = life.service.leave_group(self.group.clone(), leaving);
        let answer = life.ask(Request::Short("leave"), asked).await;
        life.note(format!("{} leaves: {answer:?}", self.id));
        self.id.clear();
        self.is_in = false;
    }

    /// The group has gone on, or cannot be served.
    async fn turned_away(&mut self, life: &Life, error: &GroupError) {
        life.note(format!("{} of {}: {error}", self.id, self.group));
        match error {
            GroupError::UnknownMember => {
                self.id.clear();
                self.is_in = false;
            }
            GroupError::RebalanceInProgress | GroupError::IllegalGeneration { .. } => {
                self.is_in = false;
            }
            GroupError::Unavailable { .. } => {
                // Nobody is helped by asking at once again.
                life.ask(Request::Long("a pause"), life.clock.sleep_ms(50))
                    .await;
                return;
            }
            _ => life.broken(
                Oracle::O14,
                format!("{} of {}: {error}", self.id, self.group),
            ),
        }
        life.model().book.stats.fenced += 1;
    }
}

/// Every partition that is there, to the members in turn.
fn share(life: &Life, joined: &Joined) -> Vec<(String, String)> {
    let mut shares: Vec<(String, String)> = joined
        .members
        .iter()
        .map(|member| (member.member_id.clone(), String::new()))
        .collect();
    let model = life.model();
    let partitions = TOPICS.iter().flat_map(|topic| {
        let count = model
            .sure_id(topic)
            .map_or(0, |_| model.topics[*topic].partitions);
        (0..count).map(move |partition| format!("{topic}/{partition},"))
    });
    let count = shares.len().max(1);
    for (at, partition) in partitions.enumerate() {
        if let Some((_, share)) = shares.get_mut(at % count) {
            share.push_str(&partition);
        }
    }
    shares
}

/// `session.timeout.ms`, the shortest that a broker takes.
const SESSION_MS: i32 = 6_000;
/// What a consumer says of its subscription; nobody here reads it.
const SUBSCRIPTION: &[u8] = &[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
