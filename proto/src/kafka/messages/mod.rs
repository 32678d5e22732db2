//! The messages of the Kafka wire, one file per API.
//!
//! Floor 4 of proto.
//!
//! Invariants
//! - A file is named as its API. It holds the fields of the versions that `kafka/mod.rs` lists as
//!   implemented, and no others.

pub mod api_versions;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod fetch;
pub mod find_coordinator;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod list_offsets;
pub mod metadata;
pub mod offset_for_leader_epoch;
pub mod produce;
