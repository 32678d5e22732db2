//! Requests of every API and version, drawn from a small world: few topics, partitions and values,
//! so that they meet.

mod admin;
mod groups;

use highwater_broker::service::Service;
use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;
use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicConfig, CreateTopicsRequest,
};
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::delete_topics::{DeleteTopic, DeleteTopicsRequest};
use highwater_proto::kafka::messages::describe_cluster::DescribeClusterRequest;
use highwater_proto::kafka::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use highwater_proto::kafka::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use highwater_proto::kafka::messages::find_coordinator::FindCoordinatorRequest;
use highwater_proto::kafka::messages::incremental_alter_configs::{
    AlterConfigsEntry, AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use highwater_proto::kafka::messages::init_producer_id::InitProducerIdRequest;
use highwater_proto::kafka::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};
use highwater_proto::kafka::messages::offset_for_leader_epoch::{
    EpochPartition, EpochTopic, OffsetForLeaderEpochRequest,
};
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use highwater_proto::kafka::{ApiKey, Request, Response};

use crate::kit::{Rig, START, batch};

/// Every topic that there may be.
pub(crate) const NAMES: &[&str] = &["a", "b", "c", "missing"];

/// Chooses among few things; the first of each for the choices of 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let count = all.len() as u64;
        let at = usize::try_from(self.0 % count).unwrap();
        self.0 /= count;
        all[at].clone()
    }

    fn name(&mut self) -> Str {
        Str::from_static(self.of(NAMES))
    }
}

/// A request to this broker, in which topics have its ids.
pub(crate) fn request(key: ApiKey, version: i16, choose: &mut Choices, to: &Service) -> Request {
    match key {
        ApiKey::Produce => produce(choose).into(),
        ApiKey::Fetch => fetch(version, choose, to).into(),
        ApiKey::ListOffsets => list_offsets(version, choose).into(),
        ApiKey::Metadata => metadata(version, choose, to).into(),
        ApiKey::OffsetCommit => groups::offset_commit(version, choose).into(),
        ApiKey::OffsetFetch => groups::offset_fetch(version, choose).into(),
        ApiKey::FindCoordinator => find_coordinator(version, choose).into(),
        ApiKey::JoinGroup => groups::join_group(choose).into(),
        ApiKey::Heartbeat => groups::heartbeat(version, choose).into(),
        ApiKey::LeaveGroup => groups::leave_group(version, choose).into(),
        ApiKey::SyncGroup => groups::sync_group(version, choose).into(),
        ApiKey::DescribeGroups => groups::describe_groups(version, choose).into(),
        ApiKey::ListGroups => groups::list_groups(version, choose).into(),
        ApiKey::SaslHandshake => admin::sasl_handshake(choose).into(),
        ApiKey::ApiVersions => api_versions(version, choose).into(),
        ApiKey::CreateTopics => create_topics(choose).into(),
        ApiKey::DeleteTopics => delete_topics(version, choose, to).into(),
        ApiKey::DeleteRecords => delete_records(choose).into(),
        ApiKey::InitProducerId => init_producer_id(version, choose).into(),
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch(choose).into(),
        ApiKey::DescribeAcls => admin::describe_acls(choose).into(),
        ApiKey::CreateAcls => admin::create_acls(choose).into(),
        ApiKey::DeleteAcls => admin::delete_acls(choose).into(),
        ApiKey::DescribeConfigs => describe_configs(version, choose).into(),
        ApiKey::AlterConfigs => admin::alter_configs(choose).into(),
        ApiKey::AlterReplicaLogDirs => admin::alter_replica_log_dirs(choose).into(),
        ApiKey::DescribeLogDirs => admin::describe_log_dirs(choose).into(),
        ApiKey::SaslAuthenticate => admin::sasl_authenticate(choose).into(),
        ApiKey::CreatePartitions => create_partitions(choose).into(),
        ApiKey::DeleteGroups => groups::delete_groups(choose).into(),
        ApiKey::ElectLeaders => admin::elect_leaders(version, choose).into(),
        ApiKey::IncrementalAlterConfigs => incremental_alter_configs(choose).into(),
        ApiKey::AlterPartitionReassignments => admin::alter_reassignments(choose).into(),
        ApiKey::ListPartitionReassignments => admin::list_reassignments(choose).into(),
        ApiKey::OffsetDelete => groups::offset_delete(choose).into(),
        ApiKey::DescribeClientQuotas => admin::describe_client_quotas(choose).into(),
        ApiKey::AlterClientQuotas => admin::alter_client_quotas(choose).into(),
        ApiKey::DescribeUserScramCredentials => admin::describe_users(choose).into(),
        ApiKey::AlterUserScramCredentials => admin::alter_users(choose).into(),
        ApiKey::DescribeQuorum => admin::describe_quorum(choose).into(),
        ApiKey::DescribeCluster => describe_cluster(version, choose).into(),
        ApiKey::ListConfigResources => admin::list_config_resources(version, choose).into(),
        ApiKey::DescribeTopicPartitions => admin::describe_topic_partitions(choose).into(),
    }
}

fn id_of(to: &Service, name: &Str) -> Uuid {
    // An id that no topic has, for a topic that does not exist.
    to.topic_id(name).map_or(Uuid([7; 16]), |id| Uuid(id.0))
}

fn produce(choose: &mut Choices) -> ProduceRequest {
    let records = choose.of(&[batch(&["v"]), batch(&["v", "w"]), batch(&["damaged"])]);
    let records = if records.len() == batch(&["damaged"]).len() {
        let mut bytes = records.to_vec();
        bytes[20] ^= 1;
        bytes.into()
    } else {
        records
    };
    let index = choose.of(&[0, 1, 9]);
    let partitions = vec![ProducePartition {
        index,
        records: Some(records),
    }];
    let topics = vec![ProduceTopic {
        name: choose.name(),
        partitions,
    }];
    ProduceRequest {
        acks: choose.of(&[-1, 1, 5]),
        topics,
        ..ProduceRequest::default()
    }
}

fn fetch(version: i16, choose: &mut Choices, to: &Service) -> FetchRequest {
    let partition = FetchPartition {
        index: choose.of(&[0, 1, 9]),
        fetch_offset: choose.of(&[0, 1, 100]),
        max_bytes: choose.of(&[1 << 20, 1]),
        current_leader_epoch: if version >= 9 {
            choose.of(&[-1, 0, 3])
        } else {
            -1
        },
        ..FetchPartition::default()
    };
    let name = choose.name();
    let topic_id = if version >= 13 {
        id_of(to, &name)
    } else {
        Uuid::NIL
    };
    let name = if version >= 13 { Str::default() } else { name };
    let topics = vec![FetchTopic {
        name,
        topic_id,
        partitions: vec![partition],
    }];
    FetchRequest {
        max_bytes: choose.of(&[1 << 20, 0]),
        isolation_level: choose.of(&[0, 1]),
        // A session that is begun has a number that its broker draws.
        session_epoch: if version >= 7 {
            choose.of(&[-1, 0, 1])
        } else {
            -1
        },
        topics,
        ..FetchRequest::default()
    }
}

fn list_offsets(version: i16, choose: &mut Choices) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition {
        timestamp: choose.of(&[-1, -2, START.0, START.0 + 5, -3, -4, -5, -6]),
        index: choose.of(&[0, 1, 9]),
        max_num_offsets: if version == 0 {
            choose.of(&[2, 1, 0])
        } else {
            1
        },
        ..ListOffsetsPartition::default()
    };
    let topics = vec![ListOffsetsTopic {
        name: choose.name(),
        partitions: vec![partition],
    }];
    let isolation_level = if version >= 2 { choose.of(&[0, 1]) } else { 0 };
    ListOffsetsRequest {
        isolation_level,
        topics,
        ..ListOffsetsRequest::default()
    }
}

fn metadata(version: i16, choose: &mut Choices, to: &Service) -> MetadataRequest {
    let name = choose.name();
    let topic = if version >= 12 && choose.of(&[true, false]) {
        MetadataTopic {
            topic_id: id_of(to, &name),
            name: None,
        }
    } else {
        MetadataTopic {
            name: Some(name),
            ..MetadataTopic::default()
        }
    };
    let topics = match choose.of(&[0, 1, 2]) {
        0 => Some(vec![topic]),
        1 if version >= 1 => None,
        _ => Some(Vec::new()),
    };
    MetadataRequest {
        topics,
        allow_auto_topic_creation: version < 4 || choose.of(&[false, true]),
        include_cluster_authorized_operations: (8..=10).contains(&version)
            && choose.of(&[true, false]),
        include_topic_authorized_operations: version >= 8 && choose.of(&[true, false]),
    }
}

fn find_coordinator(version: i16, choose: &mut Choices) -> FindCoordinatorRequest {
    let key_type = if version >= 1 { choose.of(&[0, 1]) } else { 0 };
    if version >= 4 {
        let coordinator_keys = choose.of(&[vec!["g".into(), "h".into()], Vec::new()]);
        return FindCoordinatorRequest {
            key_type,
            coordinator_keys,
            ..Default::default()
        };
    }
    FindCoordinatorRequest {
        key: "g".into(),
        key_type,
        ..Default::default()
    }
}

fn api_versions(version: i16, choose: &mut Choices) -> ApiVersionsRequest {
    if version < 3 {
        return ApiVersionsRequest::default();
    }
    ApiVersionsRequest {
        client_software_name: choose.of(&["a-client".into(), "-".into()]),
        client_software_version: choose.of(&["1.0".into(), "".into()]),
    }
}

fn create_topics(choose: &mut Choices) -> CreateTopicsRequest {
    let config = CreateTopicConfig {
        name: choose.of(&["retention.ms".into(), "no.such.config".into()]),
        value: Some("3600000".into()),
    };
    let topic = CreateTopic {
        name: choose.name(),
        num_partitions: choose.of(&[2, 1, 0, -1]),
        replication_factor: choose.of(&[1, 3, -1]),
        configs: choose.of(&[vec![config.clone()], Vec::new(), vec![config]]),
        ..CreateTopic::default()
    };
    let validate_only = choose.of(&[false, true]);
    CreateTopicsRequest {
        topics: vec![topic],
        validate_only,
        ..Default::default()
    }
}

fn delete_topics(version: i16, choose: &mut Choices, to: &Service) -> DeleteTopicsRequest {
    let name = choose.name();
    if version < 6 {
        return DeleteTopicsRequest {
            topic_names: vec![name],
            ..Default::default()
        };
    }
    let topic = match choose.of(&[0, 1, 2]) {
        0 => DeleteTopic {
            topic_id: id_of(to, &name),
            name: None,
        },
        1 => DeleteTopic {
            topic_id: Uuid::NIL,
            name: Some(name),
        },
        _ => DeleteTopic {
            topic_id: Uuid::NIL,
            name: None,
        },
    };
    DeleteTopicsRequest {
        topics: vec![topic],
        ..Default::default()
    }
}

fn delete_records(choose: &mut Choices) -> DeleteRecordsRequest {
    let partition = DeleteRecordsPartition {
        offset: choose.of(&[1, -1, 0, 100, -2]),
        index: choose.of(&[0, 1, 9]),
    };
    let topics = vec![DeleteRecordsTopic {
        name: choose.name(),
        partitions: vec![partition],
    }];
    DeleteRecordsRequest {
        topics,
        ..Default::default()
    }
}

fn init_producer_id(version: i16, choose: &mut Choices) -> InitProducerIdRequest {
    let producer_id = if version >= 3 {
        choose.of(&[-1, 5])
    } else {
        -1
    };
    let producer_epoch = if version >= 3 {
        choose.of(&[-1, 0])
    } else {
        -1
    };
    let transactional_id = choose.of(&[None, Some("t".into())]);
    InitProducerIdRequest {
        transactional_id,
        producer_id,
        producer_epoch,
        ..Default::default()
    }
}

fn offset_for_leader_epoch(choose: &mut Choices) -> OffsetForLeaderEpochRequest {
    let partition = EpochPartition {
        leader_epoch: choose.of(&[0, 5, -1]),
        index: choose.of(&[0, 1, 9]),
        current_leader_epoch: choose.of(&[-1, 0, 7]),
    };
    let topics = vec![EpochTopic {
        name: choose.name(),
        partitions: vec![partition],
    }];
    OffsetForLeaderEpochRequest {
        topics,
        ..Default::default()
    }
}

fn describe_configs(version: i16, choose: &mut Choices) -> DescribeConfigsRequest {
    let keys = Some(vec![
        "retention.ms".into(),
        "num.partitions".into(),
        "cleanup.policy".into(),
    ]);
    let resource = DescribeConfigsResource {
        resource_type: choose.of(&[2, 4, 8]),
        resource_name: choose.of(&["a".into(), "".into(), "1".into(), "missing".into()]),
        configuration_keys: keys,
    };
    DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: choose.of(&[true, false]),
        include_documentation: version >= 3 && choose.of(&[false, true]),
    }
}

fn create_partitions(choose: &mut Choices) -> CreatePartitionsRequest {
    let topic = CreatePartitionsTopic {
        count: choose.of(&[3, 1, 4, -1]),
        name: choose.name(),
        assignments: None,
    };
    let validate_only = choose.of(&[false, true]);
    CreatePartitionsRequest {
        topics: vec![topic],
        validate_only,
        ..Default::default()
    }
}

fn incremental_alter_configs(choose: &mut Choices) -> IncrementalAlterConfigsRequest {
    let entry = AlterConfigsEntry {
        operation: choose.of(&[0, 1, 2, 9]),
        name: choose.of(&[
            "retention.ms".into(),
            "cleanup.policy".into(),
            "no.config".into(),
        ]),
        value: choose.of(&[Some("1000".into()), Some("compact".into()), None]),
    };
    let resource = AlterConfigsResource {
        resource_type: choose.of(&[2, 4, 8]),
        resource_name: choose.of(&["a".into(), "1".into(), "missing".into()]),
        configs: vec![entry],
    };
    let validate_only = choose.of(&[false, true]);
    IncrementalAlterConfigsRequest {
        resources: vec![resource],
        validate_only,
    }
}

fn describe_cluster(version: i16, choose: &mut Choices) -> DescribeClusterRequest {
    DescribeClusterRequest {
        include_cluster_authorized_operations: choose.of(&[false, true]),
        endpoint_type: if version >= 1 {
            choose.of(&[1, 2, 3])
        } else {
            1
        },
    }
}

/// What one broker draws or is given, and another has otherwise: ids and the port.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    ids: Vec<[u8; 16]>,
}

impl Mask {
    /// Learns the ids of the topics that there are now.
    pub(crate) fn learn(&mut self, service: &Service) {
        let names = NAMES.iter().chain(&["__consumer_offsets"]);
        let ids = names.filter_map(|name| service.topic_id(name));
        self.ids.extend(ids.map(|id| id.0));
        self.ids.sort_unstable();
        self.ids.dedup();
    }

    /// The body of a message with zeros for what is the broker's own.
    pub(crate) fn apply(&self, body: &[u8], rig: &Rig) -> Vec<u8> {
        let cluster = rig.service.cluster().id;
        let port = i32::from(rig.address.port()).to_be_bytes();
        let mut body = body.to_vec();
        let own = self
            .ids
            .iter()
            .map(|id| &id[..])
            .chain([cluster.as_bytes(), &port]);
        for secret in own {
            while let Some(at) = body.windows(secret.len()).position(|bytes| bytes == secret) {
                body[at..at + secret.len()].fill(0);
            }
        }
        body
    }

    pub(crate) fn response(&self, version: i16, response: &Response, rig: &Rig) -> Vec<u8> {
        let mut response = response.clone();
        match &mut response {
            // Random, for a session that was begun.
            Response::Fetch(fetched) => fetched.session_id = fetched.session_id.signum(),
            Response::DescribeQuorum(quorum) => {
                let listeners = quorum.nodes.iter_mut().flat_map(|node| &mut node.listeners);
                // Of two bytes, which are everywhere.
                listeners.for_each(|listener| listener.port = 0);
            }
            _ => {}
        }
        self.apply(&response.encode(version).unwrap().into_bytes(), rig)
    }
}
