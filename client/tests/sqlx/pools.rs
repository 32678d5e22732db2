//! A pool of sqlx as a database, so that the tests of the other drivers run over it.

use highwater_client::sql::{
    Database, Dialect, Isolation, OwnedTx, SqlError, SqlRow, SqlStatement, SqlTx,
};
use sqlx::{Pool, Transaction};

pub(crate) struct Pooled<DB: sqlx::Database> {
    pub(crate) pool: Pool<DB>,
    pub(crate) dialect: Dialect,
}

impl<DB: sqlx::Database> Clone for Pooled<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            dialect: self.dialect,
        }
    }
}

pub(crate) struct PooledTx<DB: sqlx::Database>(Transaction<'static, DB>);

impl<DB: sqlx::Database> Database for Pooled<DB>
where
    Transaction<'static, DB>: SqlTx,
{
    type Tx = PooledTx<DB>;

    fn dialect(&self) -> Dialect {
        self.dialect
    }

    async fn begin(&self, isolation: Isolation) -> Result<PooledTx<DB>, SqlError> {
        let begin = match (self.dialect, isolation) {
            (Dialect::Sqlite, Isolation::Write) => "begin immediate",
            (Dialect::Sqlite, Isolation::Snapshot) => "begin",
            (Dialect::Postgres, Isolation::Write) => "begin",
            (Dialect::Postgres, Isolation::Snapshot) => {
                "begin isolation level repeatable read read only"
            }
        };
        Ok(PooledTx(self.pool.begin_with(begin).await?))
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        Ok(None)
    }
}

impl<DB: sqlx::Database> SqlTx for PooledTx<DB>
where
    Transaction<'static, DB>: SqlTx,
{
    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn execute(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<u64, SqlError>> + Send {
        self.0.execute(statement)
    }

    fn query(
        &mut self,
        statement: SqlStatement,
    ) -> impl Future<Output = Result<Vec<SqlRow>, SqlError>> + Send {
        self.0.query(statement)
    }
}

impl<DB: sqlx::Database> OwnedTx for PooledTx<DB>
where
    Transaction<'static, DB>: SqlTx,
{
    async fn commit(self) -> Result<(), SqlError> {
        Ok(self.0.commit().await?)
    }

    async fn rollback(self) -> Result<(), SqlError> {
        Ok(self.0.rollback().await?)
    }
}
