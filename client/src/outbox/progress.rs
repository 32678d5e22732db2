//! How far a relay is, and who leads: one row of the user's database.
//!
//! Floor 6 of client.
//!
//! A leader is whoever's token stands in the row. It shows that it lives by counting the row's beat
//! up; who waits for the lead takes it when the beat has stood still for a lease, by a clock that
//! never goes back. So no two machines have to agree on the time of day.
//!
//! Invariants
//! - Every write names the token: a relay that was overtaken changes nothing any more.
//! - Each of them is a commit that is on the disk when it is done, and with it every commit before
//!   it: what is published thereafter cannot be undone by a power failure.
//! - Without a write nobody learns that a relay lives: it leads as long as it did before.

use super::capture::Stored;
use super::error::OutboxError;
use super::table::Table;
use crate::sql::{Dialect, SqlError, SqlStatement, SqlTx};

/// The row as a relay finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) owner: Option<String>,
    pub(super) beat: i64,
    pub(super) stored: Stored,
}

/// Reads the row; makes it, if it is not there.
pub(super) async fn read<T: SqlTx + Send>(tx: &mut T, table: &Table) -> Result<Found, OutboxError> {
    let progress = table.progress();
    let insert =
        format!("insert into {progress} (relay, beat) values ($1, 0) on conflict do nothing");
    let insert = SqlStatement::new(insert).bind(table.name());
    tx.execute(insert)
        .await
        .map_err(|why| no_table(table, why))?;
    let select =
        format!("select owner, beat, position, system_id from {progress} where relay = $1");
    let rows = tx
        .query(SqlStatement::new(select).bind(table.name()))
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| SqlError::Row(format!("{progress} has no row for {}", table.name())))?;
    Ok(Found {
        owner: row.text(0).ok().map(str::to_owned),
        beat: row.integer(1)?,
        stored: Stored {
            position: row.text(2)?.to_owned(),
            system_id: row.text(3)?.to_owned(),
        },
    })
}

/// Puts the token into the row that was found, unless somebody else was faster.
pub(super) async fn take<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    owner: &str,
    beat: i64,
    stored: &Stored,
) -> Result<bool, OutboxError> {
    lasting(tx).await?;
    let update = format!(
        "update {} set owner = $1, beat = beat + 1, position = $2, system_id = $3 \
         where relay = $4 and beat = $5",
        table.progress()
    );
    let update = SqlStatement::new(update)
        .bind(owner)
        .bind(stored.position.as_str())
        .bind(stored.system_id.as_str())
        .bind(table.name())
        .bind(beat);
    Ok(tx.execute(update).await? == 1)
}

/// Counts the beat up, and stores a position if there is a new one. `false` if the relay does not
/// lead any more: then the transaction has to be rolled back.
pub(super) async fn prove<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    owner: &str,
    position: Option<&str>,
) -> Result<bool, OutboxError> {
    lasting(tx).await?;
    let update = format!(
        "update {} set beat = beat + 1, position = coalesce($1, position) \
         where relay = $2 and owner = $3",
        table.progress()
    );
    let update = SqlStatement::new(update)
        .bind(position)
        .bind(table.name())
        .bind(owner);
    Ok(tx.execute(update).await? == 1)
}

/// Whether the relay leads, by the row alone.
pub(super) async fn leads<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    owner: &str,
) -> Result<bool, OutboxError> {
    let select = format!(
        "select 1 from {} where relay = $1 and owner = $2",
        table.progress()
    );
    let select = SqlStatement::new(select).bind(table.name()).bind(owner);
    Ok(!tx.query(select).await?.is_empty())
}

/// Lets the lead go, if the relay has it: the next one need not wait.
pub(super) async fn resign<T: SqlTx + Send>(
    tx: &mut T,
    table: &Table,
    owner: &str,
) -> Result<(), OutboxError> {
    let update = format!(
        "update {} set owner = null, beat = beat + 1 where relay = $1 and owner = $2",
        table.progress()
    );
    let update = SqlStatement::new(update).bind(table.name()).bind(owner);
    tx.execute(update).await?;
    Ok(())
}

/// Makes the commit of this transaction wait for the disk, whatever the database's default is.
/// SQLite's connections are made so.
async fn lasting<T: SqlTx + Send>(tx: &mut T) -> Result<(), SqlError> {
    if tx.dialect() == Dialect::Postgres {
        tx.execute(SqlStatement::new("set local synchronous_commit = on"))
            .await?;
    }
    Ok(())
}

/// The first statement on an outbox's tables: what is refused is most likely not there.
pub(super) fn no_table(table: &Table, why: SqlError) -> OutboxError {
    match why {
        SqlError::Refused(why) => OutboxError::WrongTable {
            table: table.name().to_owned(),
            why: format!("{why}; the tables of an outbox are made by Outbox::migrate"),
        },
        why => why.into(),
    }
}
