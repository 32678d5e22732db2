//! The handlers: one file per API, which turns a request into domain words and the answer back.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A handler decides nothing that the service could decide, and writes to no socket.
//! - Every item of a request has an answer of its own.

pub(super) mod alter_client_quotas;
pub(super) mod alter_configs;
pub(super) mod alter_partition_reassignments;
pub(super) mod alter_replica_log_dirs;
pub(super) mod alter_user_scram_credentials;
pub(super) mod api_versions;
pub(super) mod create_acls;
pub(super) mod create_partitions;
pub(super) mod create_topics;
pub(super) mod delete_acls;
pub(super) mod delete_groups;
pub(super) mod delete_records;
pub(super) mod delete_topics;
pub(super) mod describe_acls;
pub(super) mod describe_client_quotas;
pub(super) mod describe_cluster;
pub(super) mod describe_configs;
pub(super) mod describe_groups;
pub(super) mod describe_log_dirs;
pub(super) mod describe_quorum;
pub(super) mod describe_topic_partitions;
pub(super) mod describe_user_scram_credentials;
pub(super) mod elect_leaders;
pub(super) mod fetch;
pub(super) mod find_coordinator;
pub(super) mod heartbeat;
pub(super) mod incremental_alter_configs;
pub(super) mod init_producer_id;
pub(super) mod join_group;
pub(super) mod leave_group;
pub(super) mod list_config_resources;
pub(super) mod list_groups;
pub(super) mod list_offsets;
pub(super) mod list_partition_reassignments;
pub(super) mod metadata;
pub(super) mod offset_commit;
pub(super) mod offset_delete;
pub(super) mod offset_fetch;
pub(super) mod offset_for_leader_epoch;
pub(super) mod produce;
pub(super) mod sasl_authenticate;
pub(super) mod sasl_handshake;
pub(super) mod sync_group;

use super::session::Session;
use crate::service::Service;

/// What a handler knows beside the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    /// Every operation.
    pub(super) service: &'a Service,
    /// Who asks.
    pub(super) session: &'a Session,
    /// The version of the request.
    pub(super) version: i16,
}
