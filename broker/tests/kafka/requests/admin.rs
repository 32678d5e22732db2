//! Requests of administration, most of which have little to say to one broker.

use bytes::Bytes;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_client_quotas::{
    AlterClientQuotasEntity, AlterClientQuotasEntry, AlterClientQuotasOp, AlterClientQuotasRequest,
};
use highwater_proto::kafka::messages::alter_configs::{
    AlterConfigsEntry, AlterConfigsRequest, AlterConfigsResource,
};
use highwater_proto::kafka::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use highwater_proto::kafka::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use highwater_proto::kafka::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use highwater_proto::kafka::messages::create_acls::{AclCreation, CreateAclsRequest};
use highwater_proto::kafka::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use highwater_proto::kafka::messages::describe_acls::DescribeAclsRequest;
use highwater_proto::kafka::messages::describe_client_quotas::{
    DescribeClientQuotasComponent, DescribeClientQuotasRequest,
};
use highwater_proto::kafka::messages::describe_log_dirs::{
    DescribeLogDirsAskedTopic, DescribeLogDirsRequest,
};
use highwater_proto::kafka::messages::describe_quorum::{
    DescribeQuorumAskedPartition, DescribeQuorumAskedTopic, DescribeQuorumRequest,
};
use highwater_proto::kafka::messages::describe_topic_partitions::{
    DescribeTopicPartitionsAsked, DescribeTopicPartitionsCursor, DescribeTopicPartitionsRequest,
};
use highwater_proto::kafka::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsUser,
};
use highwater_proto::kafka::messages::elect_leaders::{ElectLeadersRequest, ElectLeadersTopic};
use highwater_proto::kafka::messages::list_config_resources::ListConfigResourcesRequest;
use highwater_proto::kafka::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopic,
};
use highwater_proto::kafka::messages::sasl_authenticate::SaslAuthenticateRequest;
use highwater_proto::kafka::messages::sasl_handshake::SaslHandshakeRequest;

use super::Choices;

fn indexes(choose: &mut Choices) -> Vec<i32> {
    choose.of(&[vec![0], vec![0, 1], vec![9], Vec::new()])
}

pub(super) fn sasl_handshake(choose: &mut Choices) -> SaslHandshakeRequest {
    SaslHandshakeRequest {
        mechanism: choose.of(&["PLAIN".into(), "".into()]),
    }
}

pub(super) fn sasl_authenticate(choose: &mut Choices) -> SaslAuthenticateRequest {
    SaslAuthenticateRequest {
        auth_bytes: choose.of(&[b"\0user\0password".to_vec().into(), Vec::new().into()]),
    }
}

pub(super) fn describe_acls(choose: &mut Choices) -> DescribeAclsRequest {
    DescribeAclsRequest {
        resource_type_filter: choose.of(&[1, 2]),
        resource_name_filter: choose.of(&[None, Some("a".into())]),
        operation: 1,
        permission_type: 1,
        ..DescribeAclsRequest::default()
    }
}

pub(super) fn create_acls(choose: &mut Choices) -> CreateAclsRequest {
    let rule = AclCreation {
        resource_type: 2,
        resource_name: choose.name(),
        principal: "User:a".into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
        ..AclCreation::default()
    };
    CreateAclsRequest {
        creations: choose.of(&[vec![rule.clone(), rule], Vec::new()]),
    }
}

pub(super) fn delete_acls(choose: &mut Choices) -> DeleteAclsRequest {
    let filter = DeleteAclsFilter {
        resource_type_filter: 2,
        resource_name_filter: Some(choose.name()),
        operation: 1,
        permission_type: 1,
        ..DeleteAclsFilter::default()
    };
    DeleteAclsRequest {
        filters: choose.of(&[vec![filter], Vec::new()]),
    }
}

pub(super) fn alter_configs(choose: &mut Choices) -> AlterConfigsRequest {
    let entry = AlterConfigsEntry {
        name: choose.of(&["retention.ms".into(), "no.config".into()]),
        value: choose.of(&[Some("1000".into()), Some("x".into()), None]),
    };
    let resource = AlterConfigsResource {
        resource_type: choose.of(&[2, 4, 8]),
        resource_name: choose.of(&["a".into(), "1".into(), "missing".into()]),
        configs: choose.of(&[vec![entry], Vec::new()]),
    };
    AlterConfigsRequest {
        resources: vec![resource],
        validate_only: choose.of(&[false, true]),
    }
}

pub(super) fn alter_replica_log_dirs(choose: &mut Choices) -> AlterReplicaLogDirsRequest {
    let topics = vec![AlterReplicaLogDirTopic {
        name: choose.name(),
        partitions: indexes(choose),
    }];
    AlterReplicaLogDirsRequest {
        dirs: vec![AlterReplicaLogDir {
            path: choose.of(&["/data".into(), "/nowhere".into(), "relative".into()]),
            topics,
        }],
    }
}

pub(super) fn describe_log_dirs(choose: &mut Choices) -> DescribeLogDirsRequest {
    let topic = DescribeLogDirsAskedTopic {
        topic: choose.name(),
        partitions: indexes(choose),
    };
    DescribeLogDirsRequest {
        topics: choose.of(&[Some(vec![topic]), Some(Vec::new())]),
    }
}

pub(super) fn elect_leaders(version: i16, choose: &mut Choices) -> ElectLeadersRequest {
    let topic = ElectLeadersTopic {
        topic: choose.name(),
        partitions: indexes(choose),
    };
    ElectLeadersRequest {
        election_type: if version >= 1 {
            choose.of(&[0, 1, 2])
        } else {
            0
        },
        topic_partitions: choose.of(&[Some(vec![topic]), Some(Vec::new())]),
        ..ElectLeadersRequest::default()
    }
}

pub(super) fn alter_reassignments(choose: &mut Choices) -> AlterPartitionReassignmentsRequest {
    let partition = ReassignablePartition {
        index: choose.of(&[0, 1, 9]),
        replicas: choose.of(&[None, Some(vec![1]), Some(vec![2]), Some(Vec::new())]),
    };
    let topics = vec![ReassignableTopic {
        name: choose.name(),
        partitions: vec![partition],
    }];
    AlterPartitionReassignmentsRequest {
        topics,
        ..AlterPartitionReassignmentsRequest::default()
    }
}

pub(super) fn list_reassignments(choose: &mut Choices) -> ListPartitionReassignmentsRequest {
    let topic = ListPartitionReassignmentsTopic {
        name: choose.name(),
        partition_indexes: indexes(choose),
    };
    ListPartitionReassignmentsRequest {
        topics: choose.of(&[None, Some(vec![topic])]),
        ..ListPartitionReassignmentsRequest::default()
    }
}

pub(super) fn describe_client_quotas(choose: &mut Choices) -> DescribeClientQuotasRequest {
    let component = DescribeClientQuotasComponent {
        entity_type: choose.of(&["client-id".into(), "user".into(), "shoe".into()]),
        match_type: choose.of(&[0, 1, 2, 3]),
        name: choose.of(&[Some("a".into()), None]),
    };
    DescribeClientQuotasRequest {
        components: choose.of(&[vec![component], Vec::new()]),
        strict: choose.of(&[false, true]),
    }
}

pub(super) fn describe_users(choose: &mut Choices) -> DescribeUserScramCredentialsRequest {
    let user = DescribeUserScramCredentialsUser {
        name: choose.of(&["a".into(), "".into()]),
    };
    DescribeUserScramCredentialsRequest {
        users: choose.of(&[None, Some(Vec::new()), Some(vec![user])]),
    }
}

/// Nothing that would take effect: a build without SASL has another answer to that.
pub(super) fn alter_users(choose: &mut Choices) -> AlterUserScramCredentialsRequest {
    let deletion = ScramCredentialDeletion {
        name: choose.of(&["a".into(), "".into()]),
        mechanism: choose.of(&[1, 2, 3]),
    };
    let upsertion = ScramCredentialUpsertion {
        name: choose.of(&["b".into(), "".into()]),
        mechanism: choose.of(&[1, 0]),
        iterations: choose.of(&[1, -1]),
        salt: Bytes::from_static(b"salt"),
        salted_password: vec![1; 32].into(),
    };
    AlterUserScramCredentialsRequest {
        deletions: choose.of(&[vec![deletion], Vec::new()]),
        upsertions: choose.of(&[vec![upsertion], Vec::new()]),
    }
}

pub(super) fn alter_client_quotas(choose: &mut Choices) -> AlterClientQuotasRequest {
    let entity = vec![AlterClientQuotasEntity {
        entity_type: choose.of(&["client-id".into(), "shoe".into()]),
        entity_name: choose.of(&[Some("a".into()), None]),
    }];
    let ops = vec![AlterClientQuotasOp {
        key: choose.of(&["producer_byte_rate".into(), "shoe_size".into()]),
        value: choose.of(&[1024.0, -1.5]),
        remove: choose.of(&[false, true]),
    }];
    AlterClientQuotasRequest {
        entries: vec![AlterClientQuotasEntry { entity, ops }],
        validate_only: choose.of(&[false, true]),
    }
}

pub(super) fn describe_quorum(choose: &mut Choices) -> DescribeQuorumRequest {
    let partitions = vec![DescribeQuorumAskedPartition {
        index: choose.of(&[0, 1]),
    }];
    let topic_name: Str = choose.of(&["__cluster_metadata".into(), "a".into()]);
    DescribeQuorumRequest {
        topics: vec![DescribeQuorumAskedTopic {
            topic_name,
            partitions,
        }],
    }
}

pub(super) fn list_config_resources(
    version: i16,
    choose: &mut Choices,
) -> ListConfigResourcesRequest {
    let all = [Vec::new(), vec![2, 4], vec![16], vec![99]];
    ListConfigResourcesRequest {
        resource_types: if version >= 1 {
            choose.of(&all)
        } else {
            Vec::new()
        },
    }
}

pub(super) fn describe_topic_partitions(choose: &mut Choices) -> DescribeTopicPartitionsRequest {
    let ask = |name| DescribeTopicPartitionsAsked { name };
    let cursor = DescribeTopicPartitionsCursor {
        topic_name: choose.name(),
        partition_index: choose.of(&[0, 1, -1]),
    };
    DescribeTopicPartitionsRequest {
        topics: vec![ask(choose.name()), ask(choose.name())],
        response_partition_limit: choose.of(&[2000, 1, 0]),
        cursor: choose.of(&[None, Some(cursor)]),
    }
}
