//! A handler whose records, effects and positions are committed together.
//!
//! Floor 7 of client: joins the runner of handlers with the inbox, which do not know each other.

use std::sync::Arc;

use crate::config::OffsetReset;
use crate::error::ClientError;
use crate::inbox::{Call, Guard, Inbox, Keeper, Keeping, PositionLost, Shared, TxHandler};
use crate::retry::{HandlerSummary, Handling, Order};
use crate::sql::Database;

/// Handles the records of a group in transactions; made by [`Handling::transactional`].
///
/// Each record is handled in a transaction of its own, or with others
/// ([`batch`](Transactional::batch)), in which the inbox takes note of it: its
/// effects there take place once, although it may be delivered more often. What ends without an
/// error is committed; else everything is rolled back, and the record is tried again, or becomes a
/// dead letter, as the handling says.
///
/// Where the group goes on stands in the database. The broker is told as well, later, for whoever
/// looks at the group; it is believed only if the database has nothing.
#[derive(Debug)]
#[must_use = "nothing is handled before `run`"]
pub struct Transactional<D> {
    handling: Handling,
    database: D,
    inbox: Inbox,
    batch: usize,
}

impl Handling {
    /// Handles each record in a transaction of a database. What else is to be set is set before.
    ///
    /// The tables of the inbox have to be there: [`Inbox::migrate`].
    ///
    /// ```no_run
    /// use highwater_client::inbox::{Inbox, TxHandler};
    /// use highwater_client::sql::Database;
    /// use highwater_client::{Client, HandlerSummary};
    ///
    /// async fn run<D: Database>(
    ///     client: &Client,
    ///     database: D,
    ///     payments: impl TxHandler<D::Tx>,
    ///     shutdown: impl Future<Output = ()>,
    /// ) -> HandlerSummary {
    ///     client
    ///         .handler("payment-service")
    ///         .topics(["order-events"])
    ///         .transactional(database, Inbox::new())
    ///         .run(payments, shutdown)
    ///         .await
    /// }
    /// ```
    pub const fn transactional<D: Database>(self, database: D, inbox: Inbox) -> Transactional<D> {
        Transactional {
            handling: self,
            database,
            inbox,
            batch: 1,
        }
    }
}

impl<D: Database> Transactional<D> {
    /// Up to how many records of a partition are handled in one transaction; 1 if it is not said,
    /// and 0 is taken for 1.
    ///
    /// The handler still gets them one by one. The transaction has as many of them as are there, it
    /// does not wait for more; its beginning, its commit and what the inbox writes are paid once
    /// for all of them. If one of them fails, or is one of the rare cases of the inbox, all of it
    /// is rolled back, and each of its records is handled again in a transaction of its own: that
    /// costs no attempt, and a record that cannot be handled takes none of the others with it.
    pub const fn batch(mut self, records: usize) -> Self {
        self.batch = records;
        self
    }

    /// Handles records until `shutdown` is over, as [`Handling::run`].
    ///
    /// It does not begin, and the summary says why, if the tables are missing, if the database or
    /// the broker cannot be reached, or if ids are kept for a shorter time than a topic keeps its
    /// records ([`Inbox::window`]). It ends if a position is outside of its log
    /// ([`Inbox::position_lost`]).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn run(
        self,
        handler: impl TxHandler<D::Tx>,
        shutdown: impl Future<Output = ()>,
    ) -> HandlerSummary {
        let Self {
            handling,
            database,
            inbox,
            batch,
        } = self;
        // What the consumer meets outside of its log while it reads.
        let reset = match inbox.lost_policy() {
            PositionLost::Refuse => OffsetReset::None,
            PositionLost::Earliest => OffsetReset::Earliest,
            PositionLost::Latest => OffsetReset::Latest,
        };
        let guard = match handling.ordered_by() {
            Order::Partition => Guard::Position,
            Order::Key => Guard::Claim,
        };
        let keeper = Keeper::new(Keeping {
            cluster: Arc::clone(handling.cluster()),
            group: handling.group().to_owned(),
            database,
            inbox,
            guard,
            reset: handling.offset_reset(),
        });
        let keeper = match keeper {
            Ok(keeper) => Arc::new(keeper),
            Err(error) => return HandlerSummary::failed(error),
        };
        let mut shutdown = std::pin::pin!(shutdown);
        let checked: Result<(), ClientError> = tokio::select! {
            biased;
            () = &mut shutdown => return HandlerSummary::default(),
            checked = keeper.check(handling.topic_names()) => checked,
        };
        if let Err(error) = checked {
            return HandlerSummary::failed(error);
        }
        let positions = Arc::new(Shared(Arc::clone(&keeper)));
        let handling = handling.auto_offset_reset(reset).together(batch.max(1));
        handling
            .run_keeping(Some(positions), Call::new(keeper, handler), shutdown)
            .await
    }
}
