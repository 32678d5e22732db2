//! What a relay does in the database: one transaction for each answer.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - What stores a position, parks or deletes does so in the transaction that proves the lead.
//! - A transaction whose relay does not lead any more is rolled back.
//! - Rows are given as proven if they are on the disk: behind a durable commit of the relay's own,
//!   or if since the last one all commits were made by who waits for the disk.

use std::sync::Arc;

use super::capture::{Adopt, Backlog, Capture, Confirmed, Room, Stored};
use super::error::OutboxError;
use super::machine::{Item, Led, Origin, Proof, Work};
use super::parked::{self, GoesOn, Parking};
use super::progress;
use super::router::{Lane, Router};
use super::table::Table;
use crate::sql::{Database, Isolation, OwnedTx, SqlError};

/// A relay's place in a database.
#[derive(Clone, Debug)]
pub(super) struct Seat<D> {
    pub(super) database: D,
    pub(super) table: Arc<Table>,
    /// The token by which it leads.
    pub(super) owner: Arc<str>,
}

#[derive(Debug)]
pub(super) struct Worker<D, C> {
    pub(super) seat: Seat<D>,
    pub(super) capture: C,
    pub(super) router: Arc<Router>,
    pub(super) adopt: Adopt,
    pub(super) room: Room,
    pub(super) stored: Stored,
    /// The commits of strangers, by [`OwnedTx::strangers`], that are on the disk.
    pub(super) synced: Option<i64>,
}

/// What is asked of the database.
#[derive(Debug)]
pub(super) enum Ask {
    Lead { silent: Option<i64> },
    Version,
    Read { has_parked: bool, ahead: bool },
    Prove(Measures),
    Store(Settled, Measures),
}

/// What it has answered.
#[derive(Debug)]
pub(super) enum Answer {
    Led(Led, Backlog),
    Version(Option<i64>),
    /// Nothing, if the relay does not lead any more.
    Read(Option<i64>, Option<Work>),
    /// What waits, if that was looked at. Nothing, if the relay does not lead any more.
    Proven(Option<Option<Backlog>>),
    /// The lanes that are parked now, if they may have changed; and what waits, as above.
    Stored(Option<(Option<Vec<Lane>>, Option<Backlog>)>),
}

/// A worker that has done what it was asked.
#[derive(Debug)]
pub(super) struct Answered<D, C> {
    pub(super) worker: Worker<D, C>,
    pub(super) answer: Result<Answer, OutboxError>,
}

/// What became of a batch, without its rows but those that are parked.
#[derive(Debug, Default)]
pub(super) struct Settled {
    origin: Origin,
    batch: Confirmed,
    /// Published or dropped.
    done: Vec<i64>,
    parked: Vec<Item>,
    lanes: Vec<Lane>,
}

impl Settled {
    pub(super) fn of(work: &Work) -> Self {
        let items = work.items.iter();
        let mut settled = Self {
            origin: work.origin,
            batch: Confirmed {
                seqs: items.clone().map(|item| item.row.seq).collect(),
                position: work.position.clone(),
            },
            ..Self::default()
        };
        for item in items {
            match item.parked() {
                Some(_) => settled.parked.push(item.clone()),
                None => settled.done.push(item.row.seq),
            }
            if work.origin == Origin::Parked {
                settled.lanes.extend(item.lane.clone());
            }
        }
        settled.lanes.sort();
        settled.lanes.dedup();
        settled
    }
}

impl<D: Database> Seat<D> {
    /// Lets the lead go.
    pub(super) async fn resign(self) -> Result<(), OutboxError> {
        let mut tx = self.database.begin(Isolation::Write).await?;
        progress::resign(&mut tx, &self.table, &self.owner).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl<D: Database, C: Capture<D>> Worker<D, C> {
    /// Does what is asked, and comes back with the answer.
    pub(super) async fn answer(mut self, ask: Ask) -> Answered<D, C> {
        let answer = match ask {
            Ask::Lead { silent } => self.lead(silent).await,
            Ask::Version => {
                let version = self.seat.database.version().await;
                version.map(Answer::Version).map_err(OutboxError::from)
            }
            Ask::Read { has_parked, ahead } => self.read(has_parked, ahead).await,
            Ask::Prove(measures) => self.prove(measures).await,
            Ask::Store(settled, measures) => self.store(settled, measures).await,
        };
        Answered {
            worker: self,
            answer,
        }
    }

    /// Tries for the lead; `silent` is the beat of a leader that has been silent for too long.
    async fn lead(&mut self, silent: Option<i64>) -> Result<Answer, OutboxError> {
        let Self {
            seat,
            capture,
            synced,
            ..
        } = self;
        let (database, table) = (&seat.database, &*seat.table);
        let is_alone = capture.is_alone(database, table.name()).await?;
        let mut tx = database.begin(Isolation::Write).await?;
        let found = progress::read(&mut tx, table).await?;
        let is_free = match found.owner.as_deref() {
            None => true,
            Some(owner) => owner == &*seat.owner || is_alone || silent == Some(found.beat),
        };
        if !is_free {
            let backlog = capture.backlog(&mut tx, table, &found.stored).await?;
            tx.commit().await?;
            return Ok(Answer::Led(Led::Follows(found.beat), backlog));
        }
        let stored = capture
            .open(&mut tx, table, &found.stored, self.adopt)
            .await?;
        let owner = &seat.owner;
        if !progress::take(&mut tx, table, owner, found.beat, &stored).await? {
            tx.rollback().await?;
            return Ok(Answer::Led(Led::Follows(found.beat), Backlog::default()));
        }
        let lanes = parked::lanes(&mut tx, table).await?;
        let backlog = capture.backlog(&mut tx, table, &stored).await?;
        commit(tx, synced).await?;
        self.stored = stored;
        // Once is enough: what is stored belongs to this database now.
        self.adopt = Adopt::Refuse;
        Ok(Answer::Led(Led::Leads(lanes), backlog))
    }

    /// Reads the next rows: parked ones that a command has released come first. What is not read
    /// ahead has to be proven before it is sent; where that can be, it is done at once.
    async fn read(&mut self, has_parked: bool, ahead: bool) -> Result<Answer, OutboxError> {
        let Self {
            seat,
            capture,
            router,
            room,
            synced,
            ..
        } = self;
        // Before the rows: what is committed in between is looked for once more.
        let version = seat.database.version().await?;
        let proves = C::READS_WHERE_IT_WRITES && !ahead;
        let isolation = if proves { Isolation::Write } else { C::READS };
        let mut tx = seat.database.begin(isolation).await?;
        if has_parked {
            let released = parked::released(&mut tx, &seat.table, room.rows).await?;
            if !released.is_empty() {
                tx.rollback().await?;
                let items = released.into_iter().map(|it| {
                    let record = router.record(&it.row.values);
                    let item = Item::new(it.row, it.lane, it.attempts);
                    match it.is_skipped {
                        true => item.dropped(),
                        false => item.becoming(record),
                    }
                });
                let work = Work {
                    origin: Origin::Parked,
                    items: items.collect(),
                    position: String::new(),
                    has_more: true,
                    proof: Proof::None,
                };
                return Ok(Answer::Read(version, Some(work)));
            }
        }
        let batch = capture.next(&mut tx, &seat.table, *room).await?;
        let proof = if proves && !batch.rows.is_empty() {
            // The rows are read, and the capture goes on behind them, however the transaction ends:
            // what is not proven here is proven by the next one, or fails there.
            match prove_seen(seat, synced, tx).await {
                Ok(Some(proof)) => proof,
                Ok(None) => return Ok(Answer::Read(version, None)),
                Err(_) => Proof::None,
            }
        } else {
            drop(tx.rollback().await);
            Proof::None
        };
        let items = batch.rows.into_iter().map(|row| {
            let (lane, record) = (router.lane(&row.values), router.record(&row.values));
            Item::new(row, lane, 0).becoming(record)
        });
        let work = Work {
            origin: Origin::Table,
            items: items.collect(),
            position: batch.position,
            has_more: batch.has_more,
            proof,
        };
        Ok(Answer::Read(version, Some(work)))
    }

    /// Shows that it leads.
    async fn prove(&mut self, measures: Measures) -> Result<Answer, OutboxError> {
        let Self {
            seat,
            capture,
            stored,
            synced,
            ..
        } = self;
        let mut tx = seat.database.begin(Isolation::Write).await?;
        if !progress::prove(&mut tx, &seat.table, &seat.owner, None).await? {
            tx.rollback().await?;
            return Ok(Answer::Proven(None));
        }
        let backlog = match measures {
            Measures::Yes => Some(capture.backlog(&mut tx, &seat.table, stored).await?),
            Measures::No => None,
        };
        commit(tx, synced).await?;
        Ok(Answer::Proven(Some(backlog)))
    }

    /// Stores what became of a batch.
    async fn store(&mut self, settled: Settled, measures: Measures) -> Result<Answer, OutboxError> {
        let Self {
            seat,
            capture,
            stored,
            synced,
            ..
        } = self;
        let table = &*seat.table;
        let is_of_table = settled.origin == Origin::Table;
        let position = is_of_table.then_some(settled.batch.position.as_str());
        let mut tx = seat.database.begin(Isolation::Write).await?;
        if !progress::prove(&mut tx, table, &seat.owner, position).await? {
            tx.rollback().await?;
            return Ok(Answer::Stored(None));
        }
        for item in &settled.parked {
            let parking = Parking {
                row: &item.row,
                lane: item.lane.as_ref(),
                error: item.parked().unwrap_or_default(),
                attempts: item.attempts,
            };
            parked::park(&mut tx, table, parking).await?;
        }
        if is_of_table {
            capture.confirm(&mut tx, table, &settled.batch).await?;
        } else {
            parked::remove(&mut tx, table, &settled.done).await?;
            for lane in &settled.lanes {
                let fails = settled
                    .parked
                    .iter()
                    .any(|it| it.lane.as_ref() == Some(lane));
                let goes_on = if fails { GoesOn::No } else { GoesOn::Yes };
                parked::mark(&mut tx, table, lane, goes_on).await?;
            }
        }
        let mut next = stored.clone();
        next.position = position.map_or(next.position, str::to_owned);
        let lanes = match is_of_table && settled.parked.is_empty() {
            true => None,
            false => Some(parked::lanes(&mut tx, table).await?),
        };
        let backlog = match measures {
            Measures::Yes => Some(capture.backlog(&mut tx, table, &next).await?),
            Measures::No => None,
        };
        commit(tx, synced).await?;
        *stored = next;
        Ok(Answer::Stored(Some((lanes, backlog))))
    }
}

/// Ends a transaction that has read rows, so that they may be published; nothing, if the relay does
/// not lead any more.
async fn prove_seen<D: Database>(
    seat: &Seat<D>,
    synced: &mut Option<i64>,
    mut tx: D::Tx,
) -> Result<Option<Proof>, OutboxError> {
    let strangers = tx.strangers().await?;
    if strangers.is_some() && strangers == *synced {
        let leads = progress::leads(&mut tx, &seat.table, &seat.owner).await?;
        drop(tx.rollback().await);
        return Ok(leads.then_some(Proof::Seen));
    }
    if !progress::prove(&mut tx, &seat.table, &seat.owner, None).await? {
        tx.rollback().await?;
        return Ok(None);
    }
    commit(tx, synced).await?;
    Ok(Some(Proof::Committed))
}

/// Commits a change of a relay's own, and with it everything before it is on the disk.
async fn commit<T: OwnedTx>(mut tx: T, synced: &mut Option<i64>) -> Result<(), SqlError> {
    let strangers = tx.strangers().await?;
    tx.commit().await?;
    *synced = strangers;
    Ok(())
}

/// Whether it is time to look at what waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measures {
    Yes,
    No,
}
