//! What a user writes: a handler of records within a transaction.
//!
//! Floor 6 of client.

use std::sync::Arc;

use highwater_proto::exchange::BoxFuture;

use crate::envelope::EventId;
use crate::failure::HandlerError;
use crate::record::ConsumerRecord;

/// A record on its way through a handler, and the transaction that it is handled in.
///
/// It lives as long as the call: when the handler answers `Ok`, the transaction is committed, with
/// everything that was done in it; on an error it is rolled back. There is nothing to acknowledge.
#[derive(Debug)]
pub struct Delivery<'a, Tx> {
    pub(super) record: &'a Arc<ConsumerRecord>,
    pub(super) source: &'a str,
    pub(super) id: &'a EventId,
    pub(super) attempt: u32,
    pub(super) tx: &'a mut Tx,
}

impl<'a, Tx> Delivery<'a, Tx> {
    /// The record.
    #[must_use]
    pub const fn record(&self) -> &Arc<ConsumerRecord> {
        self.record
    }

    /// The id of its event, which is the same in each delivery: what to give to a service that
    /// wants to know whether it has had a call already. Only together with [`Self::source`] does
    /// it name one event.
    #[must_use]
    pub const fn event_id(&self) -> &EventId {
        self.id
    }

    /// Where the event comes from: its `ce_source`, else the topic.
    #[must_use]
    pub const fn source(&self) -> &str {
        self.source
    }

    /// The how-manieth try it is, as [`Attempt::number`](crate::Attempt::number).
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The same with a transaction that is inside of this one, for a handler of that.
    pub fn map_tx<'b, T>(self, inside: impl FnOnce(&'b mut Tx) -> &'b mut T) -> Delivery<'b, T>
    where
        'a: 'b,
    {
        Delivery {
            record: self.record,
            source: self.source,
            id: self.id,
            attempt: self.attempt,
            tx: inside(self.tx),
        }
    }

    /// The transaction: for the effects, and for events into the outbox.
    pub const fn tx(&mut self) -> &mut Tx {
        self.tx
    }
}

/// Handles the records of a group one by one, each in a transaction of its own; run by
/// [`Transactional::run`](crate::Transactional::run).
///
/// What it does in the transaction happens once for each event. What it does outside of it (a
/// mail, a call of a service) happens at least once: give [`Delivery::event_id`] along.
///
/// ```
/// use highwater_client::HandlerError;
/// use highwater_client::inbox::{Delivery, TxHandler};
/// use highwater_client::sql::{SqlStatement, SqlTx};
///
/// struct Payments;
///
/// impl<Tx: SqlTx + Send> TxHandler<Tx> for Payments {
///     async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
///         let order = delivery.record().key.as_deref().unwrap_or_default().to_vec();
///         let insert = SqlStatement::new("insert into payments (order_id) values ($1)");
///         delivery.tx().execute(insert.bind(order)).await?;
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle records in transactions of the type `{Tx}`",
    note = "implement `TxHandler<{Tx}>` for it, or give a closure to `tx_handler_fn`"
)]
pub trait TxHandler<Tx>: Send + Sync + 'static {
    /// Handles a record. The future is dropped where it waits, and the transaction rolled back, if
    /// the partition is lost or the time for what is under way is over.
    fn handle(
        &self,
        delivery: Delivery<'_, Tx>,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send;
}

/// A handler out of a closure. Its future borrows the delivery, and so has to be boxed.
///
/// ```
/// use highwater_client::inbox::tx_handler_fn;
/// use highwater_client::sql::{SqlStatement, SqlTx};
///
/// # fn make<Tx: SqlTx + Send + 'static>() {
/// let handler = tx_handler_fn::<Tx, _>(|mut delivery| {
///     Box::pin(async move {
///         let insert = SqlStatement::new("insert into seen (id) values ($1)");
///         let insert = insert.bind(delivery.event_id().as_str());
///         delivery.tx().execute(insert).await?;
///         Ok(())
///     })
/// });
/// # let _ = handler;
/// # }
/// ```
pub const fn tx_handler_fn<Tx, F>(handle: F) -> TxHandlerFn<F>
where
    F: for<'a> Fn(Delivery<'a, Tx>) -> BoxFuture<'a, Result<(), HandlerError>>
        + Send
        + Sync
        + 'static,
{
    TxHandlerFn { handle }
}

/// A closure as a handler; made by [`tx_handler_fn`].
#[derive(Clone, Copy, Debug)]
pub struct TxHandlerFn<F> {
    handle: F,
}

impl<Tx, F> TxHandler<Tx> for TxHandlerFn<F>
where
    F: for<'a> Fn(Delivery<'a, Tx>) -> BoxFuture<'a, Result<(), HandlerError>>
        + Send
        + Sync
        + 'static,
{
    fn handle(
        &self,
        delivery: Delivery<'_, Tx>,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        (self.handle)(delivery)
    }
}
