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
//! - A sequence number belongs to one batch for as long as its outcome is in doubt. The next epoch
//!   of the producer id is used only when nothing is in flight and no outcome is in doubt: a broker
//!   takes the sequence numbers of one epoch without a gap, so what it refused is not stored.
//! - A request that was never answered may be executed at any later time. If that was under an
//!   epoch that is given up, the broker refuses it once it has stored a batch of the next one; and
//!   a batch of such a request is not sent under the next one, lest it is stored twice before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use highwater_proto::batch::sequence_add;
use highwater_proto::batch_builder::Producer;
use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;

use super::batch::Batch;
use super::delivery::{Fate, Stored};
use super::rules::Rules;
use super::sender::Identity;
use crate::backoff::Backoff;
use crate::config::ProducerConfig;
use crate::error::{ClientError, Outcome};

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
    /// The size of the batch before.
    usual_bytes: usize,
    /// Smaller than `batch.size` once the broker has found a batch too large.
    batch_bytes_max: usize,
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
            usual_bytes: 0,
            batch_bytes_max: usize::MAX,
            not_before: Mono(0),
            backoff: None,
            trouble: None,
        }
    }
}

impl Partition {
    /// Seals the open batch if so many bytes more would be too much; whether there was one.
    pub(super) fn seal_before(&mut self, bytes: usize, config: &ProducerConfig) -> bool {
        let limit = self.batch_bytes_max(config);
        self.open
            .as_ref()
            .is_some_and(|open| open.bytes() + bytes > limit)
            && self.seal()
    }

    /// Bytes that a batch may have, unless one record is larger.
    pub(super) fn batch_bytes_max(&self, config: &ProducerConfig) -> usize {
        let limit = config.batch_size.min(config.max_request_size);
        limit.min(self.batch_bytes_max)
    }

    /// Batches that wait to be sent, the open one not counted.
    pub(super) fn waiting(&self) -> usize {
        self.sealed.len() + self.retry.len()
    }

    /// Whether the sender does not know yet that there is something to send: behind batches that
    /// wait already, another one changes nothing.
    pub(super) fn is_news(&self) -> bool {
        self.waiting() <= 1
    }

    /// Gives up everything.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Batch> {
        let open = self.open.take();
        self.retry
            .drain(..)
            .chain(self.sealed.drain(..))
            .chain(open)
    }

    /// Closes the open batch for records; whether there was one.
    pub(super) fn seal(&mut self) -> bool {
        let open = self.close_open();
        let sealed = open.is_some();
        self.sealed.extend(open);
        sealed
    }

    fn close_open(&mut self) -> Option<Batch> {
        let open = self.open.take()?;
        self.usual_bytes = open.bytes();
        Some(open)
    }

    /// What the next batch needs if it becomes as large as the one before.
    pub(super) fn capacity(&self, config: &ProducerConfig) -> usize {
        let usual = self.usual_bytes.checked_next_power_of_two();
        usual.unwrap_or_default().min(self.batch_bytes_max(config))
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
            Stance::Ready if rules.config.is_idempotent() && lacks_identity => {
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

    /// The batch that leaves now, under its sequence number.
    pub(super) fn take(&mut self, rules: &Rules<'_>, newest: Option<Identity>) -> Option<Batch> {
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
        let again = if self.is_broken {
            self.first_doubtful()
        } else {
            Some(0)
        };
        let again = again.and_then(|index| self.retry.remove(index));
        let mut batch = again
            .or_else(|| self.sealed.pop_front())
            .or_else(|| self.close_open())?;
        if rules.config.is_idempotent() && !batch.is_stamped() {
            self.identity = self.identity.or(newest);
            let stamp = self.identity.map(|identity| Producer {
                id: identity.id,
                epoch: identity.epoch,
                base_sequence: self.next_sequence,
            });
            batch.stamp(stamp);
            self.next_sequence = sequence_add(self.next_sequence, batch.records_count());
        }
        batch.is_out = true;
        self.in_flight.push(batch.number);
        if !self.window.contains(&batch.number) {
            self.window.push_back(batch.number);
        }
        Some(batch)
    }

    /// Takes note of an answer. Gives the batch with its fate, or keeps it to send it again.
    pub(super) fn settle(
        &mut self,
        mut batch: Batch,
        result: Result<Stored, ClientError>,
        rules: &Rules<'_>,
    ) -> Option<(Batch, Fate)> {
        self.in_flight.retain(|number| *number != batch.number);
        batch.is_out = false;
        let error = match result {
            Ok(stored) => {
                self.backoff = None;
                self.is_known = true;
                self.shrink_window();
                return Some((batch, Fate::Stored(stored)));
            }
            Err(error) => error,
        };
        let error = match self.split_if_too_large(&mut batch, error, rules) {
            Ok(fate) => return Some((batch, fate)),
            Err(error) => error,
        };
        let (is_gap, was_doubtful) = (is_gap(&error), batch.is_doubtful);
        batch.is_astray |= matches!(error, ClientError::Unknown(_));
        if is_gap {
            batch.is_doubtful = false;
        } else if error.outcome() == Outcome::MayBeWritten {
            batch.is_doubtful = true;
        }
        let is_behind = self.is_broken || self.is_behind_another(batch.number);
        let again = if rules.config.is_idempotent() {
            error.is_retriable() || (is_gap && is_behind)
        } else {
            error.is_retriable() && !may_double(&error)
        };
        if !again {
            self.is_broken |= batch.is_stamped();
            self.shrink_window();
            let error = if (was_doubtful && batch.is_doubtful) || batch.is_astray {
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
        self.retry(batch);
        None
    }

    /// Queues a batch to be sent again, before what came later.
    fn retry(&mut self, batch: Batch) {
        let place = self
            .retry
            .partition_point(|other| other.number < batch.number);
        self.retry.insert(place, batch);
    }

    /// Has a batch that the broker finds too large sent again as two; the error, if that cannot
    /// help.
    fn split_if_too_large(
        &mut self,
        batch: &mut Batch,
        error: ClientError,
        rules: &Rules<'_>,
    ) -> Result<Fate, ClientError> {
        // What may be stored under these sequence numbers must come again as it was.
        if error.code() != Some(ErrorCode::MessageTooLarge) || batch.is_doubtful {
            return Err(error);
        }
        let parts = batch.split(rules.config.compression_type);
        let Some((first, second)) = parts.ok().flatten() else {
            return Err(error);
        };
        self.batch_bytes_max = first.bytes().max(second.bytes());
        let fate = Fate::Split(
            Arc::clone(first.promise()),
            first.records_count(),
            Arc::clone(second.promise()),
        );
        self.retry(second);
        self.retry(first);
        Ok(fate)
    }

    /// Gives up what took longer than `delivery.timeout.ms`.
    pub(super) fn expire(&mut self, rules: &Rules<'_>) -> Vec<(Batch, Fate)> {
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
            let fate = Fate::Failed(batch.failure(why));
            (batch, fate)
        };
        let expired = expired.into_iter().map(&mut with_error).collect();
        self.shrink_window();
        expired
    }

    /// Gives up what may still be executed under an epoch that is given up.
    pub(super) fn give_up_astray(&mut self) -> Vec<(Batch, Fate)> {
        if !self.is_broken || !self.in_flight.is_empty() || self.first_doubtful().is_some() {
            return Vec::new();
        }
        let with_error = |batch: Batch| {
            let why = "a batch before it was given up, and an unanswered try may still be stored";
            let fate = Fate::Failed(batch.failure(why.to_owned()));
            (batch, fate)
        };
        let (astray, safe): (VecDeque<_>, VecDeque<_>) =
            self.retry.drain(..).partition(|batch| batch.is_astray);
        self.retry = safe;
        let given_up = astray.into_iter().map(with_error).collect();
        self.shrink_window();
        given_up
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
        let longest = Duration::from_millis(rules.config.retry_backoff_max_ms);
        let backoff = self
            .backoff
            .get_or_insert_with(|| Backoff::new(first, longest));
        self.not_before = backoff.next_try(rules.now);
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

    /// The next epoch of the producer id, or the newest id if there is no next epoch.
    fn fresh(&self, newest: Option<Identity>) -> Option<Identity> {
        let next = self.identity.and_then(|used| {
            let epoch = used.epoch.checked_add(1)?;
            Some(Identity { epoch, ..used })
        });
        let is_new = |newest: &Identity| self.identity.is_none_or(|used| used.id != newest.id);
        next.or_else(|| newest.filter(is_new))
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

/// Whether sending the batch again could store it twice, without sequence numbers. A leader that
/// has lost its place may have the batch, but what it has then is seldom kept; to give up at every
/// move would lose more, and Kafka's clients send again, too.
fn may_double(error: &ClientError) -> bool {
    error.outcome() == Outcome::MayBeWritten && error.code() != Some(ErrorCode::NotLeaderOrFollower)
}
