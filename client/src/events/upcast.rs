//! Events of older types, brought up to date while they are read.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - What is stored stays as it is.
//! - A type has one step, and no chain of steps comes back to where it began.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use bytes::Bytes;
#[cfg(feature = "json")]
use serde_json::Value;

/// How events of older types are read: steps from one type to the next, followed in a chain.
///
/// An event's type has its version in its name, so that a step leads from one name to another. What
/// one step makes, the next one takes, until there is none for it; that is read by the aggregate.
///
/// ```
/// use bytes::Bytes;
/// use highwater_client::events::Upcasting;
///
/// let upcasting = Upcasting::new()
///     .rename("order.payed.v1", "order.paid.v1")
///     .bytes("order.paid.v1", "order.paid.v2", |data| {
///         let cents: u64 = std::str::from_utf8(&data)?.parse()?;
///         Ok(format!("{{\"cents\":{cents},\"currency\":\"USD\"}}").into())
///     });
/// let (event_type, data) = upcasting.upcast("order.payed.v1".to_owned(), Bytes::from("150"))?;
/// assert_eq!(event_type, "order.paid.v2");
/// assert_eq!(data, r#"{"cents":150,"currency":"USD"}"#);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "it changes nothing before a store has it"]
pub struct Upcasting {
    steps: BTreeMap<String, Step>,
    /// A type with more than one.
    twice: Option<String>,
}

struct Step {
    to: String,
    change: Box<dyn Change>,
}

/// Makes data of one type out of that of another.
trait Change: Send + Sync {
    fn change(&self, data: Bytes) -> Result<Bytes, Box<dyn Error + Send + Sync>>;
}

impl<F> Change for F
where
    F: Fn(Bytes) -> Result<Bytes, Box<dyn Error + Send + Sync>> + Send + Sync,
{
    fn change(&self, data: Bytes) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
        self(data)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to {}", self.to)
    }
}

impl Upcasting {
    /// Without a step.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads events of one type as those of another, with the same data.
    pub fn rename(self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.bytes(from, to, Ok)
    }

    /// Makes data of one type out of data of an older one.
    pub fn bytes<C>(mut self, from: impl Into<String>, to: impl Into<String>, change: C) -> Self
    where
        C: Fn(Bytes) -> Result<Bytes, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    {
        let (from, to) = (from.into(), to.into());
        let change = Box::new(change);
        let before = self.steps.insert(from.clone(), Step { to, change });
        if before.is_some() {
            self.twice = Some(from);
        }
        self
    }

    /// As [`Self::bytes`], on JSON.
    ///
    /// ```
    /// use highwater_client::events::Upcasting;
    ///
    /// let upcasting = Upcasting::new().json("order.paid.v1", "order.paid.v2", |mut data| {
    ///     data["currency"] = "USD".into();
    ///     Ok(data)
    /// });
    /// let old = (r#"{"cents":150}"#).into();
    /// let (_, data) = upcasting.upcast("order.paid.v1".to_owned(), old)?;
    /// assert_eq!(data, r#"{"cents":150,"currency":"USD"}"#);
    /// # Ok::<(), String>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn json<C>(self, from: impl Into<String>, to: impl Into<String>, change: C) -> Self
    where
        C: Fn(Value) -> Result<Value, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    {
        self.typed(from, to, change)
    }

    /// As [`Self::bytes`], on a value that serde reads from JSON, to one that it writes.
    ///
    /// ```
    /// use highwater_client::events::Upcasting;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Deserialize)]
    /// struct PaidV1 {
    ///     dollars: u64,
    /// }
    ///
    /// #[derive(Serialize)]
    /// struct PaidV2 {
    ///     cents: u64,
    /// }
    ///
    /// let in_cents = |old: PaidV1| Ok(PaidV2 { cents: old.dollars * 100 });
    /// let upcasting = Upcasting::new().typed("order.paid.v1", "order.paid.v2", in_cents);
    /// let old = (r#"{"dollars":150}"#).into();
    /// let (_, data) = upcasting.upcast("order.paid.v1".to_owned(), old)?;
    /// assert_eq!(data, r#"{"cents":15000}"#);
    /// # Ok::<(), String>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn typed<Old, New, C>(
        self,
        from: impl Into<String>,
        to: impl Into<String>,
        change: C,
    ) -> Self
    where
        Old: serde::de::DeserializeOwned,
        New: serde::Serialize,
        C: Fn(Old) -> Result<New, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    {
        self.bytes(from, to, move |data| {
            let new = change(serde_json::from_slice(&data)?)?;
            Ok(serde_json::to_vec(&new)?.into())
        })
    }

    /// The type and the data that the aggregate is to read.
    ///
    /// # Errors
    /// Which step could not be taken, and why.
    pub fn upcast(&self, event_type: String, data: Bytes) -> Result<(String, Bytes), String> {
        let (mut event_type, mut data) = (event_type, data);
        for _ in 0..self.steps.len() {
            let Some(step) = self.steps.get(&event_type) else {
                break;
            };
            data = step.change.change(data).map_err(|why| {
                format!("it is no {event_type}, to be read as {}: {why}", step.to)
            })?;
            event_type.clone_from(&step.to);
        }
        Ok((event_type, data))
    }

    /// The types that are read as others.
    pub(super) fn older_types(&self) -> impl Iterator<Item = &str> {
        self.steps.keys().map(String::as_str)
    }

    /// Whether each chain has one way and an end.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(twice) = &self.twice {
            return Err(format!(
                "{twice} is upcast by two steps: only one of them can be right"
            ));
        }
        for from in self.steps.keys() {
            let mut at = from;
            let ends = (0..=self.steps.len()).any(|_| match self.steps.get(at) {
                Some(step) => {
                    at = &step.to;
                    false
                }
                None => true,
            });
            if !ends {
                return Err(format!("the upcasting of {from} goes in a circle"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upcast(upcasting: &Upcasting, event_type: &str) -> Result<(String, Bytes), String> {
        upcasting.upcast(event_type.to_owned(), Bytes::from_static(b"1"))
    }

    #[test]
    fn a_chain_is_followed_to_its_end_from_wherever_it_is_entered() {
        let more = |data: Bytes| Ok([&data[..], b"+"].concat().into());
        let upcasting = Upcasting::new()
            .bytes("b", "c", more)
            .bytes("a", "b", more)
            .bytes("x", "c", more);
        assert_eq!(upcasting.check(), Ok(()));
        for (from, wanted) in [("a", "1++"), ("b", "1+"), ("x", "1+")] {
            let (event_type, data) = upcast(&upcasting, from).unwrap();
            assert_eq!((event_type.as_str(), &data[..]), ("c", wanted.as_bytes()));
        }
        assert_eq!(upcast(&upcasting, "y").unwrap().0, "y");
    }

    #[test]
    fn circles_and_forks_are_refused() {
        let circle = Upcasting::new()
            .rename("a", "b")
            .rename("b", "c")
            .rename("c", "b");
        let why = circle.check().unwrap_err();
        assert_eq!(why, "the upcasting of a goes in a circle");
        // It ends all the same.
        assert!(upcast(&circle, "a").is_ok());
        assert!(Upcasting::new().rename("a", "a").check().is_err());
        let fork = Upcasting::new().rename("a", "b").rename("a", "c");
        let why = fork.check().unwrap_err();
        assert_eq!(
            why,
            "a is upcast by two steps: only one of them can be right"
        );
    }

    #[test]
    fn a_step_that_fails_says_which() {
        let upcasting = Upcasting::new()
            .rename("a", "b")
            .bytes("b", "c", |_| Err("no".into()));
        let why = upcast(&upcasting, "a").unwrap_err();
        assert_eq!(why, "it is no b, to be read as c: no");
    }
}
