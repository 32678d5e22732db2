//! How far groups are behind, in records and in time.

use highwater_broker::service::groups::PartitionLag;
use highwater_proto::compress::Codec;

use crate::kit::{Rig, START, batch_of};
use crate::member::{commit_all, offset_of};

fn lag(topic: &str, committed: i64, end: i64, lag_ms: Option<i64>) -> PartitionLag {
    PartitionLag {
        topic: topic.to_owned(),
        partition: 0,
        committed,
        end,
        lag_records: end - committed,
        lag_ms,
    }
}

#[tokio::test]
async fn lag_counts_records_and_the_age_of_the_first() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.topic("u", 1, &[]).await;
    for (start, codec) in [(0, Codec::Lz4), (10_000, Codec::None)] {
        let at = START.0 + start;
        let records = [
            (at, None, "a"),
            (at + 1_000, None, "b"),
            (at + 2_000, None, "c"),
        ];
        rig.produce("t", batch_of(codec, None, &records))
            .await
            .unwrap();
    }
    rig.advance_ms(60_000);
    for (committed, age_ms) in [(0, 60_000), (1, 59_000), (3, 50_000), (5, 48_000)] {
        let offsets = vec![offset_of("t", 0, committed)];
        commit_all(&rig.service, "g", offsets).await.unwrap();
        let expected = [lag("t", committed, 6, Some(age_ms))];
        assert_eq!(rig.service.group_lag("g").await, expected);
    }
    let offsets = vec![offset_of("t", 0, 6), offset_of("u", 0, 0)];
    commit_all(&rig.service, "h", offsets).await.unwrap();
    let all = rig.service.group_lags().await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].0, "h");
    assert_eq!(all[1].1, [lag("t", 6, 6, Some(0)), lag("u", 0, 0, Some(0))]);
    assert!(rig.service.group_lag("nobody").await.is_empty());
}
