//! What a user writes: a handler of single records. And what the runner asks of it, and of whoever
//! keeps how far its group got.
//!
//! Floor 1 of client.

use std::sync::Arc;

use highwater_proto::exchange::BoxFuture;

use crate::effects::Effects;
use crate::error::ClientError;
use crate::failure::HandlerError;
use crate::record::ConsumerRecord;

/// One call of a handler: a record, and the how-manieth try it is.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The record.
    pub record: Arc<ConsumerRecord>,
    /// 1 at the first call. What failed in an outage does not count, and it starts again at 1
    /// when the partition goes to another member.
    pub number: u32,
    /// Whether it happens or is replayed, and what may be done outside.
    pub effects: Effects,
}

impl Attempt {
    /// Of a record that happens.
    pub(crate) fn new(record: &Arc<ConsumerRecord>, number: u32) -> Self {
        Self {
            record: Arc::clone(record),
            number,
            effects: Effects::default(),
        }
    }
}

/// Handles the records of a group one by one; run by [`Handling::run`](crate::Handling::run).
///
/// The answer decides: `Ok` is finished, an error is tried again, dropped or kept as its
/// [class](crate::FailureClass) says. A panic counts as a failed attempt; what state it leaves
/// behind in the handler is the handler's own business. A record may be handled more than once:
/// after a crash, and when its partition goes to another member.
///
/// ```
/// use highwater_client::{Attempt, Handler, HandlerError};
///
/// struct Payments;
///
/// impl Handler for Payments {
///     async fn handle(&self, attempt: Attempt) -> Result<(), HandlerError> {
///         let value = attempt.record.value.as_deref().unwrap_or_default();
///         let cents: u64 = std::str::from_utf8(value)?.parse().map_err(HandlerError::dead)?;
///         println!("{cents} cents, attempt {}", attempt.number);
///         Ok(())
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles a record. The future is dropped where it waits if its partition is lost, or at the
    /// end of the time for what is under way.
    fn handle(&self, attempt: Attempt) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

/// A handler out of a closure.
///
/// ```
/// use highwater_client::{Attempt, handler_fn};
///
/// let handler = handler_fn(|attempt: Attempt| async move {
///     println!("{:?}", attempt.record.value);
///     Ok(())
/// });
/// # let _ = handler;
/// ```
pub const fn handler_fn<F, R>(handle: F) -> HandlerFn<F>
where
    F: Fn(Attempt) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), HandlerError>> + Send,
{
    HandlerFn { handle }
}

/// A closure as a handler; made by [`handler_fn`].
#[derive(Clone, Copy, Debug)]
pub struct HandlerFn<F> {
    handle: F,
}

impl<F, R> Handler for HandlerFn<F>
where
    F: Fn(Attempt) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), HandlerError>> + Send,
{
    fn handle(&self, attempt: Attempt) -> impl Future<Output = Result<(), HandlerError>> + Send {
        (self.handle)(attempt)
    }
}

/// What the runner of a group calls.
pub(crate) trait Calls: Send + Sync + 'static {
    /// Handles a record.
    fn call(&self, attempt: Attempt) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Handles records of one partition, in this order: all of them, or none.
    fn call_together(
        &self,
        attempts: Vec<Attempt>,
    ) -> impl Future<Output = Result<(), Undone>> + Send;
}

/// None of the records that were called together is handled. Which of them is at fault shows when
/// each is called by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Undone;

/// A handler of single records, as the runner calls it.
pub(crate) struct Alone<H>(pub(crate) H);

impl<H: Handler> Calls for Alone<H> {
    async fn call(&self, attempt: Attempt) -> Result<(), HandlerError> {
        let record = Arc::clone(&attempt.record);
        traced(&record, self.0.handle(attempt)).await
    }

    async fn call_together(&self, _: Vec<Attempt>) -> Result<(), Undone> {
        Err(Undone)
    }
}

/// Does what belongs to a record, in its trace.
pub(crate) async fn traced<R>(record: &ConsumerRecord, work: impl Future<Output = R>) -> R {
    match record.trace() {
        Some(context) => context.child().scope(work).await,
        None => work.await,
    }
}

/// Who keeps how far a group got, where that is not the broker alone.
pub(crate) trait Positions: Send + Sync + 'static {
    /// A member takes partitions over in a generation: gives the offset from which each is read, in
    /// the order of the question. What passes is waited for.
    ///
    /// An error ends the member.
    fn open(
        &self,
        generation: i32,
        partitions: Vec<(Arc<str>, i32)>,
    ) -> BoxFuture<'static, Result<Vec<i64>, ClientError>>;

    /// Everything below these offsets is finished.
    fn advance(
        &self,
        offsets: Vec<(Arc<str>, i32, i64)>,
    ) -> BoxFuture<'static, Result<(), ClientError>>;

    /// Looks after what is kept, for as long as it is polled.
    fn tend(&self) -> BoxFuture<'static, ()>;
}
