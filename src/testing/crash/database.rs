//! A database on which a process crashes at its commit points.

use highwater_client::HandlerError;
use highwater_client::inbox::{Delivery, TxHandler};
use highwater_client::sql::{
    Database, Dialect, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx,
};

use super::points::Points;

/// A database around the one of a test, in which transactions have commit points.
#[derive(Clone, Debug)]
pub struct Crashing<D> {
    inner: D,
    points: Points,
}

/// A transaction of a [`Crashing`] database.
#[derive(Debug)]
pub struct CrashingTx<Tx> {
    inner: Tx,
    points: Points,
    /// What was done last.
    last: String,
}

impl<D> Crashing<D> {
    pub(super) const fn new(inner: D, points: Points) -> Self {
        Self { inner, points }
    }
}

impl<Tx> CrashingTx<Tx> {
    /// The transaction inside, for what only its own driver can do. What is done there has no
    /// commit points, but for those at its beginning and its commit.
    pub const fn inner(&mut self) -> &mut Tx {
        &mut self.inner
    }
}

impl<D: Database> Database for Crashing<D> {
    type Tx = CrashingTx<D::Tx>;

    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn begin(&self, isolation: Isolation) -> Result<Self::Tx, SqlError> {
        let name = || "before a transaction began".to_owned();
        self.points.reach(name).await;
        Ok(CrashingTx {
            inner: self.inner.begin(isolation).await?,
            points: self.points.clone(),
            last: "its beginning".to_owned(),
        })
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        self.inner.version().await
    }

    fn commits(&self) -> highwater_client::sql::Commits {
        self.inner.commits()
    }
}

impl<Tx: SqlTx + Send> SqlTx for CrashingTx<Tx> {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        self.last = shown(&statement);
        let count = self.inner.execute(statement).await;
        self.points.reach(|| format!("behind {}", self.last)).await;
        count
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        self.last = shown(&statement);
        let rows = self.inner.query(statement).await;
        self.points.reach(|| format!("behind {}", self.last)).await;
        rows
    }
}

impl<Tx: OwnedTx> OwnedTx for CrashingTx<Tx> {
    async fn strangers(&mut self) -> Result<Option<i64>, SqlError> {
        self.inner.strangers().await
    }

    async fn commit(self) -> Result<(), SqlError> {
        let Self {
            inner,
            points,
            last,
        } = self;
        points
            .reach(|| format!("before the commit behind {last}"))
            .await;
        let committed = inner.commit().await;
        points
            .reach(|| format!("after the commit behind {last}"))
            .await;
        committed
    }

    async fn rollback(self) -> Result<(), SqlError> {
        self.inner.rollback().await
    }
}

/// Lets a handler that is written for one driver run in transactions of [`Crashing`].
///
/// ```
/// use highwater::inbox::TxHandler;
/// use highwater::sql::OwnedTx;
/// use highwater::testing::{CrashingTx, on_inner};
///
/// fn wrapped<Tx: OwnedTx>(handler: impl TxHandler<Tx>) -> impl TxHandler<CrashingTx<Tx>> {
///     on_inner(handler)
/// }
/// ```
pub const fn on_inner<H>(handler: H) -> OnInner<H> {
    OnInner { handler }
}

/// A handler of the transaction inside; made by [`on_inner`].
#[derive(Clone, Copy, Debug)]
pub struct OnInner<H> {
    handler: H,
}

impl<Tx: OwnedTx, H: TxHandler<Tx>> TxHandler<CrashingTx<Tx>> for OnInner<H> {
    async fn handle(&self, delivery: Delivery<'_, CrashingTx<Tx>>) -> Result<(), HandlerError> {
        let delivery = delivery.map_tx(CrashingTx::inner);
        self.handler.handle(delivery).await
    }
}

fn shown(statement: &SqlStatement) -> String {
    let text = &statement.text;
    let mut short: String = text.chars().take(TEXT_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push_str("..");
    }
    format!("`{short}`")
}

const TEXT_CHARS_MAX: usize = 80;
