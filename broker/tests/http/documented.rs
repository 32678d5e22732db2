//! What docs/monitoring.md says of metrics, against what is printed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::produce::{Acks, ProduceCall, ProduceTopic, ZstdAllowed};
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_proto::kafka::ApiRequest;
use highwater_proto::kafka::messages::heartbeat::HeartbeatRequest;
use highwater_proto::native::v1::{self, request::Call};

use crate::format::Scrape;
use crate::kit::{batch, fetch_call};
use crate::member::{commit_all, offset_of};

/// Type and labels by name.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn documented() -> Families {
    let text = include_str!("../../../docs/monitoring.md");
    let table = text.split("<!-- metrics: broker -->").nth(1).unwrap();
    let table = table.split("<!-- /metrics -->").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let word = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        let labels = cells[3].split(',').map(word).filter(|it| !it.is_empty());
        assert!(!cells[4].trim().is_empty(), "{row} says nothing");
        (word(cells[1]), (word(cells[2]), labels.collect()))
    })
    .collect()
}

/// A broker of which every metric has something to tell.
async fn scrape() -> Scrape {
    let folder = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        log_dirs_max_bytes: 1 << 30,
        ..BrokerConfig::default()
    };
    let builder = Broker::builder().data_dir(folder.path()).config(config);
    let broker = tokio::task::spawn_blocking(|| builder.start())
        .await
        .unwrap()
        .unwrap();
    let service = broker.service();
    // As if a TLS listener had read it; tests/tls shows that one does.
    service.metrics().certificate_end_ms.set(Some(0));
    let topic = NewTopic {
        name: "t-dlt".to_owned(),
        ..NewTopic::default()
    };
    let set = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let events = NewTopic {
        name: "events".to_owned(),
        configs: vec![set("append.conditional", "true"), set("retention.ms", "-1")],
        ..NewTopic::default()
    };
    let call = CreateTopicsCall {
        topics: vec![topic, events],
        validate_only: false,
    };
    service.create_topics(call).await;
    let call = ProduceCall {
        acks: Acks::All,
        transactional_id: None,
        zstd: ZstdAllowed::Yes,
        topics: vec![ProduceTopic {
            topic: "t-dlt".to_owned(),
            partitions: vec![(0, Some(batch(&["a"])))],
        }],
    };
    for produced in service.produce(call).await.await {
        produced.result.unwrap();
    }
    service.fetch(fetch_call("t-dlt", 0)).await;
    let offset = offset_of("t-dlt", 0, 0);
    commit_all(service, "g", vec![offset]).await.unwrap();
    let refused = HeartbeatRequest {
        group_id: "nobody".into(),
        ..HeartbeatRequest::default()
    };
    let exchange = broker.exchange();
    exchange.send(0, refused.into_request()).await.unwrap();
    let append = v1::Append {
        topic: "events".to_owned(),
        events: vec![v1::NewEvent::default()],
        ..v1::Append::default()
    };
    let native = broker.native();
    native
        .call(Call::Append(append), Bytes::new())
        .await
        .unwrap();
    let fetch = Call::Fetch(v1::Fetch::default());
    native.call(fetch, Bytes::new()).await.unwrap();
    let text = broker.metrics_text().await.unwrap();
    broker.shutdown().await.unwrap();
    Scrape::parse(&text)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn every_metric_is_documented_with_its_type_and_labels_and_no_other_is() {
    let scrape = scrape().await;
    let printed = scrape.families().map(|(name, kind)| {
        let labels = scrape.labels_of(name).into_iter().map(str::to_owned);
        (name.to_owned(), (kind.to_owned(), labels.collect()))
    });
    let (printed, documented): (Families, _) = (printed.collect(), documented());
    assert!(documented.len() > 50, "the table is not seen");
    for (name, told) in &printed {
        assert_eq!(
            documented.get(name),
            Some(told),
            "documented against printed: {name}"
        );
    }
    for name in documented.keys() {
        assert!(
            printed.contains_key(name),
            "{name} is documented, and not printed"
        );
    }
}
