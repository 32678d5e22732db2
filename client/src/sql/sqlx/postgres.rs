//! Statements in a transaction of sqlx on PostgreSQL.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - The server says which types a statement expects, and values are written as those: sqlx sends
//!   all of them in binary.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgArguments, PgConnection, PgDatabaseError, PgRow, PgStatement, PgTypeInfo,
    PgTypeKind, Postgres,
};
use sqlx::{Arguments, AssertSqlSafe, Column, Connection, Either, Executor, Row, SqlSafeStr};
use sqlx::{Statement, Transaction, Type, TypeInfo, ValueRef};

use crate::sql::binary::Class;
use crate::sql::binary::unread;
use crate::sql::error::SqlError;
use crate::sql::meaning::is_stale;
use crate::sql::row::SqlRow;
use crate::sql::statement::{SqlStatement, SqlValue};
use crate::sql::{Dialect, SqlTx};

/// In a transaction of your own: a statement is prepared at its first use, and stays so with its
/// connection.
///
/// Numbers and texts fit the types that [`SqlValue`] names. For others the statement casts them:
/// `$1::bigint` for a number, `$1::text::timestamptz` for a text.
///
/// ```no_run
/// use highwater_client::{Event, Outbox};
/// use sqlx::PgPool;
///
/// # async fn run(pool: PgPool) -> Result<(), Box<dyn std::error::Error>> {
/// let outbox = Outbox::to("order-events");
/// let mut tx = pool.begin().await?;
/// sqlx::query("update orders set state = 'paid'").execute(&mut *tx).await?;
/// let event = Event::new("/shop/orders", "order.paid.v1").key("order-42").data("{}");
/// outbox.enqueue(&mut tx, &event).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
impl SqlTx for Transaction<'_, Postgres> {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn execute(&mut self, statement: SqlStatement) -> Result<u64, SqlError> {
        let (prepared, values) = prepare(self, statement).await?;
        let done = prepared.query_with(values).execute(&mut **self).await;
        Ok(seen(self, done).await?.rows_affected())
    }

    async fn query(&mut self, statement: SqlStatement) -> Result<Vec<SqlRow>, SqlError> {
        let (prepared, values) = prepare(self, statement).await?;
        let rows = prepared.query_with(values).fetch_all(&mut **self).await;
        seen(self, rows).await?.iter().map(row).collect()
    }
}

/// A statement that the server knows, and its values as it expects them.
async fn prepare(
    connection: &mut PgConnection,
    statement: SqlStatement,
) -> Result<(PgStatement, PgArguments), SqlError> {
    let SqlStatement { text, binds } = statement;
    // Values are never in the text.
    let text = AssertSqlSafe(text).into_sql_str();
    let prepared = connection.prepare(text).await;
    let prepared = seen(connection, prepared).await?;
    let kinds = match prepared.parameters() {
        Some(Either::Left(kinds)) => kinds,
        _ => &[],
    };
    SqlStatement::fits(kinds.len(), binds.len())?;
    let mut values = PgArguments::default();
    for (value, kind) in binds.iter().zip(kinds) {
        if let Err(why) = values.add(Argument { value, kind }) {
            connection.clear_cached_statements().await?;
            return Err(SqlError::Refused(why.to_string()));
        }
    }
    Ok((prepared, values))
}

/// What sqlx keeps prepared for a table that has changed since would be refused for ever: so is
/// a value that does not fit the type of a column any more.
async fn seen<T>(
    connection: &mut PgConnection,
    answer: Result<T, sqlx::Error>,
) -> Result<T, SqlError> {
    if let Err(sqlx::Error::Database(said)) = &answer
        && let Some(said) = said.try_downcast_ref::<PgDatabaseError>()
        && is_stale(said.code(), said.routine())
    {
        connection.clear_cached_statements().await?;
    }
    Ok(answer?)
}

fn row(found: &PgRow) -> Result<SqlRow, SqlError> {
    let values = (0..found.len()).map(|column| {
        value(found, column).map_err(|why| {
            let name = found.column(column).name();
            SqlError::Row(format!("column {column}, `{name}`: {why}"))
        })
    });
    Ok(SqlRow(values.collect::<Result<_, SqlError>>()?))
}

fn value(found: &PgRow, column: usize) -> Result<SqlValue, BoxDynError> {
    let raw = found.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(SqlValue::Null);
    }
    let kind = raw.type_info();
    match class(&kind) {
        Some(class) => class.read(raw.as_bytes()?),
        None => Err(unread(&name_of(&kind)).into()),
    }
}

fn class(kind: &PgTypeInfo) -> Option<Class> {
    match kind.kind() {
        PgTypeKind::Enum(_) => Some(Class::Text),
        PgTypeKind::Domain(inner) => class(inner),
        _ => Class::of(kind.oid()?.0),
    }
}

/// As PostgreSQL spells it.
fn name_of(kind: &PgTypeInfo) -> String {
    kind.name().to_lowercase()
}

/// A value and the type that the server expects.
struct Argument<'a> {
    value: &'a SqlValue,
    kind: &'a PgTypeInfo,
}

impl Encode<'_, Postgres> for Argument<'_> {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        if *self.value == SqlValue::Null {
            return Ok(IsNull::Yes);
        }
        let written = class(self.kind).and_then(|class| class.write(self.value, out));
        match written {
            Some(()) => Ok(IsNull::No),
            None => Err(misfit(self.value, &name_of(self.kind)).into()),
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.kind.clone())
    }
}

impl Type<Postgres> for Argument<'_> {
    fn type_info() -> PgTypeInfo {
        // Of no value: each says its own.
        PgTypeInfo::with_name("unknown")
    }
}

fn misfit(value: &SqlValue, kind: &str) -> String {
    match value {
        SqlValue::Integer(number) => {
            format!("{number} does not fit `{kind}`: let the statement cast `$n::bigint`")
        }
        SqlValue::Text(_) => {
            format!("a text does not fit `{kind}`: let the statement cast `$n::text::{kind}`")
        }
        SqlValue::Bytes(_) | SqlValue::Null => {
            format!("bytes do not fit `{kind}`: let the statement cast `$n::bytea`")
        }
    }
}
