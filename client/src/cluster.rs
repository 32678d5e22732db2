//! Which broker leads which partition, and an open session with each.
//!
//! Floor 3 of client.
//!
//! Invariants
//! - One session per broker and purpose; a session that failed is forgotten, so that the next call
//!   dials again.
//! - What the cluster said is kept until a call proves it wrong or `metadata.max.age.ms` is over.
//! - What is old is used until the news is there: only what proved wrong is not.

mod coordinator;
mod directory;
mod limits;
mod refresh;
mod sessions;

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::clock::{Clock, Mono};
use highwater_proto::cursor::Str;
use highwater_proto::exchange::{Exchange, call};
use highwater_proto::kafka::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataTopic,
};
use highwater_proto::kafka::{ApiKey, ApiRequest};

use crate::backoff::Backoff;
use crate::config::ClientConfig;
use crate::dial::Dial;
use crate::error::ClientError;
use directory::Directory;
use refresh::Refreshes;
use sessions::Sessions;

pub(crate) use coordinator::Terms;
pub(crate) use directory::{Leader, TopicInfo};
pub(crate) use limits::Limits;

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

/// The brokers behind the bootstrap addresses.
#[derive(Debug)]
pub(crate) struct Cluster {
    core: Arc<Core>,
    /// Those of `core`, or ones of its own.
    sessions: Arc<Sessions>,
}

/// What all parts of a client share.
#[derive(Debug)]
struct Core {
    bootstrap: Vec<Arc<str>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    sessions: Arc<Sessions>,
    directory: Mutex<Directory>,
    refreshes: Refreshes,
    coordinators: coordinator::Coordinators,
}

impl Cluster {
    pub(crate) fn new(
        bootstrap: Vec<Arc<str>>,
        dial: Arc<dyn Dial>,
        clock: Arc<dyn Clock>,
        config: &ClientConfig,
    ) -> Self {
        let limits = Limits::from(config);
        let sessions = Arc::new(Sessions::new(dial, Arc::clone(&clock), limits));
        let refresh_at = clock.now().mono.plus(limits.metadata_age);
        Self {
            sessions: Arc::clone(&sessions),
            core: Arc::new(Core {
                bootstrap,
                clock,
                limits,
                sessions,
                directory: Mutex::new(Directory::new(refresh_at)),
                refreshes: Refreshes::default(),
                coordinators: coordinator::Coordinators::default(),
            }),
        }
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.core.clock
    }

    /// How long calls may take.
    pub(crate) fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// The same cluster with sessions of its own: a long poll holds back what follows it on its
    /// session, so a consumer does not share one with a producer.
    pub(crate) fn with_own_sessions(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            sessions: Arc::new(self.sessions.others()),
        }
    }

    /// Any broker that can be reached.
    pub(crate) async fn any(&self) -> Result<Node, ClientError> {
        let mut last = no_address();
        for address in self.core.candidates(&self.sessions, None) {
            match self.session(&address).await {
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
            nodes.push(self.session(&directory::address_of(broker)).await?);
        }
        Ok(nodes)
    }

    /// One broker of the cluster, by its id.
    pub(crate) async fn broker(&self, id: i32) -> Result<Node, ClientError> {
        let response = self.metadata(Some(&[]), false).await?;
        let found = response.brokers.iter().find(|broker| broker.node_id == id);
        let found = found.ok_or_else(|| {
            let ids = response.brokers.iter().map(|it| it.node_id.to_string());
            let ids = ids.collect::<Vec<_>>().join(", ");
            ClientError::Invalid(format!("the cluster has no broker {id}, but {ids}"))
        })?;
        self.session(&directory::address_of(found)).await
    }

    /// The broker that leads a partition, if that is known and a session with it is open. Sees to
    /// it that what is old is asked for anew.
    pub(crate) fn open_leader(&self, topic: &str, partition: i32) -> Option<Node> {
        let (address, old) = {
            let mut directory = self.core.directory();
            let old = self.core.old_topics(&mut directory);
            (directory.leader(topic, partition), old)
        };
        if !old.is_empty() && tokio::runtime::Handle::try_current().is_ok() {
            drop(self.core.ask_for(old, false));
        }
        let address = address?;
        let exchange = self.sessions.open(&address)?;
        Some(Node { address, exchange })
    }

    /// The broker that leads a partition.
    pub(crate) async fn leader(&self, topic: &str, partition: i32) -> Result<Node, ClientError> {
        let known = self.core.directory().leader(topic, partition);
        let address = match known {
            Some(address) => Some(address),
            None => {
                self.ask_topic(topic).await?;
                self.core.directory().leader(topic, partition)
            }
        };
        self.led_from(address, topic, partition).await
    }

    /// As [`Self::leader`], of a topic that is not created by being asked for. One try.
    pub(crate) async fn existing_leader(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Node, ClientError> {
        let known = self.core.directory().leader(topic, partition);
        let address = match known {
            Some(address) => Some(address),
            None => {
                self.core.refresh(topic, false).await?;
                self.core.directory().leader(topic, partition)
            }
        };
        self.led_from(address, topic, partition).await
    }

    async fn led_from(
        &self,
        address: Option<Arc<str>>,
        topic: &str,
        partition: i32,
    ) -> Result<Node, ClientError> {
        match address {
            Some(address) => self.session(&address).await,
            None => Err(self.core.directory().why_no_leader(topic, partition)),
        }
    }

    /// A topic's partitions; created by the broker if it does that on demand.
    pub(crate) async fn topic(&self, topic: &str) -> Result<TopicInfo, ClientError> {
        let known = self.core.directory().topic(topic);
        match known {
            Some(info) => Ok(info),
            None => self.ask_topic(topic).await,
        }
    }

    async fn ask_topic(&self, topic: &str) -> Result<TopicInfo, ClientError> {
        let mut backoff = Backoff::new(TOPIC_PAUSE, self.limits().retry_max);
        let mut tries = TOPIC_TRIES_MAX;
        loop {
            tries -= 1;
            match self.core.refresh(topic, true).await {
                Err(error) if error.is_retriable() && tries > 0 => {
                    let at = backoff.next_try(self.now());
                    self.core.clock.sleep_until(at).await;
                }
                done => return done,
            }
        }
    }

    /// Forgets a session that failed, and the topic that it was asked about.
    pub(crate) fn forget(&self, node: &Node, topic: Option<&str>) {
        self.sessions.forget(&node.address, &node.exchange);
        if let Some(topic) = topic {
            self.forget_topic(topic);
        }
    }

    /// What is known of a topic has proved wrong, because its leaders have moved or it is gone.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.core.directory().doubt_topic(topic);
    }

    /// The leader of a partition turned out not to be it; it may have said who is.
    pub(crate) fn moved(&self, topic: &str, partition: i32, to: Option<Leader>) {
        self.core.directory().moved(topic, partition, to);
    }

    /// An answer told where a broker can be reached.
    pub(crate) fn learn_broker(&self, id: i32, host: &str, port: i32) {
        let address = directory::address(host, port);
        self.core.directory().learn_broker(id, address);
    }

    /// The metadata of the named topics, or of all.
    pub(crate) async fn metadata(
        &self,
        topics: Option<&[&str]>,
        allow_auto_topic_creation: bool,
    ) -> Result<MetadataResponse, ClientError> {
        self.core
            .metadata(topics, allow_auto_topic_creation, 0)
            .await
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
        within(&*self.core.clock, timeout, future).await
    }

    async fn session(&self, address: &Arc<str>) -> Result<Node, ClientError> {
        Ok(Node {
            address: Arc::clone(address),
            exchange: self.sessions.get(address).await?,
        })
    }

    fn now(&self) -> Mono {
        self.core.clock.now().mono
    }
}

impl Core {
    /// Where to ask what any broker can answer: first whoever is likely to, or, for the turn of a
    /// question that is asked again and again, the next one.
    fn candidates(&self, sessions: &Sessions, turn: Option<usize>) -> Vec<Arc<str>> {
        let mut addresses = self.bootstrap.clone();
        addresses.extend(self.directory().brokers());
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(Arc::clone(address)));
        if let Some(shift) = turn.unwrap_or(0).checked_rem(addresses.len()) {
            addresses.rotate_left(shift);
        }
        sessions.by_promise(&mut addresses, turn.is_some());
        addresses
    }

    /// Metadata from the first broker that answers. `turn` counts the questions that are asked
    /// until the answer helps; 0 for a single one.
    async fn metadata(
        &self,
        topics: Option<&[&str]>,
        allow_auto_topic_creation: bool,
        turn: usize,
    ) -> Result<MetadataResponse, ClientError> {
        let by_name = |name: &&str| MetadataTopic {
            name: Some(Str::from((*name).to_owned())),
            ..MetadataTopic::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(by_name).collect()),
            allow_auto_topic_creation,
            ..Default::default()
        };
        let turn = (turn > 0).then_some(turn);
        let response = self
            .ask_any(0..=METADATA_VERSION_MAX, request, turn)
            .await?;
        self.directory().update(&response);
        Ok(response)
    }

    /// Asks what any broker can answer and may be asked twice, one broker after the other.
    async fn ask_any<R: ApiRequest + Clone>(
        &self,
        versions: RangeInclusive<i16>,
        request: R,
        turn: Option<usize>,
    ) -> Result<R::Response, ClientError> {
        let mut addresses = self.candidates(&self.sessions, turn);
        // A session may turn out to be dead: then the same broker may be there on a new one.
        addresses.extend(addresses.first().cloned());
        let mut last = no_address();
        for address in addresses {
            match self
                .ask_one(&address, versions.clone(), request.clone())
                .await
            {
                Ok(response) => return Ok(response),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_one<R: ApiRequest>(
        &self,
        address: &Arc<str>,
        versions: RangeInclusive<i16>,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let node = Node {
            address: Arc::clone(address),
            exchange: self.sessions.get(address).await?,
        };
        let version = node.version_within::<R>(versions)?;
        let answer = call(&*node.exchange, version, request);
        let limit = self.limits.request;
        let result = match within(&*self.clock, limit, answer).await {
            Some(answer) => answer.map_err(ClientError::from),
            None => Err(no_answer(address, limit)),
        };
        result.inspect_err(|_| self.sessions.forget(address, &node.exchange))
    }

    /// The topics to ask for again because `metadata.max.age.ms` is over: told once.
    fn old_topics(&self, directory: &mut Directory) -> Vec<String> {
        let now = self.clock.now().mono;
        if now < directory.refresh_at {
            return Vec::new();
        }
        directory.refresh_at = now.plus(self.limits.metadata_age);
        directory.used_topics()
    }

    fn directory(&self) -> MutexGuard<'_, Directory> {
        // The state is a cache: what a panicking thread left behind is at worst outdated.
        self.directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the future gives, or `None` after a time limit.
async fn within<T>(
    clock: &dyn Clock,
    timeout: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let limit = clock.sleep_until(clock.now().mono.plus(timeout));
    tokio::select! {
        biased;
        value = future => Some(value),
        () = limit => None,
    }
}

/// A request that may have been executed.
pub(crate) fn no_answer(address: &str, timeout: Duration) -> ClientError {
    ClientError::Unknown(format!(
        "{address} did not answer within {} ms",
        timeout.as_millis()
    ))
}

fn no_address() -> ClientError {
    ClientError::Invalid("no bootstrap address was given".to_owned())
}

/// From version 4 on a request says whether topics are created; the last one is by name or by id.
const METADATA_VERSION_MAX: i16 = 12;

/// How often the metadata of a topic is asked for before its error is passed on.
const TOPIC_TRIES_MAX: u32 = 10;

/// The first pause between them: a topic that is created on demand is there soon.
const TOPIC_PAUSE: Duration = Duration::from_millis(50);
