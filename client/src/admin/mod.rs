//! Administration: topics, their settings and offsets, groups.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - Every call asks the cluster; nothing but who leads and who coordinates is cached.
//! - A call that a broker refuses because another one is in charge is sent to that one.

mod configs;
mod group_offsets;
mod groups;
mod offsets;
mod topics;

use std::sync::Arc;

use highwater_proto::cursor::Str;
use highwater_proto::kafka::ApiRequest;

use crate::cluster::Cluster;
use crate::cluster::Node;
use crate::cluster::REQUEST_TIMEOUT;
use crate::error::ClientError;

pub use configs::{ConfigChange, ConfigEntry, ConfigSource};
pub use group_offsets::CommittedOffset;
pub(crate) use group_offsets::{COMMIT_VERSION_MAX, Committer};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use offsets::{ListedOffset, OffsetSpec};
pub use topics::{NewTopic, TopicDescription};

/// Administration of a broker or a cluster; made by [`crate::Client::admin`].
///
/// ```no_run
/// use highwater_client::{Client, NewTopic};
///
/// # async fn run(client: Client) -> Result<(), highwater_client::ClientError> {
/// let admin = client.admin();
/// let topic = NewTopic { name: "flights".to_owned(), ..NewTopic::default() };
/// admin.create_topic(&topic).await?;
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

    /// Asks any broker; once more if the session turned out to be dead.
    async fn ask<R: ApiRequest + Clone>(
        &self,
        version_max: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let node = self.cluster.any().await?;
        match self.ask_node(&node, version_max, request.clone()).await {
            Err(ClientError::NotSent(_)) => {
                let node = self.cluster.any().await?;
                self.ask_node(&node, version_max, request).await
            }
            done => done,
        }
    }

    async fn ask_node<R: ApiRequest>(
        &self,
        node: &Node,
        version_max: i16,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let version = node.version::<R>(version_max)?;
        self.cluster
            .call(node, version, request, REQUEST_TIMEOUT)
            .await
    }
}

fn text(text: &str) -> Str {
    Str::from(text.to_owned())
}

fn no_result() -> ClientError {
    ClientError::Unknown("the answer has no result for what was asked".to_owned())
}

/// What the wire asks for; a broker without replicas has nothing to wait for.
const TIMEOUT_MS: i32 = 30_000;
