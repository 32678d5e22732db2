//! The statements that make an outbox's tables.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - Each statement may run again: what is there stays.
//! - A table of others, which another column than `seq` orders, stays as it is.

use super::postgres;
use super::table::Table;
use crate::sql::Dialect;

/// The statements, to be run in this order.
pub(super) fn statements(table: &Table, dialect: Dialect) -> Vec<String> {
    match dialect {
        Dialect::Sqlite => sqlite(table),
        Dialect::Postgres => postgres::migrations::statements(table),
    }
}

fn sqlite(table: &Table) -> Vec<String> {
    let mut statements = match table.order() {
        "seq" => own(table),
        _ => Vec::new(),
    };
    statements.extend(kept(table));
    statements
}

/// The table itself.
fn own(table: &Table) -> Vec<String> {
    let (outbox, (bare, schema)) = (table.name(), table.bare());
    // An index stands in the schema of its table, and its name has none.
    let schema = schema.map(|it| format!("{it}.")).unwrap_or_default();
    vec![
        // AUTOINCREMENT: a number that was deleted is never given out again.
        format!(
            "create table if not exists {outbox} (
  seq integer primary key autoincrement,
  id blob not null unique check (length(id) = 16),
  aggregatetype text not null,
  aggregateid text not null,
  type text not null,
  payload blob,
  headers text,
  \"partition\" integer,
  key_version integer,
  traceparent text,
  created_at integer not null
    default (cast((julianday('now') - 2440587.5) * 86400000 as integer))
)"
        ),
        format!(
            "create unique index if not exists {schema}{bare}_key_version
  on {bare} (aggregatetype, aggregateid, key_version) where key_version is not null"
        ),
    ]
}

/// What relays write down.
fn kept(table: &Table) -> Vec<String> {
    let (progress, parked, system) = (table.progress(), table.parked(), table.system());
    let (bare, schema) = table.bare();
    let schema = schema.map(|it| format!("{it}.")).unwrap_or_default();
    vec![
        format!(
            "create table if not exists {progress} (
  relay text not null primary key,
  owner text,
  beat integer not null,
  position text not null default '',
  system_id text not null default ''
) without rowid"
        ),
        format!(
            "create table if not exists {parked} (
  relay text not null,
  seq integer not null,
  route text not null,
  key text not null,
  state text not null,
  error text not null,
  attempts integer not null,
  parked_at integer not null
    default (cast((julianday('now') - 2440587.5) * 86400000 as integer)),
  row_values text not null,
  primary key (relay, seq)
) without rowid"
        ),
        format!(
            "create index if not exists {schema}{bare}_parked_key
  on {bare}_parked (relay, route, key, seq)"
        ),
        format!(
            "create table if not exists {system} (
  one integer primary key check (one = 1),
  id text not null
)"
        ),
        format!(
            "insert into {system} (one, id) values (1, lower(hex(randomblob(16))))
  on conflict do nothing"
        ),
    ]
}
