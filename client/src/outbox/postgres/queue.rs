//! The capture by queue: the rows with the lowest numbers that can be seen now; published rows are
//! deleted.
//!
//! Floor 6 of client.
//!
//! It needs nothing of a table but a column of ascending numbers, so it serves tables of others.
//! What it costs are dead rows at the beginning of the index, which reads of a table of our own
//! pass by.
//!
//! Invariants
//! - A row leaves the table with the commit that says that it is published.
//! - Who may still insert is looked at before the rows are.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_proto::clock::Clock;

use super::lead::Lead;
use super::low_water::LowWater;
use super::reading;
use super::reading::Fields;
use super::shape::Shape;
use crate::outbox::capture::Adopt;
use crate::outbox::capture::Backlog;
use crate::outbox::capture::Batch;
use crate::outbox::capture::Capture;
use crate::outbox::capture::Confirmed;
use crate::outbox::capture::Room;
use crate::outbox::capture::Stored;
use crate::outbox::error::OutboxError;
use crate::outbox::table::Table;
use crate::sql::Database;
use crate::sql::Isolation;
use crate::sql::SqlError;
use crate::sql::SqlStatement;
use crate::sql::SqlTx;

/// Reads a table that has a column of ascending numbers.
pub(in crate::outbox) struct Queue<D: Database> {
    clock: Arc<dyn Clock>,
    lead: Lead<D>,
    /// What is given and not deleted yet.
    given: BTreeSet<i64>,
    low_water: LowWater,
    /// The table's sequence, if only it gives the numbers: then reads need not begin at the
    /// table's first row.
    sequence: Option<String>,
    texts: Option<Arc<Texts>>,
}

/// The statements.
struct Texts {
    /// The rows from a number on, but for those that are given.
    next: String,
    /// What waits from a number on.
    behind: String,
}

impl Texts {
    fn of(fields: &Fields) -> Self {
        let number = &fields.order;
        // The subquery is hashed; a list would be searched for each row.
        let next = format!(
            "{number} >= $3::bigint and {number} not in (select unnest($4::text::bigint[]))"
        );
        let behind = format!("{number} >= $1::bigint");
        Self {
            next: fields.statement(&next, number),
            behind: fields.backlog(&[(&behind, number)]),
        }
    }
}

impl<D: Database> Queue<D> {
    pub(in crate::outbox) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::raising_after(RAISE_AFTER_ROWS, clock)
    }

    /// Reads begin further on after so many published rows.
    pub(super) fn raising_after(rows: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            lead: Lead::new(),
            given: BTreeSet::new(),
            low_water: LowWater::new(rows),
            sequence: None,
            texts: None,
        }
    }

    /// The statements; one that does not lead yet has not opened the table.
    async fn texts(&mut self, tx: &mut D::Tx, table: &Table) -> Result<Arc<Texts>, OutboxError> {
        if let Some(texts) = &self.texts {
            return Ok(Arc::clone(texts));
        }
        let fields = Shape::of(tx, table).await?.fields()?;
        Ok(Arc::clone(self.texts.insert(Arc::new(Texts::of(&fields)))))
    }

    async fn read(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        room: Room,
    ) -> Result<Batch, OutboxError> {
        let texts = self.texts(tx, table).await?;
        let risen = match self.low_water.waits() {
            true => self.low_water.holders(&holders(tx, table).await?),
            false => None,
        };
        let from = self.low_water.begin(self.clock.now().mono);
        let statement = reading::with_room(&texts.next, room)
            .bind(from.unwrap_or(i64::MIN))
            .bind(reading::array(&self.given));
        let (rows, is_all) = reading::rows(tx.query(statement).await?, room)?;
        let lowest = rows.first().map(|row| row.seq);
        let lowest = lowest.into_iter().chain(self.given.first().copied()).min();
        self.low_water.read(lowest, risen);
        if let Some(sequence) = self
            .sequence
            .as_ref()
            .filter(|_| self.low_water.wants_note())
        {
            let last = last_number(tx, sequence).await?;
            self.low_water.note(last, holders(tx, table).await?);
        }
        self.given.extend(rows.iter().map(|row| row.seq));
        Ok(Batch {
            rows,
            position: String::new(),
            has_more: !is_all,
        })
    }
}

impl<D: Database> Capture<D> for Queue<D> {
    // Each statement sees what is committed before it.
    const READS: Isolation = Isolation::Write;
    const READS_WHERE_IT_WRITES: bool = false;

    async fn is_alone(&mut self, database: &D, table: &str) -> Result<bool, OutboxError> {
        self.lead.take(database, table).await
    }

    async fn open(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        stored: &Stored,
        adopt: Adopt,
    ) -> Result<Stored, OutboxError> {
        if !stored.position.is_empty() && adopt == Adopt::Refuse {
            return Err(OutboxError::Invalid(format!(
                "the outbox {} has a stored position ({}), and the capture by queue publishes \
                 every row that is in the table: if they are all to be published, adopt this \
                 database",
                table.name(),
                stored.position
            )));
        }
        let shape = Shape::of(tx, table).await?;
        let fields = shape.fields()?;
        self.sequence = shape.own_sequence().map(ToOwned::to_owned);
        self.given.clear();
        self.low_water.reset();
        self.texts = Some(Arc::new(Texts::of(&fields)));
        Ok(Stored::default())
    }

    async fn next(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        room: Room,
    ) -> Result<Batch, OutboxError> {
        let read = self.read(tx, table, room).await;
        if read.is_err() {
            self.low_water.forget_note();
        }
        read
    }

    async fn confirm(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        batch: &Confirmed,
    ) -> Result<(), OutboxError> {
        let deleted = tx.execute(reading::delete(table, &batch.seqs)).await?;
        self.low_water.published(deleted);
        for seq in &batch.seqs {
            self.given.remove(seq);
        }
        Ok(())
    }

    async fn backlog(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        _: &Stored,
    ) -> Result<Backlog, OutboxError> {
        let texts = self.texts(tx, table).await?;
        let from = self.low_water.mark().unwrap_or(i64::MIN);
        let statement = SqlStatement::new(texts.behind.clone()).bind(from);
        Ok(reading::backlog(&tx.query(statement).await?)?)
    }
}

/// The transactions that may have inserted into the table.
async fn holders(tx: &mut impl SqlTx, table: &Table) -> Result<BTreeSet<String>, OutboxError> {
    let rows = tx
        .query(SqlStatement::new(HOLDERS).bind(table.name()))
        .await?;
    let names = rows.iter().map(|row| row.text(0).map(ToOwned::to_owned));
    Ok(names.collect::<Result<_, _>>()?)
}

/// The last number that the sequence gave.
async fn last_number(tx: &mut impl SqlTx, sequence: &str) -> Result<i64, OutboxError> {
    let rows = tx
        .query(SqlStatement::new(LAST_NUMBER).bind(sequence))
        .await?;
    let row = rows.first();
    let row = row.ok_or_else(|| SqlError::Row(format!("{sequence} tells no number")))?;
    Ok(row.integer(0)?)
}

/// As many as one batch: dead rows of fewer cost a read nothing that could be measured.
const RAISE_AFTER_ROWS: u64 = 1_000;

const LAST_NUMBER: &str = "select coalesce(pg_sequence_last_value($1::text::regclass), 0)";

/// An insert takes this lock before it takes its number, and keeps it to the end.
const HOLDERS: &str = "select virtualtransaction from pg_locks where locktype = 'relation' \
     and database = (select oid from pg_database where datname = current_database()) \
     and relation = to_regclass($1::text) and mode = 'RowExclusiveLock' and granted";
