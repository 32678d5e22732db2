//! Several records of a partition in one transaction.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Either each of them has its effects, or is found to be a duplicate; or nothing is done.
//!   Whatever is not as usual (a failure, another owner, a position that is not where it was left,
//!   a version that is missing) undoes all: each record is then handled by itself, and judged
//!   there.
//! - All claims come before the first effect.

use std::collections::HashSet;

use super::call::{Call, Gap, Known, Tool, Verdict};
use super::delivery::TxHandler;
use super::keeper::Guard;
use super::start::Stored;
use crate::failure::HandlerError;
use crate::handler::Attempt;
use crate::sql::{Database, Isolation, OwnedTx, SqlTx};

/// What was found of a record.
enum Found {
    New(Gap),
    Duplicate(Tool),
}

impl<D: Database, H: TxHandler<D::Tx>> Call<D, H> {
    pub(super) async fn run_together(&self, attempts: &[Attempt]) -> Result<(), HandlerError> {
        let Some(first) = attempts.first() else {
            return Ok(());
        };
        let seat = self.seat(&first.record)?;
        let known = attempts.iter().map(|it| self.known(&it.record, &seat));
        let known: Vec<Known<'_>> = known.collect::<Result<_, _>>()?;
        let mut tx = self.keeper.keeping.database.begin(Isolation::Write).await?;
        let found = match self.find(&mut tx, &known, attempts).await {
            Ok(found) => found,
            Err(error) => {
                // Its locks are free before its records are tried by themselves.
                drop(tx.rollback().await);
                return Err(error);
            }
        };
        tx.commit().await?;
        for (known, found) in known.iter().zip(found) {
            match found {
                Found::New(gap) => self.count_new(known, gap),
                Found::Duplicate(tool) => self.count_duplicate(tool),
            }
        }
        known.last().into_iter().for_each(|it| self.has_moved(it));
        Ok(())
    }

    /// Does all but the commit.
    async fn find(
        &self,
        tx: &mut D::Tx,
        known: &[Known<'_>],
        attempts: &[Attempt],
    ) -> Result<Vec<Found>, HandlerError> {
        if self.keeper.keeping.guard == Guard::Position {
            self.advance(tx, known).await?;
        }
        let mut is_new = vec![true; known.len()];
        if self.keeper.keeping.inbox.has_ids {
            is_new = self.claim_all(tx, known).await?;
        }
        let mut found = Vec::with_capacity(known.len());
        for ((known, is_new), attempt) in known.iter().zip(is_new).zip(attempts) {
            found.push(match is_new {
                true => self.one(tx, attempt.number, known).await?,
                false => Found::Duplicate(Tool::Id),
            });
        }
        Ok(found)
    }

    /// Moves the position behind the last of them, if none of them was finished before.
    async fn advance(&self, tx: &mut D::Tx, known: &[Known<'_>]) -> Result<(), HandlerError> {
        let (Some(first), Some(last)) = (known.first(), known.last()) else {
            return Ok(());
        };
        let seat = first.seat;
        let next = Stored {
            topic_id: seat.topic_id.to_string(),
            next: last.record.offset.saturating_add(1),
        };
        let texts = &self.keeper.texts;
        let advance = texts.advance_from(first.row, seat.next, &next, seat.generation);
        if first.record.offset < seat.next || tx.execute(advance).await? == 0 {
            return Err(HandlerError::retry("the position is not where it was left"));
        }
        Ok(())
    }

    /// Whether each of them was claimed just now, and not before.
    async fn claim_all(
        &self,
        tx: &mut D::Tx,
        known: &[Known<'_>],
    ) -> Result<Vec<bool>, HandlerError> {
        let texts = &self.keeper.texts;
        let claims: Vec<_> = known.iter().map(Known::claim).collect();
        let (row, generation) = (known[0].row, known[0].seat.generation);
        let mut is_new = Vec::with_capacity(known.len());
        match texts.claim_all(row, &claims, generation) {
            Some(statement) => {
                let rows = tx.query(statement).await?;
                let claimed = rows.iter().map(|row| row.integer(0));
                let claimed = claimed.collect::<Result<HashSet<_>, _>>()?;
                is_new.extend(claims.iter().map(|it| claimed.contains(&it.offset)));
            }
            None => {
                for claim in &claims {
                    let statement = texts.claim(row, *claim, generation);
                    is_new.push(tx.execute(statement).await? > 0);
                }
            }
        }
        for (claim, _) in claims.iter().zip(&is_new).filter(|(_, is_new)| !**is_new) {
            if tx.execute(texts.refresh(row, *claim)).await? == 0 {
                // Another owner's, or cleaned away just now.
                return Err(HandlerError::retry("neither claimed nor there"));
            }
        }
        Ok(is_new)
    }

    /// One that is new by its position and its id.
    async fn one(
        &self,
        tx: &mut D::Tx,
        attempt: u32,
        known: &Known<'_>,
    ) -> Result<Found, HandlerError> {
        match self.compare_version(tx, known).await? {
            Verdict::New(gap) => {
                self.effects(tx, attempt, known).await?;
                Ok(Found::New(gap))
            }
            Verdict::Duplicate(tool) => Ok(Found::Duplicate(tool)),
            Verdict::Fenced | Verdict::Gap { .. } => {
                Err(HandlerError::retry("a version is missing"))
            }
        }
    }
}
