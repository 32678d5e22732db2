//! The records of the metadata log: every fact about the cluster and its topics, in order.
//!
//! Floor 3 of proto.
//!
//! Invariants
//! - A record is one protobuf message with exactly one of the kinds below; a kind that is not known
//!   is an error, never skipped: what a newer version wrote must not be lost by an older one.
//! - Field numbers are never used twice. The same record always gives the same bytes.
//! - Ids are 16 bytes, or the record is refused.

mod wire;

use std::collections::BTreeMap;

use prost::Message;
use thiserror::Error;

/// The overrides of a topic's configuration by their Kafka names.
pub type Configs = BTreeMap<String, String>;

/// One fact about the cluster or its topics.
///
/// ```
/// use highwater_proto::meta::MetaRecord;
///
/// let record = MetaRecord::TopicDeleting { id: [7; 16] };
/// assert_eq!(MetaRecord::decode(&record.encode())?, record);
/// # Ok::<(), highwater_proto::meta::MetaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaRecord {
    /// The first record of all.
    ClusterCreated {
        /// The id that clients see.
        cluster_id: [u8; 16],
        /// The id of this broker.
        node_id: i32,
    },
    /// A topic exists from here on.
    TopicCreated {
        /// The id, which is never used again and names the topic's directory.
        id: [u8; 16],
        /// The name.
        name: String,
        /// How many partitions it has.
        partitions: i32,
        /// What its configuration overrides.
        configs: Configs,
        /// When it was created, in milliseconds since 1970.
        created_ms: i64,
    },
    /// A topic has more partitions.
    TopicPartitionsAdded {
        /// The topic.
        id: [u8; 16],
        /// How many it has now.
        partitions_total: i32,
    },
    /// A topic's configuration overrides are these, and no others.
    TopicConfigsChanged {
        /// The topic.
        id: [u8; 16],
        /// All overrides.
        configs: Configs,
    },
    /// A topic is gone for clients; its files are still there.
    TopicDeleting {
        /// The topic.
        id: [u8; 16],
    },
    /// A topic's files are gone.
    TopicDeleted {
        /// The topic.
        id: [u8; 16],
    },
    /// Producer ids below this one may have been given out.
    ProducerIdsReserved {
        /// The first id that is still free.
        next_id: i64,
    },
    /// The broker started without a clean shutdown before.
    UncleanStart {
        /// How many such starts there were; the leader epochs follow from it.
        number: u32,
    },
    /// What is set on a broker while it runs is this, and nothing else.
    BrokerConfigsChanged {
        /// The broker; `None` for what every broker has unless its own configs say otherwise.
        node_id: Option<i32>,
        /// Everything that is set.
        configs: Configs,
    },
    /// Everything before this record is void: those that follow in its batch are the whole state.
    SnapshotStart,
}

/// Why bytes are no metadata record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MetaError {
    /// The bytes are no protobuf message of this kind.
    #[error("the metadata record is malformed: {0}")]
    Malformed(prost::DecodeError),
    /// The record has a kind that this version does not know, or none.
    #[error("the metadata record is of an unknown kind; a newer version may have written it")]
    UnknownKind,
    /// An id does not have 16 bytes.
    #[error("the metadata record has an id of {bytes} bytes instead of 16")]
    BadId {
        /// The size of the id in bytes.
        bytes: usize,
    },
}

impl MetaRecord {
    /// The bytes of the record: the value in the metadata log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Envelope {
            kind: Some(self.clone().into()),
        }
        .encode_to_vec()
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        wire::Envelope::decode(bytes)
            .map_err(MetaError::Malformed)?
            .kind
            .ok_or(MetaError::UnknownKind)?
            .try_into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn configs() -> impl Strategy<Value = Configs> {
        prop::collection::btree_map("[a-z.]{1,20}", ".{0,20}", 0..4)
    }

    fn records() -> impl Strategy<Value = MetaRecord> {
        prop_oneof![
            any::<([u8; 16], i32)>().prop_map(|(cluster_id, node_id)| MetaRecord::ClusterCreated {
                cluster_id,
                node_id
            }),
            (
                any::<([u8; 16], i32, i64)>(),
                "[a-zA-Z0-9._-]{1,249}",
                configs()
            )
                .prop_map(|((id, partitions, created_ms), name, configs)| {
                    MetaRecord::TopicCreated {
                        id,
                        name,
                        partitions,
                        configs,
                        created_ms,
                    }
                }),
            any::<([u8; 16], i32)>().prop_map(|(id, partitions_total)| {
                MetaRecord::TopicPartitionsAdded {
                    id,
                    partitions_total,
                }
            }),
            (any::<[u8; 16]>(), configs())
                .prop_map(|(id, configs)| MetaRecord::TopicConfigsChanged { id, configs }),
            any::<[u8; 16]>().prop_map(|id| MetaRecord::TopicDeleting { id }),
            any::<[u8; 16]>().prop_map(|id| MetaRecord::TopicDeleted { id }),
            any::<i64>().prop_map(|next_id| MetaRecord::ProducerIdsReserved { next_id }),
            any::<u32>().prop_map(|number| MetaRecord::UncleanStart { number }),
            (any::<Option<i32>>(), configs()).prop_map(|(node_id, configs)| {
                MetaRecord::BrokerConfigsChanged { node_id, configs }
            }),
            Just(MetaRecord::SnapshotStart),
        ]
    }

    /// Stored bytes must stay readable: a change here breaks every data directory.
    #[test]
    fn golden_bytes() {
        let id = *b"0123456789abcdef";
        let configs = Configs::from([("retention.ms".to_owned(), "1".to_owned())]);
        let created = MetaRecord::TopicCreated {
            id,
            name: "t".to_owned(),
            partitions: 3,
            configs,
            created_ms: 5,
        };
        let changed = |node_id| MetaRecord::BrokerConfigsChanged {
            node_id,
            configs: Configs::from([("a".to_owned(), "1".to_owned())]),
        };
        let golden: [(MetaRecord, &[u8]); 6] = [
            (
                created,
                b"\x12\x2c\x0a\x100123456789abcdef\x12\x01t\x18\x03\
                  \x22\x11\x0a\x0cretention.ms\x12\x011\x28\x05",
            ),
            (
                MetaRecord::ProducerIdsReserved { next_id: 1000 },
                b"\x3a\x03\x08\xe8\x07",
            ),
            (MetaRecord::UncleanStart { number: 2 }, b"\x42\x02\x08\x02"),
            (MetaRecord::SnapshotStart, b"\x4a\x00"),
            (
                changed(Some(0)),
                b"\x52\x0a\x08\x00\x12\x06\x0a\x01a\x12\x011",
            ),
            (changed(None), b"\x52\x08\x12\x06\x0a\x01a\x12\x011"),
        ];
        for (record, bytes) in golden {
            assert_eq!(record.encode(), bytes, "{record:?}");
            assert_eq!(MetaRecord::decode(bytes), Ok(record));
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(MetaRecord::decode(b""), Err(MetaError::UnknownKind));
        // Field 100 with an empty message: a kind of a later version.
        assert_eq!(
            MetaRecord::decode(b"\xa2\x06\x00"),
            Err(MetaError::UnknownKind)
        );
        assert_eq!(
            MetaRecord::decode(b"\x2a\x03\x0a\x01x"),
            Err(MetaError::BadId { bytes: 1 })
        );
        assert!(matches!(
            MetaRecord::decode(b"\x2a\x05\x0a"),
            Err(MetaError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn records_round_trip(record in records()) {
            let bytes = record.encode();
            prop_assert_eq!(MetaRecord::decode(&bytes), Ok(record));
        }

        #[test]
        fn any_bytes_give_a_record_or_an_error(
            record in records(),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let mut bytes = record.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = MetaRecord::decode(&bytes);
            bytes.truncate(at);
            let _ = MetaRecord::decode(&bytes);
        }
    }
}
