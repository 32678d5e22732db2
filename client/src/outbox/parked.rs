//! Rows that could not be published, and the later rows of their keys, which wait behind them.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A row is copied here, with all that the router needs, in the transaction that passes it by.
//! - The rows of a key stay in their order, and leave only when the relay has published or dropped
//!   them: a command only marks them.

use super::capture::Row;
use super::error::OutboxError;
use super::json;
use super::router::{self, Lane};
use super::table::Table;
use crate::sql::{SqlError, SqlRow, SqlStatement, SqlTx, SqlValue};

/// A key whose rows wait, because the first of them could not be published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParkedKey {
    /// The value that the topic follows from: of events, the topic.
    pub route: String,
    /// The key; empty if the row has none, and then it is one row only.
    pub key: String,
    /// The number of the first row, the one that could not be published.
    pub seq: i64,
    /// How many rows wait, it included.
    pub rows: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it could not be published.
    pub error: String,
}

/// What a command does with a parked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// All of its rows are tried again.
    Retry,
    /// Its first row is dropped, the others are tried again.
    Skip,
}

/// A row to be parked.
#[derive(Clone, Debug)]
pub(super) struct Parking<'a> {
    pub(super) row: &'a Row,
    pub(super) lane: Option<&'a Lane>,
    pub(super) error: &'a str,
    pub(super) attempts: u32,
}

/// A parked row that a command has marked, or that stands behind one.
#[derive(Clone, Debug)]
pub(super) struct Released {
    pub(super) row: Row,
    pub(super) lane: Option<Lane>,
    pub(super) attempts: u32,
    pub(super) is_skipped: bool,
}

/// The lanes that are parked; rows without a key are in one with an empty key, in which no row of
/// the table is.
pub(super) async fn lanes<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
) -> Result<Vec<Lane>, OutboxError> {
    let select = format!(
        "select distinct route, key from {} where relay = $1",
        table.parked()
    );
    let rows = tx
        .query(SqlStatement::new(select).bind(table.name()))
        .await?;
    let lanes = rows.iter().map(|row| {
        let lane = Lane::new(row.text(0)?.to_owned(), row.text(1)?.to_owned());
        Ok::<_, SqlError>(lane)
    });
    Ok(lanes.collect::<Result<_, _>>()?)
}

/// Copies a row here; one that is here stays, with the newer error.
pub(super) async fn park<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    parking: Parking<'_>,
) -> Result<(), OutboxError> {
    let Parking {
        row,
        lane,
        error,
        attempts,
    } = parking;
    let insert = format!(
        "insert into {} (relay, seq, route, key, state, error, attempts, row_values) \
         values ($1, $2, $3, $4, 'parked', $5, $6, $7) on conflict (relay, seq) do update \
         set state = 'parked', error = excluded.error, attempts = excluded.attempts",
        table.parked()
    );
    let insert = SqlStatement::new(insert)
        .bind(table.name())
        .bind(row.seq)
        .bind(lane.map_or("", Lane::route))
        .bind(lane.map_or("", Lane::key))
        .bind(cut(error))
        .bind(i64::from(attempts))
        .bind(write_values(table, row));
    tx.execute(insert).await?;
    Ok(())
}

/// The first rows of keys that a command has marked, at most so many.
pub(super) async fn released<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    rows_max: usize,
) -> Result<Vec<Released>, OutboxError> {
    let parked = table.parked();
    let select = format!(
        "select seq, route, key, state, attempts, row_values from {parked} p where relay = $1 \
         and (state <> 'parked' or (key <> '' and exists (select 1 from {parked} q \
         where q.relay = p.relay and q.route = p.route and q.key = p.key \
         and q.state <> 'parked'))) order by seq limit $2"
    );
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let select = SqlStatement::new(select).bind(table.name()).bind(limit);
    let rows = tx.query(select).await?;
    rows.iter().map(|row| read_released(table, row)).collect()
}

fn read_released(table: &Table, row: &SqlRow) -> Result<Released, OutboxError> {
    let (route, key) = (row.text(1)?, row.text(2)?);
    let lane = (!key.is_empty()).then(|| Lane::new(route.to_owned(), key.to_owned()));
    let (seq, values) = (row.integer(0)?, row.text(5)?);
    let values = read_values(table, values).map_err(|why| {
        SqlError::Row(format!(
            "row_values of the row {seq} in {}: {why}",
            table.parked()
        ))
    })?;
    Ok(Released {
        row: Row {
            seq,
            created_ms: None,
            values,
        },
        lane,
        attempts: u32::try_from(row.integer(4)?).unwrap_or(u32::MAX),
        is_skipped: row.text(3)? == "skip",
    })
}

/// Removes rows that are published or dropped.
pub(super) async fn remove<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    seqs: &[i64],
) -> Result<(), OutboxError> {
    for seq in seqs {
        let delete = format!(
            "delete from {} where relay = $1 and seq = $2",
            table.parked()
        );
        let delete = SqlStatement::new(delete).bind(table.name()).bind(*seq);
        tx.execute(delete).await?;
    }
    Ok(())
}

/// Marks what is left of a key, so that it goes on, or stops it.
pub(super) async fn mark<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    lane: &Lane,
    goes_on: GoesOn,
) -> Result<(), OutboxError> {
    let state = match goes_on {
        GoesOn::Yes => "retry",
        GoesOn::No => "parked",
    };
    let update = format!(
        "update {} set state = $1 where relay = $2 and route = $3 and key = $4 and state <> 'skip'",
        table.parked()
    );
    let update = SqlStatement::new(update)
        .bind(state)
        .bind(table.name())
        .bind(lane.route())
        .bind(lane.key());
    tx.execute(update).await?;
    Ok(())
}

/// Whether the rows that are left of a key are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoesOn {
    Yes,
    No,
}

/// The keys that are parked; a row without a key is one by itself.
pub(super) async fn keys<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    limit: u32,
) -> Result<Vec<ParkedKey>, OutboxError> {
    let parked = table.parked();
    let select = format!(
        "select p.route, p.key, p.seq, g.rows, p.attempts, p.error from {parked} p join \
         (select min(seq) as seq, count(*) as rows from {parked} where relay = $1 \
         group by route, key, case key when '' then seq end) g \
         on p.relay = $2 and p.seq = g.seq order by p.seq limit $3"
    );
    let select = SqlStatement::new(select)
        .bind(table.name())
        .bind(table.name())
        .bind(i64::from(limit));
    let rows = tx
        .query(select)
        .await
        .map_err(|why| super::progress::no_table(table, why))?;
    let keys = rows.iter().map(|row| {
        Ok::<_, SqlError>(ParkedKey {
            route: row.text(0)?.to_owned(),
            key: row.text(1)?.to_owned(),
            seq: row.integer(2)?,
            rows: u64::try_from(row.integer(3)?).unwrap_or(0),
            attempts: u32::try_from(row.integer(4)?).unwrap_or(u32::MAX),
            error: row.text(5)?.to_owned(),
        })
    });
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Marks the rows of a key, if its first row is still the one that the caller has seen.
pub(super) async fn command<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    key: &ParkedKey,
    command: Command,
) -> Result<(), OutboxError> {
    let parked = table.parked();
    let of_key = match key.key.is_empty() {
        true => "seq = $4",
        false => "seq >= $4",
    };
    let update = |state: &str, which: &str| {
        let update = format!(
            "update {parked} set state = '{state}' where relay = $1 and route = $2 and key = $3 \
             and {which}"
        );
        SqlStatement::new(update)
            .bind(table.name())
            .bind(key.route.as_str())
            .bind(key.key.as_str())
            .bind(key.seq)
    };
    let before = format!(
        "select count(*), coalesce(sum(case seq when $4 then 1 else 0 end), 0) from {parked} \
         where relay = $1 and route = $2 and key = $3 and seq <= $5"
    );
    let before = SqlStatement {
        text: before.into(),
        ..update("retry", of_key)
    };
    let found = tx.query(before.bind(key.seq)).await?;
    let counts = found
        .first()
        .map(|row| Ok::<_, SqlError>((row.integer(0)?, row.integer(1)?)));
    let (below, itself) = counts.transpose()?.unwrap_or_default();
    if itself != 1 || (below != 1 && !key.key.is_empty()) {
        return Err(OutboxError::Invalid(format!(
            "the row {} is not the first one that is parked of the key {:?} of {}: look again",
            key.seq, key.key, key.route
        )));
    }
    tx.execute(update("retry", of_key)).await?;
    if command == Command::Skip {
        tx.execute(update("skip", "seq = $4")).await?;
    }
    Ok(())
}

/// The values of a row as an object of texts: a letter tells the kind, the rest is the value.
fn write_values(table: &Table, row: &Row) -> String {
    let texts = (0..table.columns().len()).map(|column| match row.values.value(column) {
        SqlValue::Null => None,
        SqlValue::Integer(number) => Some(format!("i{number}")),
        SqlValue::Text(text) => Some(format!("t{text}")),
        SqlValue::Bytes(bytes) => Some(match std::str::from_utf8(bytes) {
            Ok(text) => format!("b{text}"),
            Err(_) => format!("x{}", router::hex(bytes)),
        }),
    });
    let texts: Vec<Option<String>> = texts.collect();
    let names = table.columns().iter().map(String::as_str);
    json::write(names.zip(texts.iter().map(Option::as_deref)))
}

/// The values of the table's columns; one that was not written is null.
fn read_values(table: &Table, text: &str) -> Result<SqlRow, String> {
    let mut values = vec![SqlValue::Null; table.columns().len()];
    for (name, text) in json::read(text)? {
        let column = table.columns().iter().position(|it| *it == name);
        if let (Some(column), Some(text)) = (column, text) {
            let value = read_value(&text);
            values[column] = value.ok_or_else(|| format!("{name} is no value: {text:?}"))?;
        }
    }
    Ok(SqlRow(values))
}

fn read_value(text: &str) -> Option<SqlValue> {
    let (kind, value) = text.split_at_checked(1)?;
    match kind {
        "i" => value.parse().ok().map(SqlValue::Integer),
        "t" => Some(value.into()),
        "b" => Some(value.as_bytes().into()),
        "x" => {
            let pairs = (0..value.len()).step_by(2);
            let byte = |at: usize| u8::from_str_radix(value.get(at..at + 2)?, 16).ok();
            pairs.map(byte).collect::<Option<Vec<u8>>>().map(Into::into)
        }
        _ => None,
    }
}

/// The start of an error's text.
fn cut(error: &str) -> &str {
    let end = error.floor_char_boundary(ERROR_BYTES_MAX);
    &error[..end]
}

/// What is kept of an error.
const ERROR_BYTES_MAX: usize = 1_000;
