//! Why a fetch does not continue its session.
//!
//! Floor 0 of broker.
//!
//! Invariants
//! - Upon each of these errors a reader starts over with a full fetch and loses nothing.

use thiserror::Error;

/// A fetch does not continue its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FetchSessionError {
    /// There is no such session: it was closed, was idle for too long, or the broker started anew.
    #[error("there is no such fetch session; fetch without one")]
    Unknown,
    /// The epoch is not the one that follows the session's last fetch.
    #[error("epoch {asked} does not follow the session's last fetch, {expected} does")]
    WrongEpoch {
        /// The epoch of the request.
        asked: i32,
        /// The epoch that would have continued the session.
        expected: i32,
    },
    /// The session was begun by names and is continued by ids, or the other way round.
    #[error("the session names topics in another way than this request; begin a new one")]
    OtherNaming,
}
