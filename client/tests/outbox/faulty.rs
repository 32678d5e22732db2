//! A database that hears of no commits, one that has no room, and a broker that is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use highwater_broker::Broker;
use highwater_client::Client;
use highwater_client::sql::{
    Commits, Database, Dialect, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx,
};
use highwater_proto::exchange::{BoxFuture, Exchange, ExchangeError};
use highwater_proto::kafka::{ApiKey, Request, Response};

use super::stepped::Steps;

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

/// A database that has no room for the next change of a row, once it is said to be full.
#[derive(Clone)]
pub(crate) struct Full<D> {
    database: D,
    is_full: Arc<AtomicBool>,
}

pub(crate) struct FullTx<Tx> {
    tx: Tx,
    is_full: Arc<AtomicBool>,
}

impl<D> Full<D> {
    pub(crate) fn new(database: D) -> Self {
        Self {
            database,
            is_full: Arc::default(),
        }
    }

    pub(crate) fn fill(&self) {
        self.is_full.store(true, Ordering::SeqCst);
    }

    /// Whether nothing was changed since.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::SeqCst)
    }
}

impl<D: Database> Database for Full<D> {
    type Tx = FullTx<D::Tx>;

    fn dialect(&self) -> Dialect {
        self.database.dialect()
    }

    async fn begin(&self, isolation: Isolation) -> Result<Self::Tx, SqlError> {
        Ok(FullTx {
            tx: self.database.begin(isolation).await?,
            is_full: Arc::clone(&self.is_full),
        })
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        self.database.version().await
    }
}

impl<Tx: OwnedTx> SqlTx for FullTx<Tx> {
    fn dialect(&self) -> Dialect {
        self.tx.dialect()
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        if statement.text.starts_with("update") && self.is_full.swap(false, Ordering::SeqCst) {
            return Err(SqlError::Unavailable("database or disk is full".to_owned()));
        }
        self.tx.execute(statement).await
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        self.tx.query(statement).await
    }
}

impl<Tx: OwnedTx> OwnedTx for FullTx<Tx> {
    async fn commit(self) -> Result<(), SqlError> {
        self.tx.commit().await
    }

    async fn rollback(self) -> Result<(), SqlError> {
        self.tx.rollback().await
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
