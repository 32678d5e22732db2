//! `topic`: what is created is listed, described, altered and deleted.

use serde_json::json;

use crate::kit::{Served, folder, run, word};

#[test]
fn a_topic_lives_from_create_to_delete() {
    let dir = folder();
    let broker = Served::start(dir.path(), &["--set", "num.partitions=3"]);
    let create = ["topic", "create", "flights", "--partitions", "2"];
    assert_eq!(broker.run(&create).text(), "");
    assert_eq!(broker.run(&["topic", "create", "other"]).text(), "");

    let listed = broker.run(&["topic", "list"]).text();
    assert_eq!(
        listed,
        "TOPIC    PARTITIONS  RECORDS\nflights           2        0\nother             3        0\n"
    );
    let listed = broker.run(&["topic", "list", "--json"]).json();
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0]["topic"], "flights");
    assert_eq!(listed[1]["partitions"], 3);
    let all = broker
        .run(&["topic", "list", "--json", "--internal"])
        .json();
    let id = |topic: &serde_json::Value| topic["id"].as_str().map(str::len);
    assert!(
        all.len() >= 2 && all.iter().all(|topic| id(topic) == Some(22)),
        "{all:?}"
    );

    assert_eq!(broker.run(&["topic", "delete", "other"]).text(), "");
    assert_eq!(broker.run(&["topic", "list", "--json"]).json().len(), 1);
}

#[test]
fn settings_are_described_and_altered() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    let set = [
        "--set",
        "retention.ms=1000000",
        "--set",
        "durability=page-cache",
    ];
    let create = [
        &["topic", "create", "flights", "--partitions", "2"][..],
        &set,
    ]
    .concat();
    assert_eq!(broker.run(&create).text(), "");
    let described = &broker
        .run(&["topic", "describe", "flights", "--json"])
        .json()[0];
    assert_eq!(described["set"], json!(["durability", "retention.ms"]));
    assert_eq!(described["configs"]["retention.ms"], "1000000");
    assert_eq!(described["configs"]["cleanup.policy"], "delete");
    assert_eq!(
        described["partitions"][1],
        json!({"partition": 1, "start": 0, "end": 0, "bytes": 0})
    );
    let text = broker.run(&["topic", "describe", "flights"]).text();
    assert!(
        text.contains("2 partitions") && text.contains("durability    page-cache"),
        "{text}"
    );

    let alter = [
        "topic",
        "alter",
        "flights",
        "--partitions",
        "5",
        "--set",
        "segment.ms=9000",
        "--unset",
    ];
    assert_eq!(
        broker.run(&[&alter[..], &["durability"]].concat()).text(),
        ""
    );
    let described = &broker
        .run(&["topic", "describe", "flights", "--json"])
        .json()[0];
    assert_eq!(described["set"], json!(["retention.ms", "segment.ms"]));
    assert_eq!(described["partitions"].as_array().map(Vec::len), Some(5));
}

#[test]
fn an_event_store_is_made_by_one_word_and_what_is_set_beside_it() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    let create = ["topic", "create", "orders", "--preset", "event-store"];
    let set = ["--set", "segment.bytes=1000000", "--json"];
    let made = &broker.run(&[&create[..], &set].concat()).json()[0];
    for (name, value) in [
        ("append.conditional", "true"),
        ("cleanup.policy", "delete"),
        ("durability", "fsync"),
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.bytes", "-1"),
        ("retention.ms", "-1"),
        ("segment.bytes", "1000000"),
    ] {
        assert_eq!(made["configs"][name], value, "{name}");
        let set = made["set"].as_array().unwrap();
        assert!(set.iter().any(|other| other == name), "{name}");
    }

    let create = ["topic", "create", "o", "--preset", "event-store", "--set"];
    let finite = broker.run(&[&create[..], &["retention.ms=1000"]].concat());
    let sentence = finite.failure(1);
    assert!(
        sentence.starts_with("topic o: the config retention.ms") && sentence.contains("history"),
        "{sentence}"
    );
    let none = broker.run(&[&create[..], &["append.conditional=false"]].concat());
    assert_eq!(
        none.failure(2),
        "--preset event-store is nothing with append.conditional=false"
    );
    let allowed = ["retention.ms=1000", "--set", "allow.history.loss=true"];
    assert_eq!(broker.run(&[&create[..], &allowed].concat()).text(), "");
    assert_eq!(broker.run(&["topic", "list", "--json"]).json().len(), 2);
}

#[test]
fn what_the_broker_refuses_is_said_in_one_sentence() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    assert_eq!(broker.run(&["topic", "create", "a"]).text(), "");
    assert_eq!(
        broker
            .run(&["topic", "create", "a", "--if-not-exists"])
            .text(),
        ""
    );
    let cases: &[(&[&str], i32, &str)] = &[
        (
            &["topic", "create", "a"],
            1,
            "topic a: the topic exists already",
        ),
        (
            &["topic", "create", "b", "--set", "retention=1"],
            1,
            "topic b: the config retention",
        ),
        (
            &["topic", "create", "b", "--set", "retention.ms=x"],
            1,
            "topic b: the config retention.ms",
        ),
        (
            &["topic", "create", "a b"],
            1,
            "topic a b: the topic name is not allowed",
        ),
        (&["topic", "describe", "none"], 1, "topic none: "),
        (&["topic", "delete", "none"], 1, "topic none: "),
        (
            &["topic", "alter", "none", "--set", "segment.ms=9"],
            1,
            "topic none: ",
        ),
        (
            &["topic", "alter", "a", "--partitions", "1"],
            1,
            "topic a: ",
        ),
        (&["topic", "alter", "a"], 2, "nothing to alter"),
        (
            &["topic", "create", "b", "--set", "retention.ms"],
            2,
            "invalid value 'retention.ms'",
        ),
    ];
    for (args, code, sentence) in cases {
        let ended = broker.run(args);
        assert!(
            ended.failure(*code).starts_with(sentence),
            "{args:?}: {}",
            ended.stderr
        );
    }
}

#[test]
fn a_command_can_bring_its_own_broker() {
    let dir = folder();
    let data = dir.path().join("data");
    let on_data = |args: &[&str]| run(&[args, &["--data-dir", word(&data)]].concat());
    let missing = on_data(&["topic", "list"]);
    assert!(
        missing
            .failure(1)
            .starts_with("there is no data directory ")
    );
    assert!(
        !data.exists(),
        "a command that only reads makes no data directory"
    );
    assert_eq!(
        on_data(&["topic", "create", "kept", "--partitions", "4"]).text(),
        ""
    );
    assert_eq!(
        on_data(&["topic", "list", "--json"]).json()[0]["partitions"],
        4
    );

    let broker = Served::start(&data, &[]);
    assert_eq!(
        broker.run(&["topic", "list", "--json"]).json()[0]["topic"],
        "kept"
    );
    let locked = on_data(&["topic", "list"]);
    assert!(
        locked.failure(1).contains("is in use: process "),
        "{}",
        locked.stderr
    );
}

#[test]
fn topics_grow_shrink_and_show_their_size() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    let create = [
        "topic",
        "create",
        "t",
        "--config",
        "retention.ms=-1",
        "--json",
    ];
    let created = &broker.run(&create).json()[0];
    assert_eq!(
        (&created["topic"], &created["set"]),
        (&json!("t"), &json!(["retention.ms"]))
    );
    let lines: String = (0..10).map(|number| format!("{number}\n")).collect();
    let produce = ["produce", "t", "--partition", "0", "--batch-size", "1"];
    assert_eq!(broker.run_with_input(&produce, lines.as_bytes()).text(), "");
    let alter = [
        "topic",
        "alter",
        "t",
        "--add-partitions",
        "2",
        "--delete-config",
    ];
    let altered = [&alter[..], &["retention.ms", "--json"]].concat();
    let altered = &broker.run(&altered).json()[0];
    assert_eq!(altered["partitions"].as_array().map(Vec::len), Some(3));
    assert_eq!(altered["set"], json!([]));
    let size = |topic: &serde_json::Value| topic["partitions"][0]["bytes"].as_i64().unwrap();
    assert!(size(altered) > 600, "ten batches have more than {altered}");

    let all = broker.run(&["topic", "describe", "t", "--all"]).text();
    assert!(
        all.contains("SETTING") && all.contains("  default\n"),
        "{all}"
    );
    let few = broker.run(&["topic", "describe", "t"]).text();
    assert!(few.contains("SIZE") && !few.contains("SETTING"), "{few}");

    let gone = ["topic", "delete", "none", "t", "--if-exists", "--json"];
    assert_eq!(
        broker.run(&gone).json(),
        [
            json!({"topic": "none", "deleted": false}),
            json!({"topic": "t", "deleted": true})
        ]
    );
}

#[test]
fn the_oldest_records_are_let_go() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    let create = ["topic", "create", "t", "--partitions", "3"];
    assert_eq!(broker.run(&create).text(), "");
    let lines: String = (0..10).map(|number| format!("{number}\n")).collect();
    let produce = ["produce", "t", "--partition", "0"];
    assert_eq!(broker.run_with_input(&produce, lines.as_bytes()).text(), "");
    let delete = |flags: &[&str]| {
        let args = [&["topic", "delete-records", "t", "--json"], flags].concat();
        broker.run(&args).json()[0].clone()
    };
    assert_eq!(
        delete(&["--before", "-4", "--partition", "0"]),
        json!({"partition": 0, "start": 6, "end": 10, "deleted": 6})
    );
    assert_eq!(delete(&["--before", "earliest"])["deleted"], 0);
    assert_eq!(delete(&["--before", "@0"])["deleted"], 0);
    assert_eq!(
        broker
            .run(&["topic", "delete-records", "t", "--before", "latest"])
            .text(),
        "PARTITION  DELETED  START  END\n        0        4     10   10\n        \
         1        0      0    0\n        2        0      0    0\n"
    );
    assert_eq!(broker.run(&["consume", "t"]).text(), "");
    let none = broker.run(&[
        "topic",
        "delete-records",
        "t",
        "--before",
        "1",
        "--partition",
        "3",
    ]);
    assert_eq!(
        none.failure(1),
        "topic t has the partitions 0 to 2, but no partition 3"
    );
}
