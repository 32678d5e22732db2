//! Keeps the logs of groups small: once a log is large, every group of it writes its whole state
//! anew, and the log starts where that began.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - The start moves only after everything that stands before it was written again, durably: a
//!   reader from the start on finds the same last value of each key.
//! - The log files of a partition take at most twice what its groups hold, and one segment, as long
//!   as half a segment holds what is committed during a rewriting.
//!
//! That bound: a rewriting begins with a new segment, so that the start is the first offset of a
//! file. It begins when the files hold what the last rewriting left and half a segment more; at its
//! end, before the old files go, they hold the state once more. The other half is for what is
//! committed meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use highwater_log::error::LogError;
use highwater_log::shard::AckAt;

use crate::coordinator::batch_of;
use crate::group::{Ask, Reply};
use crate::meta::OFFSETS_TOPIC;
use crate::service::Service;
use crate::service::groups::log::{GroupLog, partition_of};

/// Where the rewriting of one partition stands.
#[derive(Debug, Default)]
pub(super) struct Rewriting {
    is_under_way: AtomicBool,
    /// What the log took after the last one; 0 before the first.
    bytes_after: AtomicU64,
}

impl Rewriting {
    /// Whether a log of so many bytes is to be rewritten.
    fn is_due(&self, bytes: u64, segment_bytes: u64) -> bool {
        bytes >= self.bytes_after.load(Ordering::Relaxed) + segment_bytes / 2
    }
}

impl Service {
    /// Rewrites a log, if it has grown enough, beside whatever else is going on.
    pub(super) fn rewrite_if_large(&self, log: GroupLog) {
        let rewriting = self.inner.groups.logs.rewriting(log.partition);
        let Some(reader) = self.inner.shard.reader(log.id) else {
            return;
        };
        if !rewriting.is_due(reader.size_bytes(), log.segment_bytes)
            || rewriting.is_under_way.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let service = self.clone();
        self.inner.workers.spawn(async move {
            if let Err(why) = service.rewrite(&log).await {
                let partition = log.partition;
                tracing::warn!(
                    partition,
                    why,
                    "the groups were not written anew, later again"
                );
            }
            // After a failure, too: it is tried again when as much has come on top.
            rewriting
                .bytes_after
                .store(reader.size_bytes(), Ordering::Relaxed);
            rewriting.is_under_way.store(false, Ordering::Release);
        });
    }

    async fn rewrite(&self, log: &GroupLog) -> Result<(), String> {
        let shard = &self.inner.shard;
        let from = shard
            .roll(log.id)
            .await
            .map_err(|error| error.to_string())?;
        // Looked up after the roll: whose records stand before it is applied, or being written.
        let count = self
            .named(OFFSETS_TOPIC)
            .map_or(1, |topic| topic.partition_count);
        let mut groups = self.inner.groups.names();
        groups.retain(|group| partition_of(group, count) == log.partition);
        for (group, reply) in self.ask_each(groups, |_| Ask::Rewrite).await {
            match reply {
                Ok(Reply::Done(Ok(()))) => {}
                Ok(Reply::Done(Err(error))) | Err(error) => {
                    return Err(format!("group {}: {error}", group.escape_debug()));
                }
                Ok(other) => return Err(format!("a rewriting was answered by {other:?}")),
            }
        }
        let kept = self.keep_unknown(log).await;
        kept.map_err(|error| error.to_string())?;
        let start = shard.delete_records(log.id, from).await;
        start.map(drop).map_err(|error| error.to_string())
    }

    /// Writes again what this version does not know.
    async fn keep_unknown(&self, log: &GroupLog) -> Result<(), LogError> {
        let unknown = self.inner.groups.logs.unknown.of(log.partition);
        if unknown.len() == 0 {
            return Ok(());
        }
        let records = unknown.map(|(key, value)| (Some(key), Some(value)));
        let batch = batch_of(self.clock().now().wall, records)?;
        let pending = {
            let mut enqueuer = self.inner.shard.enqueuer();
            enqueuer.enqueue(log.id, batch, AckAt::Durable).await
        };
        pending.await.map(drop)
    }
}
