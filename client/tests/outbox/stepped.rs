//! Everything that a relay or a handler does outside of itself, as numbered steps: at one of them
//! it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use highwater_client::sql::{
    Commits, Database, Dialect, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx,
};
use tokio::sync::Notify;

/// Numbers everything that a relay does outside of itself; at one number it stops.
#[derive(Debug)]
pub(crate) struct Steps {
    next: AtomicUsize,
    last: AtomicUsize,
    at_last: fn(),
    reached: Notify,
    goes_on: Notify,
}

impl Steps {
    pub(crate) fn until(last: usize) -> Arc<Self> {
        Self::ending(last, || {})
    }

    /// Before it stops, this is called: it may end the process.
    pub(crate) fn ending(last: usize, at_last: fn()) -> Arc<Self> {
        Arc::new(Self {
            next: AtomicUsize::new(0),
            last: AtomicUsize::new(last),
            at_last,
            reached: Notify::new(),
            goes_on: Notify::new(),
        })
    }

    /// Resolves when the relay has stopped.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets it go on, and not stop again.
    pub(crate) fn go_on(&self) {
        self.last.store(usize::MAX, Ordering::SeqCst);
        self.goes_on.notify_one();
    }

    /// Takes a step; behind the last one it does not come back before [`Self::go_on`].
    pub(crate) async fn step(&self) {
        if self.pass() {
            self.reached.notify_one();
            self.goes_on.notified().await;
        }
    }

    /// Takes a step that does not stop; whether it should have.
    pub(crate) fn pass(&self) -> bool {
        let last = self.last.load(Ordering::SeqCst);
        let is_last = self.next.fetch_add(1, Ordering::SeqCst) >= last;
        if is_last {
            (self.at_last)();
        }
        is_last
    }
}

/// A database of which every call is a step.
#[derive(Clone)]
pub(crate) struct Stepped<D> {
    database: D,
    begins: Arc<Steps>,
    steps: Arc<Steps>,
}

impl<D: Database> Stepped<D> {
    pub(crate) fn new(database: &D, steps: &Arc<Steps>) -> Self {
        Self {
            database: database.clone(),
            begins: Arc::clone(steps),
            steps: Arc::clone(steps),
        }
    }

    /// Of which only what comes before a transaction is a step.
    pub(crate) fn begins(database: &D, steps: &Arc<Steps>) -> Self {
        Self {
            steps: Steps::until(usize::MAX),
            ..Self::new(database, steps)
        }
    }
}

pub(crate) struct SteppedTx<T> {
    tx: T,
    steps: Arc<Steps>,
}

impl<D: Database> Database for Stepped<D> {
    type Tx = SteppedTx<D::Tx>;

    fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    async fn begin(&self, isolation: Isolation) -> Result<Self::Tx, SqlError> {
        self.begins.step().await;
        let tx = self.database.begin(isolation).await?;
        Ok(SteppedTx {
            tx,
            steps: Arc::clone(&self.steps),
        })
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        self.database.version().await
    }

    fn commits(&self) -> Commits {
        self.database.commits()
    }
}

impl<T: OwnedTx> SqlTx for SteppedTx<T> {
    fn dialect(&self) -> Dialect {
        self.tx.dialect()
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        let count = self.tx.execute(statement).await;
        self.steps.step().await;
        count
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        let rows = self.tx.query(statement).await;
        self.steps.step().await;
        rows
    }
}

impl<T: OwnedTx> OwnedTx for SteppedTx<T> {
    async fn strangers(&mut self) -> Result<Option<i64>, SqlError> {
        self.tx.strangers().await
    }

    async fn commit(self) -> Result<(), SqlError> {
        let done = self.tx.commit().await;
        self.steps.step().await;
        done
    }

    async fn rollback(self) -> Result<(), SqlError> {
        self.tx.rollback().await
    }
}
