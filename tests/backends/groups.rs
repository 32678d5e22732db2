//! Groups: members that share, take over and commit; patterns; administration of groups.

use std::collections::BTreeSet;
use std::time::Duration;

use highwater::{
    AssignmentStrategy, CommittedOffset, Consumer, ConsumerConfig, ErrorCode, OffsetReset,
};

use crate::PATIENCE;
use crate::Stage;
use crate::eventually;
use crate::records::take;
use crate::text;

/// Two members share, one takes over from the other: each record once, nothing left out.
pub(crate) async fn share(stage: Stage) {
    let strategies = [
        AssignmentStrategy::Range,
        AssignmentStrategy::CooperativeSticky,
    ];
    two_members(&stage, strategies.to_vec(), "range").await;
}

/// As `share`, with partitions that stay with their member through the rebalance.
pub(crate) async fn cooperate(stage: Stage) {
    let strategies = vec![AssignmentStrategy::CooperativeSticky];
    two_members(&stage, strategies, "cooperative-sticky").await;
}

async fn two_members(stage: &Stage, strategies: Vec<AssignmentStrategy>, protocol: &str) {
    let (topic, group) = (stage.topic("t", 4).await, stage.name("g"));
    stage.fill(&topic, 4, 25).await;
    let config = member(&group).partition_assignment_strategy(strategies);
    let mut members = vec![stage.client.consumer(config.clone())];
    members[0].subscribe([topic.as_str()]).unwrap();
    let mut read = settle(&mut members, &[4]).await;
    members.push(stage.client.consumer(config));
    members[1].subscribe([topic.as_str()]).unwrap();
    read.extend(settle(&mut members, &[2, 2]).await);

    let described = stage.client.admin().describe_group(&group).await.unwrap();
    assert_eq!(
        (&*described.state, &*described.protocol),
        ("Stable", protocol)
    );
    assert_eq!(described.protocol_type, "consumer");
    assert_eq!(described.members.len(), 2);
    for member in &described.members {
        assert_eq!(member.subscription, std::slice::from_ref(&topic));
        assert_eq!(member.assignment.len(), 2);
    }
    let generation = members[0].group_metadata().unwrap();
    let ids: BTreeSet<_> = described.members.iter().map(|it| &*it.member_id).collect();
    assert!(ids.contains(&*generation.member_id), "{generation:?}");

    while read.len() < 100 {
        for member in &mut members {
            read.extend(places(member, Duration::from_millis(50)).await);
        }
    }
    let different: BTreeSet<_> = read.iter().copied().collect();
    assert_eq!(
        (read.len(), different.len()),
        (100, 100),
        "each record once"
    );

    members[0].commit().await.unwrap();
    members.remove(0).close(PATIENCE).await.result().unwrap();
    stage.fill(&topic, 4, 1).await;
    let taken_over = settle(&mut members, &[4]).await.len();
    let rest = take(&mut members[0], 4 - taken_over).await;
    assert_eq!(
        rest.len() + taken_over,
        4,
        "from where the other one stopped"
    );
    let closed = members.remove(0).close(PATIENCE).await;
    assert_eq!(closed.uncommitted, []);
    closed.result().unwrap();
    let committed = stage
        .client
        .admin()
        .group_offsets(&group, None)
        .await
        .unwrap();
    let committed: Vec<_> = committed
        .iter()
        .map(|it| (it.partition, it.offset))
        .collect();
    assert_eq!(committed, [(0, 26), (1, 26), (2, 26), (3, 26)]);
}

/// A pattern meets the topics that are there, and one that is created later.
pub(crate) async fn pattern(stage: Stage) {
    let first = stage.topic("orders.eu", 1).await;
    let other = stage.topic("bills.eu", 1).await;
    for topic in [&first, &other] {
        stage.fill(topic, 1, 3).await;
    }
    let config = member(&stage.name("g")).metadata_max_age_ms(100);
    let mut consumer = stage.client.consumer(config);
    let pattern = format!("{}\\.orders\\..*", stage.prefix.replace('.', "\\."));
    consumer.subscribe_pattern(&pattern).unwrap();
    let read = take(&mut consumer, 3).await;
    assert!(read.iter().all(|record| *record.topic == *first));
    let later = stage.topic("orders.us", 1).await;
    stage.fill(&later, 1, 2).await;
    let read = take(&mut consumer, 2).await;
    assert!(
        read.iter().all(|record| *record.topic == *later),
        "{read:?}"
    );
    assert_eq!(consumer.subscription(), [first, later]);
    consumer.unsubscribe().await.unwrap();
    consumer.close(PATIENCE).await.result().unwrap();
}

/// Offsets by hand, and the end of a group.
pub(crate) async fn administer(stage: Stage) {
    let (topic, group) = (stage.topic("t", 2).await, stage.name("g"));
    stage.fill(&topic, 2, 10).await;
    let admin = stage.client.admin();
    let at = |partition, offset| CommittedOffset {
        topic: topic.clone(),
        partition,
        offset,
        metadata: "by hand".to_owned(),
        ..CommittedOffset::default()
    };
    admin
        .alter_group_offsets(&group, &[at(0, 7), at(1, 10)])
        .await
        .unwrap();
    assert_eq!(
        admin.group_offsets(&group, None).await.unwrap(),
        [at(0, 7), at(1, 10)]
    );

    let mut consumer = stage
        .client
        .consumer(member(&group).enable_auto_commit(false));
    consumer.subscribe([topic.as_str()]).unwrap();
    let read = take(&mut consumer, 3).await;
    assert_eq!(read.iter().map(text).collect::<Vec<_>>(), ["7", "8", "9"]);
    consumer.commit_offsets(&[at(0, 8)]).await.unwrap();
    let asked = [(topic.as_str(), 0)];
    assert_eq!(consumer.committed(&asked).await.unwrap(), [at(0, 8)]);
    let listed = admin.list_groups().await.unwrap();
    let listed = listed.iter().find(|it| it.group == group).unwrap();
    assert_eq!(
        (&*listed.state, &*listed.protocol_type),
        ("Stable", "consumer")
    );

    let refused = admin.delete_group(&group).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NonEmptyGroup));
    let refused = admin
        .alter_group_offsets(&group, &[at(0, 0)])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::UnknownMemberId));
    let refused = admin
        .delete_group_offsets(&group, &asked)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::GroupSubscribedToTopic));
    let closed = consumer.close(PATIENCE).await;
    assert_eq!(
        closed.uncommitted.len(),
        1,
        "records were read behind the commit"
    );
    closed.result().unwrap();

    eventually(async || admin.describe_group(&group).await.unwrap().state == "Empty").await;
    admin.delete_group_offsets(&group, &asked).await.unwrap();
    assert_eq!(
        admin.group_offsets(&group, None).await.unwrap(),
        [at(1, 10)]
    );
    admin.delete_group(&group).await.unwrap();
    assert!(!admin.describe_group(&group).await.unwrap().exists());
    let listed = admin.list_groups().await.unwrap();
    assert!(listed.iter().all(|it| it.group != group));
    let refused = admin.delete_group(&group).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::GroupIdNotFound));
}

fn member(group: &str) -> ConsumerConfig {
    ConsumerConfig::new()
        .group_id(group)
        .session_timeout_ms(10_000)
        .heartbeat_interval_ms(50)
        .auto_offset_reset(OffsetReset::Earliest)
}

/// Polls all of them until each owns what is expected of it; gives what they got.
async fn settle(members: &mut [Consumer], expected: &[usize]) -> Vec<(i32, i64)> {
    let mut read = Vec::new();
    let mut rounds_left = 2_000;
    let owned = |members: &[Consumer]| -> Vec<usize> {
        members.iter().map(|it| it.assignment().len()).collect()
    };
    while owned(members) != expected {
        assert!(rounds_left > 0, "they own {:?}", owned(members));
        rounds_left -= 1;
        for member in &mut *members {
            read.extend(places(member, Duration::from_millis(10)).await);
        }
    }
    read
}

async fn places(member: &mut Consumer, timeout: Duration) -> Vec<(i32, i64)> {
    let records = member.poll(timeout).await.unwrap();
    records.iter().map(|it| (it.partition, it.offset)).collect()
}
