//! Members and offsets over restarts and the death of the process.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use highwater_broker::error::GroupError;
use highwater_broker::service::groups::GroupState;

use crate::kit::{Rig, answer_of, until};
use crate::member::{Worker, commit, commit_all, committed, faulty, offset_of, state_of, two};

#[tokio::test]
async fn two_members_share_a_topic_and_commit() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    assert_eq!(state_of(&rig, "g"), GroupState::Stable);
    leader.commit(7).await.unwrap();
    assert_eq!(committed(&rig, "g", "t"), 7);
    other.heartbeat().await.unwrap();
    let described = rig.service.describe_group("g");
    assert_eq!(described.members.len(), 2);
    assert_eq!(described.protocol, "range");
    let listed = rig.service.list_groups();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].protocol_type, "consumer");
    leader.leave().await;
    assert_eq!(
        other.heartbeat().await,
        Err(GroupError::RebalanceInProgress)
    );
    other.leave().await;
    assert_eq!(state_of(&rig, "g"), GroupState::Empty);
    assert_eq!(committed(&rig, "g", "t"), 7, "offsets outlive the members");
}

#[tokio::test]
async fn a_restart_keeps_members_generation_and_offsets() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    leader.commit(3).await.unwrap();
    let before = rig.service.describe_group("g");
    let (id, generation) = (other.id.clone(), other.generation);
    let rig = rig.restart().await;
    let after = rig.service.describe_group("g");
    assert_eq!(after, before);
    assert_eq!(committed(&rig, "g", "t"), 3);
    let member = highwater_broker::service::groups::Member {
        member_id: id,
        instance_id: None,
        generation,
    };
    rig.service.heartbeat("g", member).await.unwrap();
}

#[tokio::test]
async fn the_end_waits_for_writes_that_nobody_waits_for() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    let held = disk.faults.hold_syncs();
    let commit = commit_all(&rig.service, "g", vec![offset_of("t", 0, 5)]);
    // The log of the group is made first, so that its record is not even in the queue.
    let is_begun = until(|| disk.faults.waiting_syncs.load(Ordering::SeqCst) > 0);
    tokio::select! {
        _ = commit => panic!("nothing is synced"),
        () = is_begun => {}
    }
    let broker = Arc::new(rig.broker);
    let ending = Arc::clone(&broker);
    let end = tokio::spawn(async move { ending.shutdown().await });
    let mut closing = rig.service.closing();
    closing.begun().await;
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(!end.is_finished());
    drop(held);
    answer_of(end).await.unwrap();
    drop(broker);
    let rig = Rig::over(rig.fs, rig.clock, rig.config);
    assert_eq!(committed(&rig, "g", "t"), 5);
}

#[tokio::test]
async fn the_death_of_the_process_takes_nothing_that_was_acknowledged() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    for offset in 1..=20 {
        commit(&rig, &format!("g{}", offset % 4), "t", offset)
            .await
            .unwrap();
    }
    let before: Vec<_> = (0..4)
        .map(|n| rig.service.fetch_offsets(&format!("g{n}"), None))
        .collect();
    let rig = rig.kill();
    for (n, offsets) in before.into_iter().enumerate() {
        assert_eq!(rig.service.fetch_offsets(&format!("g{n}"), None), offsets);
        assert_eq!(offsets.len(), 1);
    }
}

#[tokio::test]
async fn offsets_that_may_not_be_committed_are_refused_one_by_one() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let mut long = offset_of("t", 0, 9);
    long.metadata = "x".repeat(4097);
    let offsets = vec![
        offset_of("t", 1, 5),
        offset_of("nowhere", 0, 5),
        long,
        offset_of("t", -1, 5),
    ];
    let mut all = offsets.clone();
    all.push(offset_of("t", 0, 5));
    let outcomes = commit_all(&rig.service, "g", all).await.unwrap();
    let unknown = Err(GroupError::UnknownTopicOrPartition);
    let too_large = Err(GroupError::MetadataTooLarge {
        bytes: 4097,
        bytes_max: 4096,
    });
    let expected = [unknown.clone(), unknown.clone(), too_large, unknown, Ok(())];
    assert_eq!(outcomes, expected);
    assert_eq!(committed(&rig, "g", "t"), 5);
    let outcomes = commit_all(&rig.service, "other", offsets).await.unwrap();
    assert_eq!(outcomes, expected[..4]);
    assert_eq!(
        state_of(&rig, "other"),
        GroupState::Dead,
        "nothing was committed"
    );
}

#[tokio::test]
async fn offsets_and_groups_are_deleted() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    let offsets = vec![offset_of("t", 0, 1), offset_of("t", 1, 2)];
    commit_all(&rig.service, "g", offsets).await.unwrap();
    let of = vec![("t".to_owned(), 0), ("nowhere".to_owned(), 0)];
    let outcomes = rig
        .service
        .delete_offsets("g".to_owned(), of)
        .await
        .unwrap();
    assert_eq!(outcomes, [Ok(()), Err(GroupError::UnknownTopicOrPartition)]);
    assert_eq!(committed(&rig, "g", "t"), -1);
    let rig = rig.restart().await;
    let left = rig.service.fetch_offsets("g", None);
    assert_eq!(
        left.iter()
            .map(|o| (o.partition, o.offset))
            .collect::<Vec<_>>(),
        [(1, 2)]
    );
    let groups = vec!["g".to_owned(), "none".to_owned()];
    let outcomes = rig.service.delete_groups(groups).await;
    assert_eq!(outcomes, [Ok(()), Err(GroupError::UnknownGroup)]);
    let rig = rig.kill();
    assert!(rig.service.list_groups().is_empty());
    assert!(rig.service.fetch_offsets("g", None).is_empty());
}

#[tokio::test]
async fn a_caller_that_gives_up_undoes_nothing() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 3).await.unwrap();
    let held = disk.faults.hold_syncs();
    let offsets = vec![offset_of("t", 0, 4)];
    let mut call = Box::pin(commit_all(&rig.service, "g", offsets));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    drop(call);
    drop(held);
    until(|| committed(&rig, "g", "t") == 4).await;
}

#[tokio::test]
async fn an_offset_is_not_there_before_it_is_durable() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 3).await.unwrap();
    let held = disk.faults.hold_syncs();
    let call = {
        let service = rig.service.clone();
        let offsets = vec![offset_of("t", 0, 4)];
        tokio::spawn(async move { commit_all(&service, "g", offsets).await })
    };
    // It is written: the log has grown, and readers do not see it yet.
    until(|| disk.faults.waiting_syncs.load(Ordering::SeqCst) > 0).await;
    assert_eq!(committed(&rig, "g", "t"), 3);
    assert!(!call.is_finished());
    drop(held);
    assert_eq!(answer_of(call).await, Ok(vec![Ok(())]));
    assert_eq!(committed(&rig, "g", "t"), 4);
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_members_that_do_not_come() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (leader, _other) = two(&rig, "g").await;
    let late = Worker::new(&rig, "g", "c").await;
    let parked = late.begin_join();
    until(|| state_of(&rig, "g") == GroupState::PreparingRebalance).await;
    rig.broker.shutdown().await.unwrap();
    assert!(matches!(
        answer_of(parked).await,
        Err(GroupError::Unavailable { .. })
    ));
    assert!(matches!(
        leader.commit(1).await,
        Err(GroupError::Unavailable { .. })
    ));
    assert!(!rig.service.coordinator_available());
    let join = leader.begin_join();
    assert!(matches!(
        answer_of(join).await,
        Err(GroupError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn many_groups_commit_side_by_side() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let commits: Vec<_> = (0..200)
        .map(|n| {
            let service = rig.service.clone();
            let offsets = vec![offset_of("t", 0, n)];
            tokio::spawn(async move { commit_all(&service, &format!("g{n}"), offsets).await })
        })
        .collect();
    for commit in commits {
        assert_eq!(answer_of(commit).await, Ok(vec![Ok(())]));
    }
    let rig = rig.kill();
    assert_eq!(rig.service.list_groups().len(), 200);
    for n in 0..200 {
        assert_eq!(committed(&rig, &format!("g{n}"), "t"), n);
    }
}
