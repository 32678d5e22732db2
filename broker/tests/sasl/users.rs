//! Users over the wire: set, described, deleted, and there again after a restart and a crash.

use std::sync::Arc;

use highwater_log::fs::mem::MemFs;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use highwater_proto::kafka::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsUser,
};
use highwater_proto::sasl::ScramHash;

use crate::kit::Client;
use crate::rig::{PASSWORD, Rig, USER, authenticate, challenged, config, prove, upsertion, works};

fn alter(
    client: &mut Client,
    deletions: &[(&str, i8)],
    upsertions: Vec<ScramCredentialUpsertion>,
) -> Vec<(String, i16)> {
    let deletion = |(name, mechanism): &(&str, i8)| ScramCredentialDeletion {
        name: Str::from((*name).to_owned()),
        mechanism: *mechanism,
    };
    let request = AlterUserScramCredentialsRequest {
        deletions: deletions.iter().map(deletion).collect(),
        upsertions,
    };
    let answer = client.call(0, request);
    let results = answer.results.into_iter();
    results
        .map(|result| {
            assert_eq!(result.error_code == 0, result.error_message.is_none());
            (result.user.into(), result.error_code)
        })
        .collect()
}

fn describe(client: &mut Client, names: Option<&[&str]>) -> DescribeUserScramCredentialsResponse {
    let user = |name: &&str| DescribeUserScramCredentialsUser {
        name: Str::from((*name).to_owned()),
    };
    let users = names.map(|names| names.iter().map(user).collect());
    client.call(0, DescribeUserScramCredentialsRequest { users })
}

/// A user with its error, and its mechanisms and iterations.
#[derive(Clone, Debug, PartialEq)]
struct Seen(String, i16, Vec<(i8, i32)>);

/// The users as they are described.
fn described(client: &mut Client, names: Option<&[&str]>) -> Vec<Seen> {
    let results = describe(client, names).results.into_iter();
    results
        .map(|result| {
            let infos = result.credential_infos.iter();
            let infos = infos.map(|info| (info.mechanism, info.iterations));
            Seen(result.user.into(), result.error_code, infos.collect())
        })
        .collect()
}

#[test]
fn users_are_set_described_and_deleted() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.open);
    let mut many = upsertion("bob", ScramHash::Sha512, "x");
    many.iterations = 9000;
    let done = alter(&mut client, &[], vec![many]);
    assert_eq!(done, [("bob".to_owned(), 0)]);
    let alice = Seen(USER.to_owned(), 0, vec![(1, 4096), (2, 4096)]);
    let bob = Seen("bob".to_owned(), 0, vec![(2, 9000)]);
    for all in [None, Some(&[][..])] {
        assert_eq!(described(&mut client, all), [alice.clone(), bob.clone()]);
    }
    let unknown = ErrorCode::ResourceNotFound.code();
    let twice = ErrorCode::DuplicateResource.code();
    assert_eq!(
        described(&mut client, Some(&["bob", "x", "x", "eve"])),
        [
            bob,
            Seen("x".to_owned(), twice, Vec::new()),
            Seen("eve".to_owned(), unknown, Vec::new())
        ]
    );
    // What is changed together is done for each user by itself.
    let done = alter(
        &mut client,
        &[(USER, 1), ("eve", 1), ("bob", 3)],
        Vec::new(),
    );
    let unsupported = ErrorCode::UnsupportedSaslMechanism.code();
    assert_eq!(
        done,
        [
            (USER.to_owned(), 0),
            ("eve".to_owned(), unknown),
            ("bob".to_owned(), unsupported)
        ]
    );
    assert_eq!(described(&mut client, Some(&[USER]))[0].2, [(2, 4096)]);
}

#[test]
fn a_credential_that_cannot_be_right_is_refused_and_says_why() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.open);
    let unacceptable = ErrorCode::UnacceptableCredential.code();
    let with = |change: fn(&mut ScramCredentialUpsertion)| {
        let mut upsertion = upsertion("bob", ScramHash::Sha256, "x");
        change(&mut upsertion);
        upsertion
    };
    for wrong in [
        with(|it| it.iterations = 4095),
        with(|it| it.iterations = 100_001),
        with(|it| it.salt = bytes::Bytes::new()),
        with(|it| it.salted_password = vec![1; 31].into()),
        with(|it| it.name = Str::default()),
    ] {
        let done = alter(&mut client, &[], vec![wrong]);
        assert_eq!(done[0].1, unacceptable);
    }
    assert_eq!(described(&mut client, None).len(), 1);
}

#[test]
fn a_deleted_user_and_an_old_password_are_let_in_no_more() {
    let rig = Rig::new();
    let mut open = Client::connect(rig.open);
    let mut before = rig.proved();
    rig.add(USER, "another");
    let mut client = rig.client();
    let (last, _) = challenged(&mut client, ScramHash::Sha256, USER, PASSWORD);
    assert_ne!(client.call(2, authenticate(last)).error_code, 0);
    let new = prove(&mut rig.client(), ScramHash::Sha256, USER, "another");
    assert_eq!(new.unwrap().error_code, 0);
    alter(&mut open, &[(USER, 1)], Vec::new());
    let mut client = rig.client();
    let (last, _) = challenged(&mut client, ScramHash::Sha256, USER, "another");
    assert_ne!(client.call(2, authenticate(last)).error_code, 0);
    // As in Kafka, where sessions do not expire.
    assert!(works(&mut before));
}

#[test]
fn users_are_there_after_a_restart_and_after_a_crash() {
    let disk = MemFs::new();
    let open = || Rig::over(Arc::new(disk.clone()), config());
    let rig = open();
    rig.add(USER, PASSWORD);
    rig.broker.shutdown_blocking().unwrap();
    drop(rig);
    let rig = open();
    assert!(works(&mut rig.proved()));
    rig.add("bob", "x");
    let broker = Arc::new(rig.broker);
    let crashing = Arc::clone(&broker);
    broker
        .handle()
        .clone()
        .spawn(async move { crashing.crash().await });
    crate::kit::until(|| Arc::strong_count(&broker) == 1);
    drop(broker);
    let rig = open();
    assert!(works(&mut rig.proved()));
    let bob = prove(&mut rig.client(), ScramHash::Sha512, "bob", "x");
    assert_eq!(bob.unwrap().error_code, 0);
}
