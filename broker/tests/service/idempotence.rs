//! Idempotent producers: duplicates, gaps and fencing, over restarts and kills.

use highwater_broker::error::{ProduceError, ProducerIdError};
use highwater_broker::service::producer_ids::InitProducerId;
use highwater_log::types::Offset;

use crate::kit::{Rig, idempotent};

fn fresh() -> InitProducerId {
    InitProducerId {
        transactional_id: None,
        producer_id: -1,
        epoch: -1,
    }
}

#[tokio::test]
async fn a_duplicate_answers_where_the_original_is() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    for (sequence, value) in [(0, "a"), (1, "b"), (2, "c")] {
        rig.produce("t", idempotent(7, 0, sequence, &[value]))
            .await
            .unwrap();
    }
    for sequence in 0..3 {
        let again = rig
            .produce("t", idempotent(7, 0, sequence, &["again"]))
            .await
            .unwrap();
        assert_eq!(again.base_offset, Offset(i64::from(sequence)));
    }
    assert_eq!(rig.values("t", 0).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn duplicates_are_known_after_a_restart_and_after_a_kill() {
    let mut rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", idempotent(7, 0, 0, &["a", "b"]))
        .await
        .unwrap();
    rig.produce("t", idempotent(7, 0, 2, &["c"])).await.unwrap();
    for stop in ["clean", "killed", "clean"] {
        rig = if stop == "clean" {
            rig.restart().await
        } else {
            rig.kill()
        };
        let again = rig.produce("t", idempotent(7, 0, 2, &["c"])).await.unwrap();
        assert_eq!(again.base_offset, Offset(2), "{stop}");
        let older = rig
            .produce("t", idempotent(7, 0, 0, &["a", "b"]))
            .await
            .unwrap();
        assert_eq!(older.base_offset, Offset(0), "{stop}");
        assert_eq!(rig.end("t").await, 3, "{stop}");
    }
    rig.produce("t", idempotent(7, 0, 3, &["d"])).await.unwrap();
    assert_eq!(rig.values("t", 0).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_gap_and_an_old_epoch_are_refused() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", idempotent(7, 3, 0, &["a"])).await.unwrap();
    let gap = rig
        .produce("t", idempotent(7, 3, 2, &["c"]))
        .await
        .unwrap_err();
    let expected = ProduceError::OutOfOrderSequence {
        producer_id: 7,
        sequence: 2,
        expected: 1,
    };
    assert_eq!(gap, expected);
    let old = rig
        .produce("t", idempotent(7, 2, 1, &["b"]))
        .await
        .unwrap_err();
    assert_eq!(
        old,
        ProduceError::ProducerFenced {
            producer_id: 7,
            epoch: 2,
            current: 3
        }
    );
    assert_eq!(rig.values("t", 0).await, ["a"]);
}

#[tokio::test]
async fn an_unknown_producer_may_begin_anywhere() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", idempotent(7, 0, 41, &["a"]))
        .await
        .unwrap();
    rig.produce("t", idempotent(7, 0, 42, &["b"]))
        .await
        .unwrap();
}

#[tokio::test]
async fn no_producer_id_is_given_twice() {
    let mut rig = Rig::new();
    let mut seen = std::collections::BTreeSet::new();
    for stop in ["clean", "killed", "killed"] {
        for _ in 0..1001 {
            let given = rig.service.init_producer_id(fresh()).await.unwrap();
            assert_eq!(given.epoch, 0);
            assert!(seen.insert(given.id), "{} twice", given.id);
        }
        rig = if stop == "clean" {
            rig.restart().await
        } else {
            rig.kill()
        };
    }
}

#[tokio::test]
async fn half_of_a_producer_id_and_transactions_are_refused() {
    let rig = Rig::new();
    for (producer_id, epoch) in [(5, -1), (-1, 0)] {
        let call = InitProducerId {
            producer_id,
            epoch,
            ..fresh()
        };
        let result = rig.service.init_producer_id(call).await;
        assert_eq!(
            result,
            Err(ProducerIdError::HalfGiven { producer_id, epoch })
        );
    }
    let call = InitProducerId {
        transactional_id: Some("tx".to_owned()),
        ..fresh()
    };
    let result = rig.service.init_producer_id(call).await;
    assert_eq!(result, Err(ProducerIdError::TransactionsUnsupported));
    let known = InitProducerId {
        producer_id: 5,
        epoch: 0,
        ..fresh()
    };
    assert!(rig.service.init_producer_id(known).await.is_ok());
}
