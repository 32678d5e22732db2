//! Batches on their way into the shard, and what it answers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use highwater_log::error::LogError;
use highwater_log::log::Appended;
use highwater_log::producers::WINDOW_BATCHES;
use highwater_log::shard::{AckAt, Append, Done};
use highwater_log::types::{LogId, Offset};
use highwater_proto::batch::{ProduceLimits, validate_produced};

use super::{Stop, World};
use crate::client::{self, Size};
use crate::oracle::{Oracle, violation};
use crate::sabotage::Sabotage;
use crate::sim_fs::Op;

/// What a batch was answered.
#[derive(Debug)]
pub(super) struct Answer {
    id: LogId,
    number: usize,
    at: AckAt,
    result: Result<Appended, LogError>,
}

impl World {
    /// Sends a batch to each of several logs, commits once, and takes the answers.
    pub(super) fn append(&mut self, targets: &[(LogId, Size)], at: AckAt) -> Result<(), Stop> {
        self.send(targets, at)?;
        self.commit(at)
    }

    /// Sends several small batches to one log and writes them at once. Their sync is for later, and
    /// so are their answers.
    ///
    /// # Errors
    /// What stopped it.
    pub fn write(&mut self, id: LogId, count: usize) -> Result<(), Stop> {
        if self.shard().reader(id).is_none() {
            return Ok(());
        }
        self.send(&vec![(id, self.shape.small); count], AckAt::Durable)?;
        self.shard().write_once();
        self.answered()?;
        self.observe_new()
    }

    /// Everything that is written becomes durable.
    ///
    /// # Errors
    /// What stopped it.
    pub fn sync(&mut self) -> Result<(), Stop> {
        self.commit(AckAt::Durable)?;
        self.observe_new()
    }

    /// A batch is written while batches of two logs are being synced. That sync makes nothing else
    /// durable. The producer of the second log has no id.
    ///
    /// # Errors
    /// What stopped it.
    pub fn overlap(&mut self, first: LogId, second: LogId) -> Result<(), Stop> {
        let small = self.shape.small;
        let (batch, now) = (self.client.batch(second, small), self.client.now);
        self.send(&[(first, small), (second, small)], AckAt::Durable)?;
        let end = self.reader(second).end();
        self.shard().write_once();
        let meanwhile = Arc::new(Mutex::new(None));
        // What was refused may have met a segment that is too old, and so would the next one.
        let is_written = self.reader(second).end() > end;
        let is_plain = self.disk.is_sound() && self.has_room_in_segment(second, &batch);
        if is_written && is_plain {
            let now_ms = self.client.mono_ms();
            let number = self.client.log(second).send(&batch, now_ms);
            let append = Append {
                // Not so late that a new segment is due.
                now,
                ..self.queued(second, number, &batch, AckAt::Durable)
            };
            *lock(&meanwhile) = Some(append);
            let (shard, meanwhile) = (Arc::downgrade(self.shard()), Arc::clone(&meanwhile));
            self.disk.stall(Op::Sync, 1, move || {
                let append = lock(&meanwhile).take();
                if let Some((shard, append)) = shard.upgrade().zip(append) {
                    shard.enqueue(append);
                    shard.write_once();
                }
            });
        }
        self.shard().sync_once();
        // There was nothing to sync, and no other sync leaves the locks of the shard alone.
        let left = lock(&meanwhile).take();
        if let Some(append) = left {
            self.shard().enqueue(append);
            self.shard().write_once();
        }
        self.answered()?;
        self.observe_new()
    }

    /// A roll syncs the file whose sync is going on, and on one thread would wait for ever; so does
    /// a write that fails.
    fn has_room_in_segment(&self, id: LogId, batch: &Bytes) -> bool {
        let segments = self.reader(id).segments();
        let used = segments.last().map_or(0, |active| active.bytes);
        used + batch.len() as u64 <= self.shape.segment_bytes
    }

    /// A batch of nobody that is known goes to a log and is durable there; answers where.
    pub(super) fn append_unasked(&mut self, id: LogId) -> Result<Offset, Stop> {
        let batch = self.client.batch(id, self.shape.small);
        match self.answer_to(id, &batch) {
            Some(answer) => Ok(self.allow(answer)?.base_offset),
            None => {
                let text = "an append was never answered";
                Err(violation(Oracle::Progress, text).in_log(id).into())
            }
        }
    }

    fn send(&mut self, targets: &[(LogId, Size)], at: AckAt) -> Result<(), Stop> {
        for (id, _) in targets {
            self.send_again(*id)?;
        }
        let now_ms = self.client.mono_ms();
        for (id, size) in targets {
            let batch = self.client.batch(*id, *size);
            let number = self.client.log(*id).send(&batch, now_ms);
            self.enqueue(*id, number, &batch, at);
        }
        Ok(())
    }

    /// An idempotent producer sends what was never acknowledged before it sends anything else.
    pub(super) fn send_again(&mut self, id: LogId) -> Result<(), Stop> {
        if client::is_idempotent(id) {
            for (number, batch) in self.client.log(id).unacked() {
                self.enqueue(id, number, &batch, AckAt::Durable);
                self.commit(AckAt::Durable)?;
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, id: LogId, number: usize, batch: &Bytes, at: AckAt) {
        let append = self.queued(id, number, batch, at);
        self.shard().enqueue(append);
    }

    /// An append whose answer goes to the model.
    fn queued(&mut self, id: LogId, number: usize, batch: &Bytes, at: AckAt) -> Append {
        let answers = Arc::clone(&self.answers);
        self.client.log(id).unpointed_bytes += batch.len() as u64;
        let done = Done::new(move |result| {
            lock(&answers).push(Answer {
                id,
                number,
                at,
                result,
            });
        });
        self.append_of(id, batch, at, done)
    }

    fn append_of(&self, id: LogId, batch: &Bytes, at: AckAt, done: Done) -> Append {
        let produced = validate_produced(batch, &ProduceLimits::default()).expect("it was built");
        Append {
            log: id,
            sent: produced.into(),
            ack: self.early(at),
            now: self.client.now,
            done,
        }
    }

    /// Appends, and answers what the shard does. It does so at once, if it does at all.
    fn answer_to(&self, id: LogId, batch: &Bytes) -> Option<Result<Appended, LogError>> {
        let answer = Arc::new(Mutex::new(None));
        let place = Arc::clone(&answer);
        let done = Done::new(move |result| {
            *lock(&place) = Some(result);
        });
        let append = self.append_of(id, batch, AckAt::Durable, done);
        self.shard().enqueue(append);
        self.cycles(AckAt::Durable);
        lock(&answer).take()
    }

    /// When the shard is asked to answer what the client takes as an answer at `at`.
    fn early(&self, at: AckAt) -> AckAt {
        match self.sabotage {
            Some(Sabotage::EarlyAck) => AckAt::Written,
            _ => at,
        }
    }

    /// Both stages, or only the first if nobody waits for the second.
    fn commit(&mut self, at: AckAt) -> Result<(), Stop> {
        self.cycles(at);
        self.answered()
    }

    fn cycles(&self, at: AckAt) {
        let shard = Arc::clone(self.shard());
        let at = self.early(at);
        for _ in 0..CYCLES_MAX {
            let wrote = shard.write_once();
            let synced = at == AckAt::Durable && shard.sync_once();
            if !wrote && !synced {
                break;
            }
        }
    }

    pub(super) fn answered(&mut self) -> Result<(), Stop> {
        let answers = std::mem::take(&mut *lock(&self.answers));
        let mut refused = Ok(());
        for answer in answers {
            self.watch.note(&answer);
            let Answer {
                id,
                number,
                at,
                result,
            } = answer;
            match self.allow(result) {
                Ok(appended) => {
                    let base = appended.base_offset.0;
                    self.client
                        .log(id)
                        .acked(number, base, at == AckAt::Durable)?;
                }
                Err(Stop::Broken(broken)) => return Err(broken.into()),
                Err(stop) => refused = Err(stop),
            }
        }
        refused
    }

    /// Producers with an id send their last batches once more: the shard knows all that its window
    /// holds, and answers with the places that they have.
    ///
    /// # Errors
    /// What stopped it; a batch that is not known.
    pub fn retry(&mut self) -> Result<(), Stop> {
        self.sync()?;
        self.verify_windows()
    }

    /// As [`Self::retry`], when everything that is written is durable and was read.
    ///
    /// # Errors
    /// What stopped it; a batch that is not known.
    pub fn verify_windows(&mut self) -> Result<(), Stop> {
        let open = self.client.open_ids().into_iter();
        let ids: Vec<LogId> = open.filter(|id| client::is_idempotent(*id)).collect();
        for id in ids {
            for (base, batch) in self.client.log(id).newest(WINDOW_BATCHES) {
                self.verify_known(id, base, &batch)?;
            }
        }
        Ok(())
    }

    fn verify_known(&self, id: LogId, base: i64, batch: &Bytes) -> Result<(), Stop> {
        let answer = self.answer_to(id, batch);
        let text = match answer {
            Some(Ok(known)) if known.duplicate && known.base_offset.0 == base => return Ok(()),
            Some(Err(LogError::Producer(error))) => error.to_string(),
            Some(Err(error)) => self.allow(Err(error))?,
            other => format!("{other:?}"),
        };
        let text = format!("the batch at {base} was sent again, and answered: {text}");
        Err(violation(Oracle::SameState, text).in_log(id).into())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A commit needs one cycle; what goes on and on is a defect.
const CYCLES_MAX: usize = 10;
