//! Load, decide, append; and again if somebody was faster.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Events are appended only to the state that they were decided on.
//! - A decision is taken anew after a conflict, never appended to another state.

use std::error::Error;
use std::future::IntoFuture;

use bytes::Bytes;
use highwater_proto::exchange::BoxFuture;

use super::aggregate::Aggregate;
use super::append::{Append, Part};
use super::error::{EventsError, UpdateError};
use super::load::Loaded;
use super::store::EventStore;
use super::token::{Appended, Token};
use crate::backoff::Backoff;
use crate::envelope::Event;

/// A decision on an aggregate; made by [`EventStore::update`]. Awaiting it takes it.
#[derive(Debug)]
#[must_use = "nothing is decided before it is awaited"]
pub struct Update<'a, A: Aggregate, F> {
    target: Target<'a, A>,
    decide: F,
    conflicts_max: u32,
}

/// What is decided on, and how what was decided is appended.
#[derive(Debug)]
struct Target<'a, A: Aggregate> {
    store: &'a EventStore<A>,
    key: Bytes,
    allows_recreate: bool,
    correlation: Option<String>,
    causation: Option<String>,
}

/// What came of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated<A> {
    /// The state with the new events.
    pub state: A,
    /// The revision of its last event; `None` if there is none.
    pub revision: Option<u64>,
    /// Where the new events are; `None` if it was decided that nothing happens.
    pub appended: Option<Appended>,
    /// How often somebody else was faster.
    pub conflicts: u32,
    token: Token,
}

impl<A> Updated<A> {
    /// What a view has to have seen, so that it shows this state.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }
}

impl<'a, A: Aggregate, F> Update<'a, A, F> {
    pub(super) const fn new(store: &'a EventStore<A>, key: Bytes, decide: F) -> Self {
        Self {
            target: Target {
                store,
                key,
                allows_recreate: false,
                correlation: None,
                causation: None,
            },
            decide,
            conflicts_max: 0,
        }
    }

    /// How often it is decided anew if somebody else was faster; never, if it is not said. The
    /// pauses in between are those of `retry.backoff.ms`.
    pub const fn retry_conflicts(mut self, times: u32) -> Self {
        self.conflicts_max = times;
        self
    }

    /// Lets a deleted stream begin anew, from the default state. Its revisions go on.
    pub const fn allow_recreate(mut self) -> Self {
        self.target.allows_recreate = true;
        self
    }

    /// As [`Append::correlation`].
    pub fn correlation(mut self, id: impl Into<String>) -> Self {
        self.target.correlation = Some(id.into());
        self
    }

    /// As [`Append::causation`].
    pub fn causation(mut self, id: impl Into<String>) -> Self {
        self.target.causation = Some(id.into());
        self
    }

    /// As [`Append::caused_by`].
    pub fn caused_by(self, event: &Event) -> Self {
        let id = event.id.as_str();
        let correlation = event.extensions.get("correlationid");
        let correlation = correlation.map_or(id, String::as_str).to_owned();
        self.correlation(correlation).causation(id)
    }

    async fn run<I, E>(mut self) -> Result<Updated<A>, UpdateError<E>>
    where
        F: FnMut(&A) -> Result<I, E>,
        I: IntoIterator<Item = A::Event>,
        E: Error + 'static,
    {
        let cluster = &self.target.store.inner.asking.cluster;
        let (clock, limits) = (cluster.clock(), cluster.limits());
        let mut backoff = Backoff::new(limits.retry, limits.retry_max);
        let mut conflicts = 0;
        let stream = self.target.store.stream(&self.target.key);
        loop {
            let (loaded, took) = self.target.store.fold(&stream, None).await?;
            let events = (self.decide)(&loaded.state).map_err(UpdateError::Refused)?;
            let events: Vec<A::Event> = events.into_iter().collect();
            match self.target.append(loaded, events).await {
                Ok((loaded, appended)) => {
                    self.target.store.keep(&self.target.key, &loaded, took);
                    return Ok(Updated {
                        revision: loaded.revision(),
                        state: loaded.state,
                        appended,
                        conflicts,
                        token: loaded.token,
                    });
                }
                Err(error) if error.is_conflict() && conflicts < self.conflicts_max => {
                    conflicts += 1;
                }
                Err(error) => return Err(error.into()),
            }
            clock.sleep_until(backoff.next_try(clock.now().mono)).await;
        }
    }
}

impl<A: Aggregate> Target<'_, A> {
    /// Appends what was decided on a state, and takes it into the state.
    async fn append(
        &self,
        mut loaded: Loaded<A>,
        events: Vec<A::Event>,
    ) -> Result<(Loaded<A>, Option<Appended>), EventsError> {
        let deleted = loaded.head.filter(|head| head.is_deleted);
        let appended = match deleted {
            _ if events.is_empty() => None,
            Some(head) if !self.allows_recreate => {
                return Err(EventsError::Deleted {
                    topic: self.store.topic().to_owned(),
                    key: self.key.clone(),
                    revision: head.revision,
                });
            }
            _ => {
                let part = Part::new(self.store, &self.key, loaded.expect(), &events);
                let append = self.marked(Append::new(self.store.clone(), part));
                let appended = append.send().await?;
                let last = append.events().last();
                loaded.event_id = last.map(|it| it.id.to_string().into());
                Some(appended)
            }
        };
        if let Some(appended) = &appended {
            loaded.go_on(&events, appended);
        }
        Ok((loaded, appended))
    }

    fn marked(&self, mut append: Append<A>) -> Append<A> {
        if let Some(id) = &self.correlation {
            append = append.correlation(id);
        }
        if let Some(id) = &self.causation {
            append = append.causation(id);
        }
        append
    }
}

impl<'a, A, F, I, E> IntoFuture for Update<'a, A, F>
where
    A: Aggregate,
    F: FnMut(&A) -> Result<I, E> + Send + 'a,
    I: IntoIterator<Item = A::Event> + 'a,
    E: Error + Send + 'static,
{
    type Output = Result<Updated<A>, UpdateError<E>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
