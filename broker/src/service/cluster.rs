//! What a client learns of the cluster: its id, and the one node that it has.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - There is a cluster id before the first request, and it never changes.

use std::sync::{MutexGuard, PoisonError};

use highwater_log::types::Offset;
use highwater_proto::clock::Wall;

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

/// Who decides about the metadata: this node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The only voter.
    pub node_id: i32,
    /// How many unclean starts there were.
    pub leader_epoch: i32,
    /// Where the durable part of the metadata log ends.
    pub high_watermark: Offset,
    /// The next offset of the metadata log.
    pub end: Offset,
    /// The time now.
    pub now: Wall,
}

/// A listener, as tools are told of it: its name and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    /// `NAME://HOST:PORT` as it was asked for.
    pub(crate) bind: String,
    /// `NAME://HOST:PORT` as clients reach it.
    pub(crate) advertised: String,
}

impl Service {
    /// Keeps a listener for the broker's description.
    pub(crate) fn announce(&self, listening: Listening) {
        self.listening().push(listening);
    }

    /// All listeners, as they were asked for and as clients reach them.
    pub(super) fn listeners(&self) -> (String, String) {
        let all = self.listening();
        let bind: Vec<&str> = all.iter().map(|one| one.bind.as_str()).collect();
        let advertised: Vec<&str> = all.iter().map(|one| one.advertised.as_str()).collect();
        (bind.join(","), advertised.join(","))
    }

    fn listening(&self) -> MutexGuard<'_, Vec<Listening>> {
        // A push is whole or not at all.
        let all = self.inner.listening.lock();
        all.unwrap_or_else(PoisonError::into_inner)
    }

    /// Who decides about the metadata.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        let log = self.log(META_LOG);
        Quorum {
            node_id: self.inner.config.node_id,
            leader_epoch: log.epoch().0,
            high_watermark: log.high_watermark(),
            end: log.end(),
            now: self.clock().now().wall,
        }
    }

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
