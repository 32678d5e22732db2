//! Metrics of the native protocol, and of what it does to streams.

use bytes::Bytes;
use highwater_proto::native::v1::{self, expect::What, request::Call};

use crate::kit::batch;
use crate::metrics::Scraped;

/// Two events of one id.
fn append(topic: &str, key: &str, what: What) -> Call {
    let check = v1::StreamCheck {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect: Some(v1::Expect { what: Some(what) }),
    };
    let event = v1::NewEvent {
        key: check.key.clone(),
        headers: vec![v1::Header {
            name: "ce_id".to_owned(),
            value: Some(Bytes::from("1")),
        }],
        ..v1::NewEvent::default()
    };
    Call::Append(v1::Append {
        topic: topic.to_owned(),
        checks: vec![check],
        events: vec![event.clone(), event],
        ..v1::Append::default()
    })
}

#[tokio::test]
async fn calls_of_the_native_protocol_are_counted_with_their_errors_and_events_by_topic() {
    let broker = Scraped::new();
    let store = &[("append.conditional", "true"), ("retention.ms", "-1")];
    broker.rig.topic("events", 1, store).await;
    broker.rig.topic("t", 1, &[]).await;
    let native = broker.rig.broker.native();
    let any = What::Any(true);
    let half = match append("events", "a", any) {
        Call::Append(mut half) => {
            half.events[1].headers[0].value = Some(Bytes::from("2"));
            Call::Append(half)
        }
        other => other,
    };
    for call in [
        append("events", "a", any),
        append("events", "a", any),
        append("events", "b", What::Revision(5)),
        half,
        append("t", "a", any),
        append("nowhere", "a", any),
        Call::ReadStream(v1::ReadStream {
            topic: "events".to_owned(),
            ..v1::ReadStream::default()
        }),
    ] {
        native.call(call, Bytes::new()).await.unwrap();
    }
    // A Kafka producer's record is an event, too; and one that is not as expected.
    broker.rig.produce("events", batch(&["x"])).await.unwrap();
    let scrape = broker.scrape();
    let name = "highwater_native_request_duration_seconds_count";
    let count = |call| scrape.value(name, &[("call", call)]);
    assert_eq!(count("Append"), Some(6.0));
    assert_eq!(count("ReadStream"), Some(1.0));
    assert_eq!(count("Fetch"), Some(0.0));
    let errors = |error| {
        let labels = [("call", "Append"), ("error", error)];
        scrape.value("highwater_native_request_errors_total", &labels)
    };
    assert_eq!(errors("POLICY_VIOLATION"), Some(1.0));
    assert_eq!(errors("UNKNOWN_TOPIC_OR_PARTITION"), Some(1.0));
    assert_eq!(
        scrape.all("highwater_native_request_errors_total").count(),
        2
    );
    let events = |name| scrape.value(name, &[("topic", "events")]);
    assert_eq!(events("highwater_events_appended_total"), Some(3.0));
    assert_eq!(events("highwater_events_conflicts_total"), Some(2.0));
    assert_eq!(scrape.all("highwater_events_appended_total").count(), 1);
    let index_bytes = scrape.value("highwater_events_key_index_bytes", &[]);
    assert!(
        index_bytes.is_some_and(|bytes| bytes > 0.0),
        "{index_bytes:?}"
    );
}
