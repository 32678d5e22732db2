//! `outbox`: tables that other programs write, published by a process of its own.

use highwater::sql::{Database, Isolation, OwnedTx, SqlStatement, SqlTx, Sqlite};
use highwater::{Event, Outbox};
use serde_json::{Value, json};

use crate::kit::{Ended, Running, Served, command, finish, folder, get, run, word};

/// A broker that makes no topic by itself, with these topics.
pub(crate) fn broker(dir: &tempfile::TempDir, topics: &[&str]) -> Served {
    let broker = Served::start(dir.path(), &["--set", "auto.create.topics.enable=false"]);
    for topic in topics {
        let create = ["topic", "create", topic, "--partitions", "1"];
        assert_eq!(broker.run(&create).text(), "");
    }
    broker
}

/// A relay that has said that it is there.
pub(crate) fn relay(broker: &Served, url: &str, flags: &[&str]) -> Running {
    relay_at(broker, url, flags).0
}

/// The same, with what it has said.
fn relay_at(broker: &Served, url: &str, flags: &[&str]) -> (Running, String) {
    let to = ["outbox", "--database", url, "--to", &broker.bootstrap];
    let mut running = Running::start(&[&to[..], flags].concat());
    let ready = running.line();
    assert!(ready.starts_with("highwater outbox: rows of "), "{ready}");
    (running, ready)
}

pub(crate) fn stop(relay: Running) -> Ended {
    relay.signal("TERM");
    relay.end()
}

/// The first records of a topic, once they are there.
pub(crate) fn records(broker: &Served, topic: &str, count: &str) -> Vec<Value> {
    let args = ["consume", topic, "--json", "--follow", "--max", count];
    broker.run(&args).json()
}

pub(crate) fn header(record: &Value, name: &str) -> String {
    let headers = record["headers"].as_array().into_iter().flatten();
    let found = headers
        .filter(|it| it["key"] == name)
        .map(|it| &it["value"]);
    let found: Vec<&str> = found.filter_map(Value::as_str).collect();
    assert_eq!(found.len(), 1, "{name} in {record}");
    found[0].to_owned()
}

/// Does some work in the database of a file, as another program would.
fn with<T>(path: &str, work: impl AsyncFnOnce(Sqlite) -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let database = Sqlite::open(path).await;
        work(database.expect("the file can be opened")).await
    })
}

fn execute(path: &str, statements: &[&'static str]) {
    with(path, async |database| {
        let mut tx = database.begin(Isolation::Write).await.expect("it begins");
        for text in statements {
            let done = tx.execute(SqlStatement::new(*text)).await;
            done.expect("the statement is right");
        }
        tx.commit().await.expect("it is committed");
    });
}

/// An empty outbox in a file: its path and its URL.
fn migrated(dir: &tempfile::TempDir) -> (String, String) {
    let path = dir.path().join("shop.db");
    let (path, url) = (word(&path).to_owned(), format!("sqlite:{}", word(&path)));
    let ended = run(&["outbox", "--database", &url, "--migrate"]);
    assert_eq!(ended.text(), "");
    assert_eq!(
        run(&["outbox", "--database", &url, "--migrate"]).text(),
        "",
        "again"
    );
    (path, url)
}

const TWO_ROWS: &[&str] = &[
    "insert into outbox (id, aggregatetype, aggregateid, type, payload) values \
     (x'0192d3a06c0f7a6e9d3f5b1c2a4e6f80', 'order', 'o-1', 'OrderCreated', '{\"total\":12}')",
    "insert into outbox (id, aggregatetype, aggregateid, type, payload) values \
     (x'0192d3a06c0f7a6e9d3f5b1c2a4e6f81', 'order', 'o-1', 'OrderPaid', null)",
];

#[test]
fn rows_for_debezium_are_published_as_debezium_would() {
    let (dir, data) = (folder(), folder());
    let broker = broker(&data, &["outbox.event.order"]);
    let (path, url) = migrated(&dir);
    execute(&path, &TWO_ROWS[..1]);
    let (relay, ready) = relay_at(&broker, &url, &["--http", "127.0.0.1:0", "--migrate"]);
    let found = records(&broker, "outbox.event.order", "1");
    assert_eq!(
        (&found[0]["key"], &found[0]["value"]),
        (&json!("o-1"), &json!("{\"total\":12}"))
    );
    let id = "0192d3a0-6c0f-7a6e-9d3f-5b1c2a4e6f80";
    assert_eq!(header(&found[0], "id"), id);
    // Another process writes while the relay is at work.
    execute(&path, &TWO_ROWS[1..]);
    let found = records(&broker, "outbox.event.order", "2");
    assert_eq!(header(&found[1], "id"), id.replace("6f80", "6f81"));
    let address = ready.split("http://").nth(1);
    let address = address.and_then(|rest| rest.split('/').next()).unwrap();
    let metrics = get(address, "/metrics");
    assert!(metrics.contains("\noutbox_relay_leader 1\n"), "{metrics}");
    // A record is read before its acknowledgement is counted.
    let published = "\noutbox_published_total{topic=\"outbox.event.order\"} 2\n";
    while !get(address, "/metrics").contains(published) {}
    let metrics = get(address, "/metrics");
    let timed = "\noutbox_commit_to_publish_seconds_count 2\n";
    assert!(
        metrics.contains(timed),
        "the age of rows is known: {metrics}"
    );
    let ended = stop(relay);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("published=2"), "{}", ended.stderr);
}

#[test]
fn events_of_the_library_and_the_properties_of_debezium_are_modes() {
    let (dir, data) = (folder(), folder());
    let broker = broker(&data, &["order-events", "orders.v1"]);
    let (path, url) = migrated(&dir);
    with(&path, async |database| {
        let outbox = Outbox::to("order-events");
        let mut tx = database.begin(Isolation::Write).await.unwrap();
        let event = Event::new("/shop", "order.created.v1")
            .key("o-1")
            .data("{}");
        outbox.enqueue(&mut tx, &event).await.unwrap();
        tx.commit().await.unwrap();
    });
    let events = relay(&broker, &url, &["--mode", "cloudevents"]);
    let found = records(&broker, "order-events", "1");
    assert_eq!(header(&found[0], "ce_type"), "order.created.v1");
    assert_eq!(stop(events).code, Some(0));

    execute(&path, &TWO_ROWS[..1]);
    let set = [
        "--set",
        "route.topic.replacement=orders.v1",
        "--set",
        "table.fields.additional.placement=type:header:eventType",
    ];
    let rows = relay(&broker, &url, &set);
    let found = records(&broker, "orders.v1", "1");
    assert_eq!(header(&found[0], "eventType"), "OrderCreated");
    assert_eq!(stop(rows).code, Some(0));
}

#[test]
fn a_key_that_cannot_be_published_is_listed_and_sent_or_skipped_on_command() {
    let (dir, data) = (folder(), folder());
    let broker = broker(&data, &["outbox.event.good"]);
    let (path, url) = migrated(&dir);
    execute(&path, TWO_ROWS);
    let good = "insert into outbox (id, aggregatetype, aggregateid, type, payload) values \
                (x'0192d3a06c0f7a6e9d3f5b1c2a4e6f82', 'good', 'g-1', 'Fine', 'x')";
    execute(&path, &[good]);
    let relay = relay(&broker, &url, &[]);
    // The keys that can be published go on.
    assert_eq!(records(&broker, "outbox.event.good", "1").len(), 1);
    let parked = ["outbox", "--database", &url, "--parked", "--json"];
    let listed = loop {
        let listed = run(&parked).json();
        if listed.first().is_some_and(|it| it["rows"] == 2) {
            break listed;
        }
    };
    let it = &listed[0];
    assert_eq!(
        (&it["seq"], &it["route"], &it["key"]),
        (&json!(1), &json!("order"), &json!("o-1"))
    );
    let text = run(&parked[..4]).text();
    assert!(text.contains("  order  o-1     2 "), "{text}");

    let none = run(&["outbox", "--database", &url, "--retry", "7"]);
    let sentence = "no parked key has 7 as the number of its first row; --parked lists them";
    assert_eq!(none.failure(1), sentence);
    let create = ["topic", "create", "outbox.event.order", "--partitions", "1"];
    assert_eq!(broker.run(&create).text(), "");
    assert_eq!(
        run(&["outbox", "--database", &url, "--skip", "1"]).text(),
        ""
    );
    let found = records(&broker, "outbox.event.order", "1");
    assert!(
        header(&found[0], "id").ends_with("6f81"),
        "the first was dropped: {found:?}"
    );
    while !run(&parked).json().is_empty() {}
    assert_eq!(stop(relay).code, Some(0));
}

/// Runs `outbox`, and gives its exit code and its last words.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let ended = run(&[&["outbox"], args].concat());
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    let said = ended.stderr.lines().last().unwrap_or_default();
    (ended.code, said.to_owned())
}

#[test]
fn words_that_make_no_sense_are_told() {
    let dir = folder();
    let (_, url) = migrated(&dir);
    let file = ["--database", &url];
    let to = ["--to", "127.0.0.1:1"];
    let other = ["--database", "mysql://root:secret@h/d"];
    for (args, sentence) in [
        (
            &to[..],
            "which database? Give --database URL, or the variable",
        ),
        (
            &[other, to].concat(),
            "the database is sqlite:FILE or postgres://",
        ),
        (
            &[["--database", "sqlite:"], to].concat(),
            "which file? It is sqlite:FILE",
        ),
        (
            &file,
            "the following required arguments were not provided: --to",
        ),
        (
            &[&file[..], &to, &["--parked"]].concat(),
            "the argument '--to",
        ),
        (
            &[&file[..], &to, &["--http", "0.0.0.0:0"]].concat(),
            "listening on 0.0.0.0:0 would let anyone who reaches this machine read the metrics",
        ),
        (
            &[&file[..], &["--migrate", "--parked"]].concat(),
            "the argument '--migrate' cannot be used with '--parked'",
        ),
    ] {
        let (code, said) = refused(args);
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert!(said.contains(sentence), "{args:?}: {said}");
    }
}

#[test]
fn what_cannot_be_relayed_is_a_sentence() {
    let (dir, data) = (folder(), folder());
    let broker = broker(&data, &[]);
    let (path, url) = migrated(&dir);
    execute(&path, &["create table other (id integer primary key)"]);
    let missing = format!("sqlite:{path}.missing");
    let no_file = format!("there is no database {path}.missing");
    let (file, to) = (["--database", &url], ["--to", &broker.bootstrap]);
    let mode = ["--mode", "cloudevents"];
    for (args, code, sentence) in [
        ([["--database", &missing], to].concat(), 1, &*no_file),
        (
            [file, to, ["--set", "route.by.feld=x"]].concat(),
            2,
            "route.by.feld",
        ),
        (
            [file, to, mode, ["--set", "a=b"]].concat(),
            2,
            "--set has properties of Debezium's router, and the mode is cloudevents",
        ),
        (
            [file, to, ["--table", "a;b"]].concat(),
            2,
            "\"a;b\" is no name of a table",
        ),
        (
            [file, to, ["--table", "other"]].concat(),
            1,
            "the table other cannot be relayed: ",
        ),
        ([file, ["--to", "127.0.0.1:1"]].concat(), 1, "127.0.0.1:1"),
    ] {
        let (found, said) = refused(&args);
        assert_eq!(found, Some(code), "{args:?}: {said}");
        assert!(said.contains(sentence), "{args:?}: {said}");
    }
}

#[test]
fn the_database_can_be_given_where_no_list_of_processes_has_it() {
    let dir = folder();
    let (_, url) = migrated(&dir);
    let mut parked = command(&["outbox", "--parked", "--json"]);
    let ended = finish(parked.env("DATABASE_URL", &url), b"");
    assert!(ended.json().is_empty());
}
