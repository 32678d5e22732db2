//! What a client learns of the cluster: its id, and the one node that it has.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - There is a cluster id before the first request, and it never changes.

use highwater_log::types::Offset;

use crate::service::Service;
use crate::service::start::META_LOG;

/// The cluster, as a client needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its id, stable over restarts.
    pub id: String,
    /// The id of its one node.
    pub node_id: i32,
}

impl Service {
    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let id = self.inner.meta.read(|meta| meta.state().cluster_id());
        Cluster {
            id: id
                .expect("the first record of the metadata log gives the cluster its id")
                .to_string(),
            node_id: self.inner.config.node_id,
        }
    }

    /// The first and the next offset of the metadata log, for monitoring: its length stays bounded.
    #[must_use]
    pub fn metadata_offsets(&self) -> (Offset, Offset) {
        let log = self.log(META_LOG);
        (log.start(), log.end())
    }
}
