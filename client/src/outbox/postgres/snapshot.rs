//! The capture by snapshot: rows that a new snapshot sees and the stored one does not, by number.
//!
//! Floor 6 of client.
//!
//! Between two snapshots lie the rows of the transactions that the old one did not see: those that
//! were running then, each found by its number, and those that began since. So an open transaction
//! costs one look into the index, and its rows are found when it commits.
//!
//! Invariants
//! - A row lies between exactly one pair of the snapshots that follow each other.
//! - What lies between two snapshots does not change: pages by number neither lose nor double.
//! - A row is deleted with the commit of the position that has it behind it.

use std::sync::Arc;

use super::lead::Lead;
use super::position::Page;
use super::position::Position;
use super::position::Snapshot as Seen;
use super::reading;
use super::reading::Fields;
use super::shape::Shape;
use crate::outbox::capture::Adopt;
use crate::outbox::capture::Backlog;
use crate::outbox::capture::Batch;
use crate::outbox::capture::Capture;
use crate::outbox::capture::Confirmed;
use crate::outbox::capture::Room;
use crate::outbox::capture::Row;
use crate::outbox::capture::Stored;
use crate::outbox::error::OutboxError;
use crate::outbox::table::Table;
use crate::sql::Database;
use crate::sql::Isolation;
use crate::sql::SqlError;
use crate::sql::SqlStatement;
use crate::sql::SqlTx;

/// Reads a table that has the column `xid`.
pub(in crate::outbox) struct Snapshot<D: Database> {
    lead: Lead<D>,
    /// The position behind what was given.
    at: Position,
    texts: Option<Arc<Texts>>,
}

/// The statements.
struct Texts {
    /// The first page of a difference.
    fresh: String,
    /// The next pages.
    page: String,
    /// What waits behind a snapshot.
    behind: String,
    /// What waits behind a page.
    behind_page: String,
}

impl Texts {
    fn of(fields: &Fields) -> Self {
        let number = &fields.order;
        let new = "xid < pg_snapshot_xmax($4::text::pg_snapshot) \
             and pg_visible_in_snapshot(xid, $4::text::pg_snapshot)";
        let old = "(xid >= pg_snapshot_xmax($3::text::pg_snapshot) \
             or xid = any(array(select pg_snapshot_xip($3::text::pg_snapshot))))";
        let not_old = "not pg_visible_in_snapshot(xid, $3::text::pg_snapshot)";
        Self {
            // The sum keeps PostgreSQL from looking for a few new rows by walking over all that are
            // there: it takes the index on xid, and sorts.
            fresh: fields.statement(&format!("{old} and {new}"), &format!("{number} + 0")),
            // A page of many is the opposite: it walks by number, and does not sort all of them.
            page: fields.statement(
                &format!("{number} > $5::bigint and {not_old} and {new}"),
                number,
            ),
            behind: fields.backlog(&[
                (
                    "xid = any(array(select pg_snapshot_xip($1::text::pg_snapshot)))",
                    "xid",
                ),
                ("xid >= pg_snapshot_xmax($1::text::pg_snapshot)", "xid"),
            ]),
            behind_page: fields.backlog(&[(&format!("{number} > $1::bigint"), number)]),
        }
    }
}

/// What the database says of itself.
struct Server {
    system_id: String,
    now: Seen,
    /// The last number of the sequence.
    last: i64,
}

impl<D: Database> Snapshot<D> {
    pub(in crate::outbox) fn new() -> Self {
        Self {
            lead: Lead::new(),
            at: Position::start(),
            texts: None,
        }
    }

    /// The statements; one that does not lead yet has not opened the table.
    async fn texts(&mut self, tx: &mut D::Tx, table: &Table) -> Result<Arc<Texts>, OutboxError> {
        if let Some(texts) = &self.texts {
            return Ok(Arc::clone(texts));
        }
        let shape = Shape::of(tx, table).await?;
        shape.check_snapshot()?;
        let texts = Arc::new(Texts::of(&shape.fields()?));
        Ok(Arc::clone(self.texts.insert(texts)))
    }

    fn batch(&self, rows: Vec<Row>, has_more: bool) -> Batch {
        Batch {
            rows,
            position: self.at.to_string(),
            has_more,
        }
    }
}

impl<D: Database> Capture<D> for Snapshot<D> {
    const READS: Isolation = Isolation::Snapshot;
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
        let shape = Shape::of(tx, table).await?;
        let sequence = shape.check_snapshot()?;
        let fields = shape.fields()?;
        let server = server(tx, &sequence).await?;
        let begin = Position::start();
        let mut at = match stored.position.as_str() {
            "" => begin.clone(),
            _ => match checked(table, stored, &server) {
                Err(_) if adopt == Adopt::Begin => begin.clone(),
                checked => checked?,
            },
        };
        if has_rows_of_others(tx, table).await? {
            if at != begin && adopt == Adopt::Refuse {
                return Err(shape.wrong(OF_OTHERS.to_owned()));
            }
            number_anew(tx, table).await?;
            at = begin;
        }
        self.texts = Some(Arc::new(Texts::of(&fields)));
        self.at = at;
        Ok(Stored {
            position: self.at.to_string(),
            system_id: server.system_id,
        })
    }

    async fn next(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        room: Room,
    ) -> Result<Batch, OutboxError> {
        let texts = self.texts(tx, table).await?;
        if let Some(Page { new, last }) = self.at.page.clone() {
            let statement = reading::with_room(&texts.page, room);
            let statement = statement.bind(self.at.old.as_str()).bind(new.as_str());
            let found = tx.query(statement.bind(last)).await?;
            let (rows, is_all) = reading::rows(found, room)?;
            self.at = self.at.after(&new, rows.last().map(|row| row.seq), is_all);
            if !rows.is_empty() {
                // Of the page or, since it is older than now, behind it.
                return Ok(self.batch(rows, true));
            }
        }
        let new = now(tx).await?;
        let statement = reading::with_room(&texts.fresh, room);
        let statement = statement.bind(self.at.old.as_str()).bind(new.as_str());
        let (rows, is_all) = reading::rows(tx.query(statement).await?, room)?;
        self.at = self.at.after(&new, rows.last().map(|row| row.seq), is_all);
        Ok(self.batch(rows, !is_all))
    }

    async fn confirm(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        batch: &Confirmed,
    ) -> Result<(), OutboxError> {
        tx.execute(reading::delete(table, &batch.seqs)).await?;
        Ok(())
    }

    async fn backlog(
        &mut self,
        tx: &mut D::Tx,
        table: &Table,
        stored: &Stored,
    ) -> Result<Backlog, OutboxError> {
        let texts = self.texts(tx, table).await?;
        let at = Position::read(&stored.position).unwrap_or_else(Position::start);
        let statement = match at.page {
            None => SqlStatement::new(texts.behind.clone()).bind(at.old.as_str()),
            Some(page) => SqlStatement::new(texts.behind_page.clone()).bind(page.last),
        };
        Ok(reading::backlog(&tx.query(statement).await?)?)
    }
}

/// The stored position, if it is one of this database.
fn checked(table: &Table, stored: &Stored, server: &Server) -> Result<Position, OutboxError> {
    let Some(at) = Position::read(&stored.position) else {
        return Err(OutboxError::Invalid(format!(
            "the stored position of the outbox {} is none of the capture by snapshot: {:?}; to \
             publish all rows that are in the table, adopt this database",
            table.name(),
            stored.position
        )));
    };
    if at == Position::start() {
        return Ok(at);
    }
    if stored.system_id != server.system_id {
        return Err(OutboxError::ForeignDatabase {
            table: table.name().to_owned(),
            stored: stored.system_id.clone(),
            found: server.system_id.clone(),
        });
    }
    if at.highest > server.last {
        return Err(OutboxError::RestoredDatabase {
            table: table.name().to_owned(),
            last: server.last,
            published: at.highest,
        });
    }
    let newest = at.page.as_ref().map_or(&at.old, |page| &page.new);
    if newest.xmax() > server.now.xmax() {
        return Err(OutboxError::Invalid(format!(
            "the stored position of the outbox {} ({at}) is ahead of the transactions of the \
             database ({}), which was restored or reset: rows could be left out without a word; \
             to publish all rows that are in the table, some of them again, adopt this database",
            table.name(),
            server.now
        )));
    }
    Ok(at)
}

async fn server(tx: &mut impl SqlTx, sequence: &str) -> Result<Server, OutboxError> {
    let rows = tx.query(SqlStatement::new(SERVER).bind(sequence)).await?;
    let row = rows.first().ok_or_else(|| nothing("itself"))?;
    if row.text(3)? == "off" {
        tracing::warn!(
            "the PostgreSQL server runs with fsync=off: a power failure can undo transactions \
             whose events are published"
        );
    }
    Ok(Server {
        system_id: row.text(0)?.to_owned(),
        now: Seen::read(row.text(1)?).ok_or_else(|| nothing("its transactions"))?,
        last: row.integer(2)?,
    })
}

/// What is visible in this transaction.
async fn now(tx: &mut impl SqlTx) -> Result<Seen, OutboxError> {
    let rows = tx.query(SqlStatement::new(NOW)).await?;
    let seen = rows.first().and_then(|row| Seen::read(row.text(0).ok()?));
    Ok(seen.ok_or_else(|| nothing("its transactions"))?)
}

fn nothing(of: &str) -> SqlError {
    SqlError::Row(format!("the database tells nothing of {of}"))
}

/// Whether rows are there to see that are of transactions which this database has not begun: they
/// were copied from another one, and would be passed by until it gets there.
async fn has_rows_of_others(tx: &mut impl SqlTx, table: &Table) -> Result<bool, OutboxError> {
    let statement = format!("select 1 from {} where {AHEAD} limit 1", table.name());
    Ok(!tx.query(SqlStatement::new(statement)).await?.is_empty())
}

/// Makes them rows of this transaction.
async fn number_anew(tx: &mut impl SqlTx, table: &Table) -> Result<(), OutboxError> {
    let text = format!(
        "update {} set xid = pg_current_xact_id() where {AHEAD}",
        table.name()
    );
    tx.execute(SqlStatement::new(text)).await?;
    Ok(())
}

const NOW: &str = "select pg_current_snapshot()::text";

const SERVER: &str = "select system_identifier::text, pg_current_snapshot()::text, \
     coalesce(pg_sequence_last_value($1::text::regclass), 0), current_setting('fsync') \
     from pg_control_system()";

/// Of a row that can be seen: its transaction has not begun here.
const AHEAD: &str = "xid >= pg_snapshot_xmax(pg_current_snapshot())";

const OF_OTHERS: &str = "it has rows whose xid is ahead of the database's transactions: they were \
     copied from another database, and would not be published for long; to publish all rows that \
     are in the table, some of them again, adopt this database";
