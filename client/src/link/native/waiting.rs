//! Who waits for what comes over one connection: calls for their answers, subscriptions for their
//! batches.
//!
//! Floor 2 of client. Pure: what is sent and read is the business of `native`.
//!
//! Invariants
//! - A call takes a place until it is answered or given up, and until it is written.
//! - What comes for nobody is dropped: an answer that was given up, batches of a subscription that
//!   is over.
//! - For a subscription no more bytes wait than it gave credit for, and one delivery.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use highwater_proto::exchange::ExchangeError;
use highwater_proto::native::v1::response::Answer;
use tokio::sync::oneshot;

/// What comes of a request.
pub(super) type Reply = Result<(Answer, Bytes), ExchangeError>;

/// Requests without an answer, and subscriptions without an end.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: u64,
    /// Why nothing more is sent.
    ended: Option<String>,
    calls: HashMap<u64, Caller>,
    subscriptions: HashMap<u64, Subscriber>,
    /// Requests that are not written yet, also those that were given up.
    queued_count: usize,
}

#[derive(Debug)]
struct Caller {
    is_written: bool,
    answer: oneshot::Sender<Reply>,
}

#[derive(Debug)]
struct Subscriber {
    /// Below 0 it is a debt.
    credit_bytes: i64,
    /// What came and was not taken yet; the credit is its bound.
    pushes: VecDeque<Reply>,
    /// Whether nothing more comes.
    is_over: bool,
    waker: Option<Waker>,
}

impl Subscriber {
    fn push(&mut self, reply: Reply, is_last: bool) {
        self.pushes.push_back(reply);
        self.is_over = is_last;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Waiting {
    /// Whether something can be sent.
    pub(super) const fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether there is a place for a request that is answered.
    pub(super) fn check_place(&self) -> Result<(), ExchangeError> {
        let why = match &self.ended {
            Some(why) => why.clone(),
            None if self.calls.len().max(self.queued_count) >= REQUESTS_MAX => {
                format!("{REQUESTS_MAX} requests are under way: wait")
            }
            None => return Ok(()),
        };
        Err(ExchangeError::NotSent { why })
    }

    /// A correlation that no other request of the connection has.
    pub(super) const fn next_name(&mut self) -> u64 {
        let name = self.next;
        self.next += 1;
        name
    }

    /// A request is on its way to be written.
    pub(super) const fn add_queued(&mut self) {
        self.queued_count += 1;
    }

    pub(super) fn add_call(&mut self, correlation: u64, answer: oneshot::Sender<Reply>) {
        let caller = Caller {
            is_written: false,
            answer,
        };
        self.calls.insert(correlation, caller);
    }

    pub(super) fn add_subscription(&mut self, correlation: u64, credit_bytes: u32) {
        let subscriber = Subscriber {
            credit_bytes: credit_bytes.into(),
            pushes: VecDeque::new(),
            is_over: false,
            waker: None,
        };
        self.subscriptions.insert(correlation, subscriber);
    }

    /// The next that came of a subscription, in order.
    pub(super) fn poll_push(&mut self, correlation: u64, context: &Context<'_>) -> Poll<Reply> {
        let subscriber = self.subscriptions.get_mut(&correlation);
        if let Some(subscriber) = subscriber {
            if let Some(reply) = subscriber.pushes.pop_front() {
                return Poll::Ready(reply);
            }
            if !subscriber.is_over {
                subscriber.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        let why = "the subscription is over".to_owned();
        Poll::Ready(Err(ExchangeError::Unknown { why }))
    }

    /// Nobody waits for this answer any more. What is asked for takes effect all the same.
    pub(super) fn give_up(&mut self, correlation: u64) {
        self.calls.remove(&correlation);
    }

    /// Adds to the credit of a subscription; whether there is something to be sent.
    pub(super) fn give(&mut self, correlation: u64, bytes: u32) -> bool {
        let subscriber = self.subscriptions.get_mut(&correlation);
        let Some(subscriber) = subscriber.filter(|it| !it.is_over) else {
            return false;
        };
        let credit_bytes = &mut subscriber.credit_bytes;
        *credit_bytes = credit_bytes.saturating_add(bytes.into());
        true
    }

    /// Nothing more of this subscription is taken; whether the broker has to be told.
    pub(super) fn unsubscribe(&mut self, correlation: u64) -> bool {
        let removed = self.subscriptions.remove(&correlation);
        removed.is_some_and(|it| !it.is_over) && self.is_open()
    }

    /// Whether a request that was queued is written. It is about to be, then.
    pub(super) fn is_to_write(&mut self, correlation: u64) -> bool {
        self.queued_count = self.queued_count.saturating_sub(1);
        if let Some(caller) = self.calls.get_mut(&correlation) {
            caller.is_written = true;
        }
        self.is_open()
    }

    /// Takes what the broker sent. An error is why it cannot be believed any more.
    pub(super) fn arrived(
        &mut self,
        correlation: u64,
        answer: Answer,
        body: Bytes,
    ) -> Result<(), &'static str> {
        if let Some(caller) = self.calls.remove(&correlation) {
            // The asker may have lost interest, which is no error.
            let _ = caller.answer.send(Ok((answer, body)));
            return Ok(());
        }
        let subscriber = self.subscriptions.get_mut(&correlation);
        let Some(subscriber) = subscriber.filter(|it| !it.is_over) else {
            return Ok(());
        };
        let is_last = !matches!(answer, Answer::Delivered(_));
        if !is_last {
            if subscriber.credit_bytes <= 0 {
                return Err("a subscription was sent more than it had credit for");
            }
            let bytes = i64::try_from(body.len()).unwrap_or(i64::MAX);
            subscriber.credit_bytes = subscriber.credit_bytes.saturating_sub(bytes);
        }
        subscriber.push(Ok((answer, body)), is_last);
        Ok(())
    }

    /// Nothing more is sent; what was answered before may still come.
    pub(super) fn stop(&mut self, why: String) {
        self.ended = Some(why);
    }

    /// Nothing more is sent or comes, and who waits is told.
    pub(super) fn end(&mut self, why: &str) {
        self.ended.get_or_insert_with(|| why.to_owned());
        for (_, caller) in self.calls.drain() {
            let why = why.to_owned();
            let error = match caller.is_written {
                true => ExchangeError::Unknown { why },
                false => ExchangeError::NotSent { why },
            };
            // The asker may have lost interest, which is no error.
            let _ = caller.answer.send(Err(error));
        }
        for subscriber in self.subscriptions.values_mut().filter(|it| !it.is_over) {
            let why = why.to_owned();
            subscriber.push(Err(ExchangeError::Unknown { why }), true);
        }
    }
}

pub(super) fn locked(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // Each change is whole when the lock is let go.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests that may be under way on one connection.
const REQUESTS_MAX: usize = 256;
/// What may wait to be written: requests, and what subscriptions have to say.
pub(super) const QUEUED_MAX: usize = 4 * REQUESTS_MAX;
