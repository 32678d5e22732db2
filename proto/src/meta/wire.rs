//! The protobuf messages of the metadata log, and how they become records.
//!
//! Floor 3 of proto.
//!
//! Invariants
//! - These types are bytes on the disk: a field keeps its number and its type for ever.

use prost::{Message, Oneof};

use super::{Configs, MetaError, MetaRecord};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
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
        })
    }
}

fn sixteen(id: &[u8]) -> Result<[u8; 16], MetaError> {
    id.try_into()
        .map_err(|_| MetaError::BadId { bytes: id.len() })
}
