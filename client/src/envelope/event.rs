//! An event: what happened, where and when, and its data.
//!
//! Floor 1 of client.

use std::collections::BTreeMap;

use bytes::Bytes;
use highwater_proto::clock::Clock;

use super::id::EventId;
use super::rules;
use super::time::EventTime;
use crate::clock::SystemClock;

/// An event with the attributes of CloudEvents 1.0.
///
/// ```
/// use highwater_client::Event;
///
/// let record = Event::new("/shop/orders", "order.created.v1")
///     .id("order-42-created")
///     .key("order-42")
///     .content_type("application/json")
///     .data(r#"{"total":12}"#)
///     .to("order-events")?;
/// assert_eq!(record.headers[1].key, "ce_id");
/// assert_eq!(record.headers[1].value.as_deref(), Some(&b"order-42-created"[..]));
/// # Ok::<(), highwater_client::ClientError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Two events of one source never have the same id; one that is sent again keeps its id.
    pub id: EventId,
    /// Where it happened, as a URI or a path.
    pub source: String,
    /// What happened: `order.created.v1`.
    pub event_type: String,
    /// When it happened.
    pub time: Option<EventTime>,
    /// What it happened to, within the source.
    pub subject: Option<String>,
    /// Where the schema of the data is described, as a URI.
    pub dataschema: Option<String>,
    /// The media type of the data.
    pub content_type: Option<String>,
    /// Further attributes; a name has lower-case letters and digits only.
    pub extensions: BTreeMap<String, String>,
    /// The data. Without it, the record of the event is a tombstone.
    pub data: Option<Bytes>,
    /// The record's key: events with one key keep their order. No part of the event itself.
    pub key: Option<Bytes>,
}

impl Event {
    /// An event that happens now, with a new id.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/orders", "order.created.v1");
    /// assert!(event.id.uuid().is_some() && event.time.is_some());
    /// ```
    ///
    /// # Panics
    /// If the operating system gives no random bytes, as a `HashMap` does.
    #[must_use]
    pub fn new(source: impl Into<String>, event_type: impl Into<String>) -> Self {
        Self::at(SystemClock::new().wall().0, source, event_type)
    }

    /// As [`Self::new`], so many milliseconds after 1970: for a clock of your own.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::at(1_522_942_260_000, "/shop/orders", "order.created.v1");
    /// assert_eq!(event.time.expect("it was given").as_str(), "2018-04-05T15:31:00.000Z");
    /// ```
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn at(ms: i64, source: impl Into<String>, event_type: impl Into<String>) -> Self {
        Self {
            id: EventId::v7(ms),
            source: source.into(),
            event_type: event_type.into(),
            time: Some(EventTime::from_ms(ms)),
            subject: None,
            dataschema: None,
            content_type: None,
            extensions: BTreeMap::new(),
            data: None,
            key: None,
        }
    }

    /// Sets the id.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/orders", "order.paid.v1").id("payment-7");
    /// assert_eq!(event.id.as_str(), "payment-7");
    /// ```
    #[must_use]
    pub fn id(mut self, id: impl Into<EventId>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the time at which it happened.
    ///
    /// ```
    /// use highwater_client::{Event, EventTime};
    ///
    /// let event = Event::new("/shop/orders", "order.paid.v1").time(EventTime::from_ms(0));
    /// assert_eq!(event.time.map(|time| time.ms()), Some(0));
    /// ```
    #[must_use]
    pub fn time(mut self, time: EventTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Sets what it happened to.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/orders", "order.paid.v1").subject("order-42");
    /// assert_eq!(event.subject.as_deref(), Some("order-42"));
    /// ```
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the URI that describes the data.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/orders", "order.paid.v1").dataschema("/schemas/paid/2");
    /// assert_eq!(event.dataschema.as_deref(), Some("/schemas/paid/2"));
    /// ```
    #[must_use]
    pub fn dataschema(mut self, dataschema: impl Into<String>) -> Self {
        self.dataschema = Some(dataschema.into());
        self
    }

    /// Sets the media type of the data.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/notes", "note.taken").content_type("text/plain").data("hi");
    /// assert_eq!(event.content_type.as_deref(), Some("text/plain"));
    /// ```
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets a further attribute: `partitionkey`, `sequence`, `expirytime`, `correlationid`.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/orders", "order.paid.v1").extension("sequence", "7");
    /// assert_eq!(event.extensions["sequence"], "7");
    /// ```
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.insert(name.into(), value.into());
        self
    }

    /// Sets the data.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/notes", "note.taken").data("hi");
    /// assert_eq!(event.data.as_deref(), Some(&b"hi"[..]));
    /// ```
    #[must_use]
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Sets the record's key.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let event = Event::new("/shop/orders", "order.paid.v1").key("order-42");
    /// assert_eq!(event.key.as_deref(), Some(&b"order-42"[..]));
    /// ```
    #[must_use]
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The attributes by their names, but for the version of CloudEvents.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = [
            ("id", Some(self.id.as_str())),
            ("source", Some(self.source.as_str())),
            ("type", Some(self.event_type.as_str())),
            ("time", self.time.as_ref().map(EventTime::as_str)),
            ("subject", self.subject.as_deref()),
            ("dataschema", self.dataschema.as_deref()),
            ("datacontenttype", self.content_type.as_deref()),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, value)| value.map(|value| (name, value)));
        let extensions = self.extensions.iter();
        own.chain(extensions.map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The event without data that has these attributes, the version of CloudEvents among them.
    /// What may be absent and is empty counts as absent.
    pub(super) fn from_attributes(mut named: BTreeMap<String, String>) -> Result<Self, String> {
        match named.remove("specversion").as_deref() {
            Some(rules::VERSION) => {}
            Some(other) => {
                let known = rules::VERSION;
                return Err(format!(
                    "its specversion is {other:?}, and {known} is what is read"
                ));
            }
            None => return Err("it has no specversion".to_owned()),
        }
        let mut take = |name: &str| named.remove(name).filter(|value| !value.is_empty());
        let required =
            |name: &str, value: Option<String>| value.ok_or_else(|| format!("it has no {name}"));
        let time = take("time").map(|text| {
            let time = text.parse();
            time.map_err(|why| format!("its time {text:?} cannot be read: {why}"))
        });
        let event = Self {
            id: required("id", take("id"))?.into(),
            source: required("source", take("source"))?,
            event_type: required("type", take("type"))?,
            time: time.transpose()?,
            subject: take("subject"),
            dataschema: take("dataschema"),
            content_type: take("datacontenttype"),
            extensions: named,
            data: None,
            key: None,
        };
        event.check()?;
        Ok(event)
    }

    /// Whether the attributes are as CloudEvents wants them, so that every reader gets the same
    /// event.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, value) in self.attributes() {
            let may_be_empty = self.extensions.contains_key(name);
            if value.is_empty() && !may_be_empty {
                return Err(format!("its {name} is empty"));
            }
            if !rules::is_text(value) {
                return Err(format!(
                    "its {name} has a character that CloudEvents forbids: {value:?}"
                ));
            }
        }
        if let Some(name) = self
            .extensions
            .keys()
            .find(|name| !rules::is_extension_name(name))
        {
            return Err(format!(
                "{name:?} is no name for an extension: that has lower-case letters and digits, and \
                 is no attribute of CloudEvents itself"
            ));
        }
        match self.content_type.as_deref() {
            Some(content_type) if rules::is_structured(content_type) => Err(format!(
                "its content type {content_type:?} says that its data is an event itself, so that \
                 readers would take it for that one"
            )),
            _ => Ok(()),
        }
    }
}
