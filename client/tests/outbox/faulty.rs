//! A database and a broker in which a relay stops at a step, or which are away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use highwater_broker::Broker;
use highwater_client::Client;
use highwater_client::sql::{
    Commits, Database, Dialect, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx,
};
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};
use tokio::sync::Notify;

/// Numbers everything that a relay does outside of itself; at one number it stops.
#[derive(Debug)]
pub(crate) struct Steps {
    next: AtomicUsize,
    last: AtomicUsize,
    reached: Notify,
    goes_on: Notify,
}

impl Steps {
    pub(crate) fn until(last: usize) -> Arc<Self> {
        Arc::new(Self {
            next: AtomicUsize::new(0),
            last: AtomicUsize::new(last),
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

    async fn step(&self) {
        let last = self.last.load(Ordering::SeqCst);
        if self.next.fetch_add(1, Ordering::SeqCst) >= last {
            self.reached.notify_one();
            self.goes_on.notified().await;
        }
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
    async fn commit(self) -> Result<(), SqlError> {
        let done = self.tx.commit().await;
        self.steps.step().await;
        done
    }

    async fn rollback(self) -> Result<(), SqlError> {
        self.tx.rollback().await
    }
}

/// A database in which looking for commits finds none.
#[derive(Clone)]
pub(crate) struct Blind<D>(pub(crate) D);

impl<D: Database> Database for Blind<D> {
    type Tx = D::Tx;

    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn begin(
        &self,
        isolation: Isolation,
    ) -> impl Future<Output = Result<Self::Tx, SqlError>> + Send {
        self.0.begin(isolation)
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        Ok(Some(0))
    }

    fn commits(&self) -> Commits {
        self.0.commits()
    }
}

/// Whether a broker is away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Away(Arc<AtomicBool>);

impl Away {
    pub(crate) fn set(&self, is_away: bool) {
        self.0.store(is_away, Ordering::SeqCst);
    }

    /// A client of a broker that can be away.
    pub(crate) fn client(&self, broker: &Arc<Broker>) -> Client {
        self.client_with(broker, Steps::until(usize::MAX))
    }

    /// The same, for which each produce request is a step, between the request and its answer.
    pub(crate) fn client_with(&self, broker: &Arc<Broker>, steps: Arc<Steps>) -> Client {
        let (away, sessions) = (self.clone(), broker.sessions());
        Client::in_process(move || {
            Arc::new(Line {
                session: sessions(),
                away: away.clone(),
                steps: Arc::clone(&steps),
            })
        })
    }
}

#[derive(Debug)]
struct Line {
    session: Arc<dyn Exchange>,
    away: Away,
    steps: Arc<Steps>,
}

impl Exchange for Line {
    fn versions(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.session.versions(key)
    }

    fn send(
        &self,
        version: i16,
        request: Request,
    ) -> BoxFuture<'static, Result<Option<Response>, ExchangeError>> {
        if self.away.0.load(Ordering::SeqCst) {
            let why = "the broker is away".to_owned();
            return Box::pin(std::future::ready(Err(ExchangeError::NotSent { why })));
        }
        let is_step = matches!(request, Request::Produce(_));
        let sent = self.session.send(version, request);
        let steps = Arc::clone(&self.steps);
        Box::pin(async move {
            let response = sent.await;
            if is_step {
                steps.step().await;
            }
            response
        })
    }
}
