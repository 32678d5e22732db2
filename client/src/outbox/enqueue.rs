//! `Outbox`: puts events into the table, in the transaction of whoever calls.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - What is put in can be published: an event that would be refused later is refused here.
//! - Nothing is committed or rolled back here.

use super::error::OutboxError;
use super::json;
use super::migrations;
use super::parked::{self, ParkedKey};
use super::router;
use super::table::Table;
use crate::envelope::{Envelope, Event};
use crate::sql::{Database, Dialect, Isolation, OwnedTx, SqlStatement, SqlTx, SqlValue};
use crate::trace::TraceContext;

/// Puts events into a table, from which a [`Relay`](super::Relay) publishes them to one topic.
///
/// The event is a row in the same transaction as the state that it tells of: both are there, or
/// neither. Clones are cheap; for another topic, make another one: they share the table.
///
/// Change the state first, then enqueue. Rows of a key are published in the order of their numbers,
/// and a number is taken when the row is written: who enqueues before the row of the order is
/// locked can be overtaken by somebody who locks it in between. [`Outgoing::key_version`] turns
/// that mistake into an error.
///
/// ```no_run
/// use highwater_client::sql::{Database, OwnedTx, SqlTx};
/// use highwater_client::{Event, Outbox, OutboxError};
///
/// # async fn run<D: Database>(database: D, mut tx: D::Tx) -> Result<(), OutboxError> {
/// let outbox = Outbox::to("order-events");
/// outbox.migrate(&database).await?; // or put `outbox.migrations(dialect)` into your own
///
/// // In the transaction that changes the order:
/// let event = Event::new("/shop/orders", "order.created.v1").key("order-42").data("{}");
/// outbox.enqueue(&mut tx, &event).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Outbox {
    topic: String,
    table: String,
    envelope: Envelope,
    rows_max: Option<u64>,
}

/// An event, and what goes with it into its row.
///
/// ```
/// use highwater_client::{Event, Outgoing};
///
/// let event = Event::new("/shop/orders", "order.paid.v1").key("order-42").data("{}");
/// let outgoing = Outgoing::of(&event).header("tenant", "7").key_version(3);
/// # let _ = outgoing;
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is nothing before it is enqueued"]
pub struct Outgoing<'a> {
    event: &'a Event,
    headers: Vec<(String, String)>,
    partition: Option<i32>,
    key_version: Option<i64>,
}

impl<'a> Outgoing<'a> {
    /// The event alone.
    pub const fn of(event: &'a Event) -> Self {
        Self {
            event,
            headers: Vec::new(),
            partition: None,
            key_version: None,
        }
    }

    /// Adds a header to the record. Each name stands once, and is none of the event's own.
    pub fn header(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.headers.push((name.into(), text.into()));
        self
    }

    /// The partition, instead of the one that follows from the key.
    pub const fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// The version of what the key names, after this event. A second row of the key with the same
    /// version is refused by the database, as long as the first one is in the table.
    pub const fn key_version(mut self, version: i64) -> Self {
        self.key_version = Some(version);
        self
    }
}

impl<'a> From<&'a Event> for Outgoing<'a> {
    fn from(event: &'a Event) -> Self {
        Self::of(event)
    }
}

impl Outbox {
    /// An outbox whose events go to this topic, by the table `outbox`.
    pub fn to(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            table: "outbox".to_owned(),
            envelope: Envelope::default(),
            rows_max: None,
        }
    }

    /// Another table: `shop_outbox`, or `shop.outbox` with its schema.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// What events may be put in: with [`Envelope::tombstones`] those without data, too. The relay
    /// needs the same one.
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.envelope = envelope;
        self
    }

    /// How many rows may wait; then [`Self::enqueue`] fails. For small disks: as long as the broker
    /// is away the table grows. In PostgreSQL, numbers that rollbacks have left out count, too.
    pub const fn max_rows(mut self, count: u64) -> Self {
        self.rows_max = Some(count);
        self
    }

    /// Puts an event into the outbox: it is published if the transaction is committed, and was
    /// never there if not. The trace in whose [scope](TraceContext::scope) this is called goes with
    /// it.
    ///
    /// Without a transaction it does not compile:
    ///
    /// ```compile_fail,E0277
    /// use highwater_client::sql::Database;
    /// use highwater_client::{Event, Outbox, OutboxError};
    ///
    /// async fn run<D: Database>(mut database: D, event: Event) -> Result<(), OutboxError> {
    ///     Outbox::to("order-events").enqueue(&mut database, &event).await
    /// }
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the event could not be published as it is, or its key is no text; `OutboxFull`;
    /// `Sql` with `Constraint` if its id, or its key with its version, is in the table already. In
    /// PostgreSQL the transaction is of no use after an error of `Sql`.
    pub async fn enqueue<'a, T: SqlTx>(
        &self,
        tx: &mut T,
        event: impl Into<Outgoing<'a>>,
    ) -> Result<(), OutboxError> {
        let table = Table::new(&self.table)?;
        let insert = self.insert(&table, tx.dialect(), &event.into())?;
        if let Some(rows_max) = self.rows_max {
            let rows = waiting(tx, &table).await?;
            if rows >= rows_max {
                return Err(OutboxError::OutboxFull {
                    table: self.table.clone(),
                    rows,
                    rows_max,
                });
            }
        }
        tx.execute(insert).await?;
        Ok(())
    }

    /// The statements that make the tables; each may run again.
    ///
    /// ```
    /// use highwater_client::Outbox;
    /// use highwater_client::sql::Dialect;
    ///
    /// let statements = Outbox::to("order-events").migrations(Dialect::Sqlite)?;
    /// assert!(statements[0].starts_with("create table if not exists outbox ("));
    /// # Ok::<(), highwater_client::OutboxError>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the table's name is none.
    pub fn migrations(&self, dialect: Dialect) -> Result<Vec<String>, OutboxError> {
        Ok(migrations::statements(&Table::new(&self.table)?, dialect))
    }

    /// Makes the tables, if they are not there.
    ///
    /// # Errors
    /// As [`Self::migrations`]; `Sql` if the database refuses.
    pub async fn migrate<D: Database>(&self, database: &D) -> Result<(), OutboxError> {
        let mut tx = database.begin(Isolation::Write).await?;
        for statement in self.migrations(database.dialect())? {
            tx.execute(SqlStatement::new(statement)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The keys that wait because a row of theirs could not be published, of all relays of the
    /// table; at most so many.
    ///
    /// # Errors
    /// `Sql` if the database does not tell.
    pub async fn parked<D: Database>(
        &self,
        database: &D,
        limit: u32,
    ) -> Result<Vec<ParkedKey>, OutboxError> {
        let table = Table::new(&self.table)?;
        let mut tx = database.begin(Isolation::Snapshot).await?;
        parked::keys(&mut tx, &table, limit).await
    }

    /// Publishes the rows of a parked key, once more from the first one on.
    ///
    /// # Errors
    /// `Sql` if the database refuses; `Invalid` if the key is not parked any more.
    pub async fn retry<D: Database>(
        &self,
        database: &D,
        key: &ParkedKey,
    ) -> Result<(), OutboxError> {
        self.command(database, key, parked::Command::Retry).await
    }

    /// Drops the first row of a parked key, the one that could not be published, and publishes the
    /// others.
    ///
    /// # Errors
    /// As [`Self::retry`]; `Invalid` also if another row is the first one by now.
    pub async fn skip<D: Database>(
        &self,
        database: &D,
        key: &ParkedKey,
    ) -> Result<(), OutboxError> {
        self.command(database, key, parked::Command::Skip).await
    }

    async fn command<D: Database>(
        &self,
        database: &D,
        key: &ParkedKey,
        command: parked::Command,
    ) -> Result<(), OutboxError> {
        let table = Table::new(&self.table)?;
        let mut tx = database.begin(Isolation::Write).await?;
        parked::command(&mut tx, &table, key, command).await?;
        tx.commit().await?;
        Ok(())
    }

    fn insert(
        &self,
        table: &Table,
        dialect: Dialect,
        outgoing: &Outgoing<'_>,
    ) -> Result<SqlStatement, OutboxError> {
        let event = outgoing.event;
        // What the relay will do.
        self.envelope.record(self.topic.as_str(), event)?;
        let key = key_text(event)?;
        for (column, text) in [
            ("topic", self.topic.as_str()),
            ("key", key),
            ("type", &event.event_type),
        ] {
            let count = text.chars().count();
            if count > TEXT_MAX {
                return Err(OutboxError::Invalid(format!(
                    "the {column} of the event {} has {count} characters, and the outbox holds \
                     {TEXT_MAX}",
                    event.id
                )));
            }
        }
        let context = TraceContext::current();
        let id = event.id.uuid();
        let headers = router::headers_of(event, id.is_none(), context.as_ref(), &outgoing.headers)?;
        let headers = (!headers.is_empty()).then(|| {
            let members = headers.iter();
            json::write(members.map(|(name, text)| (name.as_str(), Some(text.as_str()))))
        });
        let id = id.unwrap_or_else(router::row_id);
        let id: SqlValue = match dialect {
            Dialect::Sqlite => id.as_slice().into(),
            Dialect::Postgres => crate::envelope::EventId::from(id).as_str().into(),
        };
        let text = format!(
            "insert into {} (id, aggregatetype, aggregateid, type, payload, headers, \
             \"partition\", key_version, traceparent) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            table.name()
        );
        Ok(SqlStatement::new(text)
            .bind(id)
            .bind(self.topic.as_str())
            .bind(key)
            .bind(event.event_type.as_str())
            .bind(event.data.as_deref())
            .bind(headers)
            .bind(outgoing.partition)
            .bind(outgoing.key_version)
            .bind(context.map(|context| context.traceparent())))
    }
}

/// How many rows wait: without counting them.
async fn waiting<T: SqlTx>(tx: &mut T, table: &Table) -> Result<u64, OutboxError> {
    let (name, order) = (table.name(), table.order());
    let ends = format!(
        "select coalesce((select max({order}) from {name}) - (select min({order}) from {name}) + 1, \
         0)"
    );
    let rows = tx.query(SqlStatement::new(ends)).await?;
    let rows = rows.first().map_or(Ok(0), |row| row.integer(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The key as the column holds it; empty if there is none.
fn key_text(event: &Event) -> Result<&str, OutboxError> {
    let Some(key) = &event.key else {
        return Ok("");
    };
    match std::str::from_utf8(key) {
        Ok(text) if !text.is_empty() && !text.contains('\0') => Ok(text),
        _ => Err(OutboxError::Invalid(format!(
            "the key of the event {} is empty or no text, and the outbox keeps keys as text",
            event.id
        ))),
    }
}

/// The characters of a text column.
const TEXT_MAX: usize = 255;
