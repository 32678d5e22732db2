//! One record in one transaction: is it ours, is it new, its effects, its end.
//!
//! Floor 6 of client. Several records in one transaction: `batch`.
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
use crate::handler::{Attempt, Calls, Undone, traced};
use crate::record::ConsumerRecord;
use crate::sql::{Database, Isolation, OwnedTx, SqlError, SqlTx};

/// A handler in transactions, as the runner of a handler calls it.
pub(crate) struct Call<D, H> {
    pub(super) keeper: Arc<Keeper<D>>,
    pub(super) handler: H,
}

/// What becomes of a record.
pub(super) enum Verdict {
    New(Gap),
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
pub(super) enum Tool {
    Offset,
    Id,
    Version,
}

/// Whether a version is missing ahead of it.
#[derive(Clone, Copy)]
pub(super) enum Gap {
    None,
    Counted,
}

/// A record with all that is known of it before the database is asked.
pub(super) struct Known<'a> {
    pub(super) row: Row<'a>,
    pub(super) record: &'a Arc<ConsumerRecord>,
    pub(super) seat: &'a Seat,
    identity: Identity,
    version: Option<(&'a [u8], i64)>,
    now_ms: i64,
}

impl Known<'_> {
    pub(super) fn claim(&self) -> Claim<'_> {
        Claim {
            source: &self.identity.source,
            id: self.identity.id.as_str(),
            offset: self.record.offset,
            now_ms: self.now_ms,
        }
    }
}

impl<D: Database, H: TxHandler<D::Tx>> Call<D, H> {
    pub(crate) const fn new(keeper: Arc<Keeper<D>>, handler: H) -> Self {
        Self { keeper, handler }
    }

    async fn run(&self, attempt: &Attempt) -> Result<(), HandlerError> {
        let (record, keeping) = (&attempt.record, &self.keeper.keeping);
        let seat = self.seat(record)?;
        let known = self.known(record, &seat)?;
        let begun = keeping.database.begin(Isolation::Write).await;
        let mut tx = begun.map_err(HandlerError::systemic)?;
        let verdict = self.judge(&mut tx, &known).await.map_err(ours)?;
        match verdict {
            Verdict::New(gap) => {
                self.handle(tx, attempt.number, &known).await?;
                self.count_new(&known, gap);
                Ok(())
            }
            Verdict::Duplicate(tool) => {
                tx.commit().await.map_err(ours)?;
                self.has_moved(&known);
                self.count_duplicate(tool);
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

    pub(super) fn seat(&self, record: &ConsumerRecord) -> Result<Seat, HandlerError> {
        let seat = self.keeper.seat(&record.topic, record.partition);
        seat.ok_or_else(|| HandlerError::systemic("its partition is not open yet"))
    }

    pub(super) fn known<'a>(
        &'a self,
        record: &'a Arc<ConsumerRecord>,
        seat: &'a Seat,
    ) -> Result<Known<'a>, HandlerError> {
        let keeping = &self.keeper.keeping;
        Ok(Known {
            row: self.keeper.row(&record.topic, record.partition),
            record,
            seat,
            identity: keeping.inbox.identity(record, &seat.topic_id)?,
            version: keeping.inbox.version(record)?,
            now_ms: keeping.cluster.clock().wall().0,
        })
    }

    /// The effects, and their end.
    async fn handle(
        &self,
        mut tx: D::Tx,
        attempt: u32,
        known: &Known<'_>,
    ) -> Result<(), HandlerError> {
        match self.effects(&mut tx, attempt, known).await {
            Ok(()) => {
                // What is refused only now (a constraint that is checked last, or an error that the
                // handler has hidden) was its doing.
                let committed = tx.commit().await;
                committed.map_err(|error| judged(HandlerError::retry(error)))?;
                self.has_moved(known);
                Ok(())
            }
            Err(error) => {
                // The locks are free before the back-off begins; dropping it would do it later.
                drop(tx.rollback().await);
                Err(judged(error))
            }
        }
    }

    pub(super) async fn effects(
        &self,
        tx: &mut D::Tx,
        attempt: u32,
        known: &Known<'_>,
    ) -> Result<(), HandlerError> {
        let delivery = Delivery {
            record: known.record,
            source: &known.identity.source,
            id: &known.identity.id,
            attempt,
            tx,
        };
        traced(known.record, self.handler.handle(delivery)).await
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
        let claim = known.claim();
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

    pub(super) async fn compare_version(
        &self,
        tx: &mut D::Tx,
        known: &Known<'_>,
    ) -> Result<Verdict, SqlError> {
        let inbox = &self.keeper.keeping.inbox;
        let (Some((key, version)), Some((_, gaps))) = (known.version, &inbox.versions) else {
            return Ok(Verdict::New(Gap::None));
        };
        let texts = &self.keeper.texts;
        let found = tx.query(texts.version(known.row, key)).await?;
        let last = found.first().map(|row| row.integer(0)).transpose()?;
        let gap = match last {
            Some(last) if version <= last => return Ok(Verdict::Duplicate(Tool::Version)),
            Some(last) if version > last.saturating_add(1) => match gaps {
                Gaps::Stop => return Ok(Verdict::Gap { last, version }),
                Gaps::Count => Gap::Counted,
            },
            _ => Gap::None,
        };
        tx.execute(texts.set_version(known.row, key, version))
            .await?;
        Ok(Verdict::New(gap))
    }

    async fn owns(&self, tx: &mut D::Tx, known: &Known<'_>) -> Result<bool, SqlError> {
        let found = tx.query(self.keeper.texts.generation(known.row)).await?;
        let owner = found.first().map(|row| row.integer(0)).transpose()?;
        Ok(owner == Some(i64::from(known.seat.generation)))
    }

    /// With the guard, the position was moved in the transaction that is committed.
    pub(super) fn has_moved(&self, known: &Known<'_>) {
        if self.keeper.keeping.guard == Guard::Position {
            let record = known.record;
            let next = record.offset.saturating_add(1);
            self.keeper.moved(&record.topic, record.partition, next);
        }
    }

    pub(super) fn count_new(&self, known: &Known<'_>, gap: Gap) {
        let counts = &self.keeper.keeping.inbox.counts;
        count(&counts.derived_ids, u64::from(known.identity.is_derived));
        count(&counts.gaps, u64::from(matches!(gap, Gap::Counted)));
    }

    pub(super) fn count_duplicate(&self, tool: Tool) {
        let counts = &self.keeper.keeping.inbox.counts;
        let which = match tool {
            Tool::Offset => &counts.duplicate_offsets,
            Tool::Id => &counts.duplicate_ids,
            Tool::Version => &counts.old_versions,
        };
        count(which, 1);
    }
}

impl<D: Database, H: TxHandler<D::Tx>> Calls for Call<D, H> {
    async fn call(&self, attempt: Attempt) -> Result<(), HandlerError> {
        self.run(&attempt).await
    }

    async fn call_together(&self, attempts: Vec<Attempt>) -> Result<(), Undone> {
        self.run_together(&attempts).await.map_err(|error| {
            let group = &*self.keeper.keeping.group;
            tracing::debug!(%error, group, "records are handled one by one");
            Undone
        })
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
