//! The batches of one partition, and the rules that keep their order.
//!
//! Floor 4 of client. Pure: time comes as an argument.
//!
//! Invariants
//! - Batches leave in the order of their numbers. After a failure nothing new leaves until what is
//!   in flight is answered, and what failed is sent again first, one at a time.
//! - What is sent stays within the window of the broker: a batch whose answer is lost is recognised
//!   when it comes again, because few enough came after it.
//! - The first batch under a producer id travels alone.
//! - A sequence number belongs to one batch for as long as its outcome is in doubt. A new producer
//!   id is used only when nothing is in flight and no outcome is in doubt: a broker takes the
//!   sequence numbers of one id without a gap, so what it refused under the old id is not stored.

use std::collections::VecDeque;
use std::time::Duration;

use highwater_proto::batch::sequence_add;
use highwater_proto::batch_builder::Producer;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;

use super::batch::{Batch, Fate};
use super::sender::Identity;
use crate::backoff::{Backoff, next_pause};
use crate::config::ProducerConfig;
use crate::error::ClientError;

/// What the decisions depend on besides the batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    pub(super) now: Mono,
    pub(super) config: &'a ProducerConfig,
    /// Whether open batches leave without lingering.
    pub(super) hurry: bool,
    /// The newest producer id, if there is one.
    pub(super) identity: Option<Identity>,
    /// What went wrong lately for all partitions, for the words of an error.
    pub(super) trouble: Option<&'a ClientError>,
}

impl Rules<'_> {
    const fn linger(&self) -> Duration {
        Duration::from_millis(self.config.linger_ms)
    }

    /// When a batch is given up.
    pub(super) fn deadline(&self, batch: &Batch) -> Mono {
        batch
            .created
            .plus(Duration::from_millis(self.config.delivery_timeout_ms))
    }

    /// Batches of a partition that may be sent from the oldest one without an outcome on. With
    /// sequence numbers, as many as the broker recognises when they come again; without, it could
    /// not tell that one is missing before another.
    const fn window_max(&self) -> usize {
        if self.config.enable_idempotence {
            self.config.max_in_flight
        } else {
            1
        }
    }
}

/// What can be done for a partition now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// It has no batch.
    Empty,
    /// A batch may leave.
    Ready,
    /// A batch may leave under a new producer id.
    NeedsIdentity,
    /// Nothing before this moment.
    Wait(Mono),
    /// Nothing before an answer.
    InFlight,
}

#[derive(Debug)]
pub(super) struct Partition {
    /// Takes records.
    pub(super) open: Option<Batch>,
    /// Whether the sender looks at it.
    pub(super) is_active: bool,
    /// Full, never sent.
    sealed: VecDeque<Batch>,
    /// To be sent again, by number.
    retry: VecDeque<Batch>,
    /// The numbers of the batches that wait for an answer.
    in_flight: Vec<u64>,
    /// The numbers of the batches sent since the oldest one without an outcome, that one included.
    window: VecDeque<u64>,
    /// The producer id that the sequence numbers count under.
    identity: Option<Identity>,
    next_sequence: i32,
    /// Whether the broker has stored a batch under that id.
    is_known: bool,
    /// Whether a batch was given up whose sequence number was used: the id is of no use any more.
    is_broken: bool,
    not_before: Mono,
    backoff: Option<Backoff>,
    trouble: Option<ClientError>,
}

impl Default for Partition {
    fn default() -> Self {
        Self {
            open: None,
            is_active: false,
            sealed: VecDeque::new(),
            retry: VecDeque::new(),
            in_flight: Vec::new(),
            window: VecDeque::new(),
            identity: None,
            next_sequence: 0,
            is_known: false,
            is_broken: false,
            not_before: Mono(0),
            backoff: None,
            trouble: None,
        }
    }
}

impl Partition {
    /// Seals the open batch if so many bytes more would be too much.
    pub(super) fn seal_before(&mut self, bytes: usize, limit: usize) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.bytes() + bytes > limit)
            && self.seal()
    }

    /// Closes the open batch for records; whether there was one.
    pub(super) fn seal(&mut self) -> bool {
        let open = self.open.take();
        let sealed = open.is_some();
        self.sealed.extend(open);
        sealed
    }

    pub(super) fn stance(&self, rules: &Rules<'_>) -> Stance {
        let waits = |at: Mono| {
            if at > rules.now {
                Stance::Wait(at)
            } else {
                Stance::Ready
            }
        };
        let is_idle = self.in_flight.is_empty();
        if !self.retry.is_empty() && (!is_idle || self.not_before > rules.now) {
            return if is_idle {
                Stance::Wait(self.not_before)
            } else {
                Stance::InFlight
            };
        }
        if self.is_broken && self.first_doubtful().is_none() && self.has_unsent() {
            return match (is_idle, self.fresh(rules.identity)) {
                (false, _) => Stance::InFlight,
                (true, None) => Stance::NeedsIdentity,
                (true, Some(_)) => Stance::Ready,
            };
        }
        if !self.retry.is_empty() {
            return Stance::Ready;
        }
        if !self.has_unsent() {
            return if is_idle {
                Stance::Empty
            } else {
                Stance::InFlight
            };
        }
        // A broker takes any first sequence number of an id that it does not know, so the batch
        // behind a lost first one would be stored before it.
        let window_max = if self.is_known { rules.window_max() } else { 1 };
        if self.window.len() >= window_max {
            return Stance::InFlight;
        }
        let stance = match &self.open {
            Some(open) if self.sealed.is_empty() && !rules.hurry => {
                waits(open.created.plus(rules.linger()))
            }
            _ => Stance::Ready,
        };
        let lacks_identity = self.identity.or(rules.identity).is_none();
        match stance {
            Stance::Ready if rules.config.enable_idempotence && lacks_identity => {
                Stance::NeedsIdentity
            }
            stance => stance,
        }
    }

    /// The size of what [`Self::take`] would give.
    pub(super) fn next_bytes(&self) -> usize {
        let next = self
            .retry
            .front()
            .or_else(|| self.sealed.front())
            .or(self.open.as_ref());
        next.map_or(0, Batch::bytes)
    }

    /// The batch that leaves now, under its sequence number, and whether it was open until now.
    pub(super) fn take(
        &mut self,
        rules: &Rules<'_>,
        newest: Option<Identity>,
    ) -> Option<(Batch, bool)> {
        if self.stance(rules) != Stance::Ready {
            return None;
        }
        if self.is_broken && self.first_doubtful().is_none() {
            self.identity = Some(self.fresh(newest)?);
            self.next_sequence = 0;
            self.is_broken = false;
            self.is_known = false;
            self.window.clear();
            self.retry.iter_mut().for_each(|batch| batch.stamp(None));
        }
        let mut was_open = false;
        let again = if self.is_broken {
            self.first_doubtful()
        } else {
            Some(0)
        };
        let again = again.and_then(|index| self.retry.remove(index));
        let mut batch = again.or_else(|| self.sealed.pop_front()).or_else(|| {
            was_open = true;
            self.open.take()
        })?;
        if rules.config.enable_idempotence && !batch.is_stamped() {
            self.identity = self.identity.or(newest);
            let stamp = self.identity.map(|identity| Producer {
                id: identity.id,
                epoch: identity.epoch,
                base_sequence: self.next_sequence,
            });
            batch.stamp(stamp);
            self.next_sequence = sequence_add(self.next_sequence, batch.records_count());
        }
        self.in_flight.push(batch.number);
        if !self.window.contains(&batch.number) {
            self.window.push_back(batch.number);
        }
        Some((batch, was_open))
    }

    /// Takes note of an answer. Gives the batch with its fate, or keeps it to send it again.
    pub(super) fn settle(
        &mut self,
        mut batch: Batch,
        result: Result<i64, ClientError>,
        rules: &Rules<'_>,
    ) -> Option<(Batch, Fate)> {
        self.in_flight.retain(|number| *number != batch.number);
        let error = match result {
            Ok(base_offset) => {
                self.backoff = None;
                self.is_known = true;
                self.shrink_window();
                return Some((batch, Fate::Stored(base_offset)));
            }
            Err(error) => error,
        };
        let (is_gap, was_doubtful) = (is_gap(&error), batch.is_doubtful);
        if is_gap {
            batch.is_doubtful = false;
        } else if may_be_stored(&error) {
            batch.is_doubtful = true;
        }
        let is_behind = self.is_broken || self.is_behind_another(batch.number);
        let again = if rules.config.enable_idempotence {
            error.is_retriable() || (is_gap && is_behind)
        } else {
            error.is_retriable() && !batch.is_doubtful
        };
        if !again {
            self.is_broken |= batch.is_stamped();
            self.shrink_window();
            let error = if was_doubtful && batch.is_doubtful {
                ClientError::Unknown(format!(
                    "an earlier try may be stored; the last one: {error}"
                ))
            } else {
                error
            };
            return Some((batch, Fate::Failed(error)));
        }
        if !is_gap {
            self.pause(rules);
        }
        self.trouble = Some(error);
        let place = self
            .retry
            .partition_point(|other| other.number < batch.number);
        self.retry.insert(place, batch);
        None
    }

    /// Gives up what took longer than `delivery.timeout.ms`.
    pub(super) fn expire(&mut self, rules: &Rules<'_>) -> Vec<(Batch, ClientError)> {
        let mut expired = Vec::new();
        let is_late = |batch: &Batch| rules.deadline(batch) <= rules.now;
        for queue in [&mut self.retry, &mut self.sealed] {
            while queue.front().is_some_and(is_late) {
                expired.extend(queue.pop_front());
            }
        }
        if self.open.as_ref().is_some_and(is_late) {
            expired.extend(self.open.take());
        }
        if expired.is_empty() {
            return Vec::new();
        }
        let trouble = self
            .trouble
            .as_ref()
            .or(rules.trouble)
            .map(ToString::to_string);
        let mut with_error = |batch: Batch| {
            self.is_broken |= batch.is_stamped();
            let why = trouble.as_deref().unwrap_or("it had to wait for others");
            let limit_ms = rules.config.delivery_timeout_ms;
            let why = format!("delivery.timeout.ms of {limit_ms} passed; last trouble: {why}");
            let error = if batch.is_doubtful {
                ClientError::Unknown(why)
            } else {
                ClientError::NotSent(why)
            };
            (batch, error)
        };
        let expired = expired.into_iter().map(&mut with_error).collect();
        self.shrink_window();
        expired
    }

    /// When the next batch will be given up; those in flight have a limit of their own.
    pub(super) fn expires_at(&self, rules: &Rules<'_>) -> Option<Mono> {
        let oldest = [self.retry.front(), self.sealed.front(), self.open.as_ref()];
        oldest
            .into_iter()
            .flatten()
            .map(|batch| rules.deadline(batch))
            .min()
    }

    /// The window starts at the oldest batch without an outcome.
    fn shrink_window(&mut self) {
        while let Some(number) = self.window.front() {
            let is_open = self.in_flight.contains(number)
                || self.retry.iter().any(|batch| batch.number == *number);
            if is_open {
                return;
            }
            self.window.pop_front();
        }
    }

    fn pause(&mut self, rules: &Rules<'_>) {
        let first = Duration::from_millis(rules.config.retry_backoff_ms);
        self.not_before = rules.now.plus(next_pause(&mut self.backoff, first));
    }

    fn has_unsent(&self) -> bool {
        !self.retry.is_empty() || !self.sealed.is_empty() || self.open.is_some()
    }

    /// Whether a batch with a lower number has no outcome yet.
    fn is_behind_another(&self, number: u64) -> bool {
        self.in_flight.iter().any(|other| *other < number)
            || self
                .retry
                .front()
                .is_some_and(|other| other.number < number)
    }

    fn first_doubtful(&self) -> Option<usize> {
        self.retry.iter().position(|batch| batch.is_doubtful)
    }

    /// The newest producer id, if this partition has not used it.
    fn fresh(&self, newest: Option<Identity>) -> Option<Identity> {
        newest.filter(|newest| self.identity.is_none_or(|used| used.id != newest.id))
    }
}

/// Whether the broker misses the sequence numbers before this batch, and so has not stored it.
fn is_gap(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Broker {
            code: ErrorCode::OutOfOrderSequenceNumber,
            ..
        }
    )
}

/// Whether the batch may be stored although there is an error.
fn may_be_stored(error: &ClientError) -> bool {
    match error {
        ClientError::Unknown(_) => true,
        ClientError::Broker { code, .. } => matches!(
            code,
            ErrorCode::RequestTimedOut
                | ErrorCode::NotEnoughReplicasAfterAppend
                | ErrorCode::NetworkException
                | ErrorCode::KafkaStorageError
                | ErrorCode::UnknownServerError
        ),
        _ => false,
    }
}
