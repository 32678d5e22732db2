//! Values in JSON, by serde.
//!
//! Floor 1 of client.

use serde::{Deserialize, Serialize};

use super::{not_a, value_of};
use crate::error::ClientError;
use crate::record::{ConsumerRecord, Record};

impl Record {
    /// Sets the payload to a value in JSON.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use highwater_client::Record;
    ///
    /// let delay = BTreeMap::from([("dep_delay", 2)]);
    /// let record = Record::to("flights").key("N14228").json(&delay)?;
    /// assert_eq!(record.value.as_deref(), Some(&br#"{"dep_delay":2}"#[..]));
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if JSON cannot say it, such as a map whose keys are no strings.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, ClientError> {
        match serde_json::to_vec(value) {
            Ok(json) => Ok(self.value(json)),
            Err(why) => Err(ClientError::Invalid(format!(
                "the value for the topic {} cannot be said in JSON: {why}",
                self.topic
            ))),
        }
    }
}

impl ConsumerRecord {
    /// Reads the payload as JSON; what the type borrows, it borrows from the record.
    ///
    /// ```no_run
    /// use serde::Deserialize;
    /// use highwater_client::{ClientError, ConsumerRecord};
    ///
    /// #[derive(Deserialize)]
    /// struct Flight<'a> {
    ///     tail: &'a str,
    ///     dep_delay: i32,
    /// }
    ///
    /// fn print(record: &ConsumerRecord) -> Result<(), ClientError> {
    ///     let flight: Flight<'_> = record.json()?;
    ///     println!("{} is {} minutes late", flight.tail, flight.dep_delay);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// `Undecodable` if it is no JSON of that type, or if there is no payload.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ClientError> {
        let value = value_of(self, FORMAT)?;
        serde_json::from_slice(value).map_err(|why| not_a(self, FORMAT, why))
    }
}

const FORMAT: &str = "JSON";
