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

use crate::sasl::{Credential, ScramHash, Secret};

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
    /// A user proves by this credential that it knows its password, from here on.
    ScramCredentialSet {
        /// The name of the user.
        user: String,
        /// What is stored of the password; it takes the place of the one with the same hash.
        credential: Credential,
    },
    /// A user has no credential with this hash any more.
    ScramCredentialDeleted {
        /// The name of the user.
        user: String,
        /// The hash.
        hash: ScramHash,
    },
    /// The salts of users that do not exist follow from this secret.
    SaltSecretDrawn {
        /// Random bytes.
        secret: Secret,
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
    /// A credential is of an unknown mechanism, or its keys are not as long as that needs.
    #[error("the metadata record has a credential of an unknown mechanism, or of damaged keys")]
    BadCredential,
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

    fn hashes() -> impl Strategy<Value = ScramHash> {
        prop::sample::select(ScramHash::ALL.to_vec())
    }

    fn credentials() -> impl Strategy<Value = Credential> {
        (hashes(), any::<([u8; 16], u32, [u8; 32], [u8; 32])>()).prop_map(
            |(hash, (salt, iterations, stored, server))| {
                let key = |half: [u8; 32]| Secret(half.repeat(hash.key_bytes() / 32));
                Credential {
                    hash,
                    salt: salt.to_vec(),
                    iterations,
                    stored_key: key(stored),
                    server_key: key(server),
                }
            },
        )
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
            (".{1,20}", credentials())
                .prop_map(|(user, credential)| MetaRecord::ScramCredentialSet { user, credential }),
            (".{1,20}", hashes())
                .prop_map(|(user, hash)| MetaRecord::ScramCredentialDeleted { user, hash }),
            any::<[u8; 32]>().prop_map(|secret| MetaRecord::SaltSecretDrawn {
                secret: Secret(secret.to_vec())
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
        let credential = Credential {
            hash: ScramHash::Sha256,
            salt: b"salt".to_vec(),
            iterations: 4096,
            stored_key: Secret(vec![b's'; 32]),
            server_key: Secret(vec![b'v'; 32]),
        };
        let user = || "alice".to_owned();
        let golden: [(MetaRecord, &[u8]); 9] = [
            (
                MetaRecord::ScramCredentialSet {
                    user: user(),
                    credential,
                },
                b"\x5a\x56\x0a\x05alice\x10\x01\x1a\x04salt\x20\x80\x20\
                  \x2a\x20ssssssssssssssssssssssssssssssss\
                  \x32\x20vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv",
            ),
            (
                MetaRecord::ScramCredentialDeleted {
                    user: user(),
                    hash: ScramHash::Sha512,
                },
                b"\x62\x09\x0a\x05alice\x10\x02",
            ),
            (
                MetaRecord::SaltSecretDrawn {
                    secret: Secret(b"secret".to_vec()),
                },
                b"\x6a\x08\x0a\x06secret",
            ),
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
        // Of mechanism 3, and with keys of no byte.
        for bytes in [
            &b"\x62\x05\x0a\x01a\x10\x03"[..],
            b"\x5a\x05\x0a\x01a\x10\x01",
        ] {
            assert_eq!(MetaRecord::decode(bytes), Err(MetaError::BadCredential));
        }
        assert!(matches!(
            MetaRecord::decode(b"\x2a\x05\x0a"),
            Err(MetaError::Malformed(_))
        ));
    }

    #[test]
    fn debug_of_a_record_prints_no_key() {
        let secret = || Secret(vec![b's'; 32]);
        let credential = Credential {
            hash: ScramHash::Sha256,
            salt: b"sss".to_vec(),
            iterations: 4096,
            stored_key: secret(),
            server_key: secret(),
        };
        let user = "alice".to_owned();
        for record in [
            MetaRecord::ScramCredentialSet { user, credential },
            MetaRecord::SaltSecretDrawn { secret: secret() },
        ] {
            let wire = wire::Envelope {
                kind: Some(record.clone().into()),
            };
            let printed = format!("{record:?} {wire:?}");
            // As a list of numbers, or as text.
            assert!(
                !printed.contains("115") && !printed.contains("sss"),
                "{printed}"
            );
        }
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
