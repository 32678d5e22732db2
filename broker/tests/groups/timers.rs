//! What happens in groups by time alone, under a clock that is moved by hand.

use highwater_broker::config::BrokerConfig;
use highwater_broker::error::GroupError;
use highwater_broker::service::groups::GroupState;

use crate::kit::{Rig, answer_of, until};
use crate::member::{
    SESSION_MS, TIMERS, TIMERS_IDLE, Worker, commit, committed, offset_of, pass, pass_all,
    state_of, two,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn without_a_delay_the_first_member_is_in_at_once() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let mut worker = Worker::new(&rig, "g", "a").await;
    let join = worker.begin_join();
    assert_eq!(
        worker.joined(join).await.generation,
        1,
        "no time has passed"
    );
}

#[tokio::test]
async fn with_a_delay_the_first_members_join_together() {
    let config = BrokerConfig {
        group_initial_rebalance_delay_ms: 3_000,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    rig.topic("t", 1, &[]).await;
    let mut first = Worker::new(&rig, "g", "a").await;
    let join = first.begin_join();
    until(|| state_of(&rig, "g") == GroupState::PreparingRebalance).await;
    pass(&rig, 2_999, TIMERS).await;
    assert!(!join.is_finished());
    let mut second = Worker::new(&rig, "g", "b").await;
    let other = second.begin_join();
    until(|| rig.service.describe_group("g").members.len() == 2).await;
    // Somebody came during the wait: it goes on for as long once more.
    pass(&rig, 1, TIMERS).await;
    pass(&rig, 2_998, TIMERS).await;
    assert!(!join.is_finished() && !other.is_finished());
    pass(&rig, 2, TIMERS).await;
    assert_eq!(first.joined(join).await.generation, 1);
    assert_eq!(second.joined(other).await.generation, 1);
}

#[tokio::test]
async fn a_members_death_is_noticed_within_its_session_and_100_ms() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (mut leader, other) = two(&rig, "g").await;
    // Both are alive now; only the leader goes on.
    other.heartbeat().await.unwrap();
    let session_ms = u64::try_from(SESSION_MS).unwrap();
    let mut passed_ms = 0;
    while leader.heartbeat().await.is_ok() {
        assert!(passed_ms < session_ms + 100, "nobody noticed");
        pass(&rig, 50, TIMERS).await;
        passed_ms += 50;
    }
    assert!(
        passed_ms >= session_ms,
        "it was given up after {passed_ms} ms"
    );
    let join = leader.begin_join();
    let joined = leader.joined(join).await;
    assert_eq!((joined.generation, joined.members.len()), (3, 1));
    assert_eq!(other.heartbeat().await, Err(GroupError::UnknownMember));
}

#[tokio::test]
async fn members_that_do_not_come_back_after_a_restart_are_given_up() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (_leader, _other) = two(&rig, "g").await;
    let rig = rig.kill();
    assert_eq!(state_of(&rig, "g"), GroupState::Stable);
    pass_all(&rig, u64::try_from(SESSION_MS).unwrap() + 1).await;
    until(|| state_of(&rig, "g") == GroupState::Empty).await;
    let rig = rig.restart().await;
    assert_eq!(state_of(&rig, "g"), GroupState::Empty);
}

#[tokio::test]
async fn offsets_of_nobody_end_with_their_retention() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    commit(&rig, "g", "t", 5).await.unwrap();
    pass(&rig, 7 * DAY_MS - 1, TIMERS_IDLE).await;
    rig.service.expire_offsets().await.unwrap();
    assert_eq!(committed(&rig, "g", "t"), 5);
    // The broker looks by itself, every ten minutes.
    pass(&rig, 600_000, TIMERS_IDLE).await;
    until(|| committed(&rig, "g", "t") == -1).await;
    until(|| rig.service.list_groups().is_empty()).await;
    let rig = rig.kill();
    assert!(rig.service.list_groups().is_empty());
}

#[tokio::test]
async fn offsets_of_members_stay() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let (leader, other) = two(&rig, "g").await;
    leader.commit(5).await.unwrap();
    for _ in 0..8 * DAY_MS / 3_600_000 {
        for worker in [&leader, &other] {
            worker.heartbeat().await.unwrap();
        }
        // The clock on the wall alone: no session ends.
        let wall = highwater_proto::clock::Clock::now(&rig.clock).wall;
        rig.clock
            .set_wall(highwater_proto::clock::Wall(wall.0 + 3_600_000));
    }
    rig.service.expire_offsets().await.unwrap();
    assert_eq!(committed(&rig, "g", "t"), 5);
}

#[tokio::test]
async fn a_commit_may_bring_its_own_retention() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let commit = highwater_broker::service::groups::Commit {
        member: highwater_broker::service::groups::Member {
            generation: -1,
            ..Default::default()
        },
        retention_ms: Some(1_000),
        offsets: vec![offset_of("t", 0, 5)],
    };
    let task = rig.service.commit_offsets("g".to_owned(), commit);
    assert_eq!(task.await, Ok(vec![Ok(())]));
    pass(&rig, 1_001, TIMERS_IDLE).await;
    rig.service.expire_offsets().await.unwrap();
    assert_eq!(committed(&rig, "g", "t"), -1);
}

#[tokio::test]
async fn a_member_that_joins_and_never_comes_back_is_forgotten() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let worker = Worker::new(&rig, "g", "a").await;
    pass_all(&rig, u64::try_from(SESSION_MS).unwrap() + 1).await;
    let is_forgotten = || rig.service.list_groups().is_empty();
    until(is_forgotten).await;
    let join = worker.begin_join();
    assert_eq!(answer_of(join).await, Err(GroupError::UnknownMember));
}
