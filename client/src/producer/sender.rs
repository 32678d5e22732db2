//! The task that sends: looks at the queues, groups by leader, takes note of the answers.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Only this task takes batches out of the queues, and it hands each to its session before it
//!   takes the next of that partition: the order of the session is the order of the records.
//! - Nothing here waits for a broker: leaders, producer ids and answers come from tasks, whose
//!   number is bounded by the topics and by `max_in_flight` of each broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::exchange::{BoxFuture, ExchangeError};
use highwater_proto::kafka::messages::init_producer_id::InitProducerIdRequest;
use highwater_proto::kafka::messages::produce::ProduceRequest;
use highwater_proto::kafka::{ApiRequest, Response};
use tokio::task::JoinSet;

use super::Shared;
use super::queues::Slot;
use super::request::{self, Answer, Sent};
use super::rules::Rules;
use crate::backoff::Question;
use crate::cluster::{Cluster, Node, no_answer};
use crate::error::ClientError;

/// Who sends, for the broker to recognise a repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

/// Runs until the producer is closed and everything is answered.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut sender = Sender {
        shared,
        tasks: JoinSet::new(),
        identity: None,
        identity_question: Question::default(),
        leader_questions: HashMap::new(),
        in_flight: HashMap::new(),
        trouble: None,
    };
    loop {
        let wake_at = sender.dispatch();
        if sender.shared.queues.is_finished() {
            return;
        }
        sender.wait(wake_at).await;
    }
}

struct Sender {
    shared: Arc<Shared>,
    tasks: JoinSet<Event>,
    identity: Option<Identity>,
    identity_question: Question,
    /// By the index of the topic.
    leader_questions: HashMap<usize, Question>,
    /// Requests on their way, by the broker's address.
    in_flight: HashMap<Arc<str>, usize>,
    /// What went wrong lately with leaders and producer ids.
    trouble: Option<ClientError>,
}

/// What a task has found out.
enum Event {
    Answered {
        node: Node,
        sent: Vec<Sent>,
        answer: Result<Option<Response>, ClientError>,
    },
    Leader {
        topic: usize,
        name: Str,
        partitions: Result<usize, ClientError>,
    },
    Identity(Result<Identity, ClientError>),
}

/// Batches for one broker.
struct Group {
    node: Node,
    slots: Vec<Slot>,
    names: HashMap<usize, Str>,
}

impl Sender {
    /// Sends all that can be sent now; gives the moment to look again if nothing happens.
    fn dispatch(&mut self) -> Option<Mono> {
        let shared = Arc::clone(&self.shared);
        let now = shared.cluster.clock().now().mono;
        let trouble = self.trouble.clone();
        let rules = Rules {
            now,
            config: &shared.config,
            hurry: shared.waiting.load(Ordering::Relaxed) > 0,
            identity: self.identity,
            trouble: trouble.as_ref(),
        };
        let survey = shared.queues.survey(&rules);
        shared.reclaim(survey.ended);
        let mut wake_at = survey.wake_at;
        let mut wake = |at: Option<Mono>| wake_at = wake_at.into_iter().chain(at).min();
        if survey.needs_identity {
            wake(self.ask_identity(now));
        }
        let (groups, later) = self.by_leader(survey.ready, now);
        wake(later);
        for group in groups {
            while self.may_send(&group.node) {
                let (sent, later) = self.send(&group, &rules);
                wake(later);
                if !sent {
                    break;
                }
            }
        }
        wake_at
    }

    fn may_send(&self, node: &Node) -> bool {
        let count = self.in_flight.get(&node.address).copied().unwrap_or(0);
        count < self.shared.config.max_in_flight
    }

    /// Groups partitions by their leaders, as far as those are known; asks for the others.
    fn by_leader(&mut self, ready: Vec<(Slot, Str)>, now: Mono) -> (Vec<Group>, Option<Mono>) {
        let mut groups: Vec<Group> = Vec::new();
        let mut later = None;
        for (slot, name) in ready {
            let Some(node) = self.shared.cluster.open_leader(&name, slot.number()) else {
                let asked = self.ask_leader(slot, name, now);
                later = later.into_iter().chain(asked).min();
                continue;
            };
            let group = groups
                .iter_mut()
                .find(|group| group.node.address == node.address);
            let group = match group {
                Some(group) => group,
                None => {
                    groups.push(Group {
                        node,
                        slots: Vec::new(),
                        names: HashMap::new(),
                    });
                    let Some(group) = groups.last_mut() else {
                        continue;
                    };
                    group
                }
            };
            group.slots.push(slot);
            group.names.entry(slot.topic).or_insert(name);
        }
        (groups, later)
    }

    /// One request with one batch of each partition; whether there was any, and when what lingers
    /// behind them may leave.
    fn send(&mut self, group: &Group, rules: &Rules<'_>) -> (bool, Option<Mono>) {
        let config = &self.shared.config;
        let bytes_max = config.max_request_size;
        let (mut taken, later) =
            self.shared
                .queues
                .take(&group.slots, rules, self.identity, bytes_max);
        if taken.is_empty() {
            return (false, None);
        }
        taken.sort_by_key(|(slot, _)| *slot);
        let mut sent = Vec::with_capacity(taken.len());
        let mut records: Vec<Bytes> = Vec::with_capacity(taken.len());
        let mut limit = Duration::from_millis(config.request_timeout_ms);
        for (slot, mut batch) in taken {
            limit = limit.min(rules.deadline(&batch).since(rules.now));
            match batch.build() {
                Ok(bytes) => {
                    let topic = group.names.get(&slot.topic).cloned().unwrap_or_default();
                    records.push(bytes);
                    sent.push(Sent { slot, topic, batch });
                }
                Err(error) => {
                    let failed = std::iter::once((slot, batch, Err(error)));
                    self.shared
                        .reclaim(self.shared.queues.settle(failed, rules));
                }
            }
        }
        if !sent.is_empty() {
            let request = request::request(config, &sent, records);
            self.start(group.node.clone(), sent, request, limit);
        }
        (true, later)
    }

    /// Hands a request to its session, and leaves the answer to a task.
    fn start(&mut self, node: Node, sent: Vec<Sent>, request: ProduceRequest, limit: Duration) {
        *self.in_flight.entry(Arc::clone(&node.address)).or_default() += 1;
        let version = node.version::<ProduceRequest>(PRODUCE_VERSION_MAX);
        let answer = version.map(|version| node.exchange.send(version, request.into_request()));
        let cluster = Arc::clone(&self.shared.cluster);
        self.tasks.spawn(async move {
            let answer = match answer {
                Ok(answer) => within(&cluster, &node, limit, answer).await,
                Err(error) => Err(error),
            };
            Event::Answered { node, sent, answer }
        });
    }

    /// Asks for the leaders of a topic and opens a session with one of them.
    fn ask_leader(&mut self, slot: Slot, name: Str, now: Mono) -> Option<Mono> {
        if let Err(later) = self
            .leader_questions
            .entry(slot.topic)
            .or_default()
            .ask(now)
        {
            return later;
        }
        let cluster = Arc::clone(&self.shared.cluster);
        self.tasks.spawn(async move {
            let partitions = match cluster.leader(&name, slot.number()).await {
                Ok(_) => cluster.topic(&name).await.map(|topic| topic.leaders.len()),
                Err(error) => {
                    cluster.forget_topic(&name);
                    Err(error)
                }
            };
            Event::Leader {
                topic: slot.topic,
                name,
                partitions,
            }
        });
        None
    }

    fn ask_identity(&mut self, now: Mono) -> Option<Mono> {
        if let Err(later) = self.identity_question.ask(now) {
            return later;
        }
        let cluster = Arc::clone(&self.shared.cluster);
        self.tasks
            .spawn(async move { Event::Identity(new_identity(&cluster).await) });
        None
    }

    /// Waits for an answer, for work, or for the moment to look again.
    async fn wait(&mut self, wake_at: Option<Mono>) {
        let shared = Arc::clone(&self.shared);
        let sleep = async {
            match wake_at {
                Some(at) => shared.cluster.clock().sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = self.tasks.join_next() => {
                let mut next = Some(event);
                while let Some(event) = next {
                    match event {
                        Ok(event) => self.handle(event),
                        Err(error) => tracing::error!(%error, "a task of the producer ended"),
                    }
                    next = self.tasks.try_join_next();
                }
            }
            () = shared.work.notified() => {}
            () = sleep => {}
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.shared.cluster.clock().now().mono;
        let first = Duration::from_millis(self.shared.config.retry_backoff_ms);
        match event {
            Event::Answered { node, sent, answer } => self.answered(&node, sent, answer, now),
            Event::Leader {
                topic,
                name,
                partitions,
            } => {
                let question = self.leader_questions.entry(topic).or_default();
                question.answered(now, first, partitions.is_ok());
                match partitions {
                    Ok(count) => self.shared.queues.learn(&name, count),
                    Err(error) => self.note_trouble(error),
                }
            }
            Event::Identity(identity) => {
                self.identity_question
                    .answered(now, first, identity.is_ok());
                match identity {
                    Ok(identity) => self.identity = Some(identity),
                    Err(error) => self.note_trouble(error),
                }
            }
        }
    }

    fn note_trouble(&mut self, error: ClientError) {
        tracing::warn!(%error, "the producer cannot send now and will try again");
        self.trouble = Some(error);
    }

    fn answered(
        &mut self,
        node: &Node,
        sent: Vec<Sent>,
        answer: Result<Option<Response>, ClientError>,
        now: Mono,
    ) {
        if let Some(count) = self.in_flight.get_mut(&node.address) {
            *count -= 1;
        }
        if answer.is_err() {
            self.shared.cluster.forget(node, None);
        }
        let shared = Arc::clone(&self.shared);
        let rules = Rules {
            now,
            config: &shared.config,
            hurry: false,
            identity: self.identity,
            trouble: None,
        };
        let answer = Answer::new(&sent, answer);
        self.look_for_moves(&sent, &answer);
        let results = answer.results;
        let answers = sent.into_iter().zip(results);
        let answers = answers.map(|(sent, result)| (sent.slot, sent.batch, result));
        shared.reclaim(shared.queues.settle(answers, &rules));
    }

    /// Takes note of what proves wrong what is known of the leaders.
    fn look_for_moves(&self, sent: &[Sent], answer: &Answer) {
        let cluster = &self.shared.cluster;
        for (id, host, port) in &answer.brokers {
            cluster.learn_broker(*id, host, *port);
        }
        for (index, (sent, result)) in sent.iter().zip(&answer.results).enumerate() {
            let Err(error) = result else {
                continue;
            };
            let (topic, partition) = (&sent.topic, sent.slot.number());
            tracing::debug!(%error, %topic, partition, "a batch failed");
            if error.code().is_some_and(is_move) {
                let leader = answer.leaders.get(index).copied().flatten();
                cluster.moved(topic, partition, leader);
            } else if error.is_retriable() {
                cluster.forget_topic(topic);
            }
        }
    }
}

/// Whether the broker does not lead the partition, or not any more.
const fn is_move(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
    )
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

async fn within(
    cluster: &Cluster,
    node: &Node,
    limit: Duration,
    answer: BoxFuture<'static, Result<Option<Response>, ExchangeError>>,
) -> Result<Option<Response>, ClientError> {
    match cluster.within(limit, answer).await {
        Some(answer) => answer.map_err(ClientError::from),
        None => Err(no_answer(&node.address, limit)),
    }
}

async fn new_identity(cluster: &Cluster) -> Result<Identity, ClientError> {
    let node = cluster.any().await?;
    let version = node.version::<InitProducerIdRequest>(IDENTITY_VERSION_MAX)?;
    let request = InitProducerIdRequest {
        transaction_timeout_ms: i32::MAX,
        ..Default::default()
    };
    let response = cluster
        .call(&node, version, request, cluster.limits().request)
        .await?;
    ClientError::check(response.error_code, None)?;
    Ok(Identity {
        id: response.producer_id,
        epoch: response.producer_epoch,
    })
}

/// The newest layout with names of topics that this client has been proven with.
const PRODUCE_VERSION_MAX: i16 = 11;

/// As [`PRODUCE_VERSION_MAX`], for InitProducerId.
const IDENTITY_VERSION_MAX: i16 = 4;
