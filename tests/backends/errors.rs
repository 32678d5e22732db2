//! Errors: the same variant, the same code and the same outcome, whoever answers.

use highwater::client::Outcome;
use highwater::{
    ClientError, ConsumerConfig, ErrorCode, NewTopic, ProducerConfig, Record, StartAt,
};

use crate::PATIENCE;
use crate::Stage;
use crate::records::take;

/// A topic and a partition that do not exist: told as such, and nothing is written.
pub(crate) async fn unknown(stage: Stage) {
    let (missing, topic) = (stage.name("missing"), stage.topic("t", 2).await);
    let is_unknown = |error: ClientError| {
        assert_eq!(
            error.code(),
            Some(ErrorCode::UnknownTopicOrPartition),
            "{error}"
        );
        assert_eq!(error.outcome(), Outcome::NotWritten);
    };
    let producer = stage.client.producer(ProducerConfig::default()).unwrap();
    is_unknown(
        producer
            .send(Record::to(&missing).value("x"))
            .await
            .unwrap_err(),
    );
    is_unknown(
        producer
            .send(Record::to(&topic).partition(2).value("x"))
            .await
            .unwrap_err(),
    );

    let mut consumer = stage.client.consumer(ConsumerConfig::default());
    is_unknown(
        consumer
            .assign_topic(&missing, StartAt::Earliest)
            .await
            .unwrap_err(),
    );
    is_unknown(
        consumer
            .assign(&topic, 2, StartAt::Earliest)
            .await
            .unwrap_err(),
    );
    let elsewhere = consumer
        .seek(&topic, 0, StartAt::Earliest)
        .await
        .unwrap_err();
    assert!(matches!(elsewhere, ClientError::Invalid(_)), "{elsewhere}");
    let no_group = consumer.subscribe([topic.as_str()]).unwrap_err();
    assert!(matches!(no_group, ClientError::Invalid(_)), "{no_group}");

    let admin = stage.client.admin();
    is_unknown(admin.describe_topic(&missing).await.unwrap_err());
    is_unknown(admin.topic_configs(&missing).await.unwrap_err());
    is_unknown(admin.create_partitions(&missing, 3).await.unwrap_err());
    is_unknown(admin.delete_records(&missing, 0, 1).await.unwrap_err());
    let group = stage.name("g");
    assert!(!admin.describe_group(&group).await.unwrap().exists());
    assert_eq!(admin.group_offsets(&group, None).await.unwrap(), []);
}

/// A record that is too large for the topic does not take others with it.
pub(crate) async fn too_large(stage: Stage) {
    let topic = NewTopic::named(stage.name("t"))
        .partitions(1)
        .config("max.message.bytes", "2000");
    stage.create(&topic).await;
    // All in one batch, which the client has to split.
    let config = ProducerConfig::new().linger_ms(1_000).batch_size(100_000);
    let producer = stage.client.producer(config).unwrap();
    let mut deliveries = Vec::new();
    for bytes in [100, 1_500, 5_000, 100] {
        let record = Record::to(&topic.name).value("x".repeat(bytes));
        deliveries.push(producer.send(record).await.unwrap());
    }
    producer.flush().await;
    let mut fates = Vec::new();
    for delivery in deliveries {
        fates.push(delivery.await.map(|stored| stored.offset));
    }
    let refused = fates.remove(2).unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::MessageTooLarge));
    assert_eq!(refused.outcome(), Outcome::NotWritten);
    assert_eq!(fates, [Ok(0), Ok(1), Ok(2)]);

    // What no broker would ever get is refused here.
    let huge = Record::to(&topic.name).value(vec![0; 2_000_000]);
    let refused = producer.send(huge).await.unwrap_err();
    assert!(matches!(refused, ClientError::Invalid(_)), "{refused}");
    assert_eq!(refused.outcome(), Outcome::NotWritten);

    let mut consumer = stage.client.consumer(ConsumerConfig::default());
    consumer
        .assign(&topic.name, 0, StartAt::Earliest)
        .await
        .unwrap();
    let read = take(&mut consumer, 3).await;
    let sizes: Vec<_> = read
        .iter()
        .map(|it| it.value.as_ref().unwrap().len())
        .collect();
    assert_eq!(sizes, [100, 1_500, 100]);
}

/// What is closed says so; what it had accepted is stored.
pub(crate) async fn closed(stage: Stage) {
    let topic = stage.topic("t", 1).await;
    let config = ProducerConfig::new()
        .linger_ms(60_000)
        .delivery_timeout_ms(200_000);
    let producer = stage.client.producer(config).unwrap();
    let other = producer.clone();
    let accepted = producer
        .send(Record::to(&topic).value("last"))
        .await
        .unwrap();
    let report = producer.close(PATIENCE).await;
    assert_eq!((report.stored, report.failed, report.abandoned), (1, 0, 0));
    assert_eq!(accepted.await.unwrap().offset, 0);
    let refused = other
        .send(Record::to(&topic).value("late"))
        .await
        .unwrap_err();
    assert_eq!(refused, ClientError::Closed);
    assert_eq!(refused.outcome(), Outcome::NotWritten);
}
