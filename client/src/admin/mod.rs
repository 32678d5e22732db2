//! Administration: the cluster, topics, settings, offsets, groups.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Every call asks the cluster; nothing but who leads and who coordinates is cached.
//! - A call that a broker refuses because another one is in charge is sent to that one.
//! - A call whose error may pass is tried again for `default.api.timeout.ms`. One that may have
//!   been done is not, if a repetition would be answered with an error.

mod cluster;
mod configs;
mod group_offsets;
mod groups;
mod offsets;
mod topics;
#[cfg(feature = "sasl")]
mod users;

use std::sync::Arc;

use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::{ApiKey, ApiRequest};

use crate::backoff::Backoff;
use crate::cluster::Cluster;
use crate::cluster::Node;
use crate::error::{ClientError, Outcome};

pub use cluster::{BrokerDescription, ClusterDescription};
pub use configs::{ConfigChange, ConfigEntry, ConfigSource};
pub use group_offsets::CommittedOffset;
pub(crate) use group_offsets::{COMMIT_VERSION_MAX, Committer};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use offsets::{ListedOffset, OffsetSpec};
pub use topics::{NewTopic, PartitionDescription, TopicDescription};
#[cfg(feature = "sasl")]
pub use users::{CredentialDescription, ITERATIONS, UserDescription};

/// Administration of a broker or a cluster; made by [`crate::Client::admin`].
///
/// A call may be dropped: what was sent by then takes place or not.
///
/// ```no_run
/// use highwater_client::{Client, NewTopic};
///
/// # async fn run(client: Client) -> Result<(), highwater_client::ClientError> {
/// let admin = client.admin();
/// admin.create_topic(&NewTopic::named("flights").partitions(3)).await?;
/// for group in admin.list_groups().await? {
///     println!("{} is {}", group.group, group.state);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }

    /// Asks any broker, and again while that may help.
    async fn ask<R: ApiRequest + Clone, T>(
        &self,
        version_max: i16,
        request: R,
        read: impl Fn(R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.ask_at(None, version_max, request, read).await
    }

    /// Asks one broker, and again while that may help.
    async fn ask_broker<R: ApiRequest + Clone, T>(
        &self,
        id: i32,
        version_max: i16,
        request: R,
        read: impl Fn(R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        self.ask_at(Some(id), version_max, request, read).await
    }

    async fn ask_at<R: ApiRequest + Clone, T>(
        &self,
        id: Option<i32>,
        version_max: i16,
        request: R,
        read: impl Fn(R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let mut patience = Patience::new(&self.cluster);
        loop {
            let tried = async {
                let node = match id {
                    Some(id) => self.cluster.broker(id).await?,
                    None => self.cluster.any().await?,
                };
                let response = self.ask_node(&node, version_max, request.clone()).await?;
                read(response)
            };
            match tried.await {
                Err(error) if !is_doubtful(R::KEY, &error) => patience.wait(error).await?,
                done => return done,
            }
        }
    }

    async fn ask_node<R: ApiRequest>(
        &self,
        node: &Node,
        version_max: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let version = node.version::<R>(version_max)?;
        let limit = self.cluster.limits().request;
        self.cluster.call(node, version, request, limit).await
    }
}

/// How long one call is tried again, and the pauses in between.
struct Patience<'a> {
    cluster: &'a Cluster,
    backoff: Backoff,
    deadline: Mono,
    /// How often a topic that a broker does not know may be one that it has not heard of yet.
    news_left: u32,
}

impl<'a> Patience<'a> {
    fn new(cluster: &'a Cluster) -> Self {
        let limits = cluster.limits();
        Self {
            cluster,
            backoff: Backoff::new(limits.retry, limits.retry_max),
            deadline: cluster.clock().now().mono.plus(limits.api),
            news_left: 0,
        }
    }

    /// For calls to leaders: a new one may hear of its partition later than everybody else.
    fn with_news(cluster: &'a Cluster) -> Self {
        Self {
            news_left: NEWS_MAX,
            ..Self::new(cluster)
        }
    }

    /// Waits before the next try; gives the error back if there is none.
    async fn wait(&mut self, error: ClientError) -> Result<(), ClientError> {
        let clock = self.cluster.clock();
        let at = self.backoff.next_try(clock.now().mono);
        let is_unknown = error.code() == Some(ErrorCode::UnknownTopicOrPartition);
        let is_news = is_unknown && self.news_left > 0;
        self.news_left -= u32::from(is_news);
        if !(error.is_passing() || is_news) || at >= self.deadline {
            return Err(error);
        }
        clock.sleep_until(at).await;
        Ok(())
    }
}

/// Whether it may have been done, and cannot be asked for again.
fn is_doubtful(key: ApiKey, error: &ClientError) -> bool {
    let is_once = matches!(
        key,
        ApiKey::CreateTopics | ApiKey::DeleteTopics | ApiKey::CreatePartitions
    );
    is_once && error.outcome() == Outcome::MayBeWritten
}

/// Two pauses are longer than what a cluster needs to spread the word.
const NEWS_MAX: u32 = 2;

fn text(text: &str) -> Str {
    Str::from(text.to_owned())
}

fn no_result() -> ClientError {
    ClientError::Unknown("the answer has no result for what was asked".to_owned())
}

/// What the wire asks for; a broker without replicas has nothing to wait for.
const TIMEOUT_MS: i32 = 30_000;
