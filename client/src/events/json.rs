//! Events as an enum that serde knows: a variant's name is the type, its fields are the data.
//!
//! Floor 6 of client.
//!
//! Invariants
//! - A variant without fields has the data `{}`: null would be a tombstone.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde_json::Value;

use super::aggregate::{DomainEvent, EventData};

/// An enum of events in JSON, each variant named by its type and version.
///
/// The enum is one as serde writes it if nothing else is said; `#[serde(rename)]` gives a variant
/// its type. `#[serde(alias)]` reads one by an older name, too.
///
/// ```
/// use highwater_client::events::{DomainEvent, JsonEvents};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum OrderEvent {
///     #[serde(rename = "order.created.v1")]
///     Created { customer: String },
///     #[serde(rename = "order.paid.v1")]
///     Paid,
/// }
///
/// impl JsonEvents for OrderEvent {}
///
/// let created = OrderEvent::Created { customer: "c-7".to_owned() }.to_data()?;
/// assert_eq!(created.event_type, "order.created.v1");
/// assert_eq!(created.data, r#"{"customer":"c-7"}"#);
/// assert_eq!(OrderEvent::Paid.to_data()?.data, "{}");
/// assert_eq!(OrderEvent::types(), ["order.created.v1", "order.paid.v1"]);
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
pub trait JsonEvents: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<E: JsonEvents> DomainEvent for E {
    fn to_data(&self) -> Result<EventData, Box<dyn Error + Send + Sync>> {
        let (event_type, data) = match serde_json::to_value(self)? {
            Value::String(event_type) => (event_type, NO_FIELDS.into()),
            Value::Object(tagged) if tagged.len() == 1 => {
                let (event_type, data) = tagged.into_iter().next().ok_or(NOT_TAGGED)?;
                let data = match data {
                    Value::Null => NO_FIELDS.into(),
                    data => serde_json::to_vec(&data)?.into(),
                };
                (event_type, data)
            }
            _ => return Err(NOT_TAGGED.into()),
        };
        if !Self::types().contains(&event_type.as_str()) {
            return Err(NOT_TAGGED.into());
        }
        Ok(EventData {
            event_type: event_type.into(),
            content_type: Some("application/json".into()),
            data,
        })
    }

    fn from_data(
        event_type: &str,
        data: &Bytes,
    ) -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
        let data: Value = serde_json::from_slice(data)?;
        let has_no_fields = data.as_object().is_some_and(serde_json::Map::is_empty);
        let tagged = Value::Object([(event_type.to_owned(), data)].into_iter().collect());
        let error = match serde_json::from_value(tagged) {
            Ok(event) => return Ok(Some(event)),
            Err(error) => error,
        };
        if has_no_fields {
            // A variant without fields, which serde reads from its name alone or from a null.
            let bare = [
                Value::String(event_type.to_owned()),
                Value::Object([(event_type.to_owned(), Value::Null)].into_iter().collect()),
            ];
            let read = bare
                .into_iter()
                .find_map(|it| serde_json::from_value(it).ok());
            if read.is_some() {
                return Ok(read);
            }
        }
        match Self::types().contains(&event_type) {
            true => Err(error.into()),
            // An older name of a variant is not among them; serde has refused its data then.
            false if !error.to_string().starts_with("unknown variant") => Err(error.into()),
            false => Ok(None),
        }
    }

    fn types() -> Vec<&'static str> {
        let mut types = Vec::new();
        // It ends with an error when the names are known: there is nothing to read.
        drop(Self::deserialize(Names(&mut types)));
        types
    }
}

/// Learns the names of an enum's variants.
struct Names<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Enough;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Enough> {
        Err(Enough)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Enough> {
        self.0.extend(variants);
        Err(Enough)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The names are known.
#[derive(Debug)]
struct Enough;

impl fmt::Display for Enough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the names are known")
    }
}

impl Error for Enough {}

impl serde::de::Error for Enough {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

const NO_FIELDS: &str = "{}";

const NOT_TAGGED: &str = "the type of an event is the name of its variant: make it an enum without \
                          #[serde(tag)] and #[serde(untagged)]";

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Thing {
        #[serde(rename = "thing.made.v1", alias = "thing.created.v1")]
        Made { name: String },
        #[serde(rename = "thing.gone.v1")]
        Gone,
        #[serde(rename = "thing.moved.v1")]
        Moved(u32),
        #[serde(rename = "thing.idle.v1")]
        Idle(()),
        #[serde(rename = "thing.seen.v1")]
        Seen {},
    }

    impl JsonEvents for Thing {}

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { number: u32 },
        Two,
    }

    impl JsonEvents for Tagged {}

    fn back(event_type: &str, data: &'static str) -> Result<Option<Thing>, String> {
        let read = Thing::from_data(event_type, &Bytes::from_static(data.as_bytes()));
        read.map_err(|why| why.to_string())
    }

    #[test]
    fn every_variant_is_read_as_it_was_written_and_none_is_null() {
        let name = "n".to_owned();
        let things = [
            (Thing::Made { name }, r#"{"name":"n"}"#),
            (Thing::Gone, "{}"),
            (Thing::Moved(7), "7"),
            (Thing::Idle(()), "{}"),
            (Thing::Seen {}, "{}"),
        ];
        for (thing, wanted) in things {
            let stored = thing.to_data().unwrap();
            assert_eq!(stored.data, wanted);
            let read = Thing::from_data(&stored.event_type, &stored.data).unwrap();
            assert_eq!(read, Some(thing));
        }
    }

    #[test]
    fn a_type_that_is_not_there_is_told_from_data_that_cannot_be_read() {
        assert_eq!(back("thing.unheard-of.v1", "{}"), Ok(None));
        assert_eq!(back("thing.unheard-of.v1", r#"{"name":1}"#), Ok(None));
        let why = back("thing.made.v1", r#"{"title":"n"}"#).unwrap_err();
        assert!(why.contains("missing field `name`"), "{why}");
        let why = back("thing.created.v1", "{}").unwrap_err();
        assert!(why.contains("missing field `name`"), "{why}");
        assert!(
            back("thing.created.v1", r#"{"name":"n"}"#)
                .unwrap()
                .is_some()
        );
        assert!(back("thing.gone.v1", "{").is_err());
    }

    #[test]
    fn an_enum_whose_type_is_elsewhere_is_refused() {
        // The second is written as an object of one member, too, by the wrong name.
        for event in [Tagged::One { number: 1 }, Tagged::Two] {
            let why = event.to_data().unwrap_err();
            assert!(why.to_string().contains("#[serde(tag)]"), "{why}");
        }
    }
}
