//! The tables of an outbox in PostgreSQL.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - Each statement can be run again, and also where Debezium's table is there already: that gets
//!   the columns that it lacks, and inserts that name their columns go on as before.
//! - A table that is ordered by another column than ours stays as it is.

use crate::outbox::table::Table;

/// The statements that make what is not there yet.
pub(in crate::outbox) fn statements(table: &Table) -> Vec<String> {
    let mut statements = vec![TURNS.to_owned()];
    if table.order() == "seq" {
        statements.extend(own(table));
    }
    statements.extend(kept(table));
    statements
}

/// The table itself. The index on `xid` finds what is new, that on `seq` pages a long backlog.
fn own(table: &Table) -> Vec<String> {
    let (name, (bare, _)) = (table.name(), table.bare());
    vec![
        format!(
            "create table if not exists {name} (
    id uuid primary key,
    aggregatetype varchar(255) not null,
    aggregateid varchar(255) not null,
    type varchar(255) not null,
    payload bytea
)"
        ),
        format!(
            "alter table {name}
    add column if not exists seq bigint generated always as identity,
    add column if not exists xid xid8 not null default pg_current_xact_id(),
    add column if not exists headers jsonb,
    add column if not exists partition int,
    add column if not exists key_version bigint,
    add column if not exists traceparent text,
    add column if not exists created_at timestamptz not null default clock_timestamp()"
        ),
        format!("alter table {name} set ({VACUUM})"),
        format!("create unique index if not exists {bare}_by_seq on {name} (seq)"),
        format!("create index if not exists {bare}_by_xid on {name} (xid, seq)"),
        format!(
            "create unique index if not exists {bare}_by_version \
             on {name} (aggregatetype, aggregateid, key_version) where key_version is not null"
        ),
    ]
}

/// What the relays write down.
fn kept(table: &Table) -> Vec<String> {
    let (progress, parked, (bare, _)) = (table.progress(), table.parked(), table.bare());
    vec![
        format!(
            "create table if not exists {progress} (
    relay text primary key,
    owner text,
    beat bigint not null,
    position text not null default '',
    system_id text not null default ''
) with (fillfactor = 50, {VACUUM})"
        ),
        format!(
            "create table if not exists {parked} (
    relay text not null,
    seq bigint not null,
    route text not null,
    key text not null,
    state text not null,
    error text not null,
    attempts integer not null,
    parked_at timestamptz not null default clock_timestamp(),
    row_values text not null,
    primary key (relay, seq)
)"
        ),
        format!(
            "create index if not exists {bare}_parked_by_key on {parked} (relay, route, key, seq)"
        ),
    ]
}

/// Two that migrate at once take turns: `if not exists` alone lets both begin.
const TURNS: &str =
    "select pg_advisory_xact_lock(hashtextextended('highwater outbox migration', 0))";

/// Every row is deleted soon after it was written: the share of dead rows says nothing, and vacuum
/// has to come at once.
const VACUUM: &str = "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, \
     autovacuum_vacuum_cost_delay = 0";
