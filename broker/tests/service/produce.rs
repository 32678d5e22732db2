//! Every check of a produced batch: its error, and that nothing was appended.

use bytes::Bytes;
use highwater_broker::config::{BrokerConfig, Validation};
use highwater_broker::error::ProduceError;
use highwater_broker::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};
use highwater_log::types::Offset;
use highwater_proto::batch_builder::BatchBuilder;
use highwater_proto::compress::Codec;

use crate::kit::{Rig, START, batch, batch_of, edited, idempotent};

/// Produces to a topic that holds two records; what is refused leaves it as it was.
async fn refused_with(rig: &Rig, configs: &[(&str, &str)], records: Option<Bytes>) -> ProduceError {
    rig.topic("t", 1, configs).await;
    rig.produce("t", batch(&["a", "b"])).await.unwrap();
    let error = rig
        .produce_to("t", 0, records, Acks::All)
        .await
        .unwrap_err();
    assert_eq!(rig.end("t").await, 2, "nothing was appended");
    assert_eq!(
        rig.produce("t", batch(&["c"])).await.unwrap().base_offset,
        Offset(2)
    );
    assert_eq!(rig.values("t", 0).await, ["a", "b", "c"]);
    error
}

async fn refused(records: Option<Bytes>) -> ProduceError {
    refused_with(&Rig::new(), &[], records).await
}

fn is_invalid(error: &ProduceError) -> bool {
    matches!(error, ProduceError::InvalidRecord { .. })
}

#[test]
fn acks_other_than_kafkas_are_refused() {
    assert_eq!(Acks::try_from(-1), Ok(Acks::All));
    assert_eq!(Acks::try_from(0), Ok(Acks::None));
    assert_eq!(Acks::try_from(1), Ok(Acks::Leader));
    for acks in [-2, 2, i16::MAX, i16::MIN] {
        assert_eq!(
            Acks::try_from(acks),
            Err(ProduceError::InvalidRequiredAcks { acks })
        );
    }
}

#[tokio::test]
async fn an_unknown_topic_or_partition_is_refused() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    for (topic, partition) in [("u", 0), ("t", 2), ("t", -1), ("t", i32::MAX), ("T", 0)] {
        let result = rig
            .produce_to(topic, partition, Some(batch(&["a"])), Acks::All)
            .await;
        assert_eq!(
            result,
            Err(ProduceError::UnknownTopicOrPartition),
            "{topic}-{partition}"
        );
    }
    assert_eq!(rig.end("t").await, 0);
}

#[tokio::test]
async fn the_metadata_log_cannot_be_produced_to() {
    let rig = Rig::new();
    let result = rig.produce("__meta", batch(&["a"])).await;
    assert_eq!(result, Err(ProduceError::InternalTopic));
}

#[tokio::test]
async fn no_records_are_refused() {
    assert!(is_invalid(&refused(None).await));
    assert!(is_invalid(&refused(Some(Bytes::new())).await));
}

#[tokio::test]
async fn an_old_format_is_refused() {
    for magic in [0, 1, 3] {
        assert!(is_invalid(
            &refused(Some(edited(&batch(&["x"]), 16, &[magic]))).await
        ));
    }
}

#[tokio::test]
async fn more_than_one_batch_is_refused() {
    let two = [batch(&["x"]), batch(&["y"])].concat();
    assert!(is_invalid(&refused(Some(two.into())).await));
}

#[tokio::test]
async fn zstd_in_an_old_request_is_refused() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    let zstd = edited(&batch(&["x"]), 21, &4_i16.to_be_bytes());
    for (allowed, is_refused) in [(ZstdAllowed::No, true), (ZstdAllowed::Yes, false)] {
        let partitions = vec![(0, Some(zstd.clone()))];
        let topics = vec![ProduceTopic {
            topic: "t".to_owned(),
            partitions,
        }];
        let call = ProduceCall {
            acks: Acks::All,
            transactional_id: None,
            zstd: allowed,
            topics,
        };
        let ticket = rig.service.produce(call).await;
        assert_eq!(ticket.refused(), is_refused);
        let result = ticket.await.remove(0).result;
        assert_eq!(
            result.err(),
            is_refused.then_some(ProduceError::UnsupportedCompression)
        );
    }
    assert_eq!(rig.end("t").await, 1, "the allowed one only");
}

#[tokio::test]
async fn a_transactional_batch_refuses_its_whole_request() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    let transactional = edited(&idempotent(7, 0, 0, &["x"]), 21, &0x10_i16.to_be_bytes());
    for (transactional_id, expected) in [
        (None, ProduceError::TransactionalIdRequired),
        (Some("tx".to_owned()), ProduceError::TransactionsUnsupported),
    ] {
        let partitions = vec![
            (0, Some(batch(&["plain"]))),
            (1, Some(transactional.clone())),
        ];
        let topics = vec![ProduceTopic {
            topic: "t".to_owned(),
            partitions,
        }];
        let zstd = ZstdAllowed::Yes;
        let call = ProduceCall {
            acks: Acks::All,
            transactional_id,
            zstd,
            topics,
        };
        let answers = rig.service.produce(call).await.await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.result == Err(expected.clone()))
        );
    }
    assert_eq!(rig.end("t").await, 0);
}

#[tokio::test]
async fn a_length_that_is_not_that_of_the_bytes_is_refused() {
    let good = batch(&["x"]);
    let wrong_length = edited(&good, 8, &1000_i32.to_be_bytes());
    let cut = good.slice(..good.len() - 1);
    for bytes in [wrong_length, cut, good.slice(..30)] {
        let error = refused(Some(bytes)).await;
        assert!(matches!(error, ProduceError::Corrupt { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_batch_above_max_message_bytes_is_refused() {
    let large = batch(&["x".repeat(200).as_str()]);
    let bytes = large.len();
    let error = refused_with(&Rig::new(), &[("max.message.bytes", "200")], Some(large)).await;
    assert_eq!(
        error,
        ProduceError::MessageTooLarge {
            bytes,
            bytes_max: 200
        }
    );
}

#[tokio::test]
async fn a_batch_above_segment_bytes_is_refused() {
    let large = batch(&["x".repeat(400).as_str()]);
    let bytes = large.len();
    let error = refused_with(&Rig::new(), &[("segment.bytes", "300")], Some(large)).await;
    assert_eq!(
        error,
        ProduceError::RecordListTooLarge {
            bytes,
            segment_bytes: 300
        }
    );
}

#[tokio::test]
async fn a_damaged_batch_is_refused() {
    let mut damaged = batch(&["x"]).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let error = refused(Some(damaged.into())).await;
    assert!(matches!(error, ProduceError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_header_that_contradicts_itself_is_refused() {
    let good = batch(&["x", "y"]);
    let cases: [(&str, Bytes); 6] = [
        ("base offset", edited(&good, 0, &1_i64.to_be_bytes())),
        ("last offset delta", edited(&good, 23, &2_i32.to_be_bytes())),
        ("count", edited(&good, 57, &3_i32.to_be_bytes())),
        (
            "no records",
            edited(&edited(&good, 57, &[0; 4]), 23, &(-1_i32).to_be_bytes()),
        ),
        ("control", edited(&good, 21, &0x20_i16.to_be_bytes())),
        (
            "sequence",
            edited(&idempotent(7, 0, 0, &["x"]), 53, &(-1_i32).to_be_bytes()),
        ),
    ];
    for (what, bytes) in cases {
        assert!(is_invalid(&refused(Some(bytes)).await), "{what}");
    }
}

#[tokio::test]
async fn an_unknown_codec_is_refused() {
    for codec in 5_i16..=7 {
        let error = refused(Some(edited(&batch(&["x"]), 21, &codec.to_be_bytes()))).await;
        assert!(matches!(error, ProduceError::Corrupt { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_leader_epoch_of_the_client_is_ignored() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    for epoch in [-1_i32, 0, 77] {
        let batch = edited(&batch(&["x"]), 12, &epoch.to_be_bytes());
        rig.produce("t", batch).await.unwrap();
    }
    assert_eq!(rig.values("t", 0).await.len(), 3);
}

#[tokio::test]
async fn a_time_outside_of_the_bounds_is_refused() {
    let at = |ms: i64| {
        batch_of(
            Codec::Lz4,
            None,
            &[(START.0, None, "now"), (START.0 + ms, None, "x")],
        )
    };
    let bounds = [
        ("message.timestamp.before.max.ms", "1000"),
        ("message.timestamp.after.max.ms", "500"),
    ];
    for (ms, is_refused) in [(-1001, true), (-1000, false), (500, false), (501, true)] {
        let rig = Rig::new();
        rig.topic("t", 1, &bounds).await;
        let result = rig.produce("t", at(ms)).await;
        let is_time = matches!(result, Err(ProduceError::InvalidTimestamp { .. }));
        assert_eq!(is_time, is_refused, "{ms}: {result:?}");
        assert_eq!(rig.end("t").await, if is_refused { 0 } else { 2 });
    }
}

#[tokio::test]
async fn a_batch_that_the_client_stamped_as_the_log_is_refused() {
    let stamped = edited(&batch(&["x"]), 21, &0x08_i16.to_be_bytes());
    let error = refused(Some(stamped)).await;
    assert!(
        matches!(error, ProduceError::InvalidTimestamp { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_compacted_topic_refuses_records_without_a_key() {
    for codec in [Codec::None, Codec::Lz4, Codec::Gzip, Codec::Snappy] {
        let rig = Rig::new();
        rig.topic("t", 1, &[("cleanup.policy", "compact")]).await;
        let records = [
            (START.0, Some("k"), "a"),
            (START.0, None, "b"),
            (START.0, None, "c"),
        ];
        let error = rig
            .produce("t", batch_of(codec, None, &records))
            .await
            .unwrap_err();
        let ProduceError::InvalidRecord { records, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(
            records
                .iter()
                .map(|record| record.index)
                .collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(rig.end("t").await, 0);
        rig.produce("t", batch_of(codec, None, &[(START.0, Some("k"), "a")]))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_payload_that_cannot_be_decompressed_is_refused_when_validation_is_deep() {
    let broken = edited(&batch(&["x"]), 21, &3_i16.to_be_bytes());
    let deep = BrokerConfig {
        validate: Validation::Deep,
        ..BrokerConfig::default()
    };
    assert!(is_invalid(
        &refused_with(&Rig::with(deep), &[], Some(broken.clone())).await
    ));
    let shallow = Rig::new();
    shallow.topic("t", 1, &[]).await;
    shallow.produce("t", broken).await.unwrap();
}

#[tokio::test]
async fn a_batch_is_decompressed_up_to_its_cap_and_no_further() {
    let deep = |bytes_max| BrokerConfig {
        validate: Validation::Deep,
        max_decompressed_message_bytes: bytes_max,
        ..BrokerConfig::default()
    };
    let long = "x".repeat(100_000);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let packed = batch_of(codec, None, &[(START.0, None, &long)]);
        assert!(packed.len() < 10_000, "{codec}");
        let refused = refused_with(&Rig::with(deep(99_999)), &[], Some(packed.clone())).await;
        assert!(is_invalid(&refused), "{codec}: {refused}");
        let rig = Rig::with(deep(101_000));
        rig.topic("t", 1, &[]).await;
        rig.produce("t", packed).await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_of_more_than_a_thousand_times_its_size_is_counted_where_it_is_opened() {
    let config = |validate| BrokerConfig {
        validate,
        max_decompressed_message_bytes: 4 << 20,
        ..BrokerConfig::default()
    };
    let of = |bytes: usize, key| {
        let value = "x".repeat(bytes);
        batch_of(Codec::Zstd, None, &[(START.0, key, &value)])
    };
    let sent = of(2 << 20, None).len();
    let (inflated, honest) = (of(2 << 20, None), of(900 * sent, None));
    assert!((100..2000).contains(&sent) && honest.len() < sent + 20);
    let counted = |rig: &Rig| rig.service.metrics().inflated_batches.value();

    let rig = Rig::with(config(Validation::Deep));
    rig.topic("t", 1, &[]).await;
    rig.produce("t", honest.clone()).await.unwrap();
    assert_eq!(counted(&rig), 0);
    rig.produce("t", inflated.clone()).await.unwrap();
    assert_eq!(counted(&rig), 1);
    // What passes its cap is refused, and counted all the same.
    rig.produce("t", of(8 << 20, None)).await.unwrap_err();
    assert_eq!(counted(&rig), 2);

    // Where nothing opens it nothing is counted; the keys of a compacted topic are looked at.
    let rig = Rig::with(config(Validation::Shallow));
    rig.topic("t", 1, &[]).await;
    rig.topic("keys", 1, &[("cleanup.policy", "compact")]).await;
    rig.produce("t", inflated).await.unwrap();
    assert_eq!(counted(&rig), 0);
    rig.produce("keys", of(2 << 20, Some("k"))).await.unwrap();
    assert_eq!(counted(&rig), 1);
    rig.produce("keys", of(900 * sent, Some("k")))
        .await
        .unwrap();
    rig.produce("keys", of(8 << 20, Some("k")))
        .await
        .unwrap_err();
    assert_eq!(counted(&rig), 2);
}

#[tokio::test]
async fn what_is_accepted_tells_where_it_is() {
    let rig = Rig::new();
    rig.topic("t", 1, &[]).await;
    rig.topic("stamped", 1, &[("message.timestamp.type", "LogAppendTime")])
        .await;
    rig.produce("t", batch(&["a", "b"])).await.unwrap();
    let produced = rig.produce("t", batch(&["c"])).await.unwrap();
    assert_eq!(
        (produced.base_offset, produced.log_append_time_ms),
        (Offset(2), None)
    );
    assert_eq!(produced.log_start_offset, Offset(0));
    rig.advance_ms(5);
    let produced = rig.produce("stamped", batch(&["a"])).await.unwrap();
    assert_eq!(produced.log_append_time_ms, Some(START.0 + 5));
}

#[tokio::test]
async fn the_bytes_of_a_producer_are_the_bytes_of_a_consumer() {
    for codec in [Codec::None, Codec::Lz4, Codec::Gzip, Codec::Snappy] {
        let rig = Rig::new();
        rig.topic("t", 1, &[]).await;
        let mut builder = BatchBuilder::new(codec);
        let headers: [(&str, Option<&[u8]>); 3] =
            [("h", Some(b"1")), ("h", Some(b"2")), ("n", None)];
        builder
            .append(START.0, None, Some(b"value"), &headers)
            .unwrap();
        let sent = builder.build().unwrap();
        rig.produce("t", sent.clone()).await.unwrap();
        let got = rig.fetch("t", 0).await.unwrap().records.concat();
        assert_eq!(
            got[16..],
            sent[16..],
            "all but base offset, length and leader epoch"
        );
        assert_eq!(got[8..12], sent[8..12], "and the length is the same");
    }
}

#[tokio::test]
async fn batches_of_one_call_stand_in_its_order() {
    let rig = Rig::new();
    rig.topic("t", 2, &[]).await;
    let values: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    let partitions = values
        .iter()
        .flat_map(|v| [(0, Some(batch(&[v]))), (1, Some(batch(&[v])))])
        .collect();
    let topics = vec![ProduceTopic {
        topic: "t".to_owned(),
        partitions,
    }];
    let zstd = ZstdAllowed::Yes;
    let call = ProduceCall {
        acks: Acks::All,
        transactional_id: None,
        zstd,
        topics,
    };
    let answers = rig.service.produce(call).await.await;
    for (at, pair) in answers.chunks(2).enumerate() {
        for answer in pair {
            let base = answer.result.as_ref().unwrap().base_offset;
            assert_eq!(base, Offset(i64::try_from(at).unwrap()));
        }
    }
    assert_eq!(rig.values("t", 0).await, values);
}

#[tokio::test]
async fn a_call_larger_than_the_queue_does_not_wait_for_itself() {
    let config = BrokerConfig {
        queued_max_bytes: 1 << 20,
        ..BrokerConfig::default()
    };
    let rig = Rig::with(config);
    rig.topic("t", 1, &[]).await;
    let large = batch(&["x".repeat(600_000).as_str()]);
    let partitions = vec![(0, Some(large)); 5];
    let topics = vec![ProduceTopic {
        topic: "t".to_owned(),
        partitions,
    }];
    let zstd = ZstdAllowed::Yes;
    let call = ProduceCall {
        acks: Acks::All,
        transactional_id: None,
        zstd,
        topics,
    };
    let answers = rig.service.produce(call).await.await;
    assert!(answers.iter().all(|answer| answer.result.is_ok()));
}
