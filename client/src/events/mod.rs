//! Event sourcing: what happened is stored, and what is follows from it.
//!
//! Floor 6 of client.
//!
//! A stream is all records of one key of one topic. Its events are numbered from 0, the number is
//! the revision; an [`Aggregate`] is what they fold to. Writers say which revision they have seen,
//! so that of two who decide at one time on the same state, one is refused and decides anew.
//!
//! Appends with an expectation and reads of one key need Highwater. The records themselves are
//! CloudEvents on an ordinary topic: whatever reads Kafka reads them, and so do [`Subscription`]
//! and [`Replay`], of any broker.
//!
//! Invariants
//! - No append without an expectation: [`Expect`] has no default.
//! - An append that is sent again has the same ids of events. It is sent again by itself only if
//!   the broker tells from them that it is a repeat.
//! - An event always has data; only [`EventStore::delete`] writes a tombstone.
//! - A snapshot saves time and decides nothing: one that does not fit is left out.

mod aggregate;
mod append;
mod builder;
mod error;
mod exchange;
mod expect;
#[cfg(feature = "json")]
mod json;
mod load;
mod metrics;
mod reader;
mod recorded;
mod replay;
mod snapshots;
mod store;
mod subscription;
pub mod testing;
mod token;
mod topic;
mod upcast;
mod update;

pub use aggregate::{Aggregate, DomainEvent, EventData, UnknownEvents};
pub use append::Append;
pub use builder::EventStoreBuilder;
pub use error::{EventsError, UpdateError};
pub use expect::{AsOf, Expect, Head};
#[cfg(feature = "json")]
pub use json::JsonEvents;
pub use load::Loaded;
pub use metrics::EventsMetrics;
pub use reader::{EventReader, Seen};
pub use recorded::Recorded;
pub use replay::{Replay, Replayed, Replaying};
pub use snapshots::{SnapshotCounts, Snapshots};
pub use store::EventStore;
pub use subscription::{Start, Subscription};
pub use token::{Appended, NoToken, Token};
pub use topic::{EVENT_STORE, new_topic};
pub use upcast::Upcasting;
pub use update::{Update, Updated};
