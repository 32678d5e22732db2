//! The native protocol: what Kafka's cannot say. `native.proto` beside this crate's sources is the
//! contract, and says how frames look.
//!
//! Floor 6 of proto.
//!
//! Invariants
//! - The messages in `v1` are generated from `native.proto` and never edited.

#[expect(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
pub mod v1;

pub mod frame;
mod heads;

use std::fmt::Debug;

use bytes::Bytes;

use crate::exchange::{BoxFuture, ExchangeError};

/// One session with a broker over the native protocol, or with one in this process.
pub trait NativeExchange: Debug + Send + Sync {
    /// Sends a request that is answered once: every call but [`v1::Hello`] and those of
    /// subscriptions. `body` is the batch of a [`v1::Produce`], and empty for all others.
    ///
    /// The request takes its place in the order of the session before this method returns.
    /// Dropping the future gives up the answer; it does not undo the request. What the broker
    /// refuses is an answer, too: [`v1::Failure`].
    fn call(
        &self,
        call: v1::request::Call,
        body: Bytes,
    ) -> BoxFuture<'static, Result<(v1::response::Answer, Bytes), ExchangeError>>;

    /// Whether something can be sent; a session that has ended never opens again.
    fn is_open(&self) -> bool {
        true
    }
}
