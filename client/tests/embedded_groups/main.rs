//! Groups against a real broker in this process: handed over typed, and over TCP.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

mod cooperative;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_client::{
    AssignmentStrategy, Client, ClientError, CommittedOffset, Consumer, ConsumerConfig, ErrorCode,
    NewTopic, OffsetReset, OffsetSpec, ProducerConfig, Record,
};

/// Runs a test on both ways to a broker, each with one of its own.
fn both<F: Future<Output = ()>>(test: impl Fn(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let start = || {
        let broker = Broker::builder().in_memory().config(short_sessions());
        let broker = broker.start();
        let broker = Arc::new(broker.unwrap());
        broker.listen_kafka("127.0.0.1:0").unwrap();
        broker
    };
    let broker = start();
    let sessions = broker.sessions();
    runtime.block_on(test(Client::in_process(sessions)));
    let broker = start();
    let servers = broker.bootstrap_servers();
    runtime.block_on(async { test(Client::connect(&servers).await.unwrap()).await });
}

/// A broker that takes members with sessions of 100 ms.
fn short_sessions() -> BrokerConfig {
    BrokerConfig {
        group_min_session_timeout_ms: 100,
        ..BrokerConfig::default()
    }
}

async fn topic(client: &Client, name: &str, partitions: i32) {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        ..Default::default()
    };
    client.admin().create_topic(&topic).await.unwrap();
}

/// Produces so many records into each partition.
async fn fill(client: &Client, topic: &str, partitions: i32, count: i64) {
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for number in 0..count {
        for partition in 0..partitions {
            let record = Record::to(topic).partition(partition);
            producer
                .send(record.value(number.to_string()))
                .await
                .unwrap();
        }
    }
    producer.flush().await;
}

fn member(client: &Client, group: &str) -> Consumer {
    client.consumer(ConsumerConfig {
        group_id: Some(group.to_owned()),
        heartbeat_interval_ms: 20,
        session_timeout_ms: 10_000,
        auto_offset_reset: OffsetReset::Earliest,
        ..ConsumerConfig::default()
    })
}

/// Polls all of them until each owns what is expected of it; gives what they got.
async fn settle(consumers: &mut [Consumer], expected: &[usize]) -> Vec<(i32, i64)> {
    let mut records = Vec::new();
    let mut polls_left = 3_000;
    while !consumers
        .iter()
        .map(|it| it.assignment().len())
        .eq(expected.iter().copied())
    {
        assert!(polls_left > 0, "they do not settle");
        polls_left -= 1;
        for consumer in consumers.iter_mut() {
            let got = consumer.poll(Duration::from_millis(5)).await.unwrap();
            records.extend(got.iter().map(|record| (record.partition, record.offset)));
        }
    }
    let owned: BTreeSet<_> = consumers.iter().flat_map(Consumer::assignment).collect();
    assert_eq!(
        owned.len(),
        expected.iter().sum::<usize>(),
        "each partition has one owner"
    );
    records
}

#[test]
fn members_share_commit_and_take_over() {
    both(|client| async move {
        topic(&client, "t", 4).await;
        fill(&client, "t", 4, 50).await;
        let mut members = vec![member(&client, "g")];
        members[0].subscribe(["t"]).unwrap();
        let mut records = settle(&mut members, &[4]).await;
        members.push(member(&client, "g"));
        members[1].subscribe(["t"]).unwrap();
        records.extend(settle(&mut members, &[2, 2]).await);

        let described = client.admin().describe_group("g").await.unwrap();
        assert_eq!(
            (described.state.as_str(), described.protocol.as_str()),
            ("Stable", "range")
        );
        assert_eq!(described.members.len(), 2);
        for member in &described.members {
            assert_eq!(
                (member.subscription.as_slice(), member.assignment.len()),
                (&["t".to_owned()][..], 2)
            );
        }
        let listed = client.admin().list_groups().await.unwrap();
        assert_eq!(
            (listed[0].group.as_str(), listed[0].state.as_str()),
            ("g", "Stable")
        );
        assert_eq!(listed[0].protocol_type, "consumer");

        members
            .remove(0)
            .close(Duration::from_secs(60))
            .await
            .result()
            .unwrap();
        records.extend(settle(&mut members, &[4]).await);
        while records.len() < 200 {
            let got = members[0].poll(Duration::from_secs(60)).await.unwrap();
            records.extend(got.iter().map(|record| (record.partition, record.offset)));
        }
        let different: BTreeSet<_> = records.iter().copied().collect();
        assert_eq!(
            (different.len(), records.len()),
            (200, 200),
            "each record once"
        );
        members
            .remove(0)
            .close(Duration::from_secs(60))
            .await
            .result()
            .unwrap();
        let offsets = client.admin().group_offsets("g", None).await.unwrap();
        let is_at_end = |it: &CommittedOffset| it.offset == 50 && it.leader_epoch == Some(0);
        assert!(
            offsets.iter().all(is_at_end) && offsets.len() == 4,
            "{offsets:?}"
        );
    });
}

#[test]
fn what_a_dead_member_had_is_taken_over() {
    both(|client| async move {
        topic(&client, "t", 2).await;
        // Its tasks end with its runtime, without a word to the coordinator.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let mut mortal = client.consumer(ConsumerConfig {
            group_id: Some("g".to_owned()),
            heartbeat_interval_ms: 50,
            session_timeout_ms: 300,
            ..ConsumerConfig::default()
        });
        let joined = runtime.spawn(async move {
            mortal.subscribe(["t"]).unwrap();
            let mut members = [mortal];
            settle(&mut members, &[2]).await;
            members
        });
        let dead = joined.await.unwrap();
        runtime.shutdown_background();
        let mut members = [member(&client, "g")];
        members[0].subscribe(["t"]).unwrap();
        settle(&mut members, &[2]).await;
        assert_ne!(members[0].group_metadata(), dead[0].group_metadata());
    });
}

#[test]
fn who_does_not_poll_is_replaced_and_may_come_back() {
    both(|client| async move {
        topic(&client, "t", 2).await;
        let mut members = vec![client.consumer(ConsumerConfig {
            group_id: Some("g".to_owned()),
            heartbeat_interval_ms: 20,
            max_poll_interval_ms: 200,
            ..ConsumerConfig::default()
        })];
        members[0].subscribe(["t"]).unwrap();
        settle(&mut members, &[2]).await;
        let slow = members.remove(0);
        members.push(member(&client, "g"));
        members[0].subscribe(["t"]).unwrap();
        settle(&mut members, &[2]).await;
        members.push(slow);
        settle(&mut members, &[1, 1]).await;
    });
}

#[test]
fn twelve_members_and_a_different_strategy_agree() {
    both(|client| async move {
        topic(&client, "a", 6).await;
        topic(&client, "b", 6).await;
        let mut members = Vec::new();
        for _ in 0..12 {
            let mut member = client.consumer(ConsumerConfig {
                group_id: Some("g".to_owned()),
                heartbeat_interval_ms: 20,
                partition_assignment_strategy: vec![
                    AssignmentStrategy::RoundRobin,
                    AssignmentStrategy::Range,
                ],
                ..ConsumerConfig::default()
            });
            member.subscribe(["a", "b"]).unwrap();
            members.push(member);
        }
        settle(&mut members, &[1; 12]).await;
        let described = client.admin().describe_group("g").await.unwrap();
        assert_eq!(described.protocol, "roundrobin");
    });
}

#[test]
fn offsets_are_seen_changed_and_deleted_from_outside() {
    both(|client| async move {
        let admin = client.admin();
        topic(&client, "t", 3).await;
        fill(&client, "t", 3, 10).await;
        assert_eq!(admin.group_offsets("none", None).await.unwrap(), []);
        assert!(!admin.describe_group("none").await.unwrap().exists());
        let offset = |partition, offset| CommittedOffset {
            topic: "t".to_owned(),
            partition,
            offset,
            leader_epoch: Some(0),
            metadata: format!("note {partition}"),
        };
        let offsets = [offset(0, 3), offset(2, 7)];
        admin.alter_group_offsets("g", &offsets).await.unwrap();
        assert_eq!(admin.group_offsets("g", None).await.unwrap(), offsets);
        let some = admin
            .group_offsets("g", Some(&[("t", 1), ("t", 2)]))
            .await
            .unwrap();
        assert_eq!(some, [offset(2, 7)]);
        let error = admin
            .alter_group_offsets("g", &[offset(9, 0)])
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));

        let mut members = vec![member(&client, "g")];
        members[0].subscribe(["t"]).unwrap();
        let mut starts = HashMap::new();
        while starts.len() < 3 {
            for record in members[0].poll(Duration::from_secs(60)).await.unwrap() {
                starts.entry(record.partition).or_insert(record.offset);
            }
        }
        assert_eq!(starts, HashMap::from([(0, 3), (1, 0), (2, 7)]));
        let code = |result: Result<(), ClientError>| result.unwrap_err().code();
        assert_eq!(
            code(admin.alter_group_offsets("g", &offsets).await),
            Some(ErrorCode::UnknownMemberId)
        );
        assert_eq!(
            code(admin.delete_group("g").await),
            Some(ErrorCode::NonEmptyGroup)
        );
        assert_eq!(
            code(admin.delete_group_offsets("g", &[("t", 0)]).await),
            Some(ErrorCode::GroupSubscribedToTopic)
        );
        members
            .remove(0)
            .close(Duration::from_secs(60))
            .await
            .result()
            .unwrap();
        admin.delete_group_offsets("g", &[("t", 0)]).await.unwrap();
        assert_eq!(admin.group_offsets("g", None).await.unwrap().len(), 2);
        admin.delete_group("g").await.unwrap();
        assert_eq!(
            code(admin.delete_group("g").await),
            Some(ErrorCode::GroupIdNotFound)
        );
        assert_eq!(admin.list_groups().await.unwrap(), []);
    });
}

#[test]
fn offsets_of_many_partitions_are_found_at_once_and_create_nothing() {
    both(|client| async move {
        let admin = client.admin();
        topic(&client, "t", 3).await;
        fill(&client, "t", 3, 5).await;
        let asked = [
            ("t", 2, OffsetSpec::Latest),
            ("t", 2, OffsetSpec::Earliest),
            ("t", 0, OffsetSpec::Latest),
            ("t", 1, OffsetSpec::Timestamp(i64::MAX / 2)),
        ];
        let found = admin.offsets(&asked).await.unwrap();
        let offsets: Vec<_> = found.iter().map(|it| (it.partition, it.offset)).collect();
        assert_eq!(
            offsets,
            [(2, Some(5)), (2, Some(0)), (0, Some(5)), (1, None)]
        );
        assert_eq!(admin.offsets(&[]).await.unwrap(), []);
        for missing in [("none", 0), ("t", 3)] {
            let error = admin
                .offset(missing.0, missing.1, OffsetSpec::Latest)
                .await
                .unwrap_err();
            assert_eq!(
                error.code(),
                Some(ErrorCode::UnknownTopicOrPartition),
                "{missing:?}"
            );
        }
        assert_eq!(admin.list_topics().await.unwrap().len(), 1);
        let sizes = admin.partition_sizes("t").await.unwrap();
        assert!(
            sizes.len() == 3 && sizes.values().all(|size| *size > 0),
            "{sizes:?}"
        );
    });
}

#[test]
fn a_static_member_that_comes_back_gets_its_partitions_without_a_rebalance() {
    both(|client| async move {
        topic(&client, "t", 4).await;
        let named = |name: &str| ConsumerConfig {
            group_id: Some("g".to_owned()),
            group_instance_id: Some(name.to_owned()),
            heartbeat_interval_ms: 20,
            ..ConsumerConfig::default()
        };
        let mut members = vec![client.consumer(named("one")), client.consumer(named("two"))];
        for member in &mut members {
            member.subscribe(["t"]).unwrap();
        }
        settle(&mut members, &[2, 2]).await;
        let before = members[1].group_metadata().unwrap();
        let partitions = members[1].assignment();
        members
            .remove(1)
            .close(Duration::from_secs(60))
            .await
            .result()
            .unwrap();
        members.push(client.consumer(named("two")));
        members[1].subscribe(["t"]).unwrap();
        settle(&mut members, &[2, 2]).await;
        let after = members[1].group_metadata().unwrap();
        assert_eq!(
            (after.generation, members[1].assignment()),
            (before.generation, partitions)
        );
        assert_ne!(after.member_id, before.member_id);

        // Another process with the same name takes over; the one before is told so.
        let mut thief = client.consumer(named("one"));
        thief.subscribe(["t"]).unwrap();
        let mut fenced = Ok(Vec::new());
        while fenced.is_ok() {
            thief.poll(Duration::from_millis(5)).await.unwrap();
            members[1].poll(Duration::from_millis(5)).await.unwrap();
            fenced = members[0].poll(Duration::from_millis(5)).await;
        }
        assert_eq!(
            fenced.unwrap_err().code(),
            Some(ErrorCode::FencedInstanceId)
        );
        assert_eq!(members[0].assignment(), []);
    });
}

#[test]
fn members_go_on_when_their_broker_comes_back() {
    use highwater_log::fs::mem::MemFs;
    use std::sync::Mutex;
    let fs = Arc::new(MemFs::new());
    let start = || {
        let broker = Broker::builder().config(short_sessions());
        broker.fs(Arc::clone(&fs) as _, "/data").start().unwrap()
    };
    let broker = Arc::new(Mutex::new(Some(start())));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let current = Arc::clone(&broker);
    let closed = Arc::new(Mutex::new(None));
    let client = Client::in_process(move || match &*current.lock().unwrap() {
        Some(broker) => {
            let session = broker.exchange();
            *closed.lock().unwrap() = Some(Arc::clone(&session));
            session
        }
        // Between the two brokers: a session of the one that is gone.
        None => closed
            .lock()
            .unwrap()
            .clone()
            .expect("a session was opened before"),
    });
    runtime.block_on(async {
        topic(&client, "t", 2).await;
        fill(&client, "t", 2, 10).await;
        let mut members = vec![member(&client, "g"), member(&client, "g")];
        for member in &mut members {
            member.subscribe(["t"]).unwrap();
        }
        let mut records = settle(&mut members, &[1, 1]).await;
        while records.len() < 20 {
            for member in &mut members {
                let got = member.poll(Duration::from_millis(5)).await.unwrap();
                records.extend(got.iter().map(|record| (record.partition, record.offset)));
            }
        }
        members[0].commit().await.unwrap();
        members[1].commit().await.unwrap();
        let generation = members[0].group_metadata().unwrap().generation;
        let old = broker.lock().unwrap().take().unwrap();
        old.shutdown().await.unwrap();
        drop(old);
        *broker.lock().unwrap() = Some(start());
        fill(&client, "t", 2, 10).await;
        while records.len() < 40 {
            for member in &mut members {
                let got = member.poll(Duration::from_millis(5)).await.unwrap();
                records.extend(got.iter().map(|record| (record.partition, record.offset)));
            }
        }
        let different: BTreeSet<_> = records.iter().copied().collect();
        assert_eq!(
            (different.len(), records.len()),
            (40, 40),
            "each record once"
        );
        for member in &mut members {
            member.commit().await.unwrap();
            assert_eq!(member.group_metadata().unwrap().generation, generation);
        }
    });
}
