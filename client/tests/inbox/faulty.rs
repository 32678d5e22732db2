//! Databases that fail on purpose, around one that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use highwater_client::sql::{
    Database, Dialect, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx,
};
use tokio::sync::watch;

/// What goes wrong.
trait Fault: Clone + Send + Sync + 'static {
    /// Before a transaction that writes is begun.
    fn beginning(&self) -> impl Future<Output = Result<(), SqlError>> + Send;

    /// After a commit has been done.
    fn committed(&self) -> Result<(), SqlError>;

    /// After each call of the database, and before a transaction is begun.
    fn stepped(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

#[derive(Clone)]
pub(crate) struct Faulty<D, F> {
    inner: D,
    fault: F,
}

pub(crate) struct FaultyTx<Tx, F> {
    inner: Tx,
    fault: F,
}

impl<D: Database, F: Fault> Database for Faulty<D, F> {
    type Tx = FaultyTx<D::Tx, F>;

    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn begin(&self, isolation: Isolation) -> Result<Self::Tx, SqlError> {
        if isolation == Isolation::Write {
            self.fault.beginning().await?;
        }
        self.fault.stepped().await;
        Ok(FaultyTx {
            inner: self.inner.begin(isolation).await?,
            fault: self.fault.clone(),
        })
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        self.inner.version().await
    }
}

impl<Tx: SqlTx + Send, F: Fault> SqlTx for FaultyTx<Tx, F> {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        let done = self.inner.execute(statement).await;
        self.fault.stepped().await;
        done
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        let rows = self.inner.query(statement).await;
        self.fault.stepped().await;
        rows
    }
}

impl<Tx: OwnedTx, F: Fault> OwnedTx for FaultyTx<Tx, F> {
    async fn commit(self) -> Result<(), SqlError> {
        self.inner.commit().await?;
        self.fault.stepped().await;
        self.fault.committed()
    }

    async fn rollback(self) -> Result<(), SqlError> {
        self.inner.rollback().await
    }
}

/// The answers of some commits do not arrive: conflicts to their callers, but done.
#[derive(Clone)]
pub(crate) struct Lost {
    commits: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    is_lost: fn(u64) -> bool,
}

impl Fault for Lost {
    async fn beginning(&self) -> Result<(), SqlError> {
        Ok(())
    }

    fn committed(&self) -> Result<(), SqlError> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        if !(self.is_lost)(number) {
            return Ok(());
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
        Err(SqlError::Conflict("its answer was lost".to_owned()))
    }
}

pub(crate) struct LostAnswers;

impl LostAnswers {
    #[expect(clippy::new_ret_no_self, reason = "it is the fault that has a name")]
    pub(crate) fn new<D>(inner: D, is_lost: fn(u64) -> bool) -> Faulty<D, Lost> {
        let fault = Lost {
            commits: Arc::default(),
            lost: Arc::default(),
            is_lost,
        };
        Faulty { inner, fault }
    }
}

impl<D> Faulty<D, Lost> {
    pub(crate) fn commits(&self) -> u64 {
        self.fault.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.fault.lost.load(Ordering::Relaxed)
    }
}

/// Transactions wait before they begin, as in a process that is stopped, while the gate is closed.
#[derive(Clone)]
pub(crate) struct Gate {
    is_open: Arc<watch::Sender<bool>>,
    waiting: Arc<watch::Sender<u64>>,
}

impl Fault for Gate {
    async fn beginning(&self) -> Result<(), SqlError> {
        if *self.is_open.borrow() {
            return Ok(());
        }
        self.waiting.send_modify(|count| *count += 1);
        drop(self.is_open.subscribe().wait_for(|it| *it).await);
        Ok(())
    }

    fn committed(&self) -> Result<(), SqlError> {
        Ok(())
    }
}

impl Gate {
    pub(crate) fn around<D>(inner: D) -> Faulty<D, Self> {
        let fault = Self {
            is_open: Arc::new(watch::Sender::new(true)),
            waiting: Arc::default(),
        };
        Faulty { inner, fault }
    }
}

impl<D> Faulty<D, Gate> {
    pub(crate) fn close(&self) {
        self.fault.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.fault.is_open.send_replace(true);
    }

    /// Ends when a transaction waits.
    pub(crate) async fn waits(&self) {
        let mut waiting = self.fault.waiting.subscribe();
        waiting.wait_for(|count| *count > 0).await.unwrap();
    }
}

/// The database is away for so many beginnings of transactions.
#[derive(Clone)]
pub(crate) struct Away {
    left: Arc<AtomicU64>,
}

impl Fault for Away {
    async fn beginning(&self) -> Result<(), SqlError> {
        let less = |left: u64| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.left.fetch_update(set, get, less) {
            Ok(_) => Err(SqlError::Unavailable("it is away".to_owned())),
            Err(_) => Ok(()),
        }
    }

    fn committed(&self) -> Result<(), SqlError> {
        Ok(())
    }
}

impl Away {
    pub(crate) fn around<D>(inner: D) -> Faulty<D, Self> {
        let left = Arc::default();
        Faulty {
            inner,
            fault: Self { left },
        }
    }
}

impl<D> Faulty<D, Away> {
    pub(crate) fn goes_away_for(&self, beginnings: u64) {
        self.fault.left.store(beginnings, Ordering::Relaxed);
    }
}

/// The process crashes at a step, and comes back from nothing behind it.
#[derive(Clone)]
pub(crate) struct Crash {
    left: Arc<AtomicU64>,
    is_reached: Arc<watch::Sender<bool>>,
}

impl Fault for Crash {
    async fn beginning(&self) -> Result<(), SqlError> {
        Ok(())
    }

    fn committed(&self) -> Result<(), SqlError> {
        Ok(())
    }

    async fn stepped(&self) {
        let less = |left: u64| left.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.left.fetch_update(set, get, less).is_err() {
            self.is_reached.send_replace(true);
            std::future::pending::<()>().await;
        }
    }
}

impl Crash {
    pub(crate) fn at<D>(step: u64, inner: D) -> Faulty<D, Self> {
        let fault = Self {
            left: Arc::new(AtomicU64::new(step)),
            is_reached: Arc::default(),
        };
        Faulty { inner, fault }
    }
}

impl<D> Faulty<D, Crash> {
    /// Ends when it has crashed.
    pub(crate) async fn reached(&self) {
        crate::until(&self.fault.is_reached).await;
    }
}
