//! Fetch: whole batches from many partitions, parked while there is too little to answer.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - The batch that contains the asked offset comes first, whole.
//! - The first partition with data ignores both limits, so that every reader makes progress.
//! - Nothing at or above the readable bound of a log is returned.

mod parked;
mod round;
pub(super) mod session;

use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use highwater_log::types::Offset;

use crate::error::{FetchError, FetchSessionError};
use crate::ids::TopicRef;
use crate::service::Service;
use parked::LongPoll;
use round::Round;
use session::Sessions;
pub use session::{Naming, SessionStep};

/// What to read, how much, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct FetchCall {
    /// The longest wait for `min_bytes`, in milliseconds; 0 and less never wait.
    pub max_wait_ms: i32,
    /// Fewer bytes than this are waited for.
    pub min_bytes: i32,
    /// The limit of the whole answer; capped by `fetch.max.bytes`.
    pub max_bytes: i32,
    /// Whose records are read.
    pub isolation: Isolation,
    /// The partitions, served in this order.
    pub partitions: Vec<FetchPartition>,
}

/// Whose records are read. Without transactions both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

/// One partition to read.
#[derive(Clone, Debug)]
pub struct FetchPartition {
    /// The topic.
    pub topic: TopicRef,
    /// The partition.
    pub partition: i32,
    /// The leader epoch that the reader knows; -1 for none.
    pub current_leader_epoch: i32,
    /// The epoch of the last batch that the reader has; -1 for none.
    pub last_fetched_epoch: i32,
    /// Where to read from.
    pub fetch_offset: Offset,
    /// The limit of this partition.
    pub max_bytes: i32,
}

/// What was read of one partition; in the order of the call.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// The topic, as in the call.
    pub topic: TopicRef,
    /// The partition, as in the call.
    pub partition: i32,
    /// Records and marks, or why not.
    pub result: Result<Fetched, FetchError>,
}

/// Records and marks of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What a consumer may read ends here.
    pub high_watermark: Offset,
    /// What a reader of committed records may read ends here.
    pub last_stable_offset: Offset,
    /// The first offset of the log.
    pub log_start_offset: Offset,
    /// Set when the reader's last epoch ended before its offset: it must go back to this end.
    pub diverging: Option<EpochEnd>,
    /// The offset to read next: behind the last batch, and behind damage that was passed over.
    pub next_offset: Offset,
    /// Whole batches, one after the other; empty when there is nothing to read.
    pub records: Vec<Bytes>,
}

impl Fetched {
    /// The bytes of all records.
    #[must_use]
    pub fn records_bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

/// What a fetch within a session is answered.
#[derive(Clone, Debug)]
pub struct SessionFetched {
    /// The session to go on with; 0 for none.
    pub session_id: i32,
    /// The partitions of which there is something to tell.
    pub partitions: Vec<FetchedPartition>,
}

/// A leader epoch and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch; -1 when none is known.
    pub epoch: i32,
    /// The offset after its last record; -1 when none is known.
    pub end_offset: Offset,
}

impl Service {
    /// Reads partitions; waits when there is too little to answer.
    pub async fn fetch(&self, call: FetchCall) -> Vec<FetchedPartition> {
        self.read(&call).await
    }

    /// Reads the partitions of a session, or those of the call where it has none: then a session
    /// is begun, if the step allows it and there is room. Only what the reader does not know yet
    /// is answered; every partition of the session is waited for.
    pub async fn fetch_in_session(
        &self,
        step: SessionStep,
        call: FetchCall,
    ) -> Result<SessionFetched, FetchSessionError> {
        let now = self.clock().now().mono;
        let (turn, partitions) = self.sessions().begin(now, step, call.partitions)?;
        let call = FetchCall { partitions, ..call };
        let fetched = self.read(&call).await;
        let now = self.clock().now().mono;
        // Without a number there is no session, which every reader can do without.
        let fresh_id = self.inner.ids.session().unwrap_or(session::NONE);
        let mut sessions = self.sessions();
        sessions.finish(now, turn, fresh_id, call.partitions, fetched)
    }

    async fn read(&self, call: &FetchCall) -> Vec<FetchedPartition> {
        let mut round = Round::read(self, call);
        if !round.answers(self, call) {
            self.inner.metrics.parked_fetches.increment();
            // What was read is let go while the fetch waits.
            drop(round);
            let since = self.clock().now().mono;
            LongPoll::new(self, call).enough().await;
            let waited = self.clock().now().mono.since(since);
            self.inner.metrics.parked_times.observe_time(waited);
            round = Round::read(self, call);
        }
        self.inner.metrics.fetches.increment();
        self.inner.metrics.fetched_bytes.add(round.bytes as u64);
        self.inner.metrics.fetched_records.add(round.records);
        for (partition, bytes) in round.served {
            partition.count_fetched(bytes);
        }
        round.partitions
    }

    /// The partitions of a session, in their order; none if there is no such session.
    pub(crate) fn fetch_session(&self, session_id: i32) -> Vec<(TopicRef, i32)> {
        self.sessions().partitions(session_id)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // A step that panicked has lost its own session at most.
        let sessions = self.inner.fetch_sessions.lock();
        sessions.unwrap_or_else(PoisonError::into_inner)
    }
}
