//! The statement that reads a batch, and its rows.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - A batch has at most the rows that were asked for, and no more bytes, but for a first row that
//!   is larger and comes alone.

use std::time::Duration;

use crate::outbox::capture::Backlog;
use crate::outbox::capture::Room;
use crate::outbox::capture::Row;
use crate::outbox::table::Table;
use crate::sql::SqlError;
use crate::sql::SqlRow;
use crate::sql::SqlStatement;
use crate::sql::SqlValue;

/// What is selected of a table.
pub(super) struct Fields {
    /// The table's name.
    pub(super) table: String,
    /// The column of the order, quoted.
    pub(super) order: String,
    /// When a row was written, in milliseconds since 1970: an expression.
    pub(super) created: String,
    /// The columns, each an expression.
    pub(super) columns: Vec<String>,
    /// The columns, quoted.
    pub(super) sized: Vec<String>,
}

impl Fields {
    /// The text of the statement that reads the rows of a condition, `$3` and on, in an order.
    pub(super) fn statement(&self, condition: &str, order: &str) -> String {
        let Self {
            table,
            order: number,
            created,
            ..
        } = self;
        let columns = self.columns.iter().enumerate();
        let columns: String = columns
            .map(|(n, column)| format!(", {column} as c{n}"))
            .collect();
        let names: String = (0..self.columns.len()).map(|n| format!(", c{n}")).collect();
        // What a value takes in the table: so it need not be read to be counted.
        let sizes = self.sized.iter();
        let sizes: String = sizes
            .map(|column| format!(" + coalesce(pg_column_size({column}), 0)"))
            .collect();
        format!(
            "select seq, found, created{names} from \
             (select *, sum(bytes) over (order by seq) as upto, count(*) over () as found from \
             (select {number}::bigint as seq, {created} as created, 0{sizes} as bytes{columns} \
             from {table} where {condition} order by {order} limit $1::bigint) as page) as sized \
             where upto <= $2::bigint or upto = bytes order by seq"
        )
    }

    /// The text of the statement that looks what waits: rows of conditions, each in an order.
    pub(super) fn backlog(&self, parts: &[(&str, &str)]) -> String {
        let Self {
            table,
            order: number,
            created,
            ..
        } = self;
        let parts = parts.iter().map(|(condition, order)| {
            format!(
                "(select {number}::bigint as seq, {created} as created from {table} \
                 where {condition} order by {order} limit {LOOKED_AT_MAX})"
            )
        });
        let parts: Vec<String> = parts.collect();
        let parts = parts.join(" union all ");
        // Of many, the numbers tell how many there are, about.
        format!(
            "select case when count(*) < {LOOKED_AT_MAX} then count(*) \
             else greatest((select max({number}) from {table}) - min(seq) + 1, count(*)) end, \
             (extract(epoch from clock_timestamp()) * 1000)::bigint - min(created) \
             from ({parts}) as waiting"
        )
    }
}

/// So many waiting rows are looked at.
const LOOKED_AT_MAX: u32 = 10_000;

/// The answer to a statement of [`Fields::backlog`].
pub(super) fn backlog(found: &[SqlRow]) -> Result<Backlog, SqlError> {
    let Some(row) = found.first() else {
        return Ok(Backlog::default());
    };
    let oldest = match row.value(1) {
        SqlValue::Integer(millis) => Some(Duration::from_millis(
            u64::try_from(*millis).unwrap_or_default(),
        )),
        _ => None,
    };
    Ok(Backlog {
        rows: u64::try_from(row.integer(0)?).unwrap_or_default(),
        oldest,
    })
}

/// The statement that deletes rows by their numbers.
pub(super) fn delete(table: &Table, seqs: &[i64]) -> SqlStatement {
    let (name, order) = (table.name(), table.order());
    let text = format!("delete from {name} where \"{order}\" = any($1::text::bigint[])");
    SqlStatement::new(text).bind(array(seqs))
}

/// A statement of [`Fields::statement`] with its first two values.
pub(super) fn with_room(text: &str, room: Room) -> SqlStatement {
    let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    SqlStatement::new(text.to_owned())
        .bind(number(room.rows))
        .bind(number(room.bytes))
}

/// The rows, and whether they are all that there are.
pub(super) fn rows(found: Vec<SqlRow>, room: Room) -> Result<(Vec<Row>, bool), SqlError> {
    let count = found.first().map_or(Ok(0), |row| row.integer(1))?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let is_all = found.len() == count && count < room.rows;
    let rows = found.into_iter().map(row).collect::<Result<_, _>>()?;
    Ok((rows, is_all))
}

fn row(mut found: SqlRow) -> Result<Row, SqlError> {
    let seq = found.integer(0)?;
    let created_ms = match found.value(2) {
        SqlValue::Null => None,
        _ => Some(found.integer(2)?),
    };
    found.0.drain(..FIRST_COLUMNS);
    Ok(Row {
        seq,
        created_ms,
        values: found,
    })
}

/// The number, the count and the time stand before a row's values.
const FIRST_COLUMNS: usize = 3;

/// Numbers as PostgreSQL writes an array.
pub(super) fn array<'a>(numbers: impl IntoIterator<Item = &'a i64>) -> String {
    let numbers: Vec<String> = numbers.into_iter().map(i64::to_string).collect();
    format!("{{{}}}", numbers.join(","))
}
