//! Events to records and back: the binary mode of CloudEvents on Kafka.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - Of a header that stands there twice the last counts, as for other readers; one without a value
//!   counts as absent.
//! - `ce_id` is asked for first, whatever other headers may have the id.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::event::Event;
use super::id::EventId;
use super::{rules, structured};
use crate::error::ClientError;
use crate::record::{ConsumerRecord, Record};

/// How events stand in records: which headers have the id, and whether tombstones are meant.
///
/// What most need are [`Event::to`] and [`ConsumerRecord::event`], which use the default.
///
/// ```
/// use highwater_client::{Envelope, Event};
///
/// // For consumers that look for the id in `eventId`.
/// let envelope = Envelope::new().alias("eventId");
/// let event = Event::new("/shop/orders", "order.created.v1").data("{}");
/// let record = envelope.record("order-events", &event)?;
/// let last = record.headers.last().expect("it has headers");
/// assert_eq!(last.key, "eventId");
/// assert_eq!(last.value.as_deref(), Some(event.id.as_str().as_bytes()));
/// # Ok::<(), highwater_client::ClientError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    aliases: Vec<String>,
    id_headers: Vec<String>,
    tombstones: Tombstones,
}

/// What becomes of an event without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tombstones {
    Refused,
    Written,
}

impl Envelope {
    /// Writes no aliases and no tombstones; reads the id from `ce_id`, else from `eventId`, else
    /// from `id` as Debezium has it.
    ///
    /// ```
    /// use highwater_client::{Envelope, Event};
    ///
    /// let event = Event::new("/shop/orders", "order.created.v1").data("{}");
    /// assert_eq!(Envelope::new().record("orders", &event), event.to("orders"));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self {
            aliases: Vec::new(),
            id_headers: ["eventId", "id"].map(str::to_owned).into(),
            tombstones: Tombstones::Refused,
        }
    }

    /// Writes the id as text into this header, too: `eventId`, or `id` for Debezium's consumers.
    ///
    /// ```
    /// use highwater_client::{Envelope, Event};
    ///
    /// let envelope = Envelope::new().alias("eventId").alias("id");
    /// let event = Event::new("/shop/orders", "order.created.v1").data("{}");
    /// let headers = envelope.record("order-events", &event)?.headers;
    /// assert_eq!(headers[headers.len() - 1].key, "id");
    /// assert_eq!(headers[headers.len() - 2].key, "eventId");
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    #[must_use]
    pub fn alias(mut self, header: impl Into<String>) -> Self {
        self.aliases.push(header.into());
        self
    }

    /// Reads the id from the first of these headers that is there, if there is no `ce_id`.
    ///
    /// ```
    /// use highwater_client::{ConsumerRecord, Envelope, EventId};
    ///
    /// fn id(record: &ConsumerRecord) -> Option<EventId> {
    ///     Envelope::new().id_headers(["messageId"]).id(record).ok()
    /// }
    /// ```
    #[must_use]
    pub fn id_headers<H: Into<String>>(mut self, headers: impl IntoIterator<Item = H>) -> Self {
        self.id_headers = headers.into_iter().map(H::into).collect();
        self
    }

    /// Writes events without data. Their records are tombstones: a compacted topic deletes what it
    /// has of their key, and in the end the event itself.
    ///
    /// ```
    /// use highwater_client::{Envelope, Event};
    ///
    /// let gone = Event::new("/shop/carts", "cart.deleted.v1").key("cart-9");
    /// assert!(gone.to("carts").is_err());
    /// let record = Envelope::new().tombstones().record("carts", &gone)?;
    /// assert_eq!(record.value, None);
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    #[must_use]
    pub fn tombstones(mut self) -> Self {
        self.tombstones = Tombstones::Written;
        self
    }

    /// The record of an event: the attributes as headers, the data as value. The trace context goes
    /// beside them, with [`Record::trace`] or in the scope in which it is sent.
    ///
    /// ```
    /// use highwater_client::{Envelope, Event};
    ///
    /// let event = Event::new("/shop/notes", "note.taken").key("n1").data("hi");
    /// let record = Envelope::new().record("notes", &event)?.header("tenant", "7");
    /// assert_eq!((record.key, record.value), (event.key, event.data));
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if an attribute is not as CloudEvents wants it, an alias is one of its headers, or
    /// the data is absent and [`Self::tombstones`] was not called.
    pub fn record(&self, topic: impl Into<String>, event: &Event) -> Result<Record, ClientError> {
        let mut record = Record::to(topic).header(header_of("specversion"), rules::VERSION);
        let checked = event.check().and_then(|()| self.check(event));
        checked.map_err(|why| {
            let (id, event_type, topic) = (&event.id, &event.event_type, &record.topic);
            ClientError::Invalid(format!(
                "the event {event_type} with the id {id} cannot be sent to {topic}: {why}"
            ))
        })?;
        for (name, value) in event.attributes() {
            record = record.header(header_of(name), value.to_owned());
        }
        for alias in &self.aliases {
            record = record.header(alias.as_str(), event.id.to_string());
        }
        record.key.clone_from(&event.key);
        record.value.clone_from(&event.data);
        Ok(record)
    }

    /// Reads the event of a record, in binary mode or, as its content type says, in structured mode
    /// (JSON, with the feature `json`). Headers that are no attributes stay in the record.
    ///
    /// ```
    /// use highwater_client::{ClientError, ConsumerRecord, Envelope};
    ///
    /// fn print(record: &ConsumerRecord) -> Result<(), ClientError> {
    ///     let event = Envelope::new().read(record)?;
    ///     println!("{} of {}: {}", event.event_type, event.source, event.id);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// `Undecodable` if it is no event, with what it lacks.
    pub fn read(&self, record: &ConsumerRecord) -> Result<Event, ClientError> {
        let read = || {
            let mut event = match structured_type(record) {
                Some(content_type) => structured::read(content_type, record.value.as_deref())?,
                None => self.read_binary(record)?,
            };
            event.key.clone_from(&record.key);
            Ok(event)
        };
        read().map_err(|why| undecodable(record, why))
    }

    /// Reads only the id, also of a record that is no event but has one of the headers for it. A
    /// header has it as text or as the 16 bytes of a UUID.
    ///
    /// ```
    /// use highwater_client::{ClientError, ConsumerRecord, Envelope};
    ///
    /// fn print(record: &ConsumerRecord) -> Result<(), ClientError> {
    ///     println!("{}", Envelope::new().id(record)?);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// `Undecodable` if there is none, or if it is neither of the two.
    pub fn id(&self, record: &ConsumerRecord) -> Result<EventId, ClientError> {
        if structured_type(record).is_some() {
            return Ok(self.read(record)?.id);
        }
        self.id_of(record).map_err(|why| undecodable(record, why))
    }

    /// The source, if the record says one, and the id, if it has one: what tells events apart. As
    /// [`Self::id`], but a record without an id is no error.
    pub(crate) fn identity(
        &self,
        record: &ConsumerRecord,
    ) -> Result<(Option<String>, Option<EventId>), ClientError> {
        if structured_type(record).is_some() {
            let event = self.read(record)?;
            return Ok((Some(event.source), Some(event.id)));
        }
        let read = || {
            let source = last(record, CE_SOURCE).map(|value| text(CE_SOURCE, value));
            let source = source.transpose()?.filter(|source| !source.is_empty());
            match &source {
                Some(source) if !rules::is_text(source) => Err(format!(
                    "its header {CE_SOURCE} has a character that CloudEvents forbids: {source:?}"
                )),
                _ => Ok((source, self.find_id(record)?)),
            }
        };
        read().map_err(|why| undecodable(record, why))
    }

    /// What depends on what is asked for.
    fn check(&self, event: &Event) -> Result<(), String> {
        let is_taken = |alias: &&String| alias.starts_with(PREFIX) || *alias == CONTENT_TYPE;
        if let Some(alias) = self.aliases.iter().find(is_taken) {
            return Err(format!(
                "{alias} is a header of CloudEvents and no alias for its id"
            ));
        }
        if event.data.is_none() && self.tombstones == Tombstones::Refused {
            return Err(
                "it has no data, and a record without a value is a tombstone, which deletes its \
                 key from a compacted topic: give it data, or ask for Envelope::tombstones"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn read_binary(&self, record: &ConsumerRecord) -> Result<Event, String> {
        let mut named = BTreeMap::new();
        for header in &record.headers {
            let name = match header.key.strip_prefix(PREFIX) {
                Some("id") => continue,
                Some(name) if rules::is_name(name) => name,
                None if header.key == CONTENT_TYPE => "datacontenttype",
                _ => continue,
            };
            match &header.value {
                Some(value) => named.insert(name.to_owned(), text(&header.key, value)?),
                None => named.remove(name),
            };
        }
        named.insert("id".to_owned(), self.id_of(record)?.to_string());
        let event = Event::from_attributes(named)?;
        Ok(Event {
            data: record.value.clone(),
            ..event
        })
    }

    fn id_of(&self, record: &ConsumerRecord) -> Result<EventId, String> {
        let found = self.find_id(record)?;
        found.ok_or_else(|| {
            let headers: Vec<&str> = self.headers_of_id().collect();
            let headers = headers.join(", ");
            format!("it has no id: none of the headers {headers} is there")
        })
    }

    fn find_id(&self, record: &ConsumerRecord) -> Result<Option<EventId>, String> {
        let mut headers = self.headers_of_id();
        let found = headers.find_map(|header| Some((header, last(record, header)?)));
        let read = found.map(|(header, value)| {
            EventId::read(value).map_err(|why| format!("its header {header} {why}"))
        });
        read.transpose()
    }

    fn headers_of_id(&self) -> impl Iterator<Item = &str> {
        std::iter::once(CE_ID).chain(self.id_headers.iter().map(String::as_str))
    }
}

/// As [`Envelope::new`].
impl Default for Envelope {
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// The record of this event for a topic.
    ///
    /// ```
    /// use highwater_client::Event;
    ///
    /// let record = Event::new("/shop/orders", "order.created.v1").data("{}").to("order-events")?;
    /// assert_eq!(record.topic, "order-events");
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Envelope::record`] of the default: `Invalid` also if it has no data.
    pub fn to(&self, topic: impl Into<String>) -> Result<Record, ClientError> {
        Envelope::new().record(topic, self)
    }
}

impl ConsumerRecord {
    /// Reads the event of this record.
    ///
    /// ```
    /// use highwater_client::{ClientError, ConsumerRecord};
    ///
    /// fn print(record: &ConsumerRecord) -> Result<(), ClientError> {
    ///     let event = record.event()?;
    ///     println!("{} happened to {:?}", event.event_type, event.subject);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Envelope::read`] of the default.
    pub fn event(&self) -> Result<Event, ClientError> {
        Envelope::new().read(self)
    }

    /// Reads the id alone, also of a record that is no event but has its id in a header `eventId`
    /// or `id`.
    ///
    /// ```
    /// use highwater_client::{ClientError, ConsumerRecord};
    ///
    /// fn print(record: &ConsumerRecord) -> Result<(), ClientError> {
    ///     println!("{}", record.event_id()?);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Envelope::id`] of the default.
    pub fn event_id(&self) -> Result<EventId, ClientError> {
        Envelope::new().id(self)
    }
}

/// The header of an attribute.
fn header_of(name: &str) -> String {
    match name {
        "datacontenttype" => CONTENT_TYPE.to_owned(),
        _ => [PREFIX, name].concat(),
    }
}

/// The content type, if it says that the value is a whole event.
fn structured_type(record: &ConsumerRecord) -> Option<&str> {
    let content_type = std::str::from_utf8(last(record, CONTENT_TYPE)?).ok()?;
    rules::is_structured(content_type).then_some(content_type)
}

/// The value of the last header of that name, if it has one.
fn last<'a>(record: &'a ConsumerRecord, name: &str) -> Option<&'a Bytes> {
    let mut headers = record.headers.iter().rev();
    headers.find(|header| header.key == name)?.value.as_ref()
}

fn text(header: &str, value: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(value);
    let text = text.map_err(|why| format!("its header {header} is no text: {why}"))?;
    Ok(text.to_owned())
}

fn undecodable(record: &ConsumerRecord, why: String) -> ClientError {
    ClientError::Undecodable {
        topic: record.topic.to_string(),
        partition: record.partition,
        offset: record.offset,
        format: "a CloudEvent",
        why,
    }
}

/// What stands before the name of an attribute.
const PREFIX: &str = "ce_";

/// The header that has the id.
const CE_ID: &str = "ce_id";

/// The header that has the source.
const CE_SOURCE: &str = "ce_source";

/// The header of the data's media type, which has no prefix.
const CONTENT_TYPE: &str = "content-type";
