//! What a user writes: a state, its events, and how the one follows from the other.
//!
//! Floor 6 of client.

use std::borrow::Cow;
use std::error::Error;

use bytes::Bytes;

/// A state that follows from its events, such as an order.
///
/// ```
/// use highwater_client::events::{Aggregate, DomainEvent, EventData};
///
/// # use bytes::Bytes;
/// # use std::error::Error;
/// # enum CounterEvent { Counted(u32) }
/// # impl DomainEvent for CounterEvent {
/// #     fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
/// #         let Self::Counted(by) = self;
/// #         Ok(EventData::new("counter.counted.v1", by.to_string()))
/// #     }
/// #     fn from_data(
/// #         event_type: &str,
/// #         data: &Bytes,
/// #     ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
/// #         Ok(match event_type {
/// #             "counter.counted.v1" => Some(Self::Counted(std::str::from_utf8(data)?.parse()?)),
/// #             _ => None,
/// #         })
/// #     }
/// # }
/// #[derive(Default)]
/// struct Counter {
///     sum: u32,
/// }
///
/// impl Aggregate for Counter {
///     type Event = CounterEvent;
///
///     fn apply(&mut self, event: &CounterEvent) {
///         let CounterEvent::Counted(by) = event;
///         self.sum += by;
///     }
/// }
/// ```
pub trait Aggregate: Default + Send + Sync + 'static {
    /// What happens to it.
    type Event: DomainEvent;

    /// Follows an event. It happened: there is nothing to check, and nothing else to look at, so
    /// that the same events always give the same state.
    fn apply(&mut self, event: &Self::Event);
}

/// The events of an aggregate, as they are stored. An enum that serde knows needs no more than
#[cfg_attr(feature = "json", doc = "[`JsonEvents`](super::JsonEvents).")]
#[cfg_attr(
    not(feature = "json"),
    doc = "`JsonEvents`, behind the feature `json`."
)]
///
/// ```
/// use std::error::Error;
/// use bytes::Bytes;
/// use highwater_client::events::{DomainEvent, EventData};
///
/// enum CounterEvent {
///     Counted(u32),
/// }
///
/// impl DomainEvent for CounterEvent {
///     fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
///         let Self::Counted(by) = self;
///         Ok(EventData::new("counter.counted.v1", by.to_string()))
///     }
///
///     fn from_data(
///         event_type: &str,
///         data: &Bytes,
///     ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
///         Ok(match event_type {
///             "counter.counted.v1" => Some(Self::Counted(std::str::from_utf8(data)?.parse()?)),
///             _ => None,
///         })
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how its events are stored",
    note = "implement `JsonEvents` for an enum that serde knows, else `DomainEvent`"
)]
pub trait DomainEvent: Sized + Send + Sync + 'static {
    /// What is stored of it.
    ///
    /// # Errors
    /// If it cannot be written down.
    fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>>;

    /// Reads it back; `None` if there is no such type among them.
    ///
    /// # Errors
    /// If the data is not that of its type.
    fn from_data(
        event_type: &str,
        data: &Bytes,
    ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>>;

    /// All types that it has today, for checks that none is forgotten; none if it does not say.
    #[must_use]
    fn types() -> Vec<&'static str> {
        Vec::new()
    }
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventData {
    /// Its type with its version: `order.created.v1`.
    pub event_type: Cow<'static, str>,
    /// The media type of its data.
    pub content_type: Option<Cow<'static, str>>,
    /// Its data. Empty is allowed: it is not a tombstone.
    pub data: Bytes,
}

impl EventData {
    /// Data without a media type.
    #[must_use]
    pub fn new(event_type: impl Into<Cow<'static, str>>, data: impl Into<Bytes>) -> Self {
        Self {
            event_type: event_type.into(),
            content_type: None,
            data: data.into(),
        }
    }

    /// Sets the media type.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }
}

/// What becomes of an event whose type the aggregate does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownEvents {
    /// The stream cannot be loaded: a decision on half of what happened may be wrong.
    #[default]
    Fail,
    /// The state follows from the others. It is counted in
    /// [`Loaded::skipped`](super::Loaded::skipped).
    Skip,
}
