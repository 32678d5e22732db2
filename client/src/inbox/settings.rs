//! What an inbox is asked to do.
//!
//! Floor 6 of client.

use std::sync::Arc;
use std::time::Duration;

use highwater_proto::code::ErrorCode;

use super::counts::{Counts, InboxCounts};
use super::tables::{Row, Tables};
use crate::admin::Admin;
use crate::envelope::{Envelope, EventId};
use crate::error::ClientError;
use crate::record::ConsumerRecord;
use crate::sql::{Database, Dialect, Isolation, OwnedTx, SqlError, SqlStatement, SqlTx};

/// Which duplicates are recognised, for how long, and in which tables that is kept.
///
/// Clones share their counts.
///
/// ```
/// use std::time::Duration;
/// use highwater_client::inbox::{Gaps, Inbox, MissingIds};
///
/// let inbox = Inbox::new()
///     .window(Duration::from_secs(14 * 24 * 3_600))
///     .missing_ids(MissingIds::Require)
///     .versions("ce_sequence", Gaps::Stop);
/// assert_eq!(inbox.counts().duplicate_ids, 0);
/// ```
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(super) name: String,
    pub(super) envelope: Envelope,
    pub(super) has_ids: bool,
    pub(super) missing_ids: MissingIds,
    pub(super) versions: Option<(String, Gaps)>,
    pub(super) window: Option<Duration>,
    pub(super) short_windows: ShortWindows,
    pub(super) position_lost: PositionLost,
    pub(super) counts: Arc<Counts>,
}

/// What becomes of a record that has no id in its headers.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum MissingIds {
    /// It gets one from where it stands: `topic/partition/offset`, with the topic's id where the
    /// broker has one. It tells a record that comes again, and nothing else: not an event that was
    /// sent twice, and not a dead letter that was sent back.
    Derive,
    /// It is invalid: a dead letter at once.
    Require,
    /// It gets the one that this function makes of it, such as a hash of some fields; invalid if
    /// there is none. Two events that look the same to it are one, and the second is left out.
    By(fn(&ConsumerRecord) -> Option<EventId>),
}

/// What becomes of a record ahead of which a version of its key is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gaps {
    /// Its partition stops at it.
    Stop,
    /// It is counted, and handled.
    Count,
}

/// Where to go on if a position is outside of its log, or of a topic that was deleted and made
/// anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PositionLost {
    /// Nowhere: the handler ends with an error that has both figures.
    Refuse,
    /// At the oldest record.
    Earliest,
    /// Behind the newest record: what lies between is never handled.
    Latest,
}

/// What becomes of a window that is shorter than what a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShortWindows {
    Refused,
    Allowed,
}

impl Inbox {
    /// Recognises records by their positions and events by their ids, for seven days; in tables
    /// whose names begin with `inbox`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: "inbox".to_owned(),
            envelope: Envelope::new(),
            has_ids: true,
            missing_ids: MissingIds::Derive,
            versions: None,
            window: Some(WINDOW),
            short_windows: ShortWindows::Refused,
            position_lost: PositionLost::Refuse,
            counts: Arc::default(),
        }
    }

    /// The name of the table of ids, and the beginning of those of the others (`_offsets`,
    /// `_owners`, `_versions`); may name a schema: `shop.inbox`. `inbox` if it is not said.
    ///
    /// Any number of groups may share the tables.
    #[must_use]
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Which headers have the id; as [`Envelope::new`] if it is not said.
    #[must_use]
    pub fn envelope(mut self, envelope: Envelope) -> Self {
        self.envelope = envelope;
        self
    }

    /// What becomes of records without an id; [`MissingIds::Derive`] if it is not said.
    #[must_use]
    pub const fn missing_ids(mut self, missing_ids: MissingIds) -> Self {
        self.missing_ids = missing_ids;
        self
    }

    /// Keeps no ids: one row a partition is all that is kept. An event that stands at two offsets
    /// is then handled twice. It needs [`Order::Partition`](crate::Order::Partition), since a
    /// position says nothing of records that are finished ahead of others.
    #[must_use]
    pub const fn without_ids(mut self) -> Self {
        self.has_ids = false;
        self
    }

    /// Looks at the versions of keys: a header has the version of what its key stands for, in
    /// decimal digits, one more with each event. A record whose version its key has already is left
    /// out; one that is ahead of the next version shows that an event is missing.
    ///
    /// The first version that is seen of a key may be any; records without a key or without the
    /// header are not looked at.
    #[must_use]
    pub fn versions(mut self, header: impl Into<String>, gaps: Gaps) -> Self {
        self.versions = Some((header.into(), gaps));
        self
    }

    /// How long the id of an event is kept since it was last seen; 7 days if it is not said.
    ///
    /// It has to be longer than an event can come again: as long as its topic keeps it, and as
    /// long as it may lie among the dead letters. A start is refused if it is shorter than what a
    /// topic keeps, unless records are handled in the order of their partition, where the position
    /// alone recognises those that come again (but for [`PositionLost::Earliest`]).
    #[must_use]
    pub const fn window(mut self, window: Duration) -> Self {
        self.window = Some(window);
        self
    }

    /// Keeps ids for ever.
    #[must_use]
    pub const fn without_window(mut self) -> Self {
        self.window = None;
        self
    }

    /// Starts with a window that is shorter than what a topic keeps, with a line in the log: what
    /// is read again from so far back then has its effects again.
    #[must_use]
    pub const fn allow_short_window(mut self) -> Self {
        self.short_windows = ShortWindows::Allowed;
        self
    }

    /// Where to go on if a position is lost; [`PositionLost::Refuse`] if it is not said.
    #[must_use]
    pub const fn position_lost(mut self, policy: PositionLost) -> Self {
        self.position_lost = policy;
        self
    }

    pub(crate) const fn lost_policy(&self) -> PositionLost {
        self.position_lost
    }

    /// What was seen since this inbox was made, by all its clones.
    #[must_use]
    pub fn counts(&self) -> InboxCounts {
        self.counts.snapshot()
    }

    /// The statements that make the tables, for a tool of your own.
    ///
    /// ```
    /// use highwater_client::inbox::Inbox;
    /// use highwater_client::sql::Dialect;
    ///
    /// let statements = Inbox::new().migrations(Dialect::Postgres)?;
    /// assert!(statements[0].starts_with("create table if not exists inbox ("));
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the name of the table is none.
    pub fn migrations(&self, dialect: Dialect) -> Result<Vec<String>, ClientError> {
        Ok(Tables::new(&self.name)?.migrations(dialect))
    }

    /// Makes the tables that are not there yet.
    ///
    /// # Errors
    /// `Invalid` if the name of the table is none, or if the database refuses; `NotSent` if it
    /// cannot be reached.
    pub async fn migrate<D: Database>(&self, database: &D) -> Result<(), ClientError> {
        let statements = self.migrations(database.dialect())?;
        // Others may do the same at this moment.
        let mut tries = MIGRATIONS_MAX;
        loop {
            tries -= 1;
            match run_all(database, &statements).await {
                Err(SqlError::Constraint(_) | SqlError::Conflict(_)) if tries > 0 => {}
                done => return done.map_err(of_database),
            }
        }
    }

    /// How many ids are kept of a group: `inbox_rows`. It counts them one by one.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub async fn rows<D: Database>(&self, database: &D, group: &str) -> Result<u64, ClientError> {
        let statement = Tables::new(&self.name)?.count(group);
        let rows = async {
            let mut tx = database.begin(Isolation::Snapshot).await?;
            let rows = tx.query(statement).await?;
            tx.rollback().await?;
            rows.first().map_or(Ok(0), |row| row.integer(0))
        };
        let count = rows.await.map_err(of_database)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// The first offset of a partition that a group has not finished; `None` if it has finished
    /// none.
    ///
    /// # Errors
    /// As [`Self::migrate`].
    pub(crate) async fn position<D: Database>(
        &self,
        database: &D,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Option<i64>, ClientError> {
        let texts = Tables::new(&self.name)?.texts(database.dialect());
        let statement = texts.stored(Row {
            group,
            topic,
            partition,
        });
        let rows = async {
            let mut tx = database.begin(Isolation::Snapshot).await?;
            let rows = tx.query(statement).await?;
            tx.rollback().await?;
            rows.first().map(|row| row.integer(1)).transpose()
        };
        rows.await.map_err(of_database)
    }

    /// Forgets which generation of a group owned which partition. For a group that was deleted and
    /// made anew: its generations start at 1 again, and look older than what they are. Gives how
    /// many partitions were forgotten.
    ///
    /// Nobody may join the group meanwhile: its transactions would be refused.
    ///
    /// # Errors
    /// `Invalid` if the group has members; what keeps the broker or the database from answering.
    pub async fn reset_fence<D: Database>(
        &self,
        admin: &Admin,
        database: &D,
        group: &str,
    ) -> Result<u64, ClientError> {
        let members = match admin.describe_group(group).await {
            Ok(description) => description.members.len(),
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => 0,
            Err(error) => return Err(error),
        };
        if members > 0 {
            return Err(ClientError::Invalid(format!(
                "the group {group} has {members} members: stop them first"
            )));
        }
        let statement = Tables::new(&self.name)?.forget_owners(group);
        let forget = async {
            let mut tx = database.begin(Isolation::Write).await?;
            let count = tx.execute(statement).await?;
            tx.commit().await?;
            Ok(count)
        };
        forget.await.map_err(of_database)
    }
}

/// As [`Inbox::new`].
impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

async fn run_all<D: Database>(database: &D, statements: &[String]) -> Result<(), SqlError> {
    let mut tx = database.begin(Isolation::Write).await?;
    for text in statements {
        tx.execute(SqlStatement::new(text.clone())).await?;
    }
    tx.commit().await
}

/// An error of the database, as the client's.
pub(super) fn of_database(error: SqlError) -> ClientError {
    match error.is_retriable() {
        true => ClientError::NotSent(error.to_string()),
        false => ClientError::Invalid(format!("the inbox cannot be used: {error}")),
    }
}

/// 7 days.
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3_600);

const MIGRATIONS_MAX: u32 = 5;
