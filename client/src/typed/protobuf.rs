//! Values in protobuf, by prost.
//!
//! Floor 1 of client.

use prost::Message;

use super::{not_a, value_of};
use crate::error::ClientError;
use crate::record::{ConsumerRecord, Record};

impl Record {
    /// Sets the payload to a message of protobuf.
    ///
    /// ```
    /// use highwater_client::Record;
    ///
    /// #[derive(Clone, PartialEq, prost::Message)]
    /// struct Flight {
    ///     #[prost(int32, tag = "1")]
    ///     dep_delay: i32,
    /// }
    ///
    /// let record = Record::to("flights").protobuf(&Flight { dep_delay: 2 });
    /// assert_eq!(record.value.as_deref(), Some(&[8, 2][..]));
    /// ```
    #[must_use]
    pub fn protobuf<M: Message>(self, message: &M) -> Self {
        self.value(message.encode_to_vec())
    }
}

impl ConsumerRecord {
    /// Reads the payload as a message of protobuf: `record.protobuf::<Flight>()?`.
    ///
    /// # Errors
    /// `Undecodable` if it is no such message, or if there is no payload.
    pub fn protobuf<M: Message + Default>(&self) -> Result<M, ClientError> {
        let value = value_of(self, FORMAT)?;
        M::decode(value).map_err(|why| not_a(self, FORMAT, why))
    }
}

const FORMAT: &str = "protobuf";
