//! Statements in a transaction of your own.
//!
//! Floor 1 of client.

use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::value::{row, type_of};
use crate::sql::error::SqlError;
use crate::sql::row::SqlRow;
use crate::sql::statement::{SqlStatement, SqlValue};
use crate::sql::{Dialect, SqlTx};

/// In a transaction of your own, whatever its connection's TLS: one round trip a statement, nothing
/// stays prepared.
///
/// ```no_run
/// use highwater_client::sql::{SqlStatement, SqlTx};
///
/// # async fn run(client: &mut tokio_postgres::Client)
/// # -> Result<(), highwater_client::sql::SqlError> {
/// let mut tx = client.transaction().await?;
/// tx.execute("update orders set state = 'paid'", &[]).await?;
/// SqlTx::execute(&mut tx, SqlStatement::new("insert into t values ($1)").bind(7)).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
impl SqlTx for Transaction<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        Ok(self
            .execute_typed(&statement.text, &typed(&statement.binds))
            .await?)
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        let rows = self
            .query_typed(&statement.text, &typed(&statement.binds))
            .await?;
        rows.iter().map(row).collect()
    }
}

fn typed(binds: &[SqlValue]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    let with_type = |value| (value as &(dyn ToSql + Sync), type_of(value));
    binds.iter().map(with_type).collect()
}
