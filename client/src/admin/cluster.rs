//! The cluster as a whole: its id and its brokers.
//!
//! Floor 4 of client.

use super::Admin;
use crate::error::ClientError;

/// A cluster and its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The id; absent if the broker is older than Kafka 0.10.1.
    pub cluster_id: Option<String>,
    /// The broker that decides for the cluster, or that passes on what is to be decided.
    pub controller: Option<i32>,
    /// The brokers that live, by id.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its `node.id`.
    pub id: i32,
    /// The host under which clients reach it.
    pub host: String,
    /// The port.
    pub port: i32,
    /// Its `broker.rack`.
    pub rack: Option<String>,
}

impl Admin {
    /// The cluster's id and its brokers.
    ///
    /// ```no_run
    /// # use highwater_client::{Admin, ClientError};
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// for broker in admin.describe_cluster().await?.brokers {
    ///     println!("{}: {}:{}", broker.id, broker.host, broker.port);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When no broker can be reached.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let response = self.cluster.metadata(Some(&[]), false).await?;
        let brokers = response.brokers.into_iter();
        let mut brokers: Vec<_> = brokers
            .map(|broker| BrokerDescription {
                id: broker.node_id,
                host: broker.host.into(),
                port: broker.port,
                rack: broker.rack.map(String::from),
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            cluster_id: response.cluster_id.map(String::from),
            controller: Some(response.controller_id).filter(|id| *id >= 0),
            brokers,
        })
    }
}
