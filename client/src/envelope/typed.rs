//! Events whose data is a value with a type: JSON by serde, protobuf by prost.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - A value is read only from an event of its own type and of a content type of its format.

use bytes::Bytes;

use super::event::Event;
use super::rules;
use crate::error::ClientError;

/// A value that is the data of one type of event.
///
/// ```
/// # #[cfg(feature = "json")] {
/// use bytes::Bytes;
/// use highwater_client::{ClientError, Event, EventType};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct OrderCreated {
///     order: String,
///     total: u32,
/// }
///
/// impl EventType for OrderCreated {
///     const TYPE: &str = "order.created.v1";
///     const SOURCE: &str = "/shop/orders";
///
///     fn key(&self) -> Option<Bytes> {
///         Some(Bytes::from(self.order.clone()))
///     }
/// }
///
/// # fn run() -> Result<(), ClientError> {
/// let created = OrderCreated { order: "order-42".to_owned(), total: 12 };
/// let event = Event::json(&created)?;
/// assert_eq!(event.key.as_deref(), Some(&b"order-42"[..]));
/// let read: OrderCreated = event.as_json()?;
/// assert_eq!(read.total, 12);
/// # Ok(())
/// # }
/// # run().unwrap();
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which type of event it is the data of",
    note = "implement `EventType` for it: TYPE, SOURCE and key"
)]
pub trait EventType {
    /// The event's type, with its version: `order.created.v1`.
    const TYPE: &'static str;

    /// Where such events happen: `/shop/orders`.
    const SOURCE: &'static str;

    /// The record's key: what must stay in order. `None` if nothing has to.
    fn key(&self) -> Option<Bytes>;
}

impl Event {
    /// An event of now with a new id, whose data is a value in JSON. The example stands at
    /// [`EventType`].
    ///
    /// # Errors
    /// `Invalid` if JSON cannot say it, such as a map whose keys are no strings.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[cfg(feature = "json")]
    pub fn json<T: EventType + serde::Serialize>(value: &T) -> Result<Self, ClientError> {
        let json = serde_json::to_vec(value).map_err(|why| {
            let event_type = T::TYPE;
            ClientError::Invalid(format!(
                "the data of an event {event_type} cannot be said in JSON: {why}"
            ))
        })?;
        Ok(Self::of_type(value, "application/json").data(json))
    }

    /// Reads the data as JSON; what the type borrows, it borrows from the event.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use highwater_client::{Event, EventType};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Paid<'a> {
    ///     order: &'a str,
    /// }
    ///
    /// impl EventType for Paid<'_> {
    ///     const TYPE: &'static str = "order.paid.v1";
    ///     const SOURCE: &'static str = "/shop/orders";
    ///
    ///     fn key(&self) -> Option<Bytes> {
    ///         Some(Bytes::copy_from_slice(self.order.as_bytes()))
    ///     }
    /// }
    ///
    /// let event = Event::new("/shop/orders", "order.paid.v1").data(r#"{"order":"order-42"}"#);
    /// assert_eq!(event.as_json::<Paid<'_>>()?.order, "order-42");
    ///
    /// let other = Event::new("/shop/orders", "order.created.v1").data("{}");
    /// assert!(other.as_json::<Paid<'_>>().is_err());
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if the event is of another type, its content type is not JSON, or its data is
    /// absent or is no such value.
    #[cfg(feature = "json")]
    pub fn as_json<'a, T>(&'a self) -> Result<T, ClientError>
    where
        T: EventType + serde::Deserialize<'a>,
    {
        let data = self.data_of::<T>("JSON", rules::is_json)?;
        serde_json::from_slice(data).map_err(|why| self.unreadable("JSON", &why.to_string()))
    }

    /// An event of now with a new id, whose data is a message of protobuf.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use highwater_client::{Event, EventType};
    ///
    /// #[derive(Clone, PartialEq, prost::Message)]
    /// struct Delayed {
    ///     #[prost(string, tag = "1")]
    ///     tail: String,
    /// }
    ///
    /// impl EventType for Delayed {
    ///     const TYPE: &str = "flights.Delayed";
    ///     const SOURCE: &str = "/airport/departures";
    ///
    ///     fn key(&self) -> Option<Bytes> {
    ///         Some(Bytes::from(self.tail.clone()))
    ///     }
    /// }
    ///
    /// let event = Event::protobuf(&Delayed { tail: "N14228".to_owned() });
    /// assert_eq!(event.content_type.as_deref(), Some("application/protobuf"));
    /// assert_eq!(event.as_protobuf::<Delayed>()?.tail, "N14228");
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ///
    /// # Panics
    /// As [`Self::new`].
    #[cfg(feature = "protobuf")]
    #[must_use]
    pub fn protobuf<M: EventType + prost::Message>(message: &M) -> Self {
        Self::of_type(message, "application/protobuf").data(message.encode_to_vec())
    }

    /// Reads the data as a message of protobuf. The example stands at [`Self::protobuf`].
    ///
    /// # Errors
    /// `Invalid` if the event is of another type, its content type is not protobuf, or its data is
    /// absent or is no such message.
    #[cfg(feature = "protobuf")]
    pub fn as_protobuf<M>(&self) -> Result<M, ClientError>
    where
        M: EventType + prost::Message + Default,
    {
        let data = self.data_of::<M>("protobuf", rules::is_protobuf)?;
        M::decode(data).map_err(|why| self.unreadable("protobuf", &why.to_string()))
    }

    fn of_type<T: EventType>(value: &T, content_type: &str) -> Self {
        Self {
            key: value.key(),
            ..Self::new(T::SOURCE, T::TYPE).content_type(content_type)
        }
    }

    /// The data, if the event is one of type `T` and is in this format, or does not say in which.
    fn data_of<T: EventType>(
        &self,
        format: &str,
        is_format: fn(&str) -> bool,
    ) -> Result<&[u8], ClientError> {
        if self.event_type != T::TYPE {
            let event_type = T::TYPE;
            return Err(self.unreadable(format, &format!("a {event_type} was asked for")));
        }
        match self.content_type.as_deref() {
            Some(other) if !is_format(other) => {
                return Err(self.unreadable(format, &format!("its content type is {other}")));
            }
            _ => {}
        }
        let data = self.data.as_deref();
        data.ok_or_else(|| self.unreadable(format, "it has no data"))
    }

    fn unreadable(&self, format: &str, why: &str) -> ClientError {
        let (event_type, id) = (&self.event_type, &self.id);
        ClientError::Invalid(format!(
            "the data of the {event_type} with the id {id} cannot be read as {format}: {why}"
        ))
    }
}
