//! The producer: records in, batches out, each record's fate as a future.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - The records of one partition keep the order of their `send` calls, retries included.
//! - With idempotence a record is stored once, however often its batch is sent.
//! - A record's bytes are owned by its batch until the answer came: nothing is reused in flight.
//! - What is accepted and not answered takes no more than `buffer.memory`.

mod batch;
mod delivery;
mod partition;
mod partitioner;
mod queues;
mod request;
mod rules;
mod sender;
mod topic;

use std::fmt::{self, Debug};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tracing::Instrument;

use crate::cluster::Cluster;
use crate::config::ProducerConfig;
use crate::error::{ClientError, unknown_partition};
use crate::record::Record;
use crate::trace;
pub use delivery::Delivery;
pub use highwater_proto::murmur2::{murmur2, partition_of};
pub use partitioner::Partitioner;
use queues::{Ended, Place, Queues};

/// Sends records; made by [`crate::Client::producer`]. Clones share batches and connections.
///
/// When the last clone is dropped, what was accepted is still sent in the background;
/// [`Producer::flush`] waits for it, and [`Producer::close`] reports what became of it.
///
/// ```no_run
/// use std::time::Duration;
/// use highwater_client::{Client, ProducerConfig, Record};
///
/// # async fn run(client: Client) -> Result<(), highwater_client::ClientError> {
/// let producer = client.producer(ProducerConfig::default())?;
/// // Accepts the record; waits only for room.
/// let delivery = producer.send(Record::to("flights").key("N14228").value("delayed")).await?;
/// // Waits for the broker.
/// let stored = delivery.await?;
/// println!("{}@{} at {}", stored.partition, stored.offset, stored.timestamp);
///
/// let report = producer.close(Duration::from_secs(10)).await;
/// assert_eq!((report.failed, report.abandoned), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
    // Told apart from `shared`, which the sender holds too: when all handles are gone it ends.
    _handle: Arc<Handle>,
}

/// What became of the records of a producer, from its making to [`Producer::close`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseReport {
    /// Records that are stored, as the broker has said (with `acks=0`: that were handed over).
    pub stored: u64,
    /// Records whose [`Delivery`] has told an error.
    pub failed: u64,
    /// Records that were given up because the time of `close` was over. Their deliveries tell
    /// whether they may be stored.
    pub abandoned: u64,
}

/// What the handles and the sender share.
struct Shared {
    cluster: Arc<Cluster>,
    config: ProducerConfig,
    partitioner: Option<Arc<dyn Partitioner>>,
    queues: Queues,
    /// Wakes the sender.
    work: Notify,
    /// Bytes that may still be accepted.
    room: Semaphore,
    /// Calls of `send` that wait for room: nothing lingers meanwhile.
    waiting: AtomicUsize,
    /// Wakes who waits for the end of batches.
    ended: Notify,
}

/// Ends the sender when the last clone of the producer is dropped.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queues.close();
        self.shared.work.notify_one();
    }
}

impl Producer {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        config: ProducerConfig,
        partitioner: Option<Arc<dyn Partitioner>>,
    ) -> Result<Self, ClientError> {
        let config = config.validated()?;
        let shared = Arc::new(Shared {
            cluster,
            partitioner,
            queues: Queues::default(),
            work: Notify::new(),
            room: Semaphore::new(config.buffer_memory.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            ended: Notify::new(),
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

    /// Accepts a record into its batch; waits up to `max.block.ms` for room, if `buffer.memory` is
    /// used up, and for the partitions of a topic that it does not know yet.
    ///
    /// Cancel safety: a record is accepted at the very end. If the future is dropped before it is
    /// ready, the record is not sent and takes no room.
    ///
    /// # Errors
    /// `Invalid` if the record is larger than `max.request.size`; `NotSent` when `max.block.ms` is
    /// over; `Closed` after [`Self::close`]; what the cluster answers if it does not have the topic
    /// or the partition. After each of them the record is surely not stored. What becomes of an
    /// accepted record, the [`Delivery`] tells.
    pub async fn send(&self, mut record: Record) -> Result<Delivery, ClientError> {
        let shared = &*self.shared;
        let span = trace::send_span(&record.topic);
        trace::stamp(&mut record);
        let bytes = batch::record_bytes(&record);
        let permits = shared.permits(bytes)?;
        if let Ok(permit) = shared.room.try_acquire_many(permits)
            && let Some(delivery) = shared.place(&mut record, bytes)?
        {
            // The batch gives the room back when it is answered.
            permit.forget();
            span.record("messaging.destination.partition.id", delivery.partition());
            return Ok(delivery);
        }
        // In a box, so that the usual case moves no large future.
        let later = Box::pin(shared.send_later(record, bytes, permits));
        later.instrument(span).await
    }

    /// Sends what is waiting without lingering, and waits until everything accepted so far is
    /// answered, well or badly.
    ///
    /// Cancel safety: may be dropped; what was waiting is sent all the same.
    pub async fn flush(&self) {
        let number = self.shared.queues.seal_all();
        self.shared.work.notify_one();
        self.shared.ended_below(number).await;
    }

    /// Refuses records from now on, also those of the clones, sends what was accepted and waits
    /// for the answers, for so long. What is not answered then is given up: its deliveries tell an
    /// error.
    ///
    /// Cancel safety: may be dropped; then what was accepted is sent in the background, without an
    /// end but `delivery.timeout.ms`.
    pub async fn close(self, timeout: Duration) -> CloseReport {
        let shared = &*self.shared;
        shared.queues.close();
        shared.room.close();
        shared.work.notify_one();
        let everything = shared.ended_below(u64::MAX);
        if shared.cluster.within(timeout, everything).await.is_none() {
            shared.queues.abort();
            shared.work.notify_one();
        }
        let counts = shared.queues.counts();
        let ended = counts.stored + counts.failed;
        CloseReport {
            stored: counts.stored,
            failed: counts.failed,
            abandoned: counts.accepted.saturating_sub(ended),
        }
    }
}

impl Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("config", &self.shared.config)
            .field("counts", &self.shared.queues.counts())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The room for a record of so many bytes.
    fn permits(&self, bytes: usize) -> Result<u32, ClientError> {
        let largest = self.config.max_request_size.min(self.config.buffer_memory);
        let permits = u32::try_from(bytes).ok().filter(|_| bytes <= largest);
        permits.ok_or_else(|| {
            ClientError::Invalid(format!(
                "a record of {bytes} bytes is larger than max.request.size or buffer.memory allow"
            ))
        })
    }

    /// Puts a record into its batch, unless the partitions of its topic are not known.
    fn place(&self, record: &mut Record, bytes: usize) -> Result<Option<Delivery>, ClientError> {
        if let Some(partitioner) = &self.partitioner
            && record.partition.is_none()
        {
            // Not under the lock of the queues: this is the user's code.
            let Some(count) = self.queues.count(&record.topic) else {
                return Ok(None);
            };
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            record.partition = partitioner.partition(record, count);
        }
        let clock = &**self.cluster.clock();
        match self.queues.append(&self.config, record, bytes, clock)? {
            Place::Unknown => Ok(None),
            Place::Batch(delivery, wake) => {
                if wake {
                    self.work.notify_one();
                }
                Ok(Some(delivery))
            }
        }
    }

    /// As [`Producer::send`], when it has to wait.
    async fn send_later(
        &self,
        mut record: Record,
        bytes: usize,
        permits: u32,
    ) -> Result<Delivery, ClientError> {
        let topic = record.topic.clone();
        let mut waits_for =
            "room: buffer.memory is used up by records without an answer".to_owned();
        let sent = async {
            let permit = self.wait_for_room(permits).await?;
            let mut delivery = self.place(&mut record, bytes)?;
            if delivery.is_none() {
                waits_for = format!("the partitions of the topic {topic}");
                // New partitions may have been added since the topic was asked about.
                self.cluster.forget_topic(&topic);
                let partitions = self.cluster.topic(&topic).await?.leaders.len();
                self.queues.learn(&topic, partitions);
                delivery = self.place(&mut record, bytes)?;
            }
            let delivery = delivery
                .ok_or_else(|| unknown_partition(&topic, record.partition.unwrap_or_default()))?;
            permit.forget();
            Ok(delivery)
        };
        let limit_ms = self.config.max_block_ms;
        match self
            .cluster
            .within(Duration::from_millis(limit_ms), sent)
            .await
        {
            Some(result) => result,
            None => Err(ClientError::NotSent(format!(
                "max.block.ms of {limit_ms} passed while the record waited for {waits_for}"
            ))),
        }
    }

    async fn wait_for_room(&self, permits: u32) -> Result<SemaphorePermit<'_>, ClientError> {
        if let Ok(permit) = self.room.try_acquire_many(permits) {
            return Ok(permit);
        }
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

    /// Makes use of what batches have left behind at their end.
    fn reclaim(&self, ended: Ended) {
        self.room.add_permits(ended.freed_bytes);
        if ended.count > 0 {
            self.ended.notify_waiters();
        }
    }

    /// Waits for the end of every batch below that number.
    async fn ended_below(&self, number: u64) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // From here on no end is missed.
            ended.as_mut().enable();
            if self.queues.is_answered_below(number) {
                return;
            }
            ended.await;
        }
    }

    /// The sender is gone: nothing will be sent or answered any more.
    fn abandon(&self) {
        self.queues.abort();
        self.room.close();
        self.ended.notify_waiters();
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
