//! Reads streams.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - What is read depends on the events of the stream alone, and not on how many others there are.

use highwater_log::error::LogError;
use highwater_log::reader::{LogReader, StreamAsk, StreamRecord};
use highwater_log::types::Offset;
use highwater_proto::murmur2::partition_of;
use highwater_proto::record::Header;

use super::{AsOf, ReadStreamCall, ReadStreamError, StreamEvent, StreamEvents};
use crate::service::Service;

impl Service {
    /// Reads the events of one key.
    ///
    /// # Errors
    /// [`ReadStreamError`]; a key without events is none.
    pub async fn read_stream(&self, call: ReadStreamCall) -> Result<StreamEvents, ReadStreamError> {
        let topic = self.named(&call.topic);
        let topic = topic.ok_or(ReadStreamError::UnknownTopicOrPartition)?;
        if !topic.settings.log.key_index {
            return Err(ReadStreamError::NotConditional);
        }
        let partition = match call.partition {
            Some(partition) => partition,
            None => partition_of(&call.key, topic.partition_count),
        };
        let log = topic.log(partition);
        let log = log.ok_or(ReadStreamError::UnknownTopicOrPartition)?;
        let Some(reader) = self.inner.shard.reader(log) else {
            // Nothing was ever written there.
            return Ok(StreamEvents {
                partition,
                events: Vec::new(),
                head: None,
                is_complete: true,
            });
        };
        let mut ask = StreamAsk {
            from_revision: call.from_revision,
            bytes_max: call.bytes_max,
            ..StreamAsk::default()
        };
        match call.as_of {
            AsOf::Now => {}
            AsOf::Revision(revision) => ask.revision_max = revision,
            AsOf::Offset(offset) => ask.below = Offset(offset.0.saturating_add(1)),
            AsOf::TimeMs(time_ms) => ask.below = self.first_after(&reader, time_ms).await?,
        }
        let key = call.key;
        let read = move || Ok((reader.stream_head(&key)?, reader.stream(&key, &ask)?));
        let (head, slice) = self.read_blocking(read).await?;
        Ok(StreamEvents {
            partition,
            events: slice.records.into_iter().map(event).collect(),
            head,
            is_complete: slice.is_complete,
        })
    }

    /// The offset of the first record that is later than a time.
    async fn first_after(
        &self,
        reader: &LogReader,
        time_ms: i64,
    ) -> Result<Offset, ReadStreamError> {
        let Some(later_ms) = time_ms.checked_add(1) else {
            return Ok(Offset(i64::MAX));
        };
        let reader = reader.clone();
        let found = self.read_blocking(move || reader.find_time(later_ms));
        let found = found.await?;
        Ok(found.map_or(Offset(i64::MAX), |hit| hit.offset))
    }

    /// Reads the disk where that holds nobody up.
    async fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, ReadStreamError> {
        // The task fails only when the runtime is being shut down.
        let read = self.inner.workers.spawn_blocking(read).await;
        read.unwrap_or(Err(LogError::Closed))
            .map_err(|error| ReadStreamError::Storage {
                why: error.to_string(),
            })
    }
}

fn event(read: StreamRecord) -> StreamEvent {
    let StreamRecord { revision, record } = read;
    let header = |header: Header| (header.name().into_owned(), header.value);
    StreamEvent {
        revision,
        offset: Offset(record.offset),
        timestamp_ms: record.timestamp,
        headers: record.headers.iter().map(header).collect(),
        value: record.value,
    }
}
