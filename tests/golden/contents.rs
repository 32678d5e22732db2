//! What a broker holds, as text: topics, settings, records, committed offsets.

use std::fmt::Write as _;
use std::time::Duration;

use highwater::{
    Broker, Client, ConfigSource, ConsumerConfig, ConsumerRecord, EmbeddedClient, OffsetSpec,
    StartAt,
};

/// All of it, in a fixed order.
pub(crate) async fn read(broker: &Broker) -> String {
    let client = Client::embedded(broker);
    let admin = client.admin();
    let mut text = String::new();
    let mut topics = admin.list_topics().await.unwrap();
    topics.retain(|topic| !topic.is_internal);
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    for topic in topics {
        writeln!(text, "topic {} {}", topic.name, topic.id).unwrap();
        for config in admin.topic_configs(&topic.name).await.unwrap() {
            if config.source == ConfigSource::Topic {
                writeln!(text, "  {}={}", config.name, config.value.unwrap()).unwrap();
            }
        }
        for partition in 0..topic.partitions {
            partition_of(&client, &topic.name, partition, &mut text).await;
        }
    }
    let mut groups = admin.list_groups().await.unwrap();
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    for group in groups {
        writeln!(text, "group {}", group.group).unwrap();
        let mut offsets = admin.group_offsets(&group.group, None).await.unwrap();
        offsets.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        for at in offsets {
            writeln!(
                text,
                "  {}-{} at {} of epoch {:?}, {:?}",
                at.topic, at.partition, at.offset, at.leader_epoch, at.metadata
            )
            .unwrap();
        }
    }
    text
}

async fn partition_of(client: &Client, topic: &str, partition: i32, text: &mut String) {
    let admin = client.admin();
    let start = admin.offset(topic, partition, OffsetSpec::Earliest).await;
    let end = admin.offset(topic, partition, OffsetSpec::Latest).await;
    let (start, end) = (start.unwrap().unwrap(), end.unwrap().unwrap());
    writeln!(text, "  partition {partition}: {start}..{end}").unwrap();
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer
        .assign(topic, partition, StartAt::Earliest)
        .await
        .unwrap();
    while consumer
        .position(topic, partition)
        .is_none_or(|position| position < end)
    {
        for record in consumer.poll(Duration::from_secs(10)).await.unwrap() {
            writeln!(text, "    {}", line(&record)).unwrap();
        }
    }
}

fn line(record: &ConsumerRecord) -> String {
    let headers = record.headers.iter();
    let headers: Vec<String> = headers
        .map(|header| format!("{}={:?}", header.key, header.value))
        .collect();
    format!(
        "{} {} {:?} {:?} [{}]",
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        headers.join(", ")
    )
}
