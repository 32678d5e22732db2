//! Aggregates in tests, without a broker: given events, when it is decided, then events.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - Every event goes through what would be stored of it: one that cannot be read back fails the
//!   test that has it.

use std::fmt::Debug;

use bytes::Bytes;

use super::aggregate::{Aggregate, DomainEvent};
use super::upcast::Upcasting;

/// What has happened to an aggregate.
///
/// ```
/// # use highwater_client::events::{Aggregate, DomainEvent, EventData};
/// # use bytes::Bytes;
/// # use std::error::Error;
/// # #[derive(Debug, PartialEq)]
/// # struct Counted(u32);
/// # impl DomainEvent for Counted {
/// #     fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
/// #         Ok(EventData::new("counted.v1", self.0.to_string()))
/// #     }
/// #     fn from_data(
/// #         _: &str,
/// #         data: &Bytes,
/// #     ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
/// #         Ok(Some(Self(std::str::from_utf8(data)?.parse()?)))
/// #     }
/// # }
/// # #[derive(Default)]
/// # struct Counter(u32);
/// # impl Aggregate for Counter {
/// #     type Event = Counted;
/// #     fn apply(&mut self, event: &Counted) { self.0 += event.0; }
/// # }
/// # #[derive(Debug, PartialEq)]
/// # struct Full;
/// # impl Counter {
/// #     fn count(&self, by: u32) -> Result<Vec<Counted>, Full> {
/// #         if self.0 + by > 10 { Err(Full) } else { Ok(vec![Counted(by)]) }
/// #     }
/// # }
/// use highwater_client::events::testing::given;
///
/// given::<Counter>([Counted(3), Counted(4)])
///     .when(|counter| counter.count(2))
///     .then([Counted(2)]);
/// given::<Counter>([Counted(9)])
///     .when(|counter| counter.count(2))
///     .then_error(Full);
/// ```
///
/// # Panics
/// If an event cannot be read back from what is stored of it.
#[track_caller]
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let mut state = A::default();
    for event in events {
        state.apply(&stored(&event));
    }
    Given { state }
}

/// A state that follows from events; made by [`given`].
#[derive(Debug)]
#[must_use = "nothing is decided yet"]
pub struct Given<A> {
    state: A,
}

impl<A: Aggregate> Given<A> {
    /// Decides.
    pub fn when<I, E>(self, decide: impl FnOnce(&A) -> Result<I, E>) -> Decided<A, E>
    where
        I: IntoIterator<Item = A::Event>,
    {
        let outcome = decide(&self.state).map(|events| events.into_iter().collect());
        Decided {
            state: self.state,
            outcome,
        }
    }

    /// The state.
    #[must_use]
    pub fn state(self) -> A {
        self.state
    }
}

/// What was decided; made by [`Given::when`].
#[derive(Debug)]
#[must_use = "nothing is compared yet"]
pub struct Decided<A: Aggregate, E> {
    state: A,
    outcome: Result<Vec<A::Event>, E>,
}

impl<A: Aggregate, E: Debug> Decided<A, E>
where
    A::Event: Debug + PartialEq,
{
    /// These events happen, and no others. Gives the state behind them, for what else is to hold.
    ///
    /// # Panics
    /// If it was decided otherwise.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) -> Given<A> {
        let wanted: Vec<A::Event> = events.into_iter().collect();
        let is_refused = self.outcome.as_ref().err();
        assert!(
            is_refused.is_none(),
            "{wanted:?} was to happen, and it was refused: {is_refused:?}"
        );
        let decided = self.outcome.unwrap_or_default();
        assert_eq!(decided, wanted, "what was decided, and what was to happen");
        let mut state = self.state;
        for event in decided {
            let read = stored(&event);
            assert_eq!(
                read, event,
                "what is stored of an event is read as another one"
            );
            state.apply(&read);
        }
        Given { state }
    }

    /// Nothing happens, and that is no error.
    ///
    /// # Panics
    /// If it was decided otherwise.
    #[track_caller]
    pub fn then_nothing(self) {
        let _ = self.then([]);
    }

    /// It is refused for this reason.
    ///
    /// # Panics
    /// If it was decided otherwise.
    #[track_caller]
    pub fn then_error(self, error: E)
    where
        E: PartialEq,
    {
        assert_eq!(
            self.outcome,
            Err(error),
            "what was decided, and what was to be"
        );
    }
}

/// Data as it was once stored, and what it is to be read as for ever.
///
/// A test with it fails when a change of the events makes those unreadable that are stored
/// already: give it a file of each type that there ever was.
///
/// ```
/// # use highwater_client::events::{DomainEvent, EventData, Upcasting};
/// # use bytes::Bytes;
/// # use std::error::Error;
/// # #[derive(Debug, PartialEq)]
/// # enum CounterEvent { Counted(u32) }
/// # impl DomainEvent for CounterEvent {
/// #     fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
/// #         let Self::Counted(by) = self;
/// #         Ok(EventData::new("counter.counted.v2", by.to_string()))
/// #     }
/// #     fn from_data(
/// #         _: &str,
/// #         data: &Bytes,
/// #     ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
/// #         Ok(Some(Self::Counted(std::str::from_utf8(data)?.parse()?)))
/// #     }
/// # }
/// # fn upcasting() -> Upcasting {
/// #     Upcasting::new().bytes("counter.counted.v1", "counter.counted.v2", |data| {
/// #         Ok(data.slice(1..))
/// #     })
/// # }
/// use highwater_client::events::testing::Fixtures;
///
/// // In a test, the data is rather an `include_bytes!("fixtures/counter.counted.v1.json")`.
/// Fixtures::new(upcasting())
///     .stored("counter.counted.v1", "+3", CounterEvent::Counted(3))
///     .stored("counter.counted.v2", "3", CounterEvent::Counted(3))
///     .check();
/// ```
#[derive(Debug)]
#[must_use = "nothing is compared before `check`"]
pub struct Fixtures<E> {
    upcasting: Upcasting,
    stored: Vec<(String, Bytes, E)>,
}

impl<E: DomainEvent + Debug + PartialEq> Fixtures<E> {
    /// None yet, to be read with this upcasting.
    pub const fn new(upcasting: Upcasting) -> Self {
        Self {
            upcasting,
            stored: Vec::new(),
        }
    }

    /// Data of a type, and what it is read as.
    pub fn stored(
        mut self,
        event_type: impl Into<String>,
        data: impl Into<Bytes>,
        event: E,
    ) -> Self {
        self.stored.push((event_type.into(), data.into(), event));
        self
    }

    /// Compares all of them.
    ///
    /// # Panics
    /// If [`Self::problems`] finds one.
    #[track_caller]
    pub fn check(self) {
        let problems = self.problems();
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    /// What is wrong: data that is not read as it was to be, a type of today or of a step of the
    /// upcasting that has no fixture.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.upcasting.check().err().into_iter().collect();
        for (event_type, data, wanted) in &self.stored {
            let read = self.read(event_type, data);
            if read.as_ref().map(Option::as_ref) != Ok(Some(wanted)) {
                problems.push(format!(
                    "the fixture of {event_type} is read as {read:?}, and not as {wanted:?}"
                ));
            }
        }
        let has = |name: &str| {
            self.stored
                .iter()
                .any(|(event_type, ..)| event_type == name)
        };
        let types = E::types().into_iter().chain(self.upcasting.older_types());
        let missing = types.filter(|name| !has(name));
        problems.extend(missing.map(|name| format!("{name} has no fixture")));
        problems
    }

    fn read(&self, event_type: &str, data: &Bytes) -> Result<Option<E>, String> {
        let upcast = self.upcasting.upcast(event_type.to_owned(), data.clone());
        let (event_type, data) = upcast?;
        E::from_data(&event_type, &data).map_err(|why| why.to_string())
    }
}

/// The event as it is read back.
#[track_caller]
fn stored<E: DomainEvent>(event: &E) -> E {
    let read = event.to_data().and_then(|stored| {
        let event_type = stored.event_type.clone();
        let read = E::from_data(&event_type, &stored.data)?;
        read.ok_or_else(|| format!("it is stored as {event_type}, which is not read").into())
    });
    match read {
        Ok(event) => event,
        Err(why) => unreadable(&why.to_string()),
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "how a kit for tests says no")]
fn unreadable<E>(why: &str) -> E {
    panic!("an event cannot be stored and read back: {why}")
}
