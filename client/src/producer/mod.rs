//! The producer: records in, batches out, each record's fate as a future.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - The records of one partition keep the order of their `send` calls, retries included.
//! - With idempotence a record is stored once, however often its batch is sent.
//! - A record's bytes are owned by its batch until the answer came: nothing is reused in flight.

mod batch;
mod partition;
mod partitioner;
mod queues;
mod request;
mod sender;

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater_proto::exchange::BoxFuture;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use crate::cluster::Cluster;
use crate::config::ProducerConfig;
use crate::error::{ClientError, unknown_partition};
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
    /// Calls of `send` that wait for room: nothing lingers meanwhile.
    waiting: AtomicUsize,
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

/// What becomes of one record: await it for the broker's answer, or drop it.
///
/// Dropping it does not take the record back.
#[derive(Debug)]
pub struct Delivery {
    partition: i32,
    /// The record's index in its batch.
    index: i32,
    fate: watch::Receiver<Fate>,
}

impl Producer {
    pub(crate) fn new(cluster: Arc<Cluster>, config: ProducerConfig) -> Result<Self, ClientError> {
        let config = config.validated()?;
        let shared = Arc::new(Shared {
            cluster,
            queues: Queues::default(),
            work: Notify::new(),
            room: Semaphore::new(config.buffer_memory.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            config,
        });
        tokio::spawn(sender::run(Arc::clone(&shared)));
        Ok(Self {
            _handle: Arc::new(Handle {
                shared: Arc::clone(&shared),
            }),
            shared,
        })
    }

    /// Accepts a record into its batch; waits for room if `buffer.memory` is used up.
    ///
    /// # Errors
    /// `Invalid` if the record is larger than `max.request.size`; what the cluster answers if it
    /// does not have the topic. What becomes of an accepted record, the [`Delivery`] tells.
    pub async fn send(&self, record: Record) -> Result<Delivery, ClientError> {
        let shared = &*self.shared;
        let bytes = batch::record_bytes(&record);
        let largest = shared
            .config
            .max_request_size
            .min(shared.config.buffer_memory);
        let permits = u32::try_from(bytes).ok().filter(|_| bytes <= largest).ok_or_else(|| {
            ClientError::Invalid(format!(
                "a record of {bytes} bytes is larger than max.request.size or buffer.memory allow"
            ))
        })?;
        let permit = match shared.room.try_acquire_many(permits) {
            Ok(permit) => permit,
            Err(_) => shared.wait_for_room(permits).await?,
        };
        let now = shared.cluster.clock().now();
        let mut place = shared.queues.append(&shared.config, &record, bytes, now)?;
        if matches!(place, Place::Unknown) {
            // New partitions may have been added since the topic was asked about.
            shared.cluster.forget_topic(&record.topic);
            let partitions = shared.cluster.topic(&record.topic).await?.leaders.len();
            shared.queues.learn(&record.topic, partitions);
            place = shared.queues.append(&shared.config, &record, bytes, now)?;
        }
        let Place::Batch {
            partition,
            index,
            fate,
            wake,
        } = place
        else {
            return Err(unknown_partition(
                &record.topic,
                record.partition.unwrap_or(0),
            ));
        };
        // The batch gives the room back when it is answered.
        permit.forget();
        if wake {
            shared.work.notify_one();
        }
        Ok(Delivery {
            partition,
            index,
            fate,
        })
    }

    /// Sends what is waiting without lingering, and waits until everything accepted so far is
    /// answered, well or badly.
    pub async fn flush(&self) {
        let unanswered = self.shared.queues.seal_all();
        self.shared.work.notify_one();
        for mut fate in unanswered {
            // An error means that the sender's runtime has ended: no answer will come.
            let _ = fate.wait_for(|fate| !matches!(fate, Fate::Open)).await;
        }
    }
}

impl Shared {
    async fn wait_for_room(&self, permits: u32) -> Result<SemaphorePermit<'_>, ClientError> {
        let waiting = Waiting::new(&self.waiting);
        self.work.notify_one();
        // Woken for every batch that is answered, a caller would cost a wake-up each.
        let some = self.config.buffer_memory / ROOM_SHARE;
        let wanted = permits.max(u32::try_from(some).unwrap_or(u32::MAX));
        let permit = self.room.acquire_many(wanted).await;
        drop(waiting);
        let mut permit = permit.map_err(|_| ClientError::Closed)?;
        drop(permit.split((wanted - permits) as usize));
        Ok(permit)
    }
}

/// Who has to wait for room waits until this part of `buffer.memory` is free.
const ROOM_SHARE: usize = 16;

/// Counts a caller for as long as it waits, also if it gives up.
struct Waiting<'a> {
    count: &'a AtomicUsize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self { count }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Delivery {
    /// The partition that the record went to.
    #[must_use]
    pub const fn partition(&self) -> i32 {
        self.partition
    }
}

impl IntoFuture for Delivery {
    type Output = Result<RecordMetadata, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            partition,
            index,
            mut fate,
        } = self;
        Box::pin(async move {
            let fate = fate.wait_for(|fate| !matches!(fate, Fate::Open)).await;
            let fate = fate.map_err(|_| ClientError::Closed)?.clone();
            match fate {
                Fate::Stored(base) if base < 0 => Ok(RecordMetadata {
                    partition,
                    offset: -1,
                }),
                Fate::Stored(base) => Ok(RecordMetadata {
                    partition,
                    offset: base + i64::from(index),
                }),
                Fate::Failed(error) => Err(error),
                Fate::Open => Err(ClientError::Closed),
            }
        })
    }
}
