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
use std::task::{Context, Poll};

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

    /// Begins a subscription. What it may not do is told by [`Subscribed::poll_next`].
    ///
    /// As with [`Self::call`], it takes its place before this method returns.
    fn subscribe(
        &self,
        call: v1::Subscribe,
    ) -> BoxFuture<'static, Result<Box<dyn Subscribed>, ExchangeError>>;

    /// Whether something can be sent; a session that has ended never opens again.
    fn is_open(&self) -> bool {
        true
    }
}

/// A subscription of a session. Who drops it unsubscribes.
pub trait Subscribed: Debug + Send {
    /// What comes next: [`v1::Delivered`] with its batches; at last [`v1::Ended`], or a
    /// [`v1::Failure`] if it could not begin. Behind that, and when the session has ended, an
    /// error. What came before the session ended is given before.
    ///
    /// No more waits here than there is credit for, and one delivery.
    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(v1::response::Answer, Bytes), ExchangeError>>;

    /// Gives credit for so many bytes more.
    fn give(&mut self, bytes: u32);
}
