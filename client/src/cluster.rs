//! Which broker leads which partition, and an open session with each.
//!
//! Floor 3 of client.
//!
//! Invariants
//! - One session per broker and purpose; a session that failed is forgotten, so that the next call
//!   dials again.
//! - What the cluster said is kept until a call proves it wrong.

mod coordinator;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::clock::Clock;
use highwater_proto::cursor::Str;
use highwater_proto::exchange::{Exchange, call};
use highwater_proto::kafka::messages::metadata::{
    MetadataBroker, MetadataRequest, MetadataResponse, MetadataTopic, MetadataTopicResponse,
};
use highwater_proto::kafka::{ApiKey, ApiRequest};

use crate::backoff::Backoff;
use crate::dial::Dial;
use crate::error::{ClientError, unknown_partition};

pub(crate) use coordinator::Terms;

/// A broker's session, and the name to forget it by.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) address: Arc<str>,
    pub(crate) exchange: Arc<dyn Exchange>,
}

impl Node {
    /// The highest version of an API up to `max` that both sides have.
    pub(crate) fn version<R: ApiRequest>(&self, max: i16) -> Result<i16, ClientError> {
        self.version_of(R::KEY, max)
    }

    /// As [`Self::version`], by key.
    pub(crate) fn version_of(&self, key: ApiKey, max: i16) -> Result<i16, ClientError> {
        match self.exchange.versions(key) {
            Some((low, high)) if low <= max => Ok(high.min(max)),
            _ => Err(self.lacks(key)),
        }
    }

    /// The highest version of an API out of a range that both sides have.
    pub(crate) fn version_within<R: ApiRequest>(
        &self,
        range: RangeInclusive<i16>,
    ) -> Result<i16, ClientError> {
        let version = self.version::<R>(*range.end())?;
        if range.contains(&version) {
            Ok(version)
        } else {
            Err(self.lacks(R::KEY))
        }
    }

    fn lacks(&self, key: ApiKey) -> ClientError {
        ClientError::Unsupported(format!(
            "the broker at {} has no version of {} that this client speaks",
            self.address,
            key.name()
        ))
    }
}

/// What a topic looks like from here.
#[derive(Clone, Debug)]
pub(crate) struct TopicInfo {
    /// The leader of each partition; -1 if there is none now.
    pub(crate) leaders: Arc<[i32]>,
}

#[derive(Debug, Default)]
struct State {
    addresses: HashMap<i32, Arc<str>>,
    topics: HashMap<String, TopicInfo>,
    sessions: HashMap<Arc<str>, Arc<dyn Exchange>>,
    /// By group: the address of its coordinator.
    coordinators: HashMap<String, Arc<str>>,
}

/// The brokers behind the bootstrap addresses.
#[derive(Debug)]
pub(crate) struct Cluster {
    bootstrap: Vec<Arc<str>>,
    dial: Arc<dyn Dial>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Cluster {
    pub(crate) fn new(
        bootstrap: Vec<Arc<str>>,
        dial: Arc<dyn Dial>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            bootstrap,
            dial,
            clock,
            state: Mutex::default(),
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// A cluster of the same brokers with sessions of its own: a long poll holds back what follows
    /// it on its session, so a consumer does not share one with a producer.
    pub(crate) fn with_own_sessions(&self) -> Self {
        Self::new(
            self.bootstrap.clone(),
            Arc::clone(&self.dial),
            Arc::clone(&self.clock),
        )
    }

    /// Any broker: the first bootstrap address that answers.
    pub(crate) async fn any(&self) -> Result<Node, ClientError> {
        let mut last = ClientError::Invalid("no bootstrap address was given".to_owned());
        for address in &self.bootstrap {
            match self.session(address).await {
                Ok(node) => return Ok(node),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Every broker of the cluster.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        let response = self.metadata(Some(&[]), false).await?;
        let mut nodes = Vec::with_capacity(response.brokers.len());
        for broker in &response.brokers {
            nodes.push(self.session(&address(broker)).await?);
        }
        Ok(nodes)
    }

    /// The broker that leads a partition, if that is known and a session with it is open.
    pub(crate) fn open_leader(&self, topic: &str, partition: i32) -> Option<Node> {
        let state = self.lock();
        let leaders = &state.topics.get(topic)?.leaders;
        let leader = leaders.get(usize::try_from(partition).ok()?)?;
        let address = state.addresses.get(leader)?;
        let exchange = state.sessions.get(address)?;
        Some(Node {
            address: Arc::clone(address),
            exchange: Arc::clone(exchange),
        })
    }

    /// The broker that leads a partition.
    pub(crate) async fn leader(&self, topic: &str, partition: i32) -> Result<Node, ClientError> {
        let info = self.topic(topic).await?;
        self.leader_in(&info, topic, partition).await
    }

    /// As [`Self::leader`], of a topic that is not created by being asked for. One try.
    pub(crate) async fn existing_leader(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Node, ClientError> {
        let known = self.lock().topics.get(topic).cloned();
        let info = match known {
            Some(info) => info,
            None => self.refresh(topic, false).await?,
        };
        self.leader_in(&info, topic, partition).await
    }

    async fn leader_in(
        &self,
        info: &TopicInfo,
        topic: &str,
        partition: i32,
    ) -> Result<Node, ClientError> {
        let index = usize::try_from(partition).ok();
        let leader = index.and_then(|index| info.leaders.get(index)).copied();
        let address = leader.and_then(|leader| self.lock().addresses.get(&leader).cloned());
        match address {
            Some(address) => self.session(&address).await,
            None => Err(unknown_partition(topic, partition)),
        }
    }

    /// A topic's partitions; created by the broker if it does that on demand.
    pub(crate) async fn topic(&self, topic: &str) -> Result<TopicInfo, ClientError> {
        if let Some(info) = self.lock().topics.get(topic) {
            return Ok(info.clone());
        }
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut tries = TOPIC_TRIES_MAX;
        loop {
            tries -= 1;
            match self.refresh(topic, true).await {
                Err(error) if error.is_retriable() && tries > 0 => {
                    let at = self.clock.now().mono.plus(backoff.next_pause());
                    self.clock.sleep_until(at).await;
                }
                done => return done,
            }
        }
    }

    /// Forgets a session that failed, and the topic that it was asked about.
    pub(crate) fn forget(&self, node: &Node, topic: Option<&str>) {
        let mut state = self.lock();
        let same = |open: &Arc<dyn Exchange>| Arc::ptr_eq(open, &node.exchange);
        if state.sessions.get(&node.address).is_some_and(same) {
            state.sessions.remove(&node.address);
        }
        if let Some(topic) = topic {
            state.topics.remove(topic);
        }
    }

    /// Forgets what is known of a topic, because its leader has moved or it is gone.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.lock().topics.remove(topic);
    }

    /// The metadata of the named topics, or of all.
    pub(crate) async fn metadata(
        &self,
        topics: Option<&[&str]>,
        allow_auto_topic_creation: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let node = self.any().await?;
        let version = node.version::<MetadataRequest>(12)?;
        let named = topics.map(|topics| {
            let by_name = |name: &&str| MetadataTopic {
                name: Some(Str::from((*name).to_owned())),
                ..MetadataTopic::default()
            };
            topics.iter().map(by_name).collect()
        });
        let request = MetadataRequest {
            topics: named,
            allow_auto_topic_creation,
            ..Default::default()
        };
        self.call(&node, version, request, REQUEST_TIMEOUT).await
    }

    /// One call with a time limit; a session on which it failed is forgotten.
    pub(crate) async fn call<R: ApiRequest>(
        &self,
        node: &Node,
        version: i16,
        request: R,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        let answer = call(&*node.exchange, version, request);
        let result = match self.within(timeout, answer).await {
            Some(answer) => answer.map_err(ClientError::from),
            None => Err(no_answer(&node.address, timeout)),
        };
        result.inspect_err(|_| self.forget(node, None))
    }

    /// What the future gives, or `None` after a time limit.
    pub(crate) async fn within<T>(
        &self,
        timeout: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let limit = self.clock.sleep_until(self.clock.now().mono.plus(timeout));
        tokio::select! {
            biased;
            value = future => Some(value),
            () = limit => None,
        }
    }

    async fn refresh(&self, topic: &str, create: bool) -> Result<TopicInfo, ClientError> {
        let response = self.metadata(Some(&[topic]), create).await?;
        let mut state = self.lock();
        for broker in &response.brokers {
            state.addresses.insert(broker.node_id, address(broker));
        }
        let found = response
            .topics
            .first()
            .ok_or_else(|| unknown_partition(topic, 0))?;
        ClientError::check(found.error_code, None)?;
        let info = TopicInfo {
            leaders: leaders(found),
        };
        state.topics.insert(topic.to_owned(), info.clone());
        Ok(info)
    }

    async fn session(&self, address: &Arc<str>) -> Result<Node, ClientError> {
        let open = self.lock().sessions.get(address).cloned();
        let exchange = match open {
            Some(exchange) => exchange,
            None => {
                let dialled = self.within(REQUEST_TIMEOUT, self.dial.dial(address)).await;
                let opened = dialled
                    .ok_or_else(|| ClientError::NotSent(format!("{address} does not answer")))??;
                // Two callers may have dialled: both take the session that came first.
                let mut state = self.lock();
                Arc::clone(state.sessions.entry(Arc::clone(address)).or_insert(opened))
            }
        };
        Ok(Node {
            address: Arc::clone(address),
            exchange,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is a cache: what a panicking thread left behind is at worst outdated.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address(broker: &MetadataBroker) -> Arc<str> {
    Arc::from(format!("{}:{}", broker.host, broker.port))
}

fn leaders(topic: &MetadataTopicResponse) -> Arc<[i32]> {
    let mut leaders = vec![-1; topic.partitions.len()];
    for partition in &topic.partitions {
        let index = usize::try_from(partition.index).ok();
        if let Some(leader) = index.and_then(|index| leaders.get_mut(index)) {
            *leader = partition.leader_id;
        }
    }
    leaders.into()
}

/// A request that may have been executed.
pub(crate) fn no_answer(address: &str, timeout: Duration) -> ClientError {
    ClientError::Unknown(format!(
        "{address} did not answer within {} ms",
        timeout.as_millis()
    ))
}

/// What a call may take; Kafka's `request.timeout.ms`.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the metadata of a topic is asked for before its error is passed on.
const TOPIC_TRIES_MAX: u32 = 10;
