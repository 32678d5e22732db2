//! The records of a consumer as a stream.
//!
//! Floor 5 of client.
//!
//! Invariants
//! - A record counts as done when the next one is asked for, so that a commit of the consumer's own
//!   never has one that the caller is still at work on.
//! - The stream holds no records: who drops it loses none.

use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use highwater_proto::clock::Mono;
use highwater_proto::exchange::BoxFuture;

use super::Consumer;
use super::fetcher::Fetcher;
use crate::error::ClientError;
use crate::record::ConsumerRecord;

/// Records one by one, without an end; made by [`Consumer::stream`].
#[must_use = "a stream does nothing unless it is polled"]
pub struct Records<'a> {
    state: State<'a>,
}

enum State<'a> {
    Ready(&'a mut Consumer),
    Waiting(BoxFuture<'a, (&'a mut Consumer, Result<ConsumerRecord, ClientError>)>),
    /// Only within a call.
    Between,
}

impl Consumer {
    /// The records one by one, as [`Self::poll`] gives them, and with its errors, after which it
    /// goes on. With `enable.auto.commit` a record counts as done when the next one is asked for.
    ///
    /// May be dropped at any time without a loss, and made again. Between two records no more time
    /// may pass than `max.poll.interval.ms`.
    ///
    /// ```no_run
    /// use std::pin::pin;
    /// use futures_core::Stream;
    /// use highwater_client::Consumer;
    ///
    /// # async fn run(mut consumer: Consumer) -> Result<(), highwater_client::ClientError> {
    /// // With the `StreamExt` of one of the crates that have it: `while let Some(record) =
    /// // records.next().await`. Without one:
    /// let mut records = pin!(consumer.stream());
    /// while let Some(record) = std::future::poll_fn(|cx| records.as_mut().poll_next(cx)).await {
    ///     println!("{:?}", record?.value);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&mut self) -> Records<'_> {
        Records {
            state: State::Ready(self),
        }
    }

    /// A record that needs no looking after.
    fn buffered(&mut self) -> Option<ConsumerRecord> {
        (self.fetcher.now() < self.looks_at)
            .then(|| self.fetcher.collect_one())
            .flatten()
    }

    async fn next(&mut self) -> Result<ConsumerRecord, ClientError> {
        loop {
            if let Some(record) = self.next_until(Mono::NEVER).await? {
                return Ok(record);
            }
        }
    }

    /// The next record, if one comes within that time. May be dropped without a loss.
    pub(crate) async fn next_within(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<ConsumerRecord>, ClientError> {
        self.next_until(self.fetcher.now().plus(timeout)).await
    }

    async fn next_until(&mut self, deadline: Mono) -> Result<Option<ConsumerRecord>, ClientError> {
        if let Some(record) = self.buffered() {
            return Ok(Some(record));
        }
        let next = self.wait_for(deadline, Fetcher::collect_one).await?;
        self.looks_at = self.fetcher.now().plus(LOOK_INTERVAL);
        Ok(next)
    }
}

impl Stream for Records<'_> {
    type Item = Result<ConsumerRecord, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let State::Ready(consumer) = &mut self.state
            && let Some(record) = consumer.buffered()
        {
            return Poll::Ready(Some(Ok(record)));
        }
        let mut waiting = match std::mem::replace(&mut self.state, State::Between) {
            State::Waiting(waiting) => waiting,
            State::Ready(consumer) => Box::pin(async move {
                let next = consumer.next().await;
                (consumer, next)
            }),
            State::Between => return Poll::Ready(None),
        };
        match waiting.as_mut().poll(cx) {
            Poll::Ready((consumer, next)) => {
                self.state = State::Ready(consumer);
                Poll::Ready(Some(next))
            }
            Poll::Pending => {
                self.state = State::Waiting(waiting);
                Poll::Pending
            }
        }
    }
}

impl std::fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Records")
    }
}

/// So often the group, commits and new answers are looked after while records are buffered.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
