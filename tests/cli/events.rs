//! `events`: a stream shown, appended to if it is as expected, and followed.

use serde_json::{Value, json};

use crate::kit::{Ended, Served, folder, run, run_with_input, word};

/// A broker with the topic `orders`, made for streams.
struct Shop {
    broker: Served,
    native: String,
    _dir: tempfile::TempDir,
}

impl Shop {
    fn open() -> Self {
        let dir = folder();
        let broker = Served::start(dir.path(), &["--native", "127.0.0.1:0"]);
        let create = ["topic", "create", "orders", "--preset", "event-store"];
        let created = broker.run(&[&create[..], &["--partitions", "3"]].concat());
        assert_eq!(created.text(), "");
        Self {
            native: broker.native(),
            broker,
            _dir: dir,
        }
    }

    /// `events ...` over the native protocol.
    fn events(&self, args: &[&str]) -> Ended {
        let at = ["--bootstrap", &self.native];
        run(&[&["events"], args, &at].concat())
    }

    fn append(&self, expect: &str, event_type: &str, data: &str) -> Ended {
        self.events(&[
            "append", "o-42", "--topic", "orders", "--expect", expect, "--type", event_type,
            "--data", data,
        ])
    }

    /// The seed's own order: created, two items, paid.
    fn order(&self) {
        for (expect, event_type, data) in [
            ("no-stream", "order.created.v1", r#"{"customer":"c-7"}"#),
            ("0", "order.item-added.v1", r#"{"item":"item1"}"#),
            ("revision:1", "order.item-added.v1", r#"{"item":"item2"}"#),
            ("exists", "order.paid.v1", r#"{"cents":15000}"#),
        ] {
            let appended = self.append(expect, event_type, data).text();
            assert!(appended.starts_with("revision "), "{appended}");
        }
    }
}

/// The cells of a table.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .map(|line| {
            let cells = line.split("  ").map(str::trim);
            cells.filter(|cell| !cell.is_empty()).collect()
        })
        .collect()
}

/// A field of each line.
fn column(lines: &[Value], field: &str) -> Vec<Value> {
    lines.iter().map(|line| line[field].clone()).collect()
}

#[test]
fn a_stream_is_appended_to_and_shown() {
    let shop = Shop::open();
    shop.order();
    let show = ["show", "o-42", "--topic", "orders"];
    let shown = shop.events(&show).text();
    let rows = rows(&shown);
    assert_eq!(
        rows[0],
        ["REVISION", "TIME", "OFFSET", "TYPE", "ID", "DATA"]
    );
    let told: Vec<_> = rows[1..]
        .iter()
        .map(|row| (row[0], row[2], row[3], row[5]))
        .collect();
    assert_eq!(
        told,
        [
            ("0", "0", "order.created.v1", r#"{"customer":"c-7"}"#),
            ("1", "1", "order.item-added.v1", r#"{"item":"item1"}"#),
            ("2", "2", "order.item-added.v1", r#"{"item":"item2"}"#),
            ("3", "3", "order.paid.v1", r#"{"cents":15000}"#),
        ]
    );
    let lines = shop.events(&[&show[..], &["--json"]].concat()).json();
    assert_eq!(column(&lines, "revision"), [0, 1, 2, 3].map(Value::from));
    assert_eq!(lines[3]["data"], json!({"cents": 15000}));
    assert_eq!(lines[3]["source"], "/orders");
    assert_eq!(lines[0]["id"], rows[1][4]);

    // Before the last event, in each of the three ways; all events have a time of their own.
    let time = format!("@{}", lines[2]["timestamp"]);
    let as_of = |moment: &str| {
        let lines = shop.events(&[&show[..], &["--json", "--as-of", moment]].concat());
        lines.json().len()
    };
    assert_eq!(
        (as_of("2"), as_of("revision:1"), as_of("offset:2")),
        (3, 2, 3)
    );
    assert!((3..=4).contains(&as_of(&time)), "{lines:?}");
    assert_eq!(as_of("9"), 4);
    let none = shop.events(&[&show[..], &["--as-of", "@1"]].concat());
    assert_eq!(
        none.failure(1),
        "topic orders has no event of the key o-42 as of 1970-01-01T00:00:00.001Z"
    );
    let few = shop.events(&[&show[..], &["--json", "--max", "2"]].concat());
    assert_eq!(few.json().len(), 2);
    assert_eq!(
        few.stderr,
        "highwater: there are more than 2: --max shows more of them\n"
    );
    let whole = shop.events(&[&show[..], &["--json", "--max", "4"]].concat());
    assert_eq!((whole.json().len(), whole.stderr.as_str()), (4, ""));
}

#[test]
fn an_append_that_is_not_as_expected_is_told_so_and_stores_nothing() {
    let shop = Shop::open();
    shop.order();
    for (expect, told) in [
        (
            "no-stream",
            "no stream was expected, and it is at revision 3, offset 3",
        ),
        (
            "2",
            "revision 2 was expected, and it is at revision 3, offset 3",
        ),
        (
            "offset:1",
            "the last offset 1 was expected, and it is at revision 3, offset 3",
        ),
    ] {
        let refused = shop.append(expect, "order.paid.v1", "{}");
        let sentence = format!("the stream o-42 of orders is not as expected: {told}");
        assert_eq!(refused.failure(1), sentence);
    }
    let absent = [
        "append", "o-43", "--topic", "orders", "--type", "t", "--expect", "exists",
    ];
    assert_eq!(
        shop.events(&absent).failure(1),
        "the stream o-43 of orders is not as expected: a stream was expected, and there is none"
    );
    // There is no expectation that nobody has said.
    let unsaid = shop.events(&["append", "o-42", "--topic", "orders", "--type", "t"]);
    assert!(
        unsaid.failure(2).contains("--expect <WHAT>"),
        "{}",
        unsaid.stderr
    );
    for expect in ["maybe", "@7", "-1"] {
        assert_eq!(shop.append(expect, "t", "{}").code, Some(2), "{expect}");
    }
    let broken = shop.append("any", "t", "{\"item\":");
    assert!(
        broken.failure(2).starts_with("the data is no JSON: "),
        "{}",
        broken.stderr
    );
    let nothing = shop.append("any", "", "{}");
    assert!(
        nothing.failure(2).contains("its type is empty"),
        "{}",
        nothing.stderr
    );
    let shown = shop.events(&["show", "o-42", "--topic", "orders", "--json"]);
    assert_eq!(shown.json().len(), 4);
}

#[test]
fn the_same_id_again_is_the_same_event() {
    let shop = Shop::open();
    let append = |id: &str| {
        shop.events(&[
            "append",
            "o-1",
            "--topic",
            "orders",
            "--type",
            "t",
            "--expect",
            "no-stream",
            "--id",
            id,
            "--json",
            "--correlation",
            "c-1",
            "--causation",
            "e-0",
            "--source",
            "/till",
        ])
    };
    let first = append("e-1").json().remove(0);
    let again = append("e-1").json().remove(0);
    assert_eq!(
        (&first["duplicate"], &again["duplicate"]),
        (&json!(false), &json!(true))
    );
    for field in ["topic", "partition", "offset", "revision", "id", "token"] {
        assert_eq!(first[field], again[field], "{field}");
    }
    assert_eq!(append("e-2").code, Some(1));
    let shown = shop
        .events(&["show", "o-1", "--topic", "orders", "--json"])
        .json();
    assert_eq!(shown.len(), 1);
    let told = ["id", "correlation", "causation", "source"].map(|field| shown[0][field].clone());
    assert_eq!(told, ["e-1", "c-1", "e-0", "/till"].map(Value::from));
}

#[test]
fn data_comes_from_a_file_or_the_input_as_well() {
    let shop = Shop::open();
    let dir = folder();
    let file = dir.path().join("data.json");
    #[expect(clippy::disallowed_methods, reason = "an input of the test")]
    std::fs::write(&file, "{\n  \"from\": \"a file\"\n}\n").unwrap();
    let append = [
        "events",
        "append",
        "k",
        "--topic",
        "orders",
        "--type",
        "t",
        "--expect",
        "any",
        "--bootstrap",
        &shop.native,
        "--data",
    ];
    let named = format!("@{}", word(&file));
    assert_eq!(run(&[&append[..], &[&named]].concat()).code, Some(0));
    let piped = run_with_input(&[&append[..], &["-"]].concat(), b"{\"from\":\"the input\"}");
    assert_eq!(piped.code, Some(0), "{}", piped.stderr);
    let text = [&append[..], &["no json", "--content-type", "text/plain"]].concat();
    assert_eq!(run(&text).code, Some(0));
    let missing = run(&[&append[..], &["@/no/such.json"]].concat());
    assert!(
        missing
            .failure(1)
            .starts_with("cannot open /no/such.json: ")
    );
    let shown = shop
        .events(&["show", "k", "--topic", "orders", "--json"])
        .json();
    let expected = [
        json!({"from": "a file"}),
        json!({"from": "the input"}),
        json!("no json"),
    ];
    assert_eq!(column(&shown, "data"), expected);
}

#[test]
fn a_replay_shows_how_the_state_builds_up() {
    let shop = Shop::open();
    shop.order();
    let replay = ["replay", "o-42", "--topic", "orders"];
    let text = shop.events(&replay).text();
    let plain: Vec<String> = text
        .lines()
        .map(|line| match line.split_once("Z  ") {
            // The time is the broker's.
            Some((head, event_type)) => format!(
                "{} {event_type}",
                head.trim_start().split("  ").next().unwrap()
            ),
            None => line.to_owned(),
        })
        .collect();
    assert_eq!(
        plain,
        [
            "0 order.created.v1",
            "      + /customer  \"c-7\"",
            "1 order.item-added.v1",
            "      + /item  \"item1\"",
            "2 order.item-added.v1",
            "      ~ /item  \"item1\" -> \"item2\"",
            "3 order.paid.v1",
            "      + /cents  15000",
            "",
            "the state as of revision 3:",
            "{",
            "  \"cents\": 15000,",
            "  \"customer\": \"c-7\",",
            "  \"item\": \"item2\"",
            "}",
        ]
    );
    let lines = shop
        .events(&[&replay[..], &["--json", "--as-of", "2"]].concat())
        .json();
    assert_eq!(column(&lines, "revision"), [0, 1, 2].map(Value::from));
    assert!(lines.iter().all(|line| line["replay"] == true), "{lines:?}");
    assert_eq!(
        lines[2]["state"],
        json!({"customer": "c-7", "item": "item2"})
    );
    let change = json!([{"path": "/item", "before": "item1", "after": "item2"}]);
    assert_eq!(lines[2]["changes"], change);
    // It has only looked.
    assert_eq!(shop.broker.run(&["group", "list", "--json"]).text(), "");
    let none = shop.events(&["replay", "o-43", "--topic", "orders"]);
    assert_eq!(none.failure(1), "topic orders has no event of the key o-43");
}

#[test]
fn over_kafka_a_stream_is_read_and_an_append_is_refused() {
    let shop = Shop::open();
    shop.order();
    // Other keys of the same partition lie between.
    let other = [
        "append", "o-1", "--topic", "orders", "--type", "t", "--expect", "any",
    ];
    let partition = shop
        .events(&["show", "o-42", "--topic", "orders", "--json"])
        .json()[0]["partition"]
        .to_string();
    let beside = [&other[..], &["--partition", &partition]].concat();
    assert_eq!(shop.events(&beside).code, Some(0));
    shop.append("3", "order.shipped.v1", "{}").text();

    let show = ["events", "show", "o-42", "--topic", "orders", "--json"];
    let over_kafka = shop.broker.run(&show);
    let note = format!(
        "highwater: no key index is at hand: orders-{partition} is read, and the revisions are \
         counted in it\n"
    );
    assert_eq!(over_kafka.stderr, note);
    let native = run(&[&show[..], &["--bootstrap", &shop.native]].concat());
    assert_eq!(native.stderr, "");
    assert_eq!(over_kafka.json(), native.json());
    assert_eq!(native.json().len(), 5);
    for moment in ["2", "offset:3", "@1"] {
        let then = |at: &str| run(&[&show[..], &["--as-of", moment, "--bootstrap", at]].concat());
        let (kafka, native) = (then(&shop.broker.bootstrap), then(&shop.native));
        assert_eq!(
            (kafka.code, kafka.stdout),
            (native.code, native.stdout),
            "{moment}"
        );
    }
    let replay = ["events", "replay", "o-42", "--topic", "orders", "--json"];
    assert_eq!(shop.broker.run(&replay).json().len(), 5);
    let append = [&["events"], &other[..]].concat();
    let refused = shop.broker.run(&append);
    assert!(
        refused
            .failure(1)
            .contains("connect to highwater://HOST:PORT"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_folder_is_enough_and_a_topic_without_an_index_is_read() {
    let dir = folder();
    let on = ["--data-dir", word(dir.path())];
    let produce = [&["produce", "plain", "--key-field", "k"], &on[..]].concat();
    let lines = b"{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":2}\n{\"k\":\"a\",\"n\":3}\n";
    assert_eq!(run_with_input(&produce, lines).code, Some(0));
    let show = ["events", "show", "a", "--topic", "plain", "--json"];
    let shown = run(&[&show[..], &on].concat());
    assert!(
        shown.stderr.contains("no key index is at hand"),
        "{}",
        shown.stderr
    );
    assert_eq!(column(&shown.json(), "revision"), [0, 1].map(Value::from));
    assert_eq!(column(&shown.json(), "type"), [Value::Null, Value::Null]);

    let append = [
        "events",
        "append",
        "a",
        "--type",
        "t",
        "--expect",
        "no-stream",
        "--data",
        "{\"n\":4}",
    ];
    let to = |topic: &'static str| run(&[&append[..], &["--topic", topic], &on].concat());
    let refused = to("plain");
    assert!(
        refused.failure(1).starts_with("topic plain: "),
        "{}",
        refused.stderr
    );
    let create = ["topic", "create", "streams", "--preset", "event-store"];
    assert_eq!(run(&[&create[..], &on].concat()).text(), "");
    assert_eq!(
        to("streams").text().split(',').next(),
        Some("revision 0 at streams-0@0")
    );
    let shown = run(&[
        "events", "show", "a", "--topic", "streams", "--json", on[0], on[1],
    ]);
    assert_eq!((shown.json().len(), shown.stderr.as_str()), (1, ""));

    // What was deleted in front takes the revisions with it.
    let delete = ["topic", "delete-records", "plain", "--before", "1"];
    assert_eq!(run(&[&delete[..], &on].concat()).code, Some(0));
    let left = run(&[&show[..], &on].concat()).json();
    assert_eq!(column(&left, "revision"), [Value::Null]);
    let asked = run(&[&show[..], &["--as-of", "0"], &on].concat());
    assert!(
        asked.stderr.contains("no revision in it is known"),
        "{}",
        asked.stderr
    );
    assert_eq!(asked.code, Some(1));
}
