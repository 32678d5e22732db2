//! One record in one transaction: is it ours, is it new, its effects, its end.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - The claim comes before the effect: a second delivery at the same time waits for the first, and
//!   then finds it.
//! - An error of the database in a step of ours is never the record's fault: it costs no attempt
//!   and makes no dead letter.

use std::sync::Arc;

use super::counts::count;
use super::delivery::{Delivery, TxHandler};
use super::identity::Identity;
use super::keeper::{Guard, Keeper, Seat};
use super::settings::Gaps;
use super::start::Stored;
use super::tables::{Claim, Row};
use crate::failure::{FailureClass, HandlerError};
use crate::handler::{Attempt, Handler};
use crate::record::ConsumerRecord;
use crate::sql::{Database, Isolation, OwnedTx, SqlError, SqlTx};

/// A handler in transactions, as the runner of a handler calls it.
pub(crate) struct Call<D, H> {
    keeper: Arc<Keeper<D>>,
    handler: H,
}

/// What becomes of a record.
enum Verdict {
    New,
    Duplicate(Tool),
    /// Its partition belongs to a newer member.
    Fenced,
    Gap {
        last: i64,
        version: i64,
    },
}

/// What recognised it.
#[derive(Clone, Copy)]
enum Tool {
    Offset,
    Id,
    Version,
}

/// A record with all that is known of it before the database is asked.
struct Known<'a> {
    row: Row<'a>,
    record: &'a ConsumerRecord,
    seat: &'a Seat,
    identity: &'a Identity,
    version: Option<(&'a [u8], i64)>,
    now_ms: i64,
}

impl<D: Database, H: TxHandler<D::Tx>> Call<D, H> {
    pub(crate) const fn new(keeper: Arc<Keeper<D>>, handler: H) -> Self {
        Self { keeper, handler }
    }

    async fn run(&self, attempt: &Attempt) -> Result<(), HandlerError> {
        let (record, keeping) = (&*attempt.record, &self.keeper.keeping);
        let seat = self.keeper.seat(&record.topic, record.partition);
        let seat = seat.ok_or_else(|| HandlerError::systemic("its partition is not open yet"))?;
        let identity = keeping.inbox.identity(record, &seat.topic_id)?;
        let known = Known {
            row: self.keeper.row(&record.topic, record.partition),
            record,
            seat: &seat,
            identity: &identity,
            version: keeping.inbox.version(record)?,
            now_ms: keeping.cluster.clock().wall().0,
        };
        let begun = keeping.database.begin(Isolation::Write).await;
        let mut tx = begun.map_err(HandlerError::systemic)?;
        let verdict = self.judge(&mut tx, &known).await.map_err(ours)?;
        match verdict {
            Verdict::New => self.handle(tx, attempt, &known).await,
            Verdict::Duplicate(tool) => {
                tx.commit().await.map_err(ours)?;
                self.has_moved(&known);
                let counts = &keeping.inbox.counts;
                let which = match tool {
                    Tool::Offset => &counts.duplicate_offsets,
                    Tool::Id => &counts.duplicate_ids,
                    Tool::Version => &counts.old_versions,
                };
                count(which, 1);
                Ok(())
            }
            Verdict::Fenced => {
                drop(tx.rollback().await);
                count(&keeping.inbox.counts.fenced, 1);
                Err(HandlerError::stop(format!(
                    "{}-{} was taken over by another member of the group {}: nothing of it is \
                     handled here any more",
                    record.topic, record.partition, keeping.group
                )))
            }
            Verdict::Gap { last, version } => {
                drop(tx.rollback().await);
                count(&keeping.inbox.counts.gaps, 1);
                Err(HandlerError::stop(format!(
                    "it has the version {version} of its key, and the last one was {last}: an \
                     event is missing between them"
                )))
            }
        }
    }

    /// The effects.
    async fn handle(
        &self,
        mut tx: D::Tx,
        attempt: &Attempt,
        known: &Known<'_>,
    ) -> Result<(), HandlerError> {
        let delivery = Delivery {
            record: &attempt.record,
            source: &known.identity.source,
            id: &known.identity.id,
            attempt: attempt.number,
            tx: &mut tx,
        };
        match self.handler.handle(delivery).await {
            Ok(()) => {
                // What is refused only now (a constraint that is checked last, or an error that the
                // handler has hidden) was its doing.
                let committed = tx.commit().await;
                committed.map_err(|error| judged(HandlerError::retry(error)))?;
                self.has_moved(known);
                let counts = &self.keeper.keeping.inbox.counts;
                count(&counts.derived_ids, u64::from(known.identity.is_derived));
                Ok(())
            }
            Err(error) => {
                // The locks are free before the back-off begins; dropping it would do it later.
                drop(tx.rollback().await);
                Err(judged(error))
            }
        }
    }

    async fn judge(&self, tx: &mut D::Tx, known: &Known<'_>) -> Result<Verdict, SqlError> {
        if self.keeper.keeping.guard == Guard::Position
            && let Some(verdict) = self.guard(tx, known).await?
        {
            return Ok(verdict);
        }
        if self.keeper.keeping.inbox.has_ids
            && let Some(verdict) = self.claim(tx, known).await?
        {
            return Ok(verdict);
        }
        self.compare_version(tx, known).await
    }

    /// Moves the position behind the record; a verdict if that is not for us, or was done before.
    async fn guard(&self, tx: &mut D::Tx, known: &Known<'_>) -> Result<Option<Verdict>, SqlError> {
        let next = Stored {
            topic_id: known.seat.topic_id.to_string(),
            next: known.record.offset.saturating_add(1),
        };
        let texts = &self.keeper.texts;
        let advance = texts.advance(known.row, &next, known.seat.generation);
        if tx.execute(advance).await? > 0 {
            return Ok(None);
        }
        Ok(Some(match self.owns(tx, known).await? {
            true => Verdict::Duplicate(Tool::Offset),
            false => Verdict::Fenced,
        }))
    }

    /// Claims the event; a verdict if that is not for us, or was done before.
    async fn claim(&self, tx: &mut D::Tx, known: &Known<'_>) -> Result<Option<Verdict>, SqlError> {
        let claim = Claim {
            source: &known.identity.source,
            id: known.identity.id.as_str(),
            offset: known.record.offset,
            now_ms: known.now_ms,
        };
        let texts = &self.keeper.texts;
        for _ in 0..CLAIMS_MAX {
            let statement = texts.claim(known.row, claim, known.seat.generation);
            if tx.execute(statement).await? > 0 {
                return Ok(None);
            }
            if tx.execute(texts.refresh(known.row, claim)).await? > 0 {
                return Ok(Some(Verdict::Duplicate(Tool::Id)));
            }
            // Neither claimed nor there: it is not ours, or the claim was cleaned away just now.
            if !self.owns(tx, known).await? {
                return Ok(Some(Verdict::Fenced));
            }
        }
        let why = "a claim in the inbox came and went";
        Err(SqlError::Conflict(why.to_owned()))
    }

    async fn compare_version(
        &self,
        tx: &mut D::Tx,
        known: &Known<'_>,
    ) -> Result<Verdict, SqlError> {
        let inbox = &self.keeper.keeping.inbox;
        let (Some((key, version)), Some((_, gaps))) = (known.version, &inbox.versions) else {
            return Ok(Verdict::New);
        };
        let texts = &self.keeper.texts;
        let found = tx.query(texts.version(known.row, key)).await?;
        let last = found.first().map(|row| row.integer(0)).transpose()?;
        match last {
            Some(last) if version <= last => return Ok(Verdict::Duplicate(Tool::Version)),
            Some(last) if version > last.saturating_add(1) => match gaps {
                Gaps::Stop => return Ok(Verdict::Gap { last, version }),
                Gaps::Count => count(&inbox.counts.gaps, 1),
            },
            _ => {}
        }
        tx.execute(texts.set_version(known.row, key, version))
            .await?;
        Ok(Verdict::New)
    }

    async fn owns(&self, tx: &mut D::Tx, known: &Known<'_>) -> Result<bool, SqlError> {
        let found = tx.query(self.keeper.texts.generation(known.row)).await?;
        let owner = found.first().map(|row| row.integer(0)).transpose()?;
        Ok(owner == Some(i64::from(known.seat.generation)))
    }

    /// With the guard, the position was moved in the transaction that is committed.
    fn has_moved(&self, known: &Known<'_>) {
        if self.keeper.keeping.guard == Guard::Position {
            let record = known.record;
            let next = record.offset.saturating_add(1);
            self.keeper.moved(&record.topic, record.partition, next);
        }
    }
}

impl<D: Database, H: TxHandler<D::Tx>> Handler for Call<D, H> {
    async fn handle(&self, attempt: Attempt) -> Result<(), HandlerError> {
        self.run(&attempt).await
    }
}

/// An error of the database in a step of ours.
fn ours(error: SqlError) -> HandlerError {
    match error {
        SqlError::Conflict(_) => HandlerError::retry(error),
        _ => HandlerError::systemic(error),
    }
}

/// An error of the user's: without its database no record can be handled.
fn judged(error: HandlerError) -> HandlerError {
    let is_down = matches!(error.cause(), Some(SqlError::Unavailable(_)));
    match error.class() {
        FailureClass::Retry if is_down => error.with_class(FailureClass::Systemic),
        _ => error,
    }
}

/// A claim can be cleaned away between two statements once; more than that is no chance.
const CLAIMS_MAX: u32 = 3;
