//! `dlq`: dead letters listed, shown and sent back, with an audit that survives an interruption.

use std::time::Duration;

use highwater::{
    Attempt, Backoff, Client, ConsumerConfig, HandlerError, OffsetReset, ProducerConfig, Record,
    handler_fn,
};
use serde_json::{Value, json};

use crate::kit::{Running, Served, folder};

/// A broker with the topic `t` of two partitions.
fn broker(dir: &tempfile::TempDir) -> Served {
    let broker = Served::start(dir.path(), &["--set", "group.initial.rebalance.delay.ms=0"]);
    let create = ["topic", "create", "t", "--partitions", "2"];
    assert_eq!(broker.run(&create).text(), "");
    broker
}

/// Does some work with a client of the broker.
fn with<T>(broker: &Served, work: impl AsyncFnOnce(Client) -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let client = Client::connect(&broker.bootstrap).await;
        let client = client.expect("the broker answers");
        work(client).await
    })
}

async fn send(client: &Client, record: Record) {
    let producer = client.producer(ProducerConfig::default());
    let delivery = producer.expect("the settings are right").send(record).await;
    let stored = delivery.expect("the record is taken").await;
    stored.expect("the record is stored");
}

/// Three records that the group `payments` cannot handle: two of partition 0, one of partition 1.
fn bury(broker: &Served) {
    with(broker, async |client| {
        for (partition, key) in [(0, "o-1"), (0, "o-2"), (1, "o-3")] {
            let record = Record::to("t").partition(partition).key(key);
            let record = record.value(format!("{{\"order\":\"{key}\"}}"));
            send(&client, record.header("eventId", format!("e-{key}"))).await;
        }
        let config = ConsumerConfig::new().auto_offset_reset(OffsetReset::Earliest);
        let handling = client
            .handler("payments")
            .topics(["t"])
            .consumer(config.auto_commit_interval_ms(20))
            .retry(Backoff::fixed(Duration::ZERO).max_attempts(2));
        let handler = handler_fn(|attempt: Attempt| async move {
            match attempt.record.key.as_deref() {
                Some(b"o-1") => Err(HandlerError::dead("the card\n\u{1b}[2Jis stolen")),
                _ => Err(HandlerError::retry("no answer")),
            }
        });
        let committed = async {
            let admin = client.admin();
            loop {
                let offsets = admin.group_offsets("payments", None).await;
                let offsets = offsets.expect("the broker answers");
                if offsets.iter().map(|it| it.offset).sum::<i64>() == 3 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(handling.run(handler, committed).await.error, None);
    });
}

/// A dead letter as Spring Kafka writes one, about a record of a topic's partition.
fn spring(topic: &str, partition: i32) -> Record {
    Record::to("s-dlt")
        .key("k")
        .value("v")
        .header("kafka_dlt-original-topic", topic.to_owned())
        .header(
            "kafka_dlt-original-partition",
            partition.to_be_bytes().to_vec(),
        )
        .header("kafka_dlt-original-offset", 7_i64.to_be_bytes().to_vec())
        .header("kafka_dlt-original-timestamp", 0_i64.to_be_bytes().to_vec())
        .header("kafka_dlt-exception-fqcn", "shop.Declined")
        .header("kafka_dlt-exception-message", "declined")
}

/// A field of each line of a `--json` output.
fn column(lines: &[Value], field: &str) -> Vec<Value> {
    lines.iter().map(|line| line[field].clone()).collect()
}

/// How many records a topic has.
fn records(broker: &Served, topic: &str) -> usize {
    broker.run(&["consume", topic]).text().lines().count()
}

#[test]
fn letters_are_listed_and_shown() {
    let dir = folder();
    let broker = broker(&dir);
    bury(&broker);
    let listed = broker.run(&["dlq", "list", "t-dlt"]).text();
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .collect()
        })
        .collect();
    assert_eq!(
        rows[0],
        ["AT", "STORED", "FROM", "KEY", "CLASS", "TRIES", "ERROR"]
    );
    let shown: Vec<String> = rows[1..]
        .iter()
        .map(|row| [&row[..1], &row[2..]].concat().join(" "))
        .collect();
    assert_eq!(
        shown,
        [
            "0@0 t-0@0 o-1 dead 1 the card\\n\\u{1b}[2Jis stolen",
            "0@1 t-0@1 o-2 retry 2 no answer",
            "1@0 t-1@0 o-3 retry 2 no answer",
        ],
        "what an error says moves no cursor"
    );
    let page = broker.run(&["dlq", "show", "t-dlt", "0@0"]).text();
    for line in [
        "at         0@0",
        "from       t-0@0",
        "group      payments",
        "message    the card",
        "           \\u{1b}[2Jis stolen",
        "key        \"o-1\"",
        "value      \"{\\\"order\\\":\\\"o-1\\\"}\"",
        "header     eventId: \"e-o-1\"",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in\n{page}");
    }
    let whole = &broker
        .run(&["dlq", "show", "t-dlt", "0@1", "--json"])
        .json()[0];
    let error = &whole["error"];
    assert_eq!(
        (&error["message"], &whole["class"], &whole["attempts"]),
        (&json!("no answer"), &json!("retry"), &json!(2))
    );
    assert_eq!(
        whole["headers"],
        json!([{"key": "eventId", "value": "e-o-2"}])
    );
    assert_eq!(whole["source"]["topic"], "t");
}

#[test]
fn a_list_is_of_the_letters_that_meet_every_condition() {
    let dir = folder();
    let broker = broker(&dir);
    bury(&broker);
    let keys = |flags: &[&str]| {
        let args = [&["dlq", "list", "t-dlt", "--json"], flags].concat();
        column(&broker.run(&args).json(), "key")
    };
    let all = broker.run(&["dlq", "list", "t-dlt", "--json"]).json();
    assert_eq!(column(&all, "key"), ["o-1", "o-2", "o-3"]);
    let kind = all[1]["error"]["type"].as_str().unwrap();
    let stored = format!("@{}", all[1]["stored_at"]);
    assert_eq!(keys(&["--key", "o-2"]), ["o-2"]);
    assert_eq!(keys(&["--class", "retry"]), ["o-2", "o-3"]);
    assert_eq!(keys(&["--class", "retry", "--at", "1@0"]), ["o-3"]);
    assert_eq!(keys(&["--error", kind]).len(), 3, "{kind}");
    assert!(keys(&["--error", "another"]).is_empty());
    assert_eq!(keys(&["--group", "payments"]).len(), 3);
    assert!(keys(&["--group", "mails"]).is_empty());
    assert_eq!(keys(&["--behind", "0@0"]), ["o-2", "o-3"]);
    assert!(keys(&["--behind", "1@0"]).is_empty());
    assert!(keys(&["--since", &stored]).contains(&json!("o-2")));
    assert!(!keys(&["--until", &stored]).contains(&json!("o-2")));
    assert!(keys(&["--since", "2990-01-01T00:00:00Z"]).is_empty());
    let some = broker.run(&["dlq", "list", "t-dlt", "--json", "--max", "2"]);
    assert_eq!(some.json().len(), 2);
    assert_eq!(
        some.stderr,
        "highwater: there are more than 2: --max shows more of them\n"
    );
}

#[test]
fn a_redrive_shows_its_plan_and_carries_it_out() {
    let dir = folder();
    let broker = broker(&dir);
    bury(&broker);
    let redrive = ["dlq", "redrive", "t-dlt", "--class", "retry"];
    let plan = broker.run(&redrive).text();
    assert_eq!(
        plan,
        "AT   TO   OUTCOME\n0@1  t-0  planned\n1@0  t-1  planned\n\n\
         This is the plan; --execute carries it out.\n"
    );
    assert_eq!(
        broker.run(&[&redrive[..], &["--dry-run"]].concat()).text(),
        plan
    );
    assert_eq!(records(&broker, "t"), 3, "only shown");

    let execute = [&redrive[..], &["--execute"]].concat();
    assert_eq!(
        broker.run(&execute).text(),
        "AT   TO   OUTCOME\n0@1  t-0  sent: it is at 2\n1@0  t-1  sent: it is at 1\n"
    );
    let back = broker
        .run(&["consume", "t", "--partition", "1", "--json"])
        .json();
    assert_eq!(column(&back, "key"), ["o-3", "o-3"]);
    assert_eq!(
        back[1]["headers"],
        json!([
            {"key": "eventId", "value": "e-o-3"},
            {"key": "hw-dlt-redrives", "value": "1"},
        ]),
        "it is as it was, and counted"
    );
    let audit = broker.run(&[&execute[..], &["--json", "--at", "1@0"]].concat());
    assert_eq!(
        audit.json(),
        [json!({
            "partition": 1, "offset": 0, "topic": "t", "topic_partition": 1, "failed_offset": 0,
            "outcome": "sent", "stored_offset": 2, "why": null,
        })]
    );
}

#[test]
fn what_would_go_in_circles_or_to_nowhere_is_refused() {
    let dir = folder();
    let broker = broker(&dir);
    with(&broker, async |client| {
        send(&client, spring("t", 0).header("hw-dlt-redrives", "3")).await;
        send(&client, spring("t", 2)).await;
        send(&client, spring("gone", 0)).await;
        send(&client, spring("t", 0)).await;
    });
    let refused = [
        "it has been sent back 3 times: look after its cause, or raise max_redrives",
        "topic t has 2 partitions, and none of the number 2",
        "there is no topic gone any more",
    ];
    let redrive = ["dlq", "redrive", "s-dlt", "--all", "--json"];
    let plan = broker.run(&redrive).json();
    let whys = [
        json!(refused[0]),
        json!(refused[1]),
        json!(refused[2]),
        Value::Null,
    ];
    assert_eq!(column(&plan, "why"), whys);
    let done = broker.run(&[&redrive[..], &["--execute"]].concat());
    assert_eq!(done.code, Some(1), "not all of it was done");
    assert_eq!(done.stderr, "highwater: 3 letters were not sent back\n");
    assert_eq!(records(&broker, "t"), 1);
    let topics = broker.run(&["topic", "list", "--json"]).json();
    assert_eq!(column(&topics, "topic"), ["s-dlt", "t"], "none is created");
    let forced = ["--max-redrives", "4", "--at", "0@0", "--execute"];
    let forced = broker.run(&[&["dlq", "redrive", "s-dlt"], &forced[..]].concat());
    assert!(forced.text().ends_with("0@0  t-0  sent: it is at 1\n"));
}

#[test]
fn an_interrupted_redrive_has_told_what_it_sent_and_can_go_on() {
    let dir = folder();
    let broker = broker(&dir);
    with(&broker, async |client| {
        for _ in 0..4 {
            send(&client, spring("t", 0)).await;
        }
    });
    let redrive = ["dlq", "redrive", "s-dlt", "--execute", "--bootstrap"];
    let redrive = [&redrive[..], &[&broker.bootstrap]].concat();
    let slow = ["--all", "--per-second", "1", "--json"];
    let mut running = Running::start(&[&redrive[..], &slow].concat());
    let first: Value = serde_json::from_str(&running.line()).unwrap();
    assert_eq!(
        first["stored_offset"], 0,
        "told before the next one is sent"
    );
    running.signal("TERM");
    let ended = running.end();
    let sent = 1 + String::from_utf8(ended.stdout).unwrap().lines().count();
    assert_eq!(records(&broker, "t"), sent, "what was sent is told");
    assert!(
        (2..4).contains(&sent),
        "the one at hand, and not all: {sent}"
    );
    let last = format!("0@{}", sent - 1);
    let told = format!("highwater: interrupted; --behind {last} goes on\n");
    assert_eq!((ended.code, ended.stderr), (Some(1), told));
    let rest = ["dlq", "redrive", "s-dlt", "--execute", "--behind", &last];
    assert_eq!(broker.run(&rest).text().lines().count(), 1 + 4 - sent);
    assert_eq!(records(&broker, "t"), 4);
}

#[test]
fn a_redrive_takes_no_more_than_it_may() {
    let dir = folder();
    let broker = broker(&dir);
    with(&broker, async |client| {
        for _ in 0..3 {
            send(&client, spring("t", 0)).await;
        }
    });
    let redrive = [
        "dlq",
        "redrive",
        "s-dlt",
        "--all",
        "--execute",
        "--json",
        "--max",
        "2",
    ];
    assert_eq!(broker.run(&redrive).json().len(), 2);
    assert_eq!(records(&broker, "t"), 2);
}

#[test]
fn a_letter_that_its_topic_does_not_take_ends_the_run_with_its_place() {
    let dir = folder();
    let broker = broker(&dir);
    with(&broker, async |client| {
        send(&client, spring("t", 0)).await;
        send(&client, spring("t", 0).value(vec![b'x'; 5_000])).await;
        send(&client, spring("t", 0)).await;
    });
    let alter = ["topic", "alter", "t", "--set", "max.message.bytes=1000"];
    assert_eq!(broker.run(&alter).text(), "");
    let redrive = ["dlq", "redrive", "s-dlt", "--execute", "--json"];
    let ended = broker.run(&[&redrive[..], &["--all"]].concat());
    assert_eq!(ended.code, Some(1));
    let lines: Vec<Value> = String::from_utf8(ended.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(column(&lines, "outcome"), ["sent", "failed"]);
    let told = ended.stderr.strip_prefix(
        "highwater: the letter at 0@1 may not have been sent: topic t: the batch has 5",
    );
    let told = told.expect(&ended.stderr);
    assert!(
        told.ends_with("; --behind 0@1 goes on without it\n"),
        "{told}"
    );
    let rest = broker.run(&[&redrive[..], &["--behind", "0@1"]].concat());
    assert_eq!(column(&rest.json(), "outcome"), ["sent"]);
}

#[test]
fn what_is_no_dead_letter_is_told() {
    let dir = folder();
    let broker = broker(&dir);
    with(&broker, async |client| {
        send(&client, spring("t", 0)).await;
        for _ in 0..7 {
            send(&client, Record::to("s-dlt").partition(0).value("stray")).await;
        }
    });
    let listed = broker.run(&["dlq", "list", "s-dlt"]);
    let row = listed.text();
    assert!(
        row.ends_with("t-0@7  k    -          -  declined\n"),
        "{row}"
    );
    let told: Vec<&str> = listed.stderr.lines().collect();
    let why = "cannot be read as a dead letter: its header kafka_dlt-original-topic is missing";
    assert_eq!(told[0], format!("highwater: the value of s-dlt-0@1 {why}"));
    let untold = "highwater: 2 more records cannot be read as dead letters either";
    assert_eq!((told.len(), told[5]), (6, untold));
    let plan = broker.run(&["dlq", "redrive", "s-dlt", "--all", "--json"]);
    assert_eq!(plan.json().len(), 1);
    assert_eq!(
        plan.stderr,
        "highwater: 7 records are no dead letters: `dlq list` says why\n"
    );
    let shown = broker.run(&["dlq", "show", "s-dlt", "0@1"]);
    assert_eq!(shown.failure(1), format!("the value of s-dlt-0@1 {why}"));
}

#[test]
fn what_cannot_be_is_a_sentence() {
    let dir = folder();
    let broker = broker(&dir);
    with(&broker, async |client| send(&client, spring("t", 0)).await);
    for (args, code, sentence) in [
        (
            &["list", "none"][..],
            1,
            "topic none: this broker does not know the topic or partition",
        ),
        (
            &["show", "s-dlt", "0@1"],
            1,
            "topic s-dlt: there is no record at 0@1",
        ),
        (
            &["show", "s-dlt", "9@0"],
            1,
            "topic s-dlt: there is no record at 9@0",
        ),
        (
            &["show", "s-dlt", "9"],
            2,
            "invalid value '9' for '<AT>': it is PARTITION@OFFSET, such as 0@17; \
             see `highwater --help`",
        ),
        (
            &["redrive", "none", "--all"],
            1,
            "topic none: this broker does not know the topic or partition",
        ),
    ] {
        let ended = broker.run(&[&["dlq"], args].concat());
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stderr, format!("highwater: {sentence}\n"), "{args:?}");
    }
    for flags in [
        &[][..],
        &["--all", "--key", "k"],
        &["--class", "crush"],
        &["--all", "--dry-run", "--execute"],
        &["--since", "yesterday"],
        &["--all", "--per-second", "0"],
    ] {
        let ended = broker.run(&[&["dlq", "redrive", "s-dlt"], flags].concat());
        assert_eq!(ended.code, Some(2), "{flags:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    let none = crate::kit::run(&["dlq", "list", "t-dlt", "--data-dir", "/nonexistent/x"]);
    assert_eq!(none.failure(1), "there is no data directory /nonexistent/x");
}
