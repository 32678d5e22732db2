//! The rows of an outbox in SQLite: a cursor on their numbers.
//!
//! Floor 6 of client.
//!
//! In SQLite a cursor on the numbers is exact, as it is nowhere else: transactions that write take
//! turns, so numbers are committed in their order, and a rollback gives its numbers back.
//! `AUTOINCREMENT` is what keeps a number from being given out again after its row was deleted.
//!
//! Invariants
//! - A position goes with the id of its database; neither a foreign one, nor one beyond the last
//!   number that was given out, nor one that has rows before it is believed.
//! - Only what was given is deleted.

use std::time::Duration;

use super::capture::{Adopt, Backlog, Batch, Capture, Confirmed, Room, Row, Stored};
use super::error::OutboxError;
use super::progress::no_table;
use super::table::Table;
use crate::sql::{Database, Isolation, SqlError, SqlRow, SqlStatement, SqlTx};

/// A cursor on the numbers of the rows.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// The number of the last row that was given.
    given: i64,
}

impl<D: Database> Capture<D> for Cursor {
    const READS: Isolation = Isolation::Snapshot;
    const READS_WHERE_IT_WRITES: bool = true;

    async fn is_alone(&mut self, _: &D, _: &str) -> Result<bool, OutboxError> {
        Ok(false)
    }

    async fn open(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        stored: &Stored,
        adopt: Adopt,
    ) -> Result<Stored, OutboxError> {
        check_shape(tx, table).await?;
        check_durability(tx).await?;
        let system_id = system_id(tx, table).await?;
        let position = believed(tx, table, stored, &system_id).await;
        self.given = match (position, adopt) {
            (Ok(position), _) => position,
            // The position is at fault, not the question for it.
            (Err(error), Adopt::Begin) if !matches!(error, OutboxError::Sql(_)) => 0,
            (Err(error), _) => return Err(error),
        };
        Ok(Stored {
            position: self.given.to_string(),
            system_id,
        })
    }

    async fn next(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        room: Room,
    ) -> Result<Batch, OutboxError> {
        let Some((end, count)) = self.end(tx, table, room).await? else {
            return Ok(Batch {
                position: self.given.to_string(),
                ..Batch::default()
            });
        };
        let (name, order) = (table.name(), table.order());
        let created = table.created().unwrap_or("null");
        let columns = table.selected();
        let select = format!(
            "select {order}, {created}, {columns} from {name} where {order} > $1 \
             and {order} <= $2 order by {order}"
        );
        let select = SqlStatement::new(select).bind(self.given).bind(end);
        let rows = tx.query(select).await?;
        let rows = rows.into_iter().map(read_row).collect::<Result<_, _>>()?;
        self.given = end;
        Ok(Batch {
            rows,
            position: end.to_string(),
            has_more: count > 0,
        })
    }

    async fn confirm(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        batch: &Confirmed,
    ) -> Result<(), OutboxError> {
        let (name, order) = (table.name(), table.order());
        // One run as a rule; where it is not, what lies between was not given.
        for run in batch.seqs.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            let delete = format!("delete from {name} where {order} between $1 and $2");
            let delete = SqlStatement::new(delete).bind(*first).bind(*last);
            tx.execute(delete).await?;
        }
        Ok(())
    }

    async fn backlog(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        stored: &Stored,
    ) -> Result<Backlog, OutboxError> {
        let position: i64 = stored.position.parse().unwrap_or(0);
        let last = last_number(tx, table).await?;
        let (name, order) = (table.name(), table.order());
        let created = table.created().unwrap_or("null");
        // The first row that is there, also if nobody will publish it: it is what somebody has to
        // look after.
        let select = format!("select {NOW_MS} - {created} from {name} order by {order} limit 1");
        let rows = tx.query(SqlStatement::new(select)).await?;
        let Some(row) = rows.first() else {
            return Ok(Backlog::default());
        };
        let age = row.integer(0).ok().map(|ms| u64::try_from(ms).unwrap_or(0));
        Ok(Backlog {
            rows: u64::try_from(last - position).unwrap_or(0).max(1),
            oldest: age.map(Duration::from_millis),
        })
    }
}

impl Cursor {
    /// The number of the last row that has room, and how many there may be behind it of those that
    /// were looked at; nothing, if there is no row. Payloads are not read for it.
    async fn end<T: SqlTx + Send>(
        &self,
        tx: &mut T,
        table: &Table,
        room: Room,
    ) -> Result<Option<(i64, i64)>, OutboxError> {
        let (name, order) = (table.name(), table.order());
        let sizes = table.columns().iter();
        let sizes: Vec<String> = sizes
            .map(|column| format!("coalesce(length(\"{column}\"), 0)"))
            .collect();
        let sizes = sizes.join(" + ");
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX - 1);
        // As a rule there is room for as many rows as a batch may have.
        let select = format!(
            "select max(seq), count(*), sum(size) from (select {order} as seq, {sizes} as size \
             from {name} where {order} > $1 order by {order} limit $2)"
        );
        let select = SqlStatement::new(select)
            .bind(self.given)
            .bind(whole(room.rows));
        let rows = tx.query(select).await?;
        let row = rows.first().cloned().unwrap_or_default();
        let Ok(last) = row.integer(0) else {
            return Ok(None);
        };
        if row.integer(2)? <= whole(room.bytes) {
            let is_full = row.integer(1)? >= whole(room.rows);
            return Ok(Some((last, i64::from(is_full))));
        }
        // One row more than there is room for tells whether there are more.
        let select = format!(
            "select max(case when below < $3 and place <= $2 then seq end), \
             count(*) - count(case when below < $3 and place <= $2 then 1 end) from (\
             select seq, sum(size) over w - size as below, row_number() over w as place from (\
             select {order} as seq, {sizes} as size from {name} where {order} > $1 \
             order by {order} limit $2 + 1) window w as (order by seq))"
        );
        let select = SqlStatement::new(select)
            .bind(self.given)
            .bind(whole(room.rows))
            .bind(whole(room.bytes));
        let rows = tx.query(select).await?;
        let row = rows.first().cloned().unwrap_or_default();
        match row.integer(0) {
            Ok(end) => Ok(Some((end, row.integer(1)?))),
            Err(_) => Ok(None),
        }
    }
}

fn read_row(row: SqlRow) -> Result<Row, SqlError> {
    let (seq, created_ms) = (row.integer(0)?, row.integer(1).ok());
    Ok(Row {
        seq,
        created_ms,
        values: SqlRow(row.0.into_iter().skip(2).collect()),
    })
}

/// Whether the table has what is needed of it.
async fn check_shape<T: SqlTx + Send>(tx: &mut T, table: &Table) -> Result<(), OutboxError> {
    let (bare, schema) = table.bare();
    let columns = SqlStatement::new("select name from pragma_table_info($1, $2)")
        .bind(bare)
        .bind(schema.unwrap_or("main"));
    let found = tx.query(columns).await?;
    let found = found.iter().map(|row| row.text(0));
    let found = found.collect::<Result<Vec<_>, _>>()?;
    let wrong = |why: String| OutboxError::WrongTable {
        table: table.name().to_owned(),
        why,
    };
    if found.is_empty() {
        return Err(wrong(
            "it is not there; Outbox::migrate makes it".to_owned(),
        ));
    }
    let wanted = table.columns().iter().map(String::as_str);
    let wanted = wanted.chain(table.created()).chain([table.order()]);
    let lacks = wanted.filter(|name| !found.iter().any(|it| it.eq_ignore_ascii_case(name)));
    let lacks: Vec<&str> = lacks.collect();
    if !lacks.is_empty() {
        return Err(wrong(format!("it has no column {}", lacks.join(", "))));
    }
    let schema = schema.map(|it| format!("{it}.")).unwrap_or_default();
    let ascends = format!(
        "select 1 from {schema}sqlite_master m join pragma_table_info(m.name) c where m.type = 'table' \
         and m.name = $1 collate nocase and m.sql like '%autoincrement%' and c.name = $2 \
         collate nocase and c.pk = 1"
    );
    let ascends = SqlStatement::new(ascends).bind(bare).bind(table.order());
    if tx.query(ascends).await?.is_empty() {
        return Err(wrong(format!(
            "its column {} is no `integer primary key autoincrement`: a number that is given out \
             again after its row was deleted would be passed by",
            table.order()
        )));
    }
    Ok(())
}

/// The stored position, if it goes with the database.
async fn believed<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    stored: &Stored,
    system_id: &str,
) -> Result<i64, OutboxError> {
    let position = match stored.position.as_str() {
        "" => Some(0),
        text => text.parse().ok(),
    };
    let is_ours = stored.system_id.is_empty() || stored.system_id == system_id;
    let Some(position) = position.filter(|_| is_ours) else {
        return Err(OutboxError::ForeignDatabase {
            table: table.name().to_owned(),
            stored: stored.system_id.clone(),
            found: system_id.to_owned(),
        });
    };
    let last = last_number(tx, table).await?;
    if position > last {
        return Err(OutboxError::RestoredDatabase {
            table: table.name().to_owned(),
            last,
            published: position,
        });
    }
    // What is published is deleted together with the step over it.
    let (name, order) = (table.name(), table.order());
    let select = format!("select min({order}) from {name}");
    let rows = tx.query(SqlStatement::new(select)).await?;
    match rows.first().map(|row| row.integer(0)) {
        Some(Ok(first)) if first <= position => Err(OutboxError::WrongTable {
            table: name.to_owned(),
            why: format!(
                "it has a row with the {order} {first}, and rows up to {position} are published: \
                 the table was made anew, or somebody gives the numbers by hand; to publish all \
                 rows that are in it, some of them again, adopt this database"
            ),
        }),
        _ => Ok(position),
    }
}

/// Whether a commit is on the disk when it is done.
async fn check_durability<T: SqlTx + Send>(tx: &mut T) -> Result<(), OutboxError> {
    let synchronous = SqlStatement::new("select synchronous from pragma_synchronous");
    let rows = tx.query(synchronous).await?;
    let level = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    match level >= SYNCHRONOUS_FULL {
        true => Ok(()),
        false => Err(OutboxError::NotDurable(format!(
            "the database's connections have `synchronous = {level}`, and 2 (full) is needed"
        ))),
    }
}

/// The id that the migration has given the database.
async fn system_id<T: SqlTx + Send>(tx: &mut T, table: &Table) -> Result<String, OutboxError> {
    let select = SqlStatement::new(format!("select id from {}", table.system()));
    let rows = tx.query(select).await.map_err(|why| no_table(table, why))?;
    match rows.first() {
        Some(row) => Ok(row.text(0)?.to_owned()),
        None => Err(OutboxError::WrongTable {
            table: table.name().to_owned(),
            why: format!("{} has no row; Outbox::migrate makes it", table.system()),
        }),
    }
}

/// The last number that was given out, also if its row is deleted.
async fn last_number<T: SqlTx + Send>(tx: &mut T, table: &Table) -> Result<i64, SqlError> {
    let (bare, schema) = table.bare();
    let schema = schema.map(|it| format!("{it}.")).unwrap_or_default();
    let select = format!("select seq from {schema}sqlite_sequence where name = $1 collate nocase");
    let rows = tx.query(SqlStatement::new(select).bind(bare)).await?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// The database's clock, in milliseconds since 1970.
const NOW_MS: &str = "cast((julianday('now') - 2440587.5) * 86400000 as integer)";

/// SQLite's number of `synchronous = full`.
const SYNCHRONOUS_FULL: i64 = 2;
