//! The cluster of one broker: what there is no second of, and what there is nothing of.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_log::fs::mem::MemFs;
use highwater_log::fs::{DirLock, File, Fs, OpenMode};
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_client_quotas::{
    AlterClientQuotasEntry, AlterClientQuotasRequest,
};
use highwater_proto::kafka::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use highwater_proto::kafka::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use highwater_proto::kafka::messages::create_acls::{AclCreation, CreateAclsRequest};
use highwater_proto::kafka::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest};
use highwater_proto::kafka::messages::describe_acls::DescribeAclsRequest;
use highwater_proto::kafka::messages::describe_client_quotas::{
    DescribeClientQuotasComponent, DescribeClientQuotasRequest,
};
use highwater_proto::kafka::messages::describe_cluster::DescribeClusterRequest;
use highwater_proto::kafka::messages::describe_log_dirs::{
    DescribeLogDirsAskedTopic, DescribeLogDirsRequest, DescribeLogDirsResult,
};
use highwater_proto::kafka::messages::describe_quorum::{
    DescribeQuorumAskedPartition, DescribeQuorumAskedTopic, DescribeQuorumRequest,
};
use highwater_proto::kafka::messages::elect_leaders::{ElectLeadersRequest, ElectLeadersTopic};
use highwater_proto::kafka::messages::list_partition_reassignments as reassigning;
use highwater_proto::kafka::messages::sasl_authenticate::SaslAuthenticateRequest;
use highwater_proto::kafka::messages::sasl_handshake::SaslHandshakeRequest;

use crate::disk::FaultyFs;
use crate::kit::{PRODUCE, Rig, START, batch, produce};

fn log_dir(rig: &Rig, topics: Option<&[(&'static str, &[i32])]>) -> DescribeLogDirsResult {
    let asked = |(topic, partitions): &(&'static str, &[i32])| DescribeLogDirsAskedTopic {
        topic: Str::from_static(topic),
        partitions: partitions.to_vec(),
    };
    let topics = topics.map(|topics| topics.iter().map(asked).collect());
    let answer = rig.client().call(4, DescribeLogDirsRequest { topics });
    assert_eq!((answer.error_code, answer.results.len()), (0, 1));
    answer.results.into_iter().next().unwrap()
}

/// Topic, partition and size.
fn sizes(dir: &DescribeLogDirsResult) -> Vec<(&str, i32, i64)> {
    let topics = dir.topics.iter();
    let all = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|one| {
            assert_eq!((one.offset_lag, one.is_future_key), (0, false));
            (topic.name.as_str(), one.index, one.partition_size)
        })
    });
    all.collect()
}

#[test]
fn the_log_directory_is_told_with_real_sizes() {
    let rig = Rig::new();
    rig.topic("u", 1);
    rig.topic("t", 2);
    let bytes = batch(&["a", "b"]);
    for _ in 0..3 {
        rig.client().call(PRODUCE, produce("t", -1, bytes.clone()));
    }
    let written = i64::try_from(3 * bytes.len()).unwrap();
    let all = log_dir(&rig, None);
    assert_eq!((all.error_code, all.log_dir.as_str()), (0, "/data"));
    assert_eq!(
        (all.total_bytes, all.usable_bytes),
        (-1, -1),
        "memory does not tell its size"
    );
    assert_eq!(sizes(&all), [("t", 0, written), ("t", 1, 0), ("u", 0, 0)]);
    let some = log_dir(
        &rig,
        Some(&[("t", &[0, 7, 0]), ("none", &[0]), ("u", &[5])]),
    );
    assert_eq!(
        sizes(&some),
        [("t", 0, written)],
        "what is unknown is left out"
    );
    assert_eq!(sizes(&log_dir(&rig, Some(&[]))), []);
    // Old versions have no error of their own and no sizes of the disk.
    let request = DescribeLogDirsRequest { topics: None };
    let old = rig.client().call(1, request).results.remove(0);
    assert_eq!(sizes(&old), sizes(&all));
}

/// A disk in memory of a known size.
#[derive(Debug)]
struct SizedFs(MemFs);

#[rustfmt::skip]
impl Fs for SizedFs {
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> { self.0.list(dir) }
    fn create_dir(&self, dir: &Path) -> std::io::Result<()> { self.0.create_dir(dir) }
    fn create(&self, path: &Path) -> std::io::Result<Arc<dyn File>> { self.0.create(path) }
    fn open(&self, path: &Path, mode: OpenMode) -> std::io::Result<Arc<dyn File>> {
        self.0.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> { self.0.rename(from, to) }
    fn remove(&self, path: &Path) -> std::io::Result<()> { self.0.remove(path) }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> { self.0.sync_dir(dir) }
    fn lock(&self, dir: &Path) -> std::io::Result<DirLock> { self.0.lock(dir) }
    fn free_bytes(&self, _: &Path) -> std::io::Result<u64> { Ok(1 << 40) }
    fn total_bytes(&self, _: &Path) -> std::io::Result<Option<u64>> { Ok(Some(u64::MAX)) }
}

#[test]
fn the_size_of_the_disk_is_told_where_it_has_one() {
    let disk = Arc::new(SizedFs(MemFs::new()));
    let rig = Rig::over(disk, Default::default());
    let dir = log_dir(&rig, None);
    assert_eq!((dir.total_bytes, dir.usable_bytes), (i64::MAX, 1 << 40));
}

#[test]
fn a_directory_that_failed_is_error_56() {
    let disk = FaultyFs::new(MemFs::new());
    let faults = Arc::clone(&disk.faults);
    let rig = Rig::over(Arc::new(disk), Default::default());
    rig.topic("t", 1);
    rig.client().call(PRODUCE, produce("t", -1, batch(&["a"])));
    assert_eq!(log_dir(&rig, None).error_code, 0);
    faults.syncs.store(true, Ordering::SeqCst);
    let refused = rig.client().call(PRODUCE, produce("t", -1, batch(&["a"])));
    assert_eq!(refused.topics[0].partitions[0].error_code, 56);
    let dir = log_dir(&rig, None);
    assert_eq!((dir.error_code, sizes(&dir)), (56, vec![]));
}

#[test]
fn a_partition_moves_to_no_other_directory() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let moves = |path: &'static str, name: &'static str| {
        let topic = AlterReplicaLogDirTopic {
            name: name.into(),
            partitions: vec![0, 9],
        };
        AlterReplicaLogDir {
            path: path.into(),
            topics: vec![topic],
        }
    };
    let request = AlterReplicaLogDirsRequest {
        dirs: vec![
            moves("/data", "t"),
            moves("/elsewhere", "t"),
            moves("/data", "none"),
        ],
    };
    let answer = rig.client().call(2, request);
    let results: Vec<_> = answer
        .results
        .iter()
        .map(|topic| {
            let errors = topic.partitions.iter().map(|one| one.error_code);
            (topic.topic_name.as_str(), errors.collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(
        results,
        [("t", vec![0, 3]), ("t", vec![57, 57]), ("none", vec![3, 3])]
    );
}

#[test]
fn no_leader_is_elected() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let elect = |version, election_type, topics: Option<&[&'static str]>| {
        let topic = |name: &&'static str| ElectLeadersTopic {
            topic: Str::from_static(name),
            partitions: vec![0, 1],
        };
        let request = ElectLeadersRequest {
            election_type,
            topic_partitions: topics.map(|topics| topics.iter().map(topic).collect()),
            ..ElectLeadersRequest::default()
        };
        let answer = rig.client().call(version, request);
        let topics = answer.replica_election_results.iter();
        let errors: Vec<i16> = topics
            .flat_map(|topic| &topic.partitions)
            .map(|one| {
                assert!(one.error_message.is_some());
                one.error_code
            })
            .collect();
        (answer.error_code, errors)
    };
    for (version, kind) in [(0, 0), (1, 0), (2, 1)] {
        assert_eq!(
            elect(version, kind, Some(&["t", "none"])),
            (0, vec![84, 3, 3, 3])
        );
    }
    assert_eq!(elect(2, 0, None), (0, vec![]), "all that need one are none");
    assert_eq!(elect(2, 2, Some(&["t"])), (42, vec![]));
}

#[test]
fn no_partition_moves_to_another_broker() {
    let rig = Rig::new();
    rig.topic("t", 2);
    let asked = |index, replicas: Option<&[i32]>| ReassignablePartition {
        index,
        replicas: replicas.map(<[i32]>::to_vec),
    };
    let topic = ReassignableTopic {
        name: "t".into(),
        partitions: vec![
            asked(0, None),
            asked(0, Some(&[1])),
            asked(1, Some(&[2])),
            asked(1, Some(&[1, 2])),
            asked(1, Some(&[])),
            asked(2, None),
        ],
    };
    let other = ReassignableTopic {
        name: "none".into(),
        partitions: vec![asked(0, Some(&[1]))],
    };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![topic, other],
        ..AlterPartitionReassignmentsRequest::default()
    };
    let answer = rig.client().call(0, request);
    let topics = answer.responses.iter();
    let errors: Vec<i16> = topics
        .flat_map(|topic| topic.partitions.iter().map(|one| one.error_code))
        .collect();
    assert_eq!(answer.error_code, 0);
    assert_eq!(errors, [85, 0, 39, 39, 39, 3, 3]);
    let request = reassigning::ListPartitionReassignmentsRequest::default();
    let ongoing = rig.client().call(0, request);
    assert_eq!((ongoing.error_code, ongoing.topics.len()), (0, 0));
}

#[test]
fn quotas_are_not_found_and_not_taken() {
    let rig = Rig::new();
    let mut client = rig.client();
    let describe = |match_type| {
        let component = DescribeClientQuotasComponent {
            entity_type: "user".into(),
            match_type,
            name: None,
        };
        DescribeClientQuotasRequest {
            components: vec![component],
            strict: false,
        }
    };
    let found = client.call(1, describe(2));
    assert_eq!((found.error_code, found.entries), (0, Some(vec![])));
    let wrong = client.call(1, describe(3));
    assert_eq!((wrong.error_code, wrong.entries), (42, None));
    let request = AlterClientQuotasRequest {
        entries: vec![AlterClientQuotasEntry::default(); 2],
        validate_only: false,
    };
    let answer = client.call(1, request);
    let errors: Vec<i16> = answer.entries.iter().map(|one| one.error_code).collect();
    assert_eq!(errors, [35, 35]);
}

#[test]
fn access_lists_are_error_54() {
    let rig = Rig::new();
    let mut client = rig.client();
    let found = client.call(3, DescribeAclsRequest::default());
    assert_eq!((found.error_code, found.resources.len()), (54, 0));
    let request = CreateAclsRequest {
        creations: vec![AclCreation::default(); 2],
    };
    let results = client.call(3, request).results;
    let errors: Vec<i16> = results.iter().map(|one| one.error_code).collect();
    assert_eq!(errors, [54, 54]);
    let request = DeleteAclsRequest {
        filters: vec![DeleteAclsFilter::default(); 2],
    };
    let results = client.call(3, request).filter_results;
    let errors: Vec<i16> = results.iter().map(|one| one.error_code).collect();
    assert_eq!(errors, [54, 54]);
}

#[test]
fn without_sasl_nobody_shakes_hands() {
    let rig = Rig::new();
    let mut client = rig.client();
    for version in [0, 1] {
        let mechanism = "PLAIN".into();
        let answer = client.call(version, SaslHandshakeRequest { mechanism });
        assert_eq!((answer.error_code, answer.mechanisms.len()), (34, 0));
    }
    let answer = client.call(2, SaslAuthenticateRequest::default());
    assert_eq!(answer.error_code, 34);
    assert!(answer.error_message.is_some());
    // The connection goes on as it was.
    assert_eq!(
        client.call(0, DescribeClusterRequest::default()).error_code,
        0
    );
}

#[test]
fn the_quorum_is_this_broker() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let ask = |name: &'static str| DescribeQuorumAskedTopic {
        topic_name: name.into(),
        partitions: [0, 1]
            .map(|index| DescribeQuorumAskedPartition { index })
            .to_vec(),
    };
    let request = DescribeQuorumRequest {
        topics: vec![ask("__cluster_metadata"), ask("t")],
    };
    let answer = rig.client().call(2, request);
    let topics = answer.topics.iter();
    let errors: Vec<i16> = topics
        .flat_map(|topic| topic.partitions.iter().map(|one| one.error_code))
        .collect();
    assert_eq!(errors, [0, 3, 3, 3]);
    let quorum = &answer.topics[0].partitions[0];
    let end = rig.service.metadata_offsets().1.0;
    assert!(end > 0);
    assert_eq!((quorum.leader_id, quorum.leader_epoch), (1, 0));
    assert_eq!(quorum.high_watermark, end);
    assert_eq!(
        (quorum.current_voters.len(), quorum.observers.len()),
        (1, 0)
    );
    let voter = &quorum.current_voters[0];
    assert_eq!((voter.replica_id, voter.log_end_offset), (1, end));
    assert_eq!(voter.last_caught_up_timestamp, START.0);
    for version in [0, 1] {
        let topics = vec![ask("__cluster_metadata")];
        let old = rig.client().call(version, DescribeQuorumRequest { topics });
        assert_eq!(old.topics[0].partitions[0].leader_id, 1);
    }
    let node = &answer.nodes[0];
    assert_eq!(node.node_id, 1);
    assert_eq!(node.listeners[0].port, rig.address.port());
}

#[test]
fn only_brokers_can_be_asked_for() {
    let rig = Rig::new();
    for (endpoint_type, error) in [(1, 0), (2, 114), (0, 115), (3, 115)] {
        let request = DescribeClusterRequest {
            endpoint_type,
            ..DescribeClusterRequest::default()
        };
        let answer = rig.client().call(1, request);
        assert_eq!(answer.error_code, error, "{endpoint_type}");
    }
}
