//! What members of a group of type `consumer` tell each other: what each wants, what each gets.
//!
//! Floor 5 of proto.
//!
//! Invariants
//! - The bytes start with an int16, their version; a version above [`VERSION_MAX`] is read as that
//!   one, and what follows is ignored, so that older members understand later ones.
//! - The broker reads the topics of a subscription alone, which stand first in every version.
//!
//! ```
//! use highwater_proto::consumer_protocol::{Assignment, Subscription};
//!
//! let wants = Subscription { topics: vec!["orders".to_owned()], ..Subscription::default() };
//! let metadata = wants.encode(3)?;
//! assert_eq!(Subscription::decode(&metadata)?, wants);
//! assert_eq!(Subscription::decode_topics(&metadata)?, ["orders"]);
//!
//! let gets = Assignment { partitions: vec![("orders".to_owned(), vec![0, 1])], user_data: None };
//! assert_eq!(Assignment::decode(&gets.encode(3)?)?, gets);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::cursor::{EncodeError, Reader, Version, Writer};
use crate::error::{DecodeError, DecodeErrorKind};

/// The newest version of both.
pub const VERSION_MAX: i16 = 3;

/// The protocol type of groups that speak this.
pub const PROTOCOL_TYPE: &str = "consumer";

/// What a member wants: the metadata of its protocol when it joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topics that it wants to read.
    pub topics: Vec<String>,
    /// What its assignor wants the leader's assignor to know.
    pub user_data: Option<Bytes>,
    /// What it works on now; from version 1 on.
    pub owned_partitions: Vec<(String, Vec<i32>)>,
    /// The generation in which it got that; -1 for none; from version 2 on.
    pub generation: i32,
    /// Where it is; from version 3 on.
    pub rack: Option<String>,
}

/// What a member gets: the leader's words for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partitions of each topic.
    pub partitions: Vec<(String, Vec<i32>)>,
    /// What the leader's assignor wants the member's assignor to know.
    pub user_data: Option<Bytes>,
}

impl Default for Subscription {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            user_data: None,
            owned_partitions: Vec::new(),
            generation: -1,
            rack: None,
        }
    }
}

impl Subscription {
    /// The bytes in a version, 0 to 3. What an older version has no field for is left out.
    ///
    /// # Errors
    /// A version that is not known, a string above 32767 bytes, or more than an int32 counts.
    pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = start("ConsumerProtocolSubscription", version)?;
        writer.put_count(Some(self.topics.len()), PLAIN)?;
        for topic in &self.topics {
            writer.put_nullable_text(Some(topic), PLAIN)?;
        }
        writer.put_nullable_bytes(self.user_data.as_ref(), PLAIN)?;
        if version >= 1 {
            put_partitions(&mut writer, &self.owned_partitions)?;
        }
        if version >= 2 {
            writer.put_i32(self.generation);
        }
        if version >= 3 {
            writer.put_nullable_text(self.rack.as_deref(), PLAIN)?;
        }
        Ok(writer.finish().into_bytes())
    }

    /// Reads any version. The input is copied once: keep the result as long as you like.
    ///
    /// # Errors
    /// A negative version, or bytes that are none of its layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (version, mut reader) = open(bytes)?;
        let mut subscription = Self {
            topics: read_topics(&mut reader)?,
            user_data: reader.nullable_bytes(PLAIN)?,
            ..Self::default()
        };
        // Some clients announce version 1 and send the fields of version 0, and one such member
        // must not stop the leader of its group: bytes that end before a field leave it out.
        let has = |field: i16, reader: &Reader| version >= field && reader.remaining() > 0;
        if has(1, &reader) {
            subscription.owned_partitions = read_partitions(&mut reader)?;
        }
        if has(2, &reader) {
            subscription.generation = reader.i32()?;
        }
        if has(3, &reader) {
            subscription.rack = reader.nullable_str(PLAIN)?.map(String::from);
        }
        Ok(subscription)
    }

    /// Reads the topics alone, whatever follows them: all that a broker needs to know.
    ///
    /// # Errors
    /// A negative version, or bytes that do not start with topics.
    pub fn decode_topics(bytes: &[u8]) -> Result<Vec<String>, DecodeError> {
        let (_, mut reader) = open(bytes)?;
        read_topics(&mut reader)
    }
}

impl Assignment {
    /// The bytes in a version, 0 to 3; all of them have the same layout.
    ///
    /// # Errors
    /// A version that is not known, a string above 32767 bytes, or more than an int32 counts.
    pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = start("ConsumerProtocolAssignment", version)?;
        put_partitions(&mut writer, &self.partitions)?;
        writer.put_nullable_bytes(self.user_data.as_ref(), PLAIN)?;
        Ok(writer.finish().into_bytes())
    }

    /// Reads any version; no bytes at all are an empty assignment, which a member gets that the
    /// leader left out.
    ///
    /// # Errors
    /// A negative version, or bytes that are none of its layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (_, mut reader) = open(bytes)?;
        Ok(Self {
            partitions: read_partitions(&mut reader)?,
            user_data: reader.nullable_bytes(PLAIN)?,
        })
    }
}

/// No version of either is flexible.
const PLAIN: Version = Version::new(0, false);

fn start(name: &'static str, version: i16) -> Result<Writer, EncodeError> {
    if !(0..=VERSION_MAX).contains(&version) {
        return Err(EncodeError::UnsupportedVersion { api: name, version });
    }
    let mut writer = Writer::new();
    writer.put_i16(version);
    Ok(writer)
}

/// The version and the rest, in a buffer of its own: members are kept longer than their requests.
fn open(bytes: &[u8]) -> Result<(i16, Reader), DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    match reader.i16()? {
        version @ 0.. => Ok((version, reader)),
        version => Err(DecodeError::at(
            0,
            DecodeErrorKind::UnsupportedVersion { version },
        )),
    }
}

fn put_partitions(writer: &mut Writer, topics: &[(String, Vec<i32>)]) -> Result<(), EncodeError> {
    writer.put_count(Some(topics.len()), PLAIN)?;
    for (topic, partitions) in topics {
        writer.put_nullable_text(Some(topic), PLAIN)?;
        writer.put_count(Some(partitions.len()), PLAIN)?;
        for &partition in partitions {
            writer.put_i32(partition);
        }
    }
    Ok(())
}

fn read_topics(reader: &mut Reader) -> Result<Vec<String>, DecodeError> {
    read_array(reader, TEXT_BYTES_MIN, |reader| {
        Ok(reader.str(PLAIN)?.into())
    })
}

fn read_partitions(reader: &mut Reader) -> Result<Vec<(String, Vec<i32>)>, DecodeError> {
    read_array(reader, TEXT_BYTES_MIN + COUNT_BYTES, |reader| {
        let topic = reader.str(PLAIN)?.into();
        Ok((topic, read_array(reader, size_of::<i32>(), Reader::i32)?))
    })
}

fn read_array<T>(
    reader: &mut Reader,
    element_bytes_min: usize,
    mut element: impl FnMut(&mut Reader) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader
        .count(PLAIN, element_bytes_min, size_of::<T>())?
        .ok_or_else(|| reader.error("null where an array must stand"))?;
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(element(reader)?);
    }
    Ok(elements)
}

/// The length in front of a string.
const TEXT_BYTES_MIN: usize = 2;
/// The count in front of an array.
const COUNT_BYTES: usize = 4;
