//! Clients that do not know the password, or do not begin as they should.

use std::sync::Arc;

use highwater_broker::config::BrokerConfig;
use highwater_log::fs::mem::MemFs;
use highwater_proto::code::ErrorCode;
use highwater_proto::kafka::{APIS, ApiKey, Request};
use highwater_proto::sasl::scram::ClientBegun;
use highwater_proto::sasl::{Mechanism, ScramHash};

use crate::rig::{PASSWORD, Rig, USER, agree, authenticate, challenged, config, plain, works};

const FAILED: i16 = ErrorCode::SaslAuthenticationFailed.code();

#[test]
fn nothing_else_is_answered_before_the_proof() {
    let rig = Rig::new();
    let before = [
        ApiKey::ApiVersions,
        ApiKey::SaslHandshake,
        ApiKey::SaslAuthenticate,
    ];
    for api in APIS.iter().filter(|api| !before.contains(&api.key)) {
        for begin in [false, true] {
            let mut client = rig.client();
            if begin {
                agree(&mut client, "SCRAM-SHA-256");
            }
            let version = api.implemented.max;
            let request = every_default(api.key);
            let frame = request.encode_frame(version, 9, None).unwrap().into_bytes();
            client.write(&frame);
            assert!(client.is_closed(), "{}", api.name);
            let lines = client.lines();
            // So many lines are said in a minute.
            rig.clock.advance(std::time::Duration::from_secs(60));
            let expected = format!("a request of {} came before", api.name);
            assert!(
                lines.iter().any(|line| line.contains(&expected)),
                "{lines:?}"
            );
        }
    }
}

/// A request of each API, as small as it can be.
fn every_default(api: ApiKey) -> Request {
    use highwater_proto::kafka::messages as m;
    macro_rules! defaults {
        ($($api:ident: $module:ident::$request:ident),+ $(,)?) => {
            match api {
                $(ApiKey::$api => m::$module::$request::default().into(),)+
            }
        };
    }
    defaults! {
        Produce: produce::ProduceRequest,
        Fetch: fetch::FetchRequest,
        ListOffsets: list_offsets::ListOffsetsRequest,
        Metadata: metadata::MetadataRequest,
        OffsetCommit: offset_commit::OffsetCommitRequest,
        OffsetFetch: offset_fetch::OffsetFetchRequest,
        FindCoordinator: find_coordinator::FindCoordinatorRequest,
        JoinGroup: join_group::JoinGroupRequest,
        Heartbeat: heartbeat::HeartbeatRequest,
        LeaveGroup: leave_group::LeaveGroupRequest,
        SyncGroup: sync_group::SyncGroupRequest,
        DescribeGroups: describe_groups::DescribeGroupsRequest,
        ListGroups: list_groups::ListGroupsRequest,
        SaslHandshake: sasl_handshake::SaslHandshakeRequest,
        ApiVersions: api_versions::ApiVersionsRequest,
        CreateTopics: create_topics::CreateTopicsRequest,
        DeleteTopics: delete_topics::DeleteTopicsRequest,
        DeleteRecords: delete_records::DeleteRecordsRequest,
        InitProducerId: init_producer_id::InitProducerIdRequest,
        OffsetForLeaderEpoch: offset_for_leader_epoch::OffsetForLeaderEpochRequest,
        DescribeAcls: describe_acls::DescribeAclsRequest,
        CreateAcls: create_acls::CreateAclsRequest,
        DeleteAcls: delete_acls::DeleteAclsRequest,
        DescribeConfigs: describe_configs::DescribeConfigsRequest,
        AlterConfigs: alter_configs::AlterConfigsRequest,
        AlterReplicaLogDirs: alter_replica_log_dirs::AlterReplicaLogDirsRequest,
        DescribeLogDirs: describe_log_dirs::DescribeLogDirsRequest,
        SaslAuthenticate: sasl_authenticate::SaslAuthenticateRequest,
        CreatePartitions: create_partitions::CreatePartitionsRequest,
        DeleteGroups: delete_groups::DeleteGroupsRequest,
        ElectLeaders: elect_leaders::ElectLeadersRequest,
        IncrementalAlterConfigs: incremental_alter_configs::IncrementalAlterConfigsRequest,
        AlterPartitionReassignments:
            alter_partition_reassignments::AlterPartitionReassignmentsRequest,
        ListPartitionReassignments:
            list_partition_reassignments::ListPartitionReassignmentsRequest,
        OffsetDelete: offset_delete::OffsetDeleteRequest,
        DescribeClientQuotas: describe_client_quotas::DescribeClientQuotasRequest,
        AlterClientQuotas: alter_client_quotas::AlterClientQuotasRequest,
        DescribeUserScramCredentials:
            describe_user_scram_credentials::DescribeUserScramCredentialsRequest,
        AlterUserScramCredentials:
            alter_user_scram_credentials::AlterUserScramCredentialsRequest,
        DescribeQuorum: describe_quorum::DescribeQuorumRequest,
        DescribeCluster: describe_cluster::DescribeClusterRequest,
        ListConfigResources: list_config_resources::ListConfigResourcesRequest,
        DescribeTopicPartitions: describe_topic_partitions::DescribeTopicPartitionsRequest,
    }
}

/// What a client is told of a proof that is wrong: code, words and token.
fn told(rig: &Rig, user: &str, hash: ScramHash) -> (i16, String, Vec<u8>) {
    let mut client = rig.client();
    let (last, _) = challenged(&mut client, hash, user, "not the password");
    let answer = client.call(2, authenticate(last));
    assert!(client.is_closed());
    let lines = client.lines();
    let expected = format!("the user {user} does not exist, or the password is wrong");
    assert!(
        lines.iter().any(|line| line.contains(&expected)),
        "{lines:?}"
    );
    let token = answer.auth_bytes.0.to_vec();
    (
        answer.error_code,
        answer.error_message.unwrap().into(),
        token,
    )
}

#[test]
fn an_unknown_user_cannot_be_told_from_a_wrong_password() {
    let rig = Rig::new();
    for hash in ScramHash::ALL {
        let known = told(&rig, USER, hash);
        let message = format!(
            "Authentication failed during authentication due to invalid credentials with SASL \
             mechanism {}",
            hash.mechanism()
        );
        assert_eq!(known, (FAILED, message, Vec::new()));
        assert_eq!(told(&rig, "nobody", hash), known);
    }
    let told = |user: &str| {
        let mut client = rig.client();
        assert_eq!(agree(&mut client, "PLAIN").error_code, 0);
        let answer = client.call(2, authenticate(plain(user, "not the password")));
        assert!(client.is_closed());
        (answer.error_code, answer.error_message)
    };
    assert_eq!(told(USER), told("nobody"));
    assert_eq!(told(USER).0, FAILED);
}

/// The salt and the iterations that a client is told, of a user that may not exist.
fn challenge(rig: &Rig, user: &str) -> String {
    let mut client = rig.client();
    assert_eq!(agree(&mut client, "SCRAM-SHA-256").error_code, 0);
    let (first, _) = ClientBegun::begin(ScramHash::Sha256, user, "x", "nonce").unwrap();
    let answer = client.call(2, authenticate(first));
    let text = String::from_utf8(answer.auth_bytes.0.to_vec()).unwrap();
    let (nonce, rest) = text.split_once(",s=").unwrap();
    assert!(nonce.starts_with("r=nonce") && nonce.len() == "r=nonce".len() + 32);
    rest.to_owned()
}

#[test]
fn the_challenge_of_an_unknown_user_stays_over_a_restart_and_looks_real() {
    let disk = MemFs::new();
    let rig = Rig::over(Arc::new(disk.clone()), config());
    rig.add(USER, PASSWORD);
    let (known, unknown) = (challenge(&rig, USER), challenge(&rig, "nobody"));
    assert_ne!(unknown, challenge(&rig, "nobody2"));
    assert_eq!(unknown, challenge(&rig, "nobody"));
    let parts = |text: &str| {
        let (salt, iterations) = text.split_once(",i=").unwrap();
        (salt.len(), iterations.to_owned())
    };
    let ((_, asked), (salt_bytes, made_up)) = (parts(&known), parts(&unknown));
    assert_eq!(asked, made_up);
    // In base64, and as those of real users: up to 26 digits of a number whose first ones may be
    // zeros, which are left out. Fewer than 16 are left once in 36 to the 10.
    assert!((24..=36).contains(&salt_bytes), "{unknown}");
    rig.broker.shutdown_blocking().unwrap();
    drop(rig);
    let rig = Rig::over(Arc::new(disk), config());
    assert_eq!(challenge(&rig, USER), known);
    assert_eq!(challenge(&rig, "nobody"), unknown);
}

#[test]
fn a_wrong_proof_is_answered_after_a_delay_and_not_before() {
    let mut slow = config();
    slow.connection_failed_authentication_delay_ms = 100;
    let rig = Rig::with(slow);
    let mut client = rig.client();
    let (last, _) = challenged(&mut client, ScramHash::Sha256, USER, "wrong");
    rig.until_open(1);
    let sleepers = rig.clock.sleepers_count();
    client.send(2, authenticate(last));
    crate::kit::until(|| rig.clock.sleepers_count() > sleepers);
    rig.clock.advance(std::time::Duration::from_millis(99));
    client.stream.set_nonblocking(true).unwrap();
    let error = client.stream.peek(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    // It still waits.
    assert_eq!(rig.clock.sleepers_count(), sleepers + 1);
    client.stream.set_nonblocking(false).unwrap();
    rig.clock.advance(std::time::Duration::from_millis(1));
    let frame = client.receive_frame();
    assert_eq!(&frame[5..7], FAILED.to_be_bytes());
    assert!(client.is_closed());
}

#[test]
fn a_mechanism_that_is_not_offered_is_refused_with_those_that_are() {
    let rig = Rig::with(BrokerConfig::default());
    let lists = |mechanism: &'static str, expected: &str| {
        let mut client = rig.client();
        let agreed = agree(&mut client, mechanism);
        let unsupported = ErrorCode::UnsupportedSaslMechanism.code();
        assert_eq!(agreed.error_code, unsupported, "{mechanism}");
        let names: Vec<&str> = agreed.mechanisms.iter().map(|name| &**name).collect();
        assert_eq!(names, ["SCRAM-SHA-256", "SCRAM-SHA-512"]);
        assert!(client.is_closed());
        let lines = client.lines();
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{lines:?}"
        );
    };
    lists(
        "GSSAPI",
        "sasl.enabled.mechanisms is SCRAM-SHA-256,SCRAM-SHA-512",
    );
    lists("", "the client asked for the mechanism \"\"");
    lists("PLAIN", "the client asked for the mechanism \"PLAIN\"");
}

#[test]
fn plain_is_refused_where_everybody_can_read_the_password() {
    let mut strict = config();
    strict.set("allow.plaintext.password", "false").unwrap();
    let rig = Rig::with(strict);
    let mut client = rig.client();
    let agreed = agree(&mut client, "PLAIN");
    assert_eq!(
        agreed.error_code,
        ErrorCode::UnsupportedSaslMechanism.code()
    );
    let names: Vec<&str> = agreed.mechanisms.iter().map(|name| &**name).collect();
    assert_eq!(names, ["SCRAM-SHA-256", "SCRAM-SHA-512"]);
    assert!(client.is_closed());
    let lines = client.lines();
    let expected = "PLAIN is refused on a connection that is not encrypted";
    assert!(
        lines.iter().any(|line| line.contains(expected)),
        "{lines:?}"
    );
}

#[test]
fn tokens_come_after_one_handshake() {
    let rig = Rig::new();
    let illegal = ErrorCode::IllegalSaslState.code();
    let mut client = rig.client();
    let answer = client.call(2, authenticate(plain(USER, PASSWORD)));
    assert_eq!(answer.error_code, illegal);
    assert!(client.is_closed());
    let mut client = rig.client();
    assert_eq!(agree(&mut client, "PLAIN").error_code, 0);
    assert_eq!(agree(&mut client, "PLAIN").error_code, illegal);
    assert!(client.is_closed());
}

#[test]
fn what_is_no_token_is_refused_as_a_wrong_password_is() {
    let rig = Rig::new();
    let tokens: [(&'static str, &[u8]); 6] = [
        ("PLAIN", b""),
        ("PLAIN", b"alice"),
        ("PLAIN", b"bob\0alice\0alice-secret"),
        ("SCRAM-SHA-256", b""),
        ("SCRAM-SHA-256", b"p=tls-unique,,n=alice,r=nonce"),
        ("SCRAM-SHA-512", &[0xff; 100]),
    ];
    for (mechanism, token) in tokens {
        let mut client = rig.client();
        assert_eq!(agree(&mut client, mechanism).error_code, 0);
        let answer = client.call(2, authenticate(token.to_vec()));
        assert_eq!(answer.error_code, FAILED);
        let message = answer.error_message.unwrap();
        assert!(message.contains("invalid credentials"), "{message:?}");
        assert!(client.is_closed());
        rig.clock.advance(std::time::Duration::from_secs(1));
    }
}

#[test]
fn no_log_holds_a_password() {
    let rig = Rig::new();
    let mut client = rig.client();
    assert_eq!(agree(&mut client, "PLAIN").error_code, 0);
    client.call(2, authenticate(plain(USER, "Tr0ub4dor")));
    assert!(client.is_closed());
    let lines = client.lines();
    assert!(!lines.is_empty());
    assert!(
        lines.iter().all(|line| !line.contains("Tr0ub4dor")),
        "{lines:?}"
    );
}

#[test]
fn after_a_failure_another_connection_of_the_same_client_is_let_in() {
    let rig = Rig::new();
    let mut client = rig.client();
    let (last, _) = challenged(&mut client, ScramHash::Sha256, USER, "wrong");
    assert_eq!(client.call(2, authenticate(last)).error_code, FAILED);
    assert!(works(&mut rig.proved()));
}

#[test]
fn failed_logins_are_counted_by_their_mechanism() {
    let rig = Rig::new();
    let metrics = rig.broker.service().metrics();
    let failed = || Mechanism::ALL.map(|mechanism| metrics.failed_logins.of(mechanism).value());
    rig.proved();
    assert_eq!(failed(), [0, 0, 0]);
    let mut client = rig.client();
    assert_eq!(agree(&mut client, "PLAIN").error_code, 0);
    let answer = client.call(2, authenticate(plain(USER, "wrong")));
    assert_ne!(answer.error_code, 0);
    assert_eq!(failed(), [1, 0, 0]);
    for _ in 0..2 {
        let mut client = rig.client();
        let (last, _) = challenged(&mut client, ScramHash::Sha512, USER, "wrong");
        assert_ne!(client.call(2, authenticate(last)).error_code, 0);
    }
    assert_eq!(failed(), [1, 0, 2]);
}
