//! The positions of a group in its database: taken over, moved, checked, cleaned up behind.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A partition is taken over (its fence moved, which waits for the transactions of the old
//!   owner) before its position is read.
//! - A position is written before the first record behind it is claimed.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::code::ErrorCode;
use highwater_proto::exchange::BoxFuture;

use super::counts::count;
use super::settings::{Inbox, PositionLost, ShortWindows, of_database};
use super::start::{Asked, Log, Stored, start};
use super::tables::{Row, Tables, Texts};
use super::window::outlived;
use crate::admin::{Admin, CommittedOffset, ListedOffset, OffsetSpec};
use crate::backoff::Backoff;
use crate::cluster::Cluster;
use crate::config::OffsetReset;
use crate::error::ClientError;
use crate::handler::Positions;
use crate::sql::{Database, Isolation, OwnedTx, SqlError, SqlTx};

/// What recognises a record that comes again from the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The position: records of a partition are finished in their order.
    Position,
    /// The claim: records of other keys are finished ahead.
    Claim,
}

/// Whose positions they are.
#[derive(Debug)]
pub(crate) struct Keeping<D> {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) group: String,
    pub(crate) database: D,
    pub(crate) inbox: Inbox,
    pub(crate) guard: Guard,
    /// For partitions of which neither the database nor the group has a position.
    pub(crate) reset: OffsetReset,
}

/// Keeps the positions of a group in its database.
#[derive(Debug)]
pub(crate) struct Keeper<D> {
    pub(super) keeping: Keeping<D>,
    pub(super) texts: Texts,
    admin: Admin,
    seats: Mutex<HashMap<(Arc<str>, i32), Seat>>,
    /// Topics whose windows were found right.
    checked: Mutex<HashSet<Arc<str>>>,
}

/// A partition that this member has taken over.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) generation: i32,
    /// Empty if the broker does not tell it.
    pub(super) topic_id: Arc<str>,
    /// How far the position is known to be.
    pub(super) next: i64,
}

/// Why a partition was not taken over.
enum Trouble {
    /// A newer generation has it.
    Fenced(String),
    Other(ClientError),
}

impl<D: Database> Keeper<D> {
    /// Checks what can be checked without the broker and the database.
    pub(crate) fn new(keeping: Keeping<D>) -> Result<Self, ClientError> {
        let tables = Tables::new(&keeping.inbox.name)?;
        let invalid = |why: &str| Err(ClientError::Invalid(why.to_owned()));
        if !keeping.inbox.has_ids && keeping.guard == Guard::Claim {
            return invalid(
                "without ids, records that are finished ahead of others would be handled again \
                 after a crash: set Order::Partition, or keep the ids",
            );
        }
        if keeping.group.len() > GROUP_BYTES_MAX || keeping.group.contains('\0') {
            return invalid(
                "the name of the group does not fit into the inbox: it has 255 bytes at most, and \
                 no zero byte",
            );
        }
        Ok(Self {
            texts: tables.texts(keeping.database.dialect()),
            admin: Admin::new(Arc::clone(&keeping.cluster)),
            seats: Mutex::default(),
            checked: Mutex::default(),
            keeping,
        })
    }

    /// Checks the tables, and the window against what these topics keep, as far as they exist.
    pub(crate) async fn check(&self, topics: &[String]) -> Result<(), ClientError> {
        self.check_tables().await.map_err(|error| match error {
            SqlError::Refused(why) => ClientError::Invalid(format!(
                "the tables of the inbox {0} are missing or not as they should be: run \
                 Inbox::migrate ({why})",
                self.keeping.inbox.name
            )),
            other => of_database(other),
        })?;
        for topic in topics {
            match self.check_window(&Arc::from(&**topic)).await {
                Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    async fn check_tables(&self) -> Result<(), SqlError> {
        let mut tx = self.keeping.database.begin(Isolation::Snapshot).await?;
        for look in self.texts.looks() {
            tx.query(look).await?;
        }
        tx.rollback().await
    }

    async fn check_window(&self, topic: &Arc<str>) -> Result<(), ClientError> {
        let inbox = &self.keeping.inbox;
        let is_covered = match self.keeping.guard {
            Guard::Position => inbox.position_lost != PositionLost::Earliest,
            Guard::Claim => false,
        };
        let Some(window) = inbox.window.filter(|_| inbox.has_ids && !is_covered) else {
            return Ok(());
        };
        if locked(&self.checked).contains(topic) {
            return Ok(());
        }
        let configs = self.admin.topic_configs(topic).await?;
        if let Some(kept) = outlived(window, &configs) {
            let why = format!(
                "the inbox of the group {} keeps ids for {} s, and the topic {topic} keeps its \
                 records for {kept}: what is read again from so far back would have its effects \
                 again",
                self.keeping.group,
                window.as_secs()
            );
            match inbox.short_windows {
                ShortWindows::Allowed => tracing::warn!("{why}"),
                ShortWindows::Refused => {
                    return Err(ClientError::Invalid(format!(
                        "{why}; set Inbox::window to that, handle records by Order::Partition, or \
                         take it on with Inbox::allow_short_window"
                    )));
                }
            }
        }
        locked(&self.checked).insert(Arc::clone(topic));
        Ok(())
    }

    /// What this member has taken over.
    pub(super) fn seat(&self, topic: &Arc<str>, partition: i32) -> Option<Seat> {
        locked(&self.seats)
            .get(&(Arc::clone(topic), partition))
            .cloned()
    }

    /// A transaction of this member has moved a position.
    pub(super) fn moved(&self, topic: &Arc<str>, partition: i32, next: i64) {
        let mut seats = locked(&self.seats);
        if let Some(seat) = seats.get_mut(&(Arc::clone(topic), partition)) {
            seat.next = seat.next.max(next);
        }
    }

    pub(super) fn row<'a>(&'a self, topic: &'a str, partition: i32) -> Row<'a> {
        Row {
            group: &self.keeping.group,
            topic,
            partition,
        }
    }

    async fn open(
        &self,
        generation: i32,
        places: Vec<(Arc<str>, i32)>,
    ) -> Result<Vec<i64>, ClientError> {
        let clock = self.keeping.cluster.clock();
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        let patience = clock.now().mono.plus(FENCED_MAX);
        loop {
            let why = match self.open_once(generation, &places).await {
                Ok(offsets) => return Ok(offsets),
                // If the group has gone on, the next poll says so.
                Err(Trouble::Fenced(why)) if clock.now().mono < patience => why,
                Err(Trouble::Fenced(why)) => return Err(ClientError::Invalid(why)),
                Err(Trouble::Other(error)) if error.is_retriable() => error.to_string(),
                Err(Trouble::Other(error)) => return Err(error),
            };
            let group = &*self.keeping.group;
            tracing::warn!(group, why, "partitions are not read yet: tried again");
            let at = backoff.next_try(clock.now().mono);
            clock.sleep_until(at).await;
        }
    }

    async fn open_once(
        &self,
        generation: i32,
        places: &[(Arc<str>, i32)],
    ) -> Result<Vec<i64>, Trouble> {
        let topics: BTreeSet<&Arc<str>> = places.iter().map(|(topic, _)| topic).collect();
        for topic in topics {
            self.check_window(topic).await?;
        }
        let stored = self.take(generation, places).await?;
        let logs = self.look(places).await?;
        let mut offsets = Vec::with_capacity(places.len());
        let mut seats = Vec::with_capacity(places.len());
        let mut changes = Vec::new();
        for ((place, stored), log) in places.iter().zip(stored).zip(logs) {
            let (topic, partition) = (&*place.0, place.1);
            let asked = Asked {
                group: &self.keeping.group,
                topic,
                partition,
            };
            let lost = self.keeping.inbox.position_lost;
            let next = start(asked, stored.as_ref(), &log, self.keeping.reset, lost)?;
            let seat = Seat {
                generation,
                topic_id: Arc::from(&*log.topic_id),
                next,
            };
            let now = Stored {
                topic_id: log.topic_id,
                next,
            };
            if stored.as_ref() != Some(&now) {
                let row = self.row(topic, partition);
                changes.push(self.texts.set(row, &now, generation));
            }
            seats.push((place.clone(), seat));
            offsets.push(next);
        }
        if !changes.is_empty() {
            let mut tx = self.keeping.database.begin(Isolation::Write).await?;
            for change in changes {
                if tx.execute(change).await? == 0 {
                    return Err(self.fenced(generation, "a newer one"));
                }
            }
            tx.commit().await?;
        }
        let mut known = locked(&self.seats);
        for (place, seat) in seats {
            // An older generation's question may be answered later than the newer one's.
            let is_newer = |it: &Seat| it.generation > generation;
            if !known.get(&place).is_some_and(is_newer) {
                known.insert(place, seat);
            }
        }
        drop(known);
        Ok(offsets)
    }

    /// Becomes the owner, and reads the positions that the former one has left.
    async fn take(
        &self,
        generation: i32,
        places: &[(Arc<str>, i32)],
    ) -> Result<Vec<Option<Stored>>, Trouble> {
        let mut tx = self.keeping.database.begin(Isolation::Write).await?;
        let mut stored = Vec::with_capacity(places.len());
        for (topic, partition) in places {
            let row = self.row(topic, *partition);
            if tx.execute(self.texts.take(row, generation)).await? == 0 {
                let found = tx.query(self.texts.generation(row)).await?;
                let found = found.first().map_or(Ok(0), |row| row.integer(0))?;
                return Err(self.fenced(generation, &found.to_string()));
            }
            let found = tx.query(self.texts.stored(row)).await?;
            let read = found.first().map(|row| {
                Ok::<_, SqlError>(Stored {
                    topic_id: row.text(0)?.to_owned(),
                    next: row.integer(1)?,
                })
            });
            stored.push(read.transpose()?);
        }
        tx.commit().await?;
        Ok(stored)
    }

    fn fenced(&self, generation: i32, newer: &str) -> Trouble {
        Trouble::Fenced(format!(
            "the generation {generation} of the group {} is older than the one that owns its \
             partitions in the database, {newer}: another member has taken them over; or the \
             group was deleted and made anew, and then Inbox::reset_fence helps",
            self.keeping.group
        ))
    }

    /// What the broker says of partitions.
    async fn look(&self, places: &[(Arc<str>, i32)]) -> Result<Vec<Log>, ClientError> {
        let mut ids: HashMap<&Arc<str>, String> = HashMap::new();
        for (topic, _) in places {
            if !ids.contains_key(topic) {
                let id = self.admin.describe_topic(topic).await?.id;
                let is_known = id.bytes().any(|byte| byte != b'A');
                ids.insert(topic, if is_known { id } else { String::new() });
            }
        }
        let starts = self
            .admin
            .offsets(&asked(places, OffsetSpec::Earliest))
            .await?;
        let ends = self
            .admin
            .offsets(&asked(places, OffsetSpec::Latest))
            .await?;
        let named = places
            .iter()
            .map(|(topic, partition)| (&**topic, *partition));
        let named: Vec<(&str, i32)> = named.collect();
        let group = &self.keeping.group;
        let committed = self.admin.group_offsets(group, Some(&named)).await?;
        let bounds = places.iter().zip(starts.iter().zip(&ends));
        let offset = |listed: &ListedOffset| listed.offset.unwrap_or(0);
        let mut logs = Vec::with_capacity(places.len());
        for ((topic, partition), (start, end)) in bounds {
            let is_it = |it: &&CommittedOffset| *it.topic == **topic && it.partition == *partition;
            logs.push(Log {
                topic_id: ids.get(topic).cloned().unwrap_or_default(),
                start: offset(start),
                end: offset(end),
                committed: committed.iter().find(is_it).map(|it| it.offset),
            });
        }
        Ok(logs)
    }

    async fn advance(&self, offsets: Vec<(Arc<str>, i32, i64)>) -> Result<(), ClientError> {
        let mut moves = Vec::new();
        for (topic, partition, next) in &offsets {
            let seat = self.seat(topic, *partition);
            if let Some(seat) = seat.filter(|seat| seat.next < *next) {
                let stored = Stored {
                    topic_id: seat.topic_id.to_string(),
                    next: *next,
                };
                moves.push((topic, *partition, stored, seat.generation));
            }
        }
        if moves.is_empty() {
            return Ok(());
        }
        // In one order, so that two members never wait for each other.
        moves.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let moved = async {
            let mut tx = self.keeping.database.begin(Isolation::Write).await?;
            for (topic, partition, stored, generation) in &moves {
                let row = self.row(topic, *partition);
                let statement = self.texts.advance(row, stored, *generation);
                tx.execute(statement).await?;
            }
            tx.commit().await
        };
        moved.await.map_err(of_database)?;
        for (topic, partition, stored, _) in &moves {
            self.moved(topic, *partition, stored.next);
        }
        Ok(())
    }

    /// Takes away claims that are older than the window, now and then.
    async fn tend(&self) {
        let Some(window) = self
            .keeping
            .inbox
            .window
            .filter(|_| self.keeping.inbox.has_ids)
        else {
            return std::future::pending().await;
        };
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let clock = self.keeping.cluster.clock();
        loop {
            let before_ms = clock.wall().0.saturating_sub(window_ms);
            if let Err(error) = self.clean(before_ms).await {
                let group = &*self.keeping.group;
                tracing::warn!(%error, group, "old ids of the inbox were not cleaned away");
            }
            clock.sleep_until(clock.now().mono.plus(CLEAN_PAUSE)).await;
        }
    }

    async fn clean(&self, before_ms: i64) -> Result<(), SqlError> {
        loop {
            let statement = self
                .texts
                .clean(&self.keeping.group, before_ms, CLEAN_ROWS_MAX);
            let mut tx = self.keeping.database.begin(Isolation::Write).await?;
            let gone = tx.execute(statement).await?;
            tx.commit().await?;
            count(&self.keeping.inbox.counts.cleaned, gone);
            if i64::try_from(gone).unwrap_or(0) < CLEAN_ROWS_MAX {
                return Ok(());
            }
        }
    }
}

/// A [`Keeper`] as the runner of a handler asks it.
pub(crate) struct Shared<D>(pub(crate) Arc<Keeper<D>>);

impl<D: Database> Positions for Shared<D> {
    fn open(
        &self,
        generation: i32,
        partitions: Vec<(Arc<str>, i32)>,
    ) -> BoxFuture<'static, Result<Vec<i64>, ClientError>> {
        let keeper = Arc::clone(&self.0);
        Box::pin(async move { keeper.open(generation, partitions).await })
    }

    fn advance(
        &self,
        offsets: Vec<(Arc<str>, i32, i64)>,
    ) -> BoxFuture<'static, Result<(), ClientError>> {
        let keeper = Arc::clone(&self.0);
        Box::pin(async move { keeper.advance(offsets).await })
    }

    fn tend(&self) -> BoxFuture<'static, ()> {
        let keeper = Arc::clone(&self.0);
        Box::pin(async move { keeper.tend().await })
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Self {
        Self::Other(error)
    }
}

impl From<SqlError> for Trouble {
    fn from(error: SqlError) -> Self {
        Self::Other(of_database(error))
    }
}

fn asked(places: &[(Arc<str>, i32)], spec: OffsetSpec) -> Vec<(&str, i32, OffsetSpec)> {
    let places = places.iter();
    places
        .map(|(topic, partition)| (&**topic, *partition, spec))
        .collect()
}

/// Every change is one step, so that a panic elsewhere leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As long as the longest name of a topic, and a little more.
const GROUP_BYTES_MAX: usize = 255;

/// The pauses before partitions are tried again to be taken over.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long a newer owner of a partition may be news that the group has not brought yet.
const FENCED_MAX: Duration = Duration::from_secs(5);

const CLEAN_PAUSE: Duration = Duration::from_secs(60);

/// Rows of one transaction.
const CLEAN_ROWS_MAX: i64 = 1_000;
