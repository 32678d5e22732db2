//! The protobuf messages of the metadata log, and how they become records.
//!
//! Floor 3 of proto.
//!
//! Invariants
//! - These types are bytes on the disk: a field keeps its number and its type for ever.
//! - No `Debug` prints what helps to find out, or to replace, a password.

use std::fmt;

use prost::{Message, Oneof};

use super::{Configs, MetaError, MetaRecord};
use crate::sasl::{Credential, ScramHash, Secret};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Kind {
    #[prost(message, tag = "1")]
    ClusterCreated(ClusterCreated),
    #[prost(message, tag = "2")]
    TopicCreated(TopicCreated),
    #[prost(message, tag = "3")]
    TopicPartitionsAdded(TopicPartitionsAdded),
    #[prost(message, tag = "4")]
    TopicConfigsChanged(TopicConfigsChanged),
    #[prost(message, tag = "5")]
    TopicDeleting(TopicId),
    #[prost(message, tag = "6")]
    TopicDeleted(TopicId),
    #[prost(message, tag = "7")]
    ProducerIdsReserved(ProducerIdsReserved),
    #[prost(message, tag = "8")]
    UncleanStart(UncleanStart),
    #[prost(message, tag = "9")]
    SnapshotStart(SnapshotStart),
    #[prost(message, tag = "10")]
    BrokerConfigsChanged(BrokerConfigsChanged),
    #[prost(message, tag = "11")]
    ScramCredentialSet(ScramCredentialSet),
    #[prost(message, tag = "12")]
    ScramCredentialDeleted(ScramCredentialDeleted),
    #[prost(message, tag = "13")]
    SaltSecretDrawn(SaltSecretDrawn),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ClusterCreated {
    #[prost(bytes = "vec", tag = "1")]
    cluster_id: Vec<u8>,
    #[prost(int32, tag = "2")]
    node_id: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicCreated {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(int32, tag = "3")]
    partitions: i32,
    #[prost(btree_map = "string, string", tag = "4")]
    configs: Configs,
    #[prost(int64, tag = "5")]
    created_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicPartitionsAdded {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(int32, tag = "2")]
    partitions_total: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicConfigsChanged {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(btree_map = "string, string", tag = "2")]
    configs: Configs,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicId {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProducerIdsReserved {
    #[prost(int64, tag = "1")]
    next_id: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UncleanStart {
    #[prost(uint32, tag = "1")]
    number: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SnapshotStart {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct BrokerConfigsChanged {
    #[prost(int32, optional, tag = "1")]
    node_id: Option<i32>,
    #[prost(btree_map = "string, string", tag = "2")]
    configs: Configs,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct ScramCredentialSet {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(int32, tag = "2")]
    mechanism: i32,
    #[prost(bytes = "vec", tag = "3")]
    salt: Vec<u8>,
    #[prost(uint32, tag = "4")]
    iterations: u32,
    #[prost(bytes = "vec", tag = "5")]
    stored_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    server_key: Vec<u8>,
}

/// Who could read the keys from a log could be anybody.
impl fmt::Debug for ScramCredentialSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredentialSet")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScramCredentialDeleted {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(int32, tag = "2")]
    mechanism: i32,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct SaltSecretDrawn {
    #[prost(bytes = "vec", tag = "1")]
    secret: Vec<u8>,
}

impl fmt::Debug for SaltSecretDrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaltSecretDrawn").finish_non_exhaustive()
    }
}

impl ScramCredentialSet {
    fn of(user: String, credential: Credential) -> Self {
        Self {
            user,
            mechanism: credential.hash.number().into(),
            salt: credential.salt,
            iterations: credential.iterations,
            stored_key: credential.stored_key.0,
            server_key: credential.server_key.0,
        }
    }

    fn record(self) -> Result<MetaRecord, MetaError> {
        let hash = hash(self.mechanism)?;
        if [&self.stored_key, &self.server_key]
            .iter()
            .any(|key| key.len() != hash.key_bytes())
        {
            return Err(MetaError::BadCredential);
        }
        let credential = Credential {
            hash,
            salt: self.salt,
            iterations: self.iterations,
            stored_key: Secret(self.stored_key),
            server_key: Secret(self.server_key),
        };
        Ok(MetaRecord::ScramCredentialSet {
            user: self.user,
            credential,
        })
    }
}

impl From<MetaRecord> for Kind {
    fn from(record: MetaRecord) -> Self {
        match record {
            MetaRecord::ClusterCreated {
                cluster_id,
                node_id,
            } => Self::ClusterCreated(ClusterCreated {
                cluster_id: cluster_id.into(),
                node_id,
            }),
            MetaRecord::TopicCreated {
                id,
                name,
                partitions,
                configs,
                created_ms,
            } => {
                let id = id.into();
                Self::TopicCreated(TopicCreated {
                    id,
                    name,
                    partitions,
                    configs,
                    created_ms,
                })
            }
            MetaRecord::TopicPartitionsAdded {
                id,
                partitions_total,
            } => {
                let id = id.into();
                Self::TopicPartitionsAdded(TopicPartitionsAdded {
                    id,
                    partitions_total,
                })
            }
            MetaRecord::TopicConfigsChanged { id, configs } => {
                Self::TopicConfigsChanged(TopicConfigsChanged {
                    id: id.into(),
                    configs,
                })
            }
            MetaRecord::TopicDeleting { id } => Self::TopicDeleting(TopicId { id: id.into() }),
            MetaRecord::TopicDeleted { id } => Self::TopicDeleted(TopicId { id: id.into() }),
            MetaRecord::ProducerIdsReserved { next_id } => {
                Self::ProducerIdsReserved(ProducerIdsReserved { next_id })
            }
            MetaRecord::UncleanStart { number } => Self::UncleanStart(UncleanStart { number }),
            MetaRecord::SnapshotStart => Self::SnapshotStart(SnapshotStart {}),
            MetaRecord::BrokerConfigsChanged { node_id, configs } => {
                Self::BrokerConfigsChanged(BrokerConfigsChanged { node_id, configs })
            }
            MetaRecord::ScramCredentialSet { user, credential } => {
                Self::ScramCredentialSet(ScramCredentialSet::of(user, credential))
            }
            MetaRecord::ScramCredentialDeleted { user, hash } => {
                Self::ScramCredentialDeleted(ScramCredentialDeleted {
                    user,
                    mechanism: hash.number().into(),
                })
            }
            MetaRecord::SaltSecretDrawn { secret } => {
                Self::SaltSecretDrawn(SaltSecretDrawn { secret: secret.0 })
            }
        }
    }
}

impl TryFrom<Kind> for MetaRecord {
    type Error = MetaError;

    fn try_from(kind: Kind) -> Result<Self, MetaError> {
        Ok(match kind {
            Kind::ClusterCreated(ClusterCreated {
                cluster_id,
                node_id,
            }) => Self::ClusterCreated {
                cluster_id: sixteen(&cluster_id)?,
                node_id,
            },
            Kind::TopicCreated(TopicCreated {
                id,
                name,
                partitions,
                configs,
                created_ms,
            }) => {
                let id = sixteen(&id)?;
                Self::TopicCreated {
                    id,
                    name,
                    partitions,
                    configs,
                    created_ms,
                }
            }
            Kind::TopicPartitionsAdded(TopicPartitionsAdded {
                id,
                partitions_total,
            }) => Self::TopicPartitionsAdded {
                id: sixteen(&id)?,
                partitions_total,
            },
            Kind::TopicConfigsChanged(TopicConfigsChanged { id, configs }) => {
                Self::TopicConfigsChanged {
                    id: sixteen(&id)?,
                    configs,
                }
            }
            Kind::TopicDeleting(TopicId { id }) => Self::TopicDeleting { id: sixteen(&id)? },
            Kind::TopicDeleted(TopicId { id }) => Self::TopicDeleted { id: sixteen(&id)? },
            Kind::ProducerIdsReserved(ProducerIdsReserved { next_id }) => {
                Self::ProducerIdsReserved { next_id }
            }
            Kind::UncleanStart(UncleanStart { number }) => Self::UncleanStart { number },
            Kind::SnapshotStart(SnapshotStart {}) => Self::SnapshotStart,
            Kind::BrokerConfigsChanged(BrokerConfigsChanged { node_id, configs }) => {
                Self::BrokerConfigsChanged { node_id, configs }
            }
            Kind::ScramCredentialSet(set) => set.record()?,
            Kind::ScramCredentialDeleted(ScramCredentialDeleted { user, mechanism }) => {
                Self::ScramCredentialDeleted {
                    user,
                    hash: hash(mechanism)?,
                }
            }
            Kind::SaltSecretDrawn(SaltSecretDrawn { secret }) => Self::SaltSecretDrawn {
                secret: Secret(secret),
            },
        })
    }
}

fn hash(mechanism: i32) -> Result<ScramHash, MetaError> {
    let number = i8::try_from(mechanism).ok();
    let hash = number.and_then(ScramHash::from_number);
    hash.ok_or(MetaError::BadCredential)
}

fn sixteen(id: &[u8]) -> Result<[u8; 16], MetaError> {
    id.try_into()
        .map_err(|_| MetaError::BadId { bytes: id.len() })
}
