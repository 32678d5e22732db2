//! What a table of PostgreSQL is like, and whether it can be relayed.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A table on which rows could be lost or change their order in silence is refused.

use super::reading::Fields;
use crate::outbox::error::OutboxError;
use crate::outbox::table::Table;
use crate::sql::SqlRow;
use crate::sql::SqlStatement;
use crate::sql::SqlTx;

/// A table's columns, and the sequence of the one that orders it.
pub(super) struct Shape<'a> {
    table: &'a Table,
    columns: Vec<Column>,
    sequence: Option<Sequence>,
}

struct Column {
    name: String,
    ty: String,
    /// Whether it is an identity that nobody else may set.
    is_always: bool,
    is_not_null: bool,
    default: String,
    /// Whether an index begins with it.
    is_indexed: bool,
    /// Whether no two rows have the same.
    is_unique: bool,
}

struct Sequence {
    name: String,
    cache: i64,
    increment: i64,
    cycles: bool,
}

impl<'a> Shape<'a> {
    /// Asks the database.
    pub(super) async fn of(tx: &mut impl SqlTx, table: &'a Table) -> Result<Self, OutboxError> {
        let columns = SqlStatement::new(COLUMNS).bind(table.name());
        let columns = tx.query(columns).await?;
        let columns = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let mut shape = Self {
            table,
            columns,
            sequence: None,
        };
        if shape.columns.is_empty() {
            return Err(shape.wrong(
                "there is no such table in the database, or not in the schemas that are searched; \
                 make it by the migrations of the outbox"
                    .to_owned(),
            ));
        }
        let sequence = SqlStatement::new(SEQUENCE).bind(table.name());
        let sequence = tx.query(sequence.bind(table.order())).await?;
        shape.sequence = sequence.first().map(sequence_of).transpose()?;
        shape.check_order()?;
        Ok(shape)
    }

    /// What the relay selects.
    pub(super) fn fields(&self) -> Result<Fields, OutboxError> {
        let names = self.table.columns();
        let expression = |name: &String| {
            let column = self.column(name)?;
            let is_read = READ_AS_IT_IS.contains(&column.ty.as_str());
            Ok(format!("\"{name}\"{}", if is_read { "" } else { "::text" }))
        };
        let columns = names.iter().map(expression);
        Ok(Fields {
            table: self.table.name().to_owned(),
            order: format!("\"{}\"", self.table.order()),
            created: self.created()?,
            columns: columns.collect::<Result<_, OutboxError>>()?,
            sized: names.iter().map(|name| format!("\"{name}\"")).collect(),
        })
    }

    /// The sequence's name, if the table itself takes every number from it, one at a time.
    pub(super) fn own_sequence(&self) -> Option<&str> {
        let order = self.column(self.table.order()).ok()?;
        let sequence = self.sequence.as_ref()?;
        order.is_always.then_some(sequence.name.as_str())
    }

    /// Whether rows can be told apart by the number of their transaction.
    pub(super) fn check_snapshot(&self) -> Result<String, OutboxError> {
        let table = self.table.name();
        let order = self.table.order();
        let sequence = self.own_sequence().ok_or_else(|| {
            self.wrong(format!(
                "its column {order} is not `bigint generated always as identity`, which the \
                 capture by snapshot needs; take the queue for it, or alter the table by the \
                 migrations"
            ))
        })?;
        let xid = self.columns.iter().find(|column| column.name == "xid");
        let is_given = |xid: &&Column| {
            xid.ty == "xid8" && xid.is_not_null && xid.default == "pg_current_xact_id()"
        };
        let xid = xid.filter(is_given).ok_or_else(|| {
            self.wrong(
                "it has no column `xid xid8 not null default pg_current_xact_id()`, which the \
                 capture by snapshot needs; take the queue for it, or alter the table by the \
                 migrations"
                    .to_owned(),
            )
        })?;
        if !xid.is_indexed {
            return Err(self.wrong(format!(
                "no index begins with xid, so that each look for rows would read all of it: create \
                 index on {table} (xid, {order})"
            )));
        }
        Ok(sequence.to_owned())
    }

    fn check_order(&self) -> Result<(), OutboxError> {
        let (table, order) = (self.table.name(), self.table.order());
        let column = self.column(order)?;
        if !["bigint", "integer", "smallint"].contains(&column.ty.as_str()) {
            return Err(self.wrong(format!(
                "its column {order} is of type {}, and rows are ordered by whole numbers: name \
                 another column for the order, or add one by `alter table {table} add seq bigint \
                 generated always as identity`",
                column.ty
            )));
        }
        if !column.is_not_null {
            return Err(self.wrong(format!(
                "its column {order} may be null, and a row without a number would never be \
                 published: alter table {table} alter {order} set not null"
            )));
        }
        if !column.is_unique {
            return Err(self.wrong(format!(
                "two rows may have the same {order}, and one could be deleted with the other: \
                 create unique index on {table} ({order})"
            )));
        }
        self.check_sequence()
    }

    fn check_sequence(&self) -> Result<(), OutboxError> {
        let Some(sequence) = &self.sequence else {
            return Ok(());
        };
        let (name, order) = (&sequence.name, self.table.order());
        if sequence.cache > 1 {
            return Err(self.wrong(format!(
                "the sequence of its column {order} gives {} numbers to a connection at once, so \
                 that events of one key would change their order: alter sequence {name} cache 1",
                sequence.cache
            )));
        }
        if sequence.increment < 1 || sequence.cycles {
            return Err(self.wrong(format!(
                "the numbers of its column {order} do not always ascend: alter sequence {name} \
                 increment by 1 no cycle"
            )));
        }
        Ok(())
    }

    fn created(&self) -> Result<String, OutboxError> {
        let none = "null::bigint".to_owned();
        let Some(name) = self.table.created() else {
            return Ok(none);
        };
        if name == USUAL_CREATED && !self.columns.iter().any(|it| it.name == name) {
            return Ok(none);
        }
        let column = self.column(name)?;
        match column.ty.as_str() {
            "timestamp with time zone" | "timestamp without time zone" => {
                Ok(format!("(extract(epoch from \"{name}\") * 1000)::bigint"))
            }
            "bigint" => Ok(format!("\"{name}\"")),
            other => Err(self.wrong(format!(
                "its column {name} is of type {other}, and the time of an event is read from a \
                 timestamp, or from a bigint of milliseconds since 1970"
            ))),
        }
    }

    fn column(&self, name: &str) -> Result<&Column, OutboxError> {
        let found = self.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| self.wrong(format!("it has no column {name}")))
    }

    pub(super) fn wrong(&self, why: String) -> OutboxError {
        OutboxError::WrongTable {
            table: self.table.name().to_owned(),
            why,
        }
    }
}

fn column(row: &SqlRow) -> Result<Column, OutboxError> {
    Ok(Column {
        name: row.text(0)?.to_owned(),
        ty: row.text(1)?.to_owned(),
        is_always: row.integer(2)? == 1,
        is_not_null: row.integer(3)? == 1,
        default: row.text(4)?.to_owned(),
        is_indexed: row.integer(5)? == 1,
        is_unique: row.integer(6)? == 1,
    })
}

fn sequence_of(row: &SqlRow) -> Result<Sequence, OutboxError> {
    Ok(Sequence {
        name: row.text(0)?.to_owned(),
        cache: row.integer(1)?,
        increment: row.integer(2)?,
        cycles: row.integer(3)? == 1,
    })
}

/// The types that are read as what they are; others are read as text.
const READ_AS_IT_IS: [&str; 9] = [
    "bigint",
    "bytea",
    "character varying",
    "integer",
    "json",
    "jsonb",
    "smallint",
    "text",
    "uuid",
];

/// The column of our own table; one of others need not have it.
const USUAL_CREATED: &str = "created_at";

const COLUMNS: &str = "\
select a.attname::text, format_type(a.atttypid, null), (a.attidentity = 'a')::int, \
    a.attnotnull::int, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), \
    (exists (select from pg_index i where i.indrelid = a.attrelid and i.indisvalid \
        and i.indpred is null and i.indkey[0] = a.attnum))::int, \
    (exists (select from pg_index i where i.indrelid = a.attrelid and i.indisvalid \
        and i.indpred is null and i.indkey[0] = a.attnum and i.indisunique \
        and i.indnkeyatts = 1))::int \
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum \
where a.attrelid = to_regclass($1::text) and a.attnum > 0 and not a.attisdropped";

/// The sequence that a column owns or that its default asks.
const SEQUENCE: &str = "\
select s.seqrelid::regclass::text, s.seqcache, s.seqincrement, s.seqcycle::int \
from pg_attribute a join pg_sequence s \
    on s.seqrelid = pg_get_serial_sequence($1::text, a.attname)::regclass \
    or s.seqrelid in (select d.refobjid from pg_attrdef f join pg_depend d \
        on d.classid = 'pg_attrdef'::regclass and d.objid = f.oid \
        and d.refclassid = 'pg_class'::regclass \
        where f.adrelid = a.attrelid and f.adnum = a.attnum) \
where a.attrelid = to_regclass($1::text) and a.attname = $2::text and not a.attisdropped";
