//! What is expected of a stream, where it is, and as of when it is asked for.
//!
//! Floor 6 of client.

use std::fmt;

use highwater_proto::native::v1;

use crate::envelope::EventTime;

/// What must hold of a stream, so that events are appended to it. It has no default: who appends
/// decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// It has no event, and never had one.
    NoStream,
    /// It has no event, or is deleted. Its revisions go on.
    NoStreamOrDeleted,
    /// It has an event, and is not deleted.
    Exists,
    /// Its last event has this revision, and does not delete it.
    Revision(u64),
    /// Its last event has this offset, and does not delete it.
    LastOffset(i64),
}

impl Expect {
    /// Whether the broker tells a repeat from a conflict, however late it comes.
    pub(super) const fn knows_repeats(self) -> bool {
        matches!(self, Self::NoStream | Self::Revision(_))
    }

    /// The revision of the first event, if this tells it.
    pub(super) const fn first_revision(self) -> Option<u64> {
        match self {
            Self::NoStream => Some(0),
            Self::Revision(last) => last.checked_add(1),
            Self::Any | Self::NoStreamOrDeleted | Self::Exists | Self::LastOffset(_) => None,
        }
    }

    pub(super) fn to_wire(self) -> v1::Expect {
        use v1::expect::What;
        let no_stream = |allow_recreate| What::NoStream(v1::NoStream { allow_recreate });
        let what = match self {
            Self::Any => What::Any(true),
            Self::NoStream => no_stream(false),
            Self::NoStreamOrDeleted => no_stream(true),
            Self::Exists => What::Exists(true),
            Self::Revision(revision) => What::Revision(revision),
            Self::LastOffset(offset) => What::LastOffset(offset),
        };
        v1::Expect { what: Some(what) }
    }

    pub(super) fn from_wire(wire: v1::Expect) -> Option<Self> {
        use v1::expect::What;
        Some(match wire.what? {
            What::Any(_) => Self::Any,
            What::NoStream(it) if it.allow_recreate => Self::NoStreamOrDeleted,
            What::NoStream(_) => Self::NoStream,
            What::Exists(_) => Self::Exists,
            What::Revision(revision) => Self::Revision(revision),
            What::LastOffset(offset) => Self::LastOffset(offset),
        })
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::NoStream => f.write_str("no stream"),
            Self::NoStreamOrDeleted => f.write_str("no stream or a deleted one"),
            Self::Exists => f.write_str("a stream"),
            Self::Revision(revision) => write!(f, "revision {revision}"),
            Self::LastOffset(offset) => write!(f, "the last offset {offset}"),
        }
    }
}

/// The last event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its revision.
    pub revision: u64,
    /// Its offset.
    pub offset: i64,
    /// Whether it deletes the stream.
    pub is_deleted: bool,
}

impl From<v1::Head> for Head {
    fn from(wire: v1::Head) -> Self {
        Self {
            revision: wire.revision,
            offset: wire.offset,
            is_deleted: wire.is_tombstone,
        }
    }
}

/// A moment in the life of a stream, for [`EventStore::load_as_of`](super::EventStore::load_as_of).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsOf(pub(super) v1::read_stream::AsOf);

impl AsOf {
    /// When the event with this revision had just happened.
    #[must_use]
    pub const fn revision(revision: u64) -> Self {
        Self(v1::read_stream::AsOf::Revision(revision))
    }

    /// When the record at this offset of the partition had just been stored, of whatever key.
    #[must_use]
    pub const fn offset(offset: i64) -> Self {
        Self(v1::read_stream::AsOf::Offset(offset))
    }

    /// At the end of this millisecond of the log's clock.
    ///
    /// ```
    /// use highwater_client::EventTime;
    /// use highwater_client::events::AsOf;
    ///
    /// let noon: EventTime = "2013-07-04T12:00:00Z".parse()?;
    /// assert_eq!(AsOf::time(&noon), AsOf::time_ms(1_372_939_200_000));
    /// # Ok::<(), highwater_client::envelope::NoEventTime>(())
    /// ```
    #[must_use]
    pub fn time(time: &EventTime) -> Self {
        Self::time_ms(time.ms())
    }

    /// As [`Self::time`], so many milliseconds after 1970.
    #[must_use]
    pub const fn time_ms(ms: i64) -> Self {
        Self(v1::read_stream::AsOf::TimeMs(ms))
    }
}
