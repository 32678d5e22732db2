//! The consumer: assigned partitions in, records out.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - Each record of a partition is given once and in order, until `seek` says otherwise.
//! - Of each leader at most one answer is being handed out and one more is fetched ahead: twice
//!   `fetch.max.bytes`, and one decompressed batch.
//! - Nothing is lost when a `poll` is dropped: tasks do the waiting, `poll` only collects.

mod assigned;
mod buffer;
mod fetch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::clock::Mono;
use tokio::task::JoinSet;

use crate::admin::{Admin, OffsetSpec};
use crate::backoff::Question;
use crate::cluster::{Cluster, Node};
use crate::config::{ConsumerConfig, OffsetReset};
use crate::error::{ClientError, unknown_partition};
use crate::record::ConsumerRecord;
use assigned::{Asked, Assigned};
use fetch::{Fetched, Found, fetch, found, request};

/// Where to begin to read a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record.
    Earliest,
    /// Behind the newest record: only what comes from now on.
    Latest,
    /// At an offset.
    Offset(i64),
    /// At the first record that is not older, in milliseconds since 1970; at the end if none is.
    Timestamp(i64),
}

/// Reads records; made by [`crate::Client::consumer`].
///
/// ```no_run
/// use std::time::Duration;
/// use highwater_client::{Client, ConsumerConfig, StartAt};
///
/// # async fn run(client: Client) -> Result<(), highwater_client::ClientError> {
/// let mut consumer = client.consumer(ConsumerConfig::default());
/// consumer.assign("flights", 0, StartAt::Earliest).await?;
/// loop {
///     for record in consumer.poll(Duration::from_millis(500)).await? {
///         println!("{}: {:?}", record.offset, record.value);
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    /// Asks on the client's sessions: on its own ones, a fetch that waits would hold the answer up.
    admin: Admin,
    topics: Arc<Cluster>,
    /// The sessions that fetches wait on.
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    partitions: Vec<Assigned>,
    generation: u64,
    /// The partition whose turn it is to give records.
    turn: usize,
    /// The partition whose turn it is to be first in a fetch.
    fetch_turn: usize,
    tasks: JoinSet<Event>,
    /// By the leader's address: a fetch on its way, or an answer that waits to be handed out.
    leaders: HashMap<Arc<str>, Option<Fetched>>,
    /// By topic: who leads its partitions.
    questions: HashMap<Arc<str>, Question>,
}

/// What a task has found out.
#[derive(Debug)]
enum Event {
    Fetched(Fetched),
    Leader(Asked, Result<(), ClientError>),
    Offset(Asked, Result<i64, ClientError>),
}

impl Consumer {
    pub(crate) fn new(cluster: &Arc<Cluster>, config: ConsumerConfig) -> Self {
        Self {
            admin: Admin::new(Arc::clone(cluster)),
            topics: Arc::clone(cluster),
            cluster: Arc::new(cluster.with_own_sessions()),
            config,
            partitions: Vec::new(),
            generation: 0,
            turn: 0,
            fetch_turn: 0,
            tasks: JoinSet::new(),
            leaders: HashMap::new(),
            questions: HashMap::new(),
        }
    }

    /// Adds a partition, or moves it if it is assigned already. The place is looked up now: after
    /// `Latest`, a record that is stored later is read.
    ///
    /// # Errors
    /// `Broker` with `UNKNOWN_TOPIC_OR_PARTITION` if there is no such partition.
    pub async fn assign(
        &mut self,
        topic: &str,
        partition: i32,
        from: StartAt,
    ) -> Result<(), ClientError> {
        let known = self.topics.topic(topic).await?.leaders.len();
        if usize::try_from(partition).map_or(true, |index| index >= known) {
            self.topics.forget_topic(topic);
            return Err(unknown_partition(topic, partition));
        }
        let offset = offset_of(&self.admin, topic, partition, from).await?;
        self.generation += 1;
        let topic: Arc<str> = Arc::from(topic);
        let asked = Asked {
            topic,
            partition,
            generation: self.generation,
        };
        let assigned = Assigned::new(asked, offset);
        match self.index(&assigned.asked.topic, partition) {
            Some(index) => {
                if let Some(place) = self.partitions.get_mut(index) {
                    *place = assigned;
                }
            }
            None => self.partitions.push(assigned),
        }
        Ok(())
    }

    /// Assigns every partition that the topic has now; gives their number.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn assign_topic(&mut self, topic: &str, from: StartAt) -> Result<i32, ClientError> {
        // Asked anew, because partitions may have been added.
        self.topics.forget_topic(topic);
        let count = self.topics.topic(topic).await?.leaders.len();
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        for partition in 0..count {
            self.assign(topic, partition, from).await?;
        }
        Ok(count)
    }

    /// Reads a partition no more; what was fetched of it is dropped.
    pub fn unassign(&mut self, topic: &str, partition: i32) {
        self.partitions
            .retain(|it| *it.asked.topic != *topic || it.asked.partition != partition);
    }

    /// The partitions that are read.
    #[must_use]
    pub fn assignment(&self) -> Vec<(Arc<str>, i32)> {
        let asked = |it: &Assigned| (Arc::clone(&it.asked.topic), it.asked.partition);
        self.partitions.iter().map(asked).collect()
    }

    /// Goes on at another place; also after an error that stopped the partition.
    ///
    /// # Errors
    /// `Invalid` if the partition is not assigned.
    pub async fn seek(
        &mut self,
        topic: &str,
        partition: i32,
        to: StartAt,
    ) -> Result<(), ClientError> {
        if self.index(topic, partition).is_none() {
            return Err(ClientError::Invalid(format!(
                "{topic}-{partition} is not assigned"
            )));
        }
        self.assign(topic, partition, to).await
    }

    /// The offset of the next record that [`Self::poll`] gives of a partition.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let assigned = self.partitions.get(self.index(topic, partition)?)?;
        Some(assigned.position)
    }

    /// The offset behind the newest record of each partition of a topic, by partition.
    ///
    /// # Errors
    /// As [`Self::assign`].
    pub async fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, ClientError> {
        let count = self.topics.topic(topic).await?.leaders.len();
        let mut ends = Vec::with_capacity(count);
        for partition in 0..i32::try_from(count).unwrap_or(i32::MAX) {
            ends.push(offset_of(&self.admin, topic, partition, StartAt::Latest).await?);
        }
        Ok(ends)
    }

    /// Waits for records, and gives up to `max.poll.records` of them, of all partitions by turns.
    /// Empty if none came in time. A broker that cannot be reached is no error: it is tried again.
    ///
    /// # Errors
    /// What stopped a partition, such as `Corrupt` or, without `auto.offset.reset`, a `Broker`
    /// error `OFFSET_OUT_OF_RANGE`. It is told once; the partition stays where it is until
    /// [`Self::seek`], and the others go on. May be dropped and called again without a loss.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = self.now().plus(timeout);
        loop {
            while let Some(event) = self.tasks.try_join_next() {
                self.handle(event);
            }
            self.absorb();
            let later = self.ask();
            let records = self.collect();
            if !records.is_empty() {
                return Ok(records);
            }
            if let Some(error) = self.partitions.iter_mut().find_map(Assigned::error) {
                return Err(error);
            }
            if self.leaders.values().any(Option::is_some) {
                // What was handed out was of no use, so the next answer can be taken.
                continue;
            }
            if self.now() >= deadline {
                return Ok(records);
            }
            let wake_at = later.map_or(deadline, |later| later.min(deadline));
            let sleep = self.cluster.clock().sleep_until(wake_at);
            tokio::select! {
                biased;
                Some(event) = self.tasks.join_next() => self.handle(event),
                () = sleep => {}
            }
        }
    }

    fn now(&self) -> Mono {
        self.cluster.clock().now().mono
    }

    fn index(&self, topic: &str, partition: i32) -> Option<usize> {
        let is_it = |it: &Assigned| *it.asked.topic == *topic && it.asked.partition == partition;
        self.partitions.iter().position(is_it)
    }

    /// The partition that was meant, if it was not assigned anew since.
    fn same(&mut self, asked: &Asked) -> Option<&mut Assigned> {
        self.partitions.iter_mut().find(|it| it.asked == *asked)
    }

    fn handle(&mut self, event: Result<Event, tokio::task::JoinError>) {
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
        let config = self.config.clone();
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
                match found(partition) {
                    Found::Records(records) => it.fill(records.into_bytes()),
                    Found::OutOfRange(error) => it.out_of_range(config.auto_offset_reset, error),
                    Found::Failed(error) => {
                        self.cluster.forget_topic(&topic.name);
                        it.fail(error, now, config);
                    }
                }
            }
        }
    }

    /// Starts what can be asked now; gives the moment to look again if nothing happens.
    fn ask(&mut self) -> Option<Mono> {
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
        for (address, (node, indexes)) in groups {
            if !self.leaders.contains_key(&address) {
                self.start_fetch(node, &indexes);
            }
        }
        later
    }

    fn start_fetch(&mut self, node: Node, indexes: &[usize]) {
        let assigned: Vec<&Assigned> = indexes
            .iter()
            .filter_map(|index| self.partitions.get(*index))
            .collect();
        self.fetch_turn = self.fetch_turn.wrapping_add(1);
        let first = self.fetch_turn.checked_rem(assigned.len()).unwrap_or(0);
        let request = request(&self.config, &assigned, first);
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
        self.tasks.spawn(async move {
            let leader = cluster.leader(&asked.topic, asked.partition).await;
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
            let offset = offset_of(&admin, &asked.topic, asked.partition, start).await;
            Event::Offset(asked, offset)
        });
    }

    /// Takes records out of the buffers, by turns, up to `max.poll.records`.
    fn collect(&mut self) -> Vec<ConsumerRecord> {
        let mut records = Vec::new();
        let max = self.config.max_poll_records.max(1);
        let full = self.partitions.iter().filter(|it| it.has_records()).count();
        let share = max.checked_div(full).unwrap_or(max).max(1);
        while records.len() < max && self.partitions.iter().any(Assigned::has_records) {
            self.turn = self.turn.wrapping_add(1);
            let index = self.turn.checked_rem(self.partitions.len()).unwrap_or(0);
            if let Some(assigned) = self.partitions.get_mut(index) {
                let count = share.min(max - records.len());
                assigned.take(count, &mut records, &self.config);
            }
        }
        records
    }
}

async fn offset_of(
    admin: &Admin,
    topic: &str,
    partition: i32,
    at: StartAt,
) -> Result<i64, ClientError> {
    let spec = match at {
        StartAt::Offset(offset) if offset < 0 => {
            return Err(ClientError::Invalid(format!("there is no offset {offset}")));
        }
        StartAt::Offset(offset) => return Ok(offset),
        StartAt::Earliest => OffsetSpec::Earliest,
        StartAt::Latest => OffsetSpec::Latest,
        StartAt::Timestamp(timestamp) => OffsetSpec::Timestamp(timestamp),
    };
    let found = match admin.offset(topic, partition, spec).await? {
        Some(offset) => Some(offset),
        None => admin.offset(topic, partition, OffsetSpec::Latest).await?,
    };
    found.ok_or_else(|| ClientError::Unknown("the broker gave no offset".to_owned()))
}
