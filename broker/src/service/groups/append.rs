//! Writes the records of groups: one batch for each write of a group, all groups side by side.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A write that was begun comes to an end that the machine is told, also when its caller is gone.
//! - Writes of different groups wait for each other nowhere but in the disk's queue, and share
//!   its syncs.

use highwater_log::shard::AckAt;
use highwater_proto::group_log::GroupRecord;

use crate::coordinator::batch_of;
use crate::group::Append;
use crate::service::Service;
use crate::service::groups::runtime::Unfinished;

impl Service {
    /// Writes the records of a group and tells the machine.
    pub(super) fn begin_append(&self, append: Append) {
        let service = self.clone();
        let unfinished = Unfinished::new(self);
        self.inner.workers.spawn(async move {
            let Append { group, records } = append;
            let result = service.write_records(&group, &records).await;
            service.group_written(&group, result);
            unfinished.over();
        });
    }

    async fn write_records(&self, group: &str, records: &[GroupRecord]) -> Result<(), String> {
        if records.is_empty() {
            return Ok(());
        }
        let log = self.group_log(group).await?;
        self.sync_targets_of(records).await?;
        let mut encoded = Vec::with_capacity(records.len());
        for record in records {
            let (key, value) = record.encode().map_err(|error| error.to_string())?;
            encoded.push((Some(key), value));
        }
        let batch =
            batch_of(self.clock().now().wall, encoded).map_err(|error| error.to_string())?;
        let pending = {
            let mut enqueuer = self.inner.shard.enqueuer();
            enqueuer.enqueue(log.id, batch, AckAt::Durable).await
        };
        pending.await.map_err(|error| error.to_string())?;
        self.rewrite_if_large(log);
        Ok(())
    }
}
