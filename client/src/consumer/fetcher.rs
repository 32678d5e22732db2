//! Fetching: from which leader, what was fetched, and whose turn it is to hand out.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - Of each leader at most one answer is being handed out and one more is fetched ahead.
//! - A partition that is paused holds nothing up: what was fetched of it behind records that wait
//!   is dropped and fetched again.
//! - Tasks do the waiting; what they found out is taken in when somebody looks.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use highwater_proto::clock::Sleep;
use tokio::task::{JoinError, JoinSet};

use super::StartAt;
use super::assigned::{Asked, Assigned};
use super::fetch::{Fetched, Found, fetch, found, request};
use crate::admin::Admin;
use crate::admin::OffsetSpec;
use crate::backoff::Question;
use crate::cluster::Cluster;
use crate::cluster::Node;
use crate::config::ConsumerConfig;
use crate::config::OffsetReset;
use crate::error::ClientError;
use crate::record::ConsumerRecord;

/// The assigned partitions and what is fetched of them.
#[derive(Debug)]
pub(super) struct Fetcher {
    /// Asks on the client's sessions: on its own ones, a fetch that waits would hold the answer up.
    pub(super) admin: Admin,
    /// The sessions that fetches wait on.
    cluster: Arc<Cluster>,
    config: Arc<ConsumerConfig>,
    pub(super) partitions: Vec<Assigned>,
    generation: u64,
    /// The partition whose turn it is to give records.
    turn: usize,
    /// How many records it may still give, one by one.
    run: usize,
    /// Where that one record lies on its way out.
    one: Vec<ConsumerRecord>,
    /// The partition whose turn it is to be first in a fetch.
    fetch_turn: usize,
    pub(super) tasks: JoinSet<Event>,
    /// By the leader's address: a fetch on its way, or an answer that waits to be handed out.
    leaders: HashMap<Arc<str>, Option<Fetched>>,
    /// By topic: who leads its partitions.
    questions: HashMap<Arc<str>, Question>,
}

/// What a task has found out.
#[derive(Debug)]
pub(super) enum Event {
    Fetched(Fetched),
    Leader(Asked, Result<(), ClientError>),
    Offset(Asked, Result<i64, ClientError>),
}

impl Fetcher {
    pub(super) fn new(cluster: &Arc<Cluster>, config: Arc<ConsumerConfig>) -> Self {
        Self {
            admin: Admin::new(Arc::clone(cluster)),
            cluster: Arc::new(cluster.with_own_sessions()),
            config,
            partitions: Vec::new(),
            generation: 0,
            turn: 0,
            run: 0,
            one: Vec::new(),
            fetch_turn: 0,
            tasks: JoinSet::new(),
            leaders: HashMap::new(),
            questions: HashMap::new(),
        }
    }

    pub(super) fn now(&self) -> Mono {
        self.cluster.clock().now().mono
    }

    /// A sleep until a moment.
    pub(super) fn sleep_until(&self, at: Mono) -> Sleep {
        self.cluster.clock().sleep_until(at)
    }

    /// Adds a partition that starts at an offset, or moves it there; without an offset it waits
    /// for one.
    pub(super) fn assign(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        offset: Option<i64>,
    ) -> Asked {
        self.generation += 1;
        let asked = Asked {
            topic: Arc::clone(topic),
            partition,
            generation: self.generation,
        };
        let mut assigned = Assigned::new(asked.clone(), offset);
        match self.index(topic, partition) {
            Some(index) => {
                if let Some(place) = self.partitions.get_mut(index) {
                    assigned.is_paused = place.is_paused;
                    *place = assigned;
                }
            }
            None => self.partitions.push(assigned),
        }
        asked
    }

    /// Takes in what the tasks have found out.
    pub(super) fn take_in(&mut self) {
        while let Some(event) = self.tasks.try_join_next() {
            self.handle(event);
        }
        self.absorb();
    }

    /// Whether an answer waits to be taken in.
    pub(super) fn has_answers(&self) -> bool {
        self.leaders.values().any(Option::is_some)
    }

    /// The error that stopped a partition, told once.
    pub(super) fn error(&mut self) -> Option<ClientError> {
        self.partitions.iter_mut().find_map(Assigned::error)
    }

    /// A partition that is assigned.
    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<&Assigned> {
        self.partitions.get(self.index(topic, partition)?)
    }

    pub(super) fn index(&self, topic: &str, partition: i32) -> Option<usize> {
        let is_it = |it: &Assigned| *it.asked.topic == *topic && it.asked.partition == partition;
        self.partitions.iter().position(is_it)
    }

    /// The partition that was meant, if it was not assigned anew since.
    pub(super) fn same(&mut self, asked: &Asked) -> Option<&mut Assigned> {
        self.partitions.iter_mut().find(|it| it.asked == *asked)
    }

    pub(super) fn handle(&mut self, event: Result<Event, JoinError>) {
        let now = self.now();
        let first = Duration::from_millis(self.config.retry_backoff_ms);
        match event {
            Ok(Event::Fetched(fetched)) => {
                self.leaders
                    .insert(Arc::clone(&fetched.node.address), Some(fetched));
            }
            Ok(Event::Leader(asked, result)) => {
                if let Some(question) = self.questions.get_mut(&asked.topic) {
                    question.answered(now, first, result.is_ok());
                }
                if let Err(error) = result {
                    self.fail(&asked, error, now);
                }
            }
            Ok(Event::Offset(asked, Ok(offset))) => {
                if let Some(assigned) = self.same(&asked) {
                    assigned.found(offset);
                }
            }
            Ok(Event::Offset(asked, Err(error))) => self.fail(&asked, error, now),
            Err(error) => tracing::error!(%error, "a task of the consumer ended"),
        }
    }

    fn fail(&mut self, asked: &Asked, error: ClientError, now: Mono) {
        let config = Arc::clone(&self.config);
        if let Some(assigned) = self.same(asked) {
            assigned.fail(error, now, &config);
        }
    }

    /// Moves answers into the buffers of their partitions, if those are empty.
    fn absorb(&mut self) {
        let full: Vec<Asked> = self
            .partitions
            .iter()
            .filter(|it| it.has_records())
            .map(|it| it.asked.clone())
            .collect();
        let fits = |fetched: &Fetched| !fetched.asked.iter().any(|asked| full.contains(asked));
        let fitting: Vec<Fetched> = self
            .leaders
            .extract_if(|_, answer| answer.as_ref().is_some_and(fits))
            .filter_map(|(_, answer)| answer)
            .collect();
        for fetched in fitting {
            self.take_answer(fetched);
        }
    }

    fn take_answer(&mut self, fetched: Fetched) {
        let now = self.now();
        let Fetched { asked, answer, .. } = fetched;
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                for asked in asked {
                    self.cluster.forget_topic(&asked.topic);
                    self.fail(&asked, error.clone(), now);
                }
                return;
            }
        };
        let config = &self.config;
        let places: HashMap<(&str, i32), &Asked> = asked
            .iter()
            .map(|asked| ((&*asked.topic, asked.partition), asked))
            .collect();
        let mut assigned: HashMap<Asked, &mut Assigned> = self
            .partitions
            .iter_mut()
            .map(|it| (it.asked.clone(), it))
            .collect();
        for topic in response.topics {
            for partition in topic.partitions {
                let asked = places.get(&(&*topic.name, partition.index));
                let Some(it) = asked.and_then(|asked| assigned.get_mut(*asked)) else {
                    continue;
                };
                let partition_index = partition.index;
                match found(partition) {
                    Found::Records(records, end) => it.fill(records.into_bytes(), end),
                    Found::OutOfRange(error) => it.out_of_range(config.auto_offset_reset, error),
                    Found::Moved(error, leader) => {
                        self.cluster.moved(&topic.name, partition_index, leader);
                        it.fail(error, now, config);
                    }
                    Found::Failed(error) => {
                        self.cluster.forget_topic(&topic.name);
                        it.fail(error, now, config);
                    }
                }
            }
        }
    }

    /// Starts what can be asked now; gives the moment to look again if nothing happens.
    pub(super) fn ask(&mut self) -> Option<Mono> {
        let now = self.now();
        let mut later: Option<Mono> = None;
        let mut groups: HashMap<Arc<str>, (Node, Vec<usize>)> = HashMap::new();
        for index in 0..self.partitions.len() {
            let Some(assigned) = self.partitions.get_mut(index) else {
                continue;
            };
            if let Some(reset) = assigned.lost(now) {
                let asked = assigned.asked.clone();
                self.ask_offset(asked, reset);
                continue;
            }
            let at = match assigned.is_due(now) {
                Ok(()) => {
                    let asked = &assigned.asked;
                    match self.cluster.open_leader(&asked.topic, asked.partition) {
                        Some(node) => {
                            let address = Arc::clone(&node.address);
                            groups
                                .entry(address)
                                .or_insert((node, Vec::new()))
                                .1
                                .push(index);
                            None
                        }
                        None => {
                            let asked = asked.clone();
                            self.ask_leader(asked, now)
                        }
                    }
                }
                Err(at) => at,
            };
            later = later.into_iter().chain(at).min();
        }
        let mut leaders: HashSet<Arc<str>> = self.leaders.keys().cloned().collect();
        leaders.extend(groups.keys().cloned());
        for (address, (node, indexes)) in groups {
            if !self.leaders.contains_key(&address) {
                self.start_fetch(node, &indexes, leaders.len());
            }
        }
        later
    }

    fn start_fetch(&mut self, node: Node, indexes: &[usize], leaders_count: usize) {
        let assigned: Vec<&Assigned> = indexes
            .iter()
            .filter_map(|index| self.partitions.get(*index))
            .collect();
        self.fetch_turn = self.fetch_turn.wrapping_add(1);
        let first = self.fetch_turn.checked_rem(assigned.len()).unwrap_or(0);
        let request = request(&self.config, &assigned, (first, leaders_count));
        let asked = assigned.iter().map(|it| it.asked.clone()).collect();
        let wait_ms = u64::try_from(self.config.fetch_max_wait_ms).unwrap_or(0);
        let limit = Duration::from_millis(self.config.request_timeout_ms.saturating_add(wait_ms));
        self.leaders.insert(Arc::clone(&node.address), None);
        let cluster = Arc::clone(&self.cluster);
        self.tasks.spawn(async move {
            Event::Fetched(fetch(cluster, node, asked, request, limit).await)
        });
    }

    fn ask_leader(&mut self, asked: Asked, now: Mono) -> Option<Mono> {
        let question = self.questions.entry(Arc::clone(&asked.topic)).or_default();
        if let Err(later) = question.ask(now) {
            return later;
        }
        let cluster = Arc::clone(&self.cluster);
        let may_create = self.config.allow_auto_create_topics;
        self.tasks.spawn(async move {
            let leader = match may_create {
                true => cluster.leader(&asked.topic, asked.partition).await,
                false => cluster.existing_leader(&asked.topic, asked.partition).await,
            };
            if leader.is_err() {
                cluster.forget_topic(&asked.topic);
            }
            Event::Leader(asked, leader.map(drop))
        });
        None
    }

    fn ask_offset(&mut self, asked: Asked, reset: OffsetReset) {
        let start = match reset {
            OffsetReset::Earliest => StartAt::Earliest,
            OffsetReset::Latest | OffsetReset::None => StartAt::Latest,
        };
        let admin = self.admin.clone();
        self.tasks.spawn(async move {
            let offsets = offsets_of(&admin, &[(&asked.topic, asked.partition)], start).await;
            let offset = offsets.map(|offsets| offsets.first().copied().unwrap_or(0));
            Event::Offset(asked, offset)
        });
    }

    /// Takes records out of the buffers, by turns, up to `max.poll.records`.
    pub(super) fn collect(&mut self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        let max = self.config.max_poll_records.max(1);
        let full = self.partitions.iter().filter(|it| it.has_records()).count();
        let share = max.checked_div(full).unwrap_or(max).max(1);
        while records.len() < max && self.partitions.iter().any(Assigned::has_records) {
            self.turn = self.turn.wrapping_add(1);
            let index = self.turn.checked_rem(self.partitions.len()).unwrap_or(0);
            if let Some(assigned) = self.partitions.get_mut(index)
                && assigned.has_records()
            {
                let count = share.min(max - records.len());
                assigned.take(count, &mut records, &self.config);
            }
        }
        records
    }

    /// Takes one record out of the buffers; of each partition a run of them, by turns.
    pub(super) fn collect_one(&mut self) -> Option<ConsumerRecord> {
        while self.partitions.iter().any(Assigned::has_records) {
            let index = self.turn.checked_rem(self.partitions.len()).unwrap_or(0);
            match self.partitions.get_mut(index) {
                Some(assigned) if assigned.has_records() && self.run > 0 => {
                    self.run -= 1;
                    assigned.take(1, &mut self.one, &self.config);
                    if let Some(record) = self.one.pop() {
                        return Some(record);
                    }
                }
                _ => {
                    self.turn = self.turn.wrapping_add(1);
                    self.run = self.config.max_poll_records.max(1);
                }
            }
        }
        None
    }
}

/// Where a start lies now, in each of these partitions.
pub(crate) async fn offsets_of(
    admin: &Admin,
    places: &[(&str, i32)],
    at: StartAt,
) -> Result<Vec<i64>, ClientError> {
    let spec = match at {
        StartAt::Offset(offset) if offset < 0 => {
            return Err(ClientError::Invalid(format!("there is no offset {offset}")));
        }
        StartAt::Offset(offset) => return Ok(vec![offset; places.len()]),
        StartAt::Earliest => OffsetSpec::Earliest,
        StartAt::Latest => OffsetSpec::Latest,
        StartAt::Timestamp(timestamp) => OffsetSpec::Timestamp(timestamp),
    };
    let ask = async |spec| {
        let asked = places
            .iter()
            .map(|(topic, partition)| (*topic, *partition, spec));
        let found = admin.offsets(&asked.collect::<Vec<_>>()).await?;
        Ok::<_, ClientError>(found.into_iter().map(|it| it.offset).collect::<Vec<_>>())
    };
    let found = ask(spec).await?;
    // Where no record is young enough, the next one will be.
    let ends = match found.contains(&None) {
        true => ask(OffsetSpec::Latest).await?,
        false => vec![None; found.len()],
    };
    let offsets = found.into_iter().zip(ends).map(|(found, end)| {
        let why = || ClientError::Unknown("the broker gave no offset".to_owned());
        found.or(end).ok_or_else(why)
    });
    offsets.collect()
}
