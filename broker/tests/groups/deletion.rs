//! A topic goes, and with it what groups know of it.

use highwater_broker::ids::TopicRef;
use highwater_log::types::LogId;

use crate::kit::{Rig, batch};
use crate::member::{commit, commit_all, committed, faulty, offset_of};

#[tokio::test]
async fn a_deleted_topics_offsets_are_gone_from_all_groups() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.topic("u", 1, &[]).await;
    for group in ["g", "h"] {
        let offsets = vec![offset_of("t", 0, 5), offset_of("u", 0, 6)];
        commit_all(&rig.service, group, offsets).await.unwrap();
    }
    let deleted = rig.service.delete_topics(vec![TopicRef::from("t")]).await;
    assert!(deleted[0].result.is_ok());
    rig.topic("t", 1, &[]).await;
    let rig = rig.kill();
    for group in ["g", "h"] {
        assert_eq!(
            (committed(&rig, group, "t"), committed(&rig, group, "u")),
            (-1, 6)
        );
    }
}

#[tokio::test]
async fn a_topic_whose_files_resist_has_no_offsets_after_a_crash_either() {
    let (rig, disk) = faulty();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["a"])).await.unwrap();
    commit(&rig, "g", "t", 1).await.unwrap();
    let log = LogId {
        topic: rig.service.topic_id("t").unwrap().0,
        partition: 0,
    };
    *disk.faults.stuck.lock().unwrap() = Some(log.topic_dir());
    rig.service.delete_topics(vec![TopicRef::from("t")]).await;
    assert_eq!(rig.fs_topics(), 2, "its files are still there");
    assert_eq!(committed(&rig, "g", "t"), -1);
    let rig = rig.kill();
    assert_eq!(rig.fs_topics(), 1);
    assert_eq!(committed(&rig, "g", "t"), -1);
}

#[tokio::test]
async fn a_commit_for_a_topic_that_goes_leaves_nothing() {
    let rig = Rig::new();
    for round in 0..50 {
        rig.topic("t", 1, &[]).await;
        let commits: Vec<_> = (0..8)
            .map(|n| {
                let service = rig.service.clone();
                let offsets = vec![offset_of("t", 0, n)];
                tokio::spawn(async move {
                    commit_all(&service, &format!("g{n}"), offsets)
                        .await
                        .unwrap();
                })
            })
            .collect();
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let deleted = rig.service.delete_topics(vec![TopicRef::from("t")]).await;
        assert!(deleted[0].result.is_ok());
        for commit in commits {
            commit.await.unwrap();
        }
        rig.topic("t", 1, &[]).await;
        for n in 0..8 {
            assert_eq!(committed(&rig, &format!("g{n}"), "t"), -1, "round {round}");
        }
        rig.service.delete_topics(vec![TopicRef::from("t")]).await;
    }
}
