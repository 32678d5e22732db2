//! The producer: records in, batches out, each record's fate as a future.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - The records of one partition keep the order of their `send` calls, retries included.
//! - With idempotence a record is stored once, however often its batch is sent.
//! - A record's bytes are owned by its batch until the answer came: nothing is reused in flight.

mod batch;
mod partitioner;
mod queues;
mod request;
mod sender;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{Notify, Semaphore, watch};

use crate::cluster::Cluster;
use crate::config::{Acks, ProducerConfig};
use crate::error::ClientError;
use crate::record::{Record, RecordMetadata};
use batch::Fate;
pub use partitioner::{murmur2, partition_of};
use queues::{Place, Queues};

/// Sends records; made by [`crate::Client::producer`]. Clones share batches and connections.
///
/// When the last clone is dropped, what was accepted is still sent in the background;
/// [`Producer::flush`] waits for it.
#[derive(Clone, Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    // Told apart from `shared`, which the sender holds too: when all handles are gone it ends.
    _handle: Arc<Handle>,
}

/// What the handles and the sender share.
#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    config: ProducerConfig,
    queues: Queues,
    /// Wakes the sender.
    work: Notify,
    /// Bytes that may still be accepted.
    room: Semaphore,
}

/// Ends the sender when the last clone of the producer is dropped.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queues.close();
        self.shared.work.notify_one();
    }
}

/// What becomes of one record: ready when the broker has answered its batch.
#[derive(Debug)]
pub struct Delivery {
    partition: i32,
    /// The record's index in its batch.
    index: i64,
    answer: Pin<Box<dyn Future<Output = Result<i64, ClientError>> + Send>>,
}

impl Producer {
    pub(crate) fn new(cluster: Arc<Cluster>, mut config: ProducerConfig) -> Self {
        if config.acks != Acks::All {
            config.enable_idempotence = false;
        }
        let shared = Arc::new(Shared {
            cluster,
            queues: Queues::default(),
            work: Notify::new(),
            room: Semaphore::new(config.buffer_memory.min(Semaphore::MAX_PERMITS)),
            config,
        });
        tokio::spawn(sender::run(Arc::clone(&shared)));
        Self { _handle: Arc::new(Handle { shared: Arc::clone(&shared) }), shared }
    }

    /// Accepts a record into its batch; waits for room if `buffer.memory` is used up.
    ///
    /// # Errors
    /// `Invalid` if the record is larger than `max.request.size`; what the cluster answers if it
    /// does not have the topic. What becomes of an accepted record, the [`Delivery`] tells.
    pub async fn send(&self, record: Record) -> Result<Delivery, ClientError> {
        let shared = &*self.shared;
        let bytes = batch::record_bytes(&record);
        if bytes > shared.config.max_request_size.min(shared.config.buffer_memory) {
            return Err(ClientError::Invalid(format!(
                "a record of {bytes} bytes is larger than max.request.size or buffer.memory allow"
            )));
        }
        let permits = u32::try_from(bytes)
            .map_err(|_| ClientError::Invalid("a record is at most 2 GiB".to_owned()))?;
        let permit =
            shared.room.acquire_many(permits).await.map_err(|_| ClientError::Closed)?;
        let now = shared.cluster.clock().now();
        let mut place = shared.queues.append(&shared.config, &record, bytes, now)?;
        if matches!(place, Place::UnknownTopic) {
            let partitions = shared.cluster.topic(&record.topic).await?.leaders.len();
            shared.queues.learn(&record.topic, partitions);
            place = shared.queues.append(&shared.config, &record, bytes, now)?;
        }
        let Place::Batch { partition, index, fate, wake } = place else {
            return Err(ClientError::NotSent(format!("the topic {} went away", record.topic)));
        };
        // The batch gives the room back when it is answered.
        permit.forget();
        if wake {
            shared.work.notify_one();
        }
        Ok(Delivery { partition, index: i64::from(index), answer: Box::pin(answered(fate)) })
    }

    /// Sends what is waiting without lingering, and waits until everything accepted so far is
    /// answered, well or badly.
    pub async fn flush(&self) {
        let mut pending = self.shared.queues.seal_all();
        self.shared.work.notify_one();
        // The sender owns the other end for as long as this handle lives.
        let _ = pending.wait_for(|batches| *batches == 0).await;
    }
}

impl Delivery {
    /// The partition that the record went to.
    #[must_use]
    pub const fn partition(&self) -> i32 {
        self.partition
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (partition, index) = (self.partition, self.index);
        self.answer.as_mut().poll(context).map_ok(|base| RecordMetadata {
            partition,
            offset: if base < 0 { -1 } else { base + index },
        })
    }
}

async fn answered(mut fate: watch::Receiver<Fate>) -> Result<i64, ClientError> {
    let fate = fate.wait_for(Option::is_some).await.map_err(|_| ClientError::Closed)?;
    fate.clone().unwrap_or(Err(ClientError::Closed))
}
