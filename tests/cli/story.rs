//! `story`: all that happened to a key or a correlation id, wherever it lies.

use highwater::{Client, Event, EventTime, ProducerConfig, Record};
use serde_json::Value;

use crate::kit::{Ended, Served, folder, run};

/// A broker with a topic of streams and two others.
fn broker(dir: &tempfile::TempDir) -> Served {
    let broker = Served::start(dir.path(), &["--native", "127.0.0.1:0"]);
    for (topic, flags) in [
        (
            "orders",
            &["--preset", "event-store", "--partitions", "2"][..],
        ),
        ("payments", &["--partitions", "3"]),
        ("mails", &["--partitions", "1"]),
    ] {
        let create = [&["topic", "create", topic], flags].concat();
        assert_eq!(broker.run(&create).text(), "");
    }
    broker
}

async fn send(client: &Client, record: Record) {
    let producer = client.producer(ProducerConfig::default());
    let delivery = producer.expect("the settings are right").send(record).await;
    let stored = delivery.expect("the record is taken").await;
    stored.expect("the record is stored");
}

/// An event with its id, its correlation id and its cause, at a time.
fn event(topic: &str, key: &str, id: &str, cause: Option<&str>, ms: i64) -> Record {
    let mut event = Event::at(ms, "/test", format!("{topic}.v1"))
        .id(id)
        .time(EventTime::from_ms(ms))
        .key(key.to_owned())
        .data(format!("{{\"id\":\"{id}\"}}"));
    if let Some(cause) = cause {
        event = event.extension("causationid", cause);
        event = event.extension("correlationid", "e-1");
    }
    event.to(topic).expect("the event is one").timestamp(ms)
}

/// What happened: an order, its payment, and two mails of which one is of somebody else.
fn happen(broker: &Served) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let client = Client::connect(&broker.bootstrap).await;
        let client = client.expect("the broker answers");
        let first = event("orders", "o-42", "e-1", None, 0);
        send(&client, first.partition(1)).await;
        let other = event("orders", "o-43", "e-x", None, 0);
        send(&client, other.partition(0)).await;
        // Each partition has something of the key: nothing is assumed of where it is.
        for partition in 0_i32..3 {
            let id = format!("p-{partition}");
            let paid = event(
                "payments",
                "o-42",
                &id,
                Some("e-1"),
                2_000 + i64::from(partition),
            );
            send(&client, paid.partition(partition)).await;
        }
        // The clock of who sends mails is behind.
        let mail = event("mails", "m-1", "m-1", Some("p-1"), 1_000);
        send(&client, mail).await;
        send(
            &client,
            event("mails", "o-42", "m-2", Some("unheard-of"), 3_000),
        )
        .await;
        send(&client, Record::to("mails").key("m-3").value("no event")).await;
        // A state that was written down is nothing that happened.
        let snapshot = Record::to("mails").key("o-42").value("{}");
        send(&client, snapshot.header("es-snapshot-schema", "order.1")).await;
    });
}

/// `story ...` as JSON, and what was said beside.
fn story(at: &str, args: &[&str]) -> (Vec<Value>, String) {
    let told = run(&[&["story"], args, &["--json", "--bootstrap", at]].concat());
    (told.json(), told.stderr)
}

/// The ids in their order, each with the number of its cause.
fn told(lines: &[Value]) -> Vec<(&str, Option<u64>)> {
    lines
        .iter()
        .map(|line| {
            (
                line["id"].as_str().unwrap_or("-"),
                line["caused_by"].as_u64(),
            )
        })
        .collect()
}

fn failure(ended: &Ended) -> &str {
    ended.failure(1)
}

#[test]
fn a_key_is_told_across_topics_and_partitions() {
    let dir = folder();
    let broker = broker(&dir);
    happen(&broker);
    let (native, said) = story(&broker.native(), &["o-42"]);
    // The topic of streams has the time of the log, long after that of the others: what it has is
    // told first all the same, since it is a cause.
    let expected = [
        ("e-1", None),
        ("p-0", Some(1)),
        ("p-1", Some(1)),
        ("p-2", Some(1)),
        ("m-2", None),
    ];
    assert_eq!(told(&native), expected);
    assert_eq!(native[0]["revision"], 0);
    assert_eq!(native[1]["revision"], Value::Null);
    assert!(said.starts_with("5 events of the key o-42 in "), "{said}");
    assert!(
        said.contains(": 2 partitions by their key index, 7 records read in 4 others"),
        "{said}"
    );
    let (kafka, said) = story(&broker.bootstrap, &["o-42"]);
    assert_eq!(told(&kafka), told(&native));
    assert!(
        said.contains(": 0 partitions by their key index, 9 records read in 6 others"),
        "{said}"
    );

    let (one, _) = story(&broker.native(), &["o-42", "--topic", "mails"]);
    assert_eq!(told(&one), [("m-2", None)]);
    let (few, said) = story(&broker.native(), &["o-42", "--max", "2"]);
    assert_eq!(told(&few), [("p-0", None), ("p-1", None)]);
    assert!(
        said.ends_with("highwater: there are more: --max shows more of them\n"),
        "{said}"
    );
}

#[test]
fn a_correlation_id_is_told_with_what_caused_what() {
    let dir = folder();
    let broker = broker(&dir);
    happen(&broker);
    // No record has it as its key.
    let (lines, said) = story(&broker.native(), &["e-1"]);
    assert!(
        said.starts_with("6 events of the correlation id e-1 in "),
        "{said}"
    );
    let rows = told(&lines);
    let number = |id: &str| {
        rows.iter()
            .position(|row| row.0 == id)
            .map(|at| at as u64 + 1)
    };
    let caused_by = |id: &str| rows.iter().find(|row| row.0 == id).and_then(|row| row.1);
    assert_eq!(caused_by("m-1"), number("p-1"));
    assert_eq!(caused_by("p-1"), number("e-1"));
    assert_eq!(caused_by("m-2"), None);
    // The first cause has the latest time, and comes first all the same.
    assert_eq!(number("e-1"), Some(1), "{rows:?}");
    assert!(number("p-1") < number("m-1"), "{rows:?}");

    let text = run(&["story", "e-1", "--bootstrap", &broker.native()]).text();
    let of = |id: &str| {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("\"{id}\"")));
        line.unwrap_or_else(|| panic!("{id} is missing: {text}"))
    };
    assert!(of("e-1").contains("  orders.v1  "), "{text}");
    assert!(of("p-1").contains("    payments.v1  #1"), "{text}");
    let mail = format!("      mails.v1   #{}", number("p-1").unwrap_or_default());
    assert!(of("m-1").contains(&mail), "{text}");
    assert!(of("m-2").contains("unheard-of"), "{text}");
}

#[test]
fn what_nobody_knows_is_told_so() {
    let dir = folder();
    let broker = broker(&dir);
    let story = |args: &[&str]| broker.run(&[&["story"], args].concat());
    let nowhere = story(&["o-1"]);
    assert_eq!(
        failure(&nowhere),
        "no record has the key o-1, and no event the correlation id o-1 in 3 topics"
    );
    happen(&broker);
    let no_key = story(&["e-1", "--by", "key"]);
    assert_eq!(failure(&no_key), "no record has the key e-1 in 3 topics");
    let no_correlation = story(&["o-42", "--by", "correlation", "--topic", "mails"]);
    assert_eq!(
        failure(&no_correlation),
        "no event has the correlation id o-42 in 1 topics"
    );
    let no_topic = story(&["o-42", "--topic", "none"]);
    assert_eq!(failure(&no_topic), "there is no topic none");
}
