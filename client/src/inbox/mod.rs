//! The inbox: an event has its effect once, however often it comes.
//!
//! Floor 6 of client.
//!
//! A record that is handled [in a transaction](crate::Handling::transactional) leaves three things
//! behind or none: the effects, the claim of its event's id, and the position of the group in its
//! partition. They are committed together, in the user's database, so that a crash between any two
//! steps leaves the database as if the record had not come, or as if it had come once.
//!
//! Three kinds of duplicates need three tools: the same offset again (positions), the same event at
//! another offset (ids), an older version of what a key stands for (versions).
//!
//! Invariants
//! - The claim comes before the effect, in the transaction of the effect.
//! - A member that has lost a partition changes nothing any more: its generation is looked at
//!   within each transaction.
//! - A position is moved only to the lowest record that is not finished, and a claim at or above
//!   it is never cleaned away.
//! - A position that is outside of its log, or of another topic, is an error and no guess.

mod batch;
mod call;
mod counts;
mod delivery;
mod identity;
mod keeper;
mod settings;
mod start;
mod tables;
mod window;

pub use counts::InboxCounts;
pub use delivery::{Delivery, TxHandler, TxHandlerFn, tx_handler_fn};
pub use settings::{Gaps, Inbox, MissingIds, PositionLost};

pub(crate) use call::Call;
pub(crate) use keeper::{Guard, Keeper, Keeping, Shared};
