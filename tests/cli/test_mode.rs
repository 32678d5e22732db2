//! `serve --test-mode`: what a test of another program does to its broker over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use highwater::broker::clock::SystemClock;
use highwater_proto::clock::Clock;
use serde_json::{Value, json};

use crate::kit::{Served, command, run};

/// A broker in test mode, and where it is driven.
struct Tested {
    served: Served,
    http: String,
}

impl Tested {
    fn start(flags: &[&str]) -> Self {
        let args = [&["serve", "--test-mode", "--log-level", "warn"], flags].concat();
        let served = Served::spawn(&mut command(&args));
        let http = served.ready.split("http ").nth(1);
        let http = http.and_then(|rest| rest.split(", ").next());
        let http = http.expect("the line says where it is driven").to_owned();
        Self { served, http }
    }

    fn virtual_clock() -> Self {
        Self::start(&["--clock", "virtual"])
    }

    /// The status, and the body.
    fn raw(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).expect("it is listened on");
        let bytes = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {bytes}\r\n\r\n{body}").expect("the request is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("it has a head");
        let status = head.split(' ').nth(1).expect("it has a status");
        (status.parse().expect("it is a number"), body.to_owned())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, body) = self.raw(method, path, body);
        (
            status,
            serde_json::from_str(&body).expect("every answer is JSON"),
        )
    }

    /// What was asked for must be done.
    fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, &body.to_string());
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn now_ms(&self) -> i64 {
        let state = self.done("GET", "/test/v1/state", Value::Null);
        state["now_ms"].as_i64().expect("it is a number")
    }

    fn produce(&self, topic: &str, lines: &[u8]) {
        let produced = self.served.run_with_input(&["produce", topic], lines);
        assert_eq!(produced.text(), "");
    }

    fn consume(&self, topic: &str) -> String {
        self.served.run(&["consume", topic]).text()
    }

    fn topics(&self) -> String {
        self.served.run(&["topic", "list", "--json"]).text()
    }
}

fn machine_ms() -> i64 {
    SystemClock::new().now().wall.0
}

#[test]
fn it_is_there_in_milliseconds_and_says_where() {
    let clock = SystemClock::new();
    let starts = (0..5).map(|_| {
        let since = clock.now().mono;
        let broker = Tested::start(&[]);
        (clock.now().mono.since(since), broker)
    });
    let (time, broker) = starts.min_by_key(|(time, _)| *time).unwrap();
    println!("from the start of the process to its line: {time:?}, the best of five");
    // A debug build on a machine that does other things: whatever takes a second is a wait.
    assert!(time.as_millis() < 1000, "{time:?}");
    let ready = &broker.served.ready;
    assert!(broker.served.bootstrap.starts_with("127.0.0.1:"), "{ready}");
    assert!(
        ready.contains(", data in memory, clock system, "),
        "{ready}"
    );
    assert!(
        ready.contains("group.initial.rebalance.delay.ms=0"),
        "{ready}"
    );
    let state = broker.done("GET", "/test/v1/state", Value::Null);
    assert_eq!(state["bootstrap"], broker.served.bootstrap.as_str());
    assert_eq!(
        (&state["clock"], &state["faults"]),
        (&json!("system"), &json!(0))
    );
    broker.produce("t", b"kept\n");
    assert_eq!(broker.consume("t"), "kept\n");
    let stopped = broker.served.stop();
    assert_eq!((stopped.code, stopped.stderr.as_str()), (Some(0), ""));
}

#[test]
fn it_ends_with_its_standard_input_where_that_was_asked_for() {
    let broker = Tested::start(&["--stop-with-stdin"]);
    // This drops the input, and sends no signal.
    let ended = broker.served.process.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn what_makes_no_sense_on_the_command_line_is_told() {
    for (args, sentence) in [
        (
            &["--test-mode", "--kafka", "0.0.0.0:0"][..],
            "use 127.0.0.1 instead of 0.0.0.0:0",
        ),
        (
            &["--test-mode", "--http", "[::]:0"],
            "use 127.0.0.1 instead of [::]:0",
        ),
        (
            &[
                "--test-mode",
                "--kafka",
                "A=127.0.0.1:0",
                "--kafka",
                "B=127.0.0.1:0",
            ],
            "has one Kafka listener: give --kafka once",
        ),
        (
            &["--test-mode", "--data-dir", "x"],
            "'--test-mode' cannot be used with",
        ),
        (
            &["--test-mode", "--clock", "lunar"],
            "invalid value 'lunar' for '--clock <CLOCK>'",
        ),
        (
            &["--test-mode", "--set", "num.partition=1"],
            "did you mean num.partitions?",
        ),
        (
            &["--dev", "--clock", "virtual"],
            "are for a broker in --test-mode",
        ),
        (
            &["--dev", "--stop-with-stdin"],
            "are for a broker in --test-mode",
        ),
    ] {
        let ended = run(&[&["serve"], args].concat());
        let failure = ended.failure(2);
        assert!(failure.contains(sentence), "{failure}");
    }
    let ended = command(&["serve", "--test-mode"])
        .env("HIGHWATER_HTTP", "")
        .output();
    let told = String::from_utf8(ended.unwrap().stderr).unwrap();
    assert!(
        told.contains("driven over HTTP: give --http 127.0.0.1:0"),
        "{told}"
    );
}

const ADVANCE: &str = "/test/v1/clock/advance";
const EXPECT: &str = "/test/v1/expect";
const FAULTS: &str = "/test/v1/faults";

/// A request, and the status and the sentence that answer it.
const NONSENSE: [(&str, &str, &str, u16, &str); 16] = [
    (
        "POST",
        ADVANCE,
        "",
        400,
        "this is not the JSON that /test/v1/clock/advance takes: EOF",
    ),
    (
        "POST",
        ADVANCE,
        "{\"ms\":-1}",
        400,
        "invalid value: integer `-1`, expected u64",
    ),
    (
        "POST",
        ADVANCE,
        "{\"s\":1}",
        400,
        "unknown field `s`, expected `ms`",
    ),
    (
        "POST",
        ADVANCE,
        "{\"ms\":99999999999}",
        400,
        "31622400000 ms (a year) at a time",
    ),
    ("POST", FAULTS, "{}", 400, "missing field `action`"),
    (
        "POST",
        FAULTS,
        "[1,",
        400,
        "this is not the JSON that /test/v1/faults takes",
    ),
    (
        "POST",
        FAULTS,
        "{\"action\":\"burn\"}",
        400,
        "unknown variant `burn`, expected one of",
    ),
    (
        "POST",
        FAULTS,
        "{\"action\":{\"fail\":\"NO\"}}",
        400,
        "no error has the name \"NO\"",
    ),
    (
        "POST",
        FAULTS,
        "{\"api\":\"X\",\"action\":\"drop\"}",
        400,
        "they are Produce, Fetch, ",
    ),
    (
        "DELETE",
        "/test/v1/faults/7",
        "",
        404,
        "there is no fault 7",
    ),
    ("POST", EXPECT, "{}", 400, "missing field `topic`"),
    (
        "POST",
        EXPECT,
        "{\"topic\":\"t\",\"key\":7}",
        400,
        "a text or {\"base64\": \"..\"} is",
    ),
    (
        "POST",
        EXPECT,
        "{\"topic\":\"t\",\"key\":{\"base64\":\"Zg\"}}",
        400,
        "\"Zg\" is not base64 with its padding",
    ),
    (
        "POST",
        EXPECT,
        "{\"topic\":\"t\",\"within_ms\":9999999}",
        400,
        "3600000 ms (an hour)",
    ),
    (
        "GET",
        "/",
        "",
        404,
        "there is no GET /; there are GET /test/v1/state, ",
    ),
    (
        "GET",
        "/test/v1/reset",
        "",
        404,
        "there is no GET /test/v1/reset; there are ",
    ),
];

#[test]
fn what_makes_no_sense_over_http_is_told_and_changes_nothing() {
    let broker = Tested::virtual_clock();
    let large = format!("{{\"topic\":\"{}\"}}", "x".repeat(1 << 20));
    let too_large = ("POST", EXPECT, &*large, 413, "length limit exceeded");
    for (method, path, body, status, sentence) in NONSENSE.into_iter().chain([too_large]) {
        let (told, answer) = broker.ask(method, path, body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!(told, status, "{method} {path} {error}");
        assert!(error.contains(sentence), "{method} {path} {error}");
        assert_eq!(answer.get("story"), None);
    }
    let state = broker.done("GET", "/test/v1/state", Value::Null);
    assert_eq!(state["faults"], 0);
}

#[test]
fn its_clock_is_moved_and_a_week_passes() {
    let broker = Tested::virtual_clock();
    assert!((broker.now_ms() - machine_ms()).abs() < 60_000);
    broker.produce("t", b"old\n");
    let before = broker.now_ms();
    let day_ms = 24 * 3_600_000;
    let state = broker.done("POST", "/test/v1/clock/advance", json!({"ms": 8 * day_ms}));
    let moved = state["now_ms"].as_i64().unwrap() - before;
    assert!(
        (8 * day_ms..8 * day_ms + 60_000).contains(&moved),
        "{moved}"
    );
    assert_eq!(broker.consume("t"), "", "what is a week old is gone");
    broker.produce("t", b"new\n");
    assert_eq!(broker.consume("t"), "new\n");
}

#[test]
fn the_machines_clock_is_not_moved() {
    let broker = Tested::start(&[]);
    let (status, answer) = broker.ask("POST", "/test/v1/clock/advance", "{\"ms\":1}");
    assert_eq!(status, 409);
    let error = answer["error"].as_str().unwrap();
    assert!(error.ends_with("start it with --clock virtual"), "{error}");
}

#[test]
fn requests_meet_the_faults_that_were_asked_for() {
    let broker = Tested::start(&[]);
    broker.produce("orders", b"first\n");
    let fail = json!({
        "api": "produce", "topic": "orders", "times": 2,
        "action": {"fail": "NOT_LEADER_OR_FOLLOWER"},
    });
    let added = broker.done("POST", "/test/v1/faults", fail);
    assert_eq!(added["hits"], 0);
    broker.produce("other", b"passes\n");
    broker.produce("orders", b"second\n");
    let lost = json!({"api": "Produce", "times": 1, "action": "drop_after"});
    let lost = broker.done("POST", "/test/v1/faults", lost);
    broker.produce("orders", b"third\n");
    assert_eq!(broker.consume("orders"), "first\nsecond\nthird\n");
    let listed = broker.done("GET", "/test/v1/faults", Value::Null);
    let listed = listed["faults"].as_array().unwrap().clone();
    let hits: Vec<&Value> = listed.iter().map(|fault| &fault["hits"]).collect();
    assert_eq!(hits, [2, 1]);
    assert_eq!(
        listed[0]["fault"]["action"]["fail"],
        "NOT_LEADER_OR_FOLLOWER"
    );
    let path = format!("/test/v1/faults/{}", lost["id"]);
    assert_eq!(broker.done("DELETE", &path, Value::Null)["hits"], 1);
    assert_eq!(broker.ask("DELETE", &path, "").0, 404);
    assert_eq!(
        broker.done("GET", "/test/v1/state", Value::Null)["faults"],
        1
    );
    assert_eq!(
        broker.done("DELETE", "/test/v1/faults", Value::Null)["faults"],
        0
    );
}

#[test]
fn a_fault_without_times_stays_until_it_is_removed() {
    let broker = Tested::start(&[]);
    let refuse = json!({"api": "Metadata", "action": "drop"});
    let added = broker.done("POST", "/test/v1/faults", refuse);
    let timeout = ["produce", "t", "--delivery-timeout-ms", "300"];
    let refused = broker.served.run_with_input(&timeout, b"x\n");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let path = format!("/test/v1/faults/{}", added["id"]);
    let hits = broker.done("DELETE", &path, Value::Null)["hits"].as_u64();
    assert!(hits >= Some(1), "{hits:?}");
    broker.produce("t", b"x\n");
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_a_restart_takes_nothing() {
    let broker = Tested::start(&[]);
    let lazy = [
        "--set",
        "durability=page-cache",
        "--set",
        "flush.ms=3600000",
    ];
    let create = [&["topic", "create", "notes"][..], &lazy].concat();
    assert_eq!(broker.served.run(&create).code, Some(0));
    broker.produce("notes", b"a note\n");
    broker.produce("orders", b"an order\n");
    let bootstrap = broker.done("POST", "/test/v1/restart", Value::Null)["bootstrap"].clone();
    assert_eq!(bootstrap, broker.served.bootstrap.as_str());
    assert_eq!(broker.consume("notes"), "a note\n");
    broker.produce("notes", b"another\n");
    broker.done("POST", "/test/v1/power-cut", Value::Null);
    assert_eq!(broker.consume("notes"), "a note\n");
    assert_eq!(broker.consume("orders"), "an order\n");
}

#[test]
fn a_reset_leaves_nothing_and_goes_back_to_the_machines_time() {
    let broker = Tested::virtual_clock();
    broker.produce("t", b"x\n");
    broker.done("POST", "/test/v1/faults", json!({"action": "corrupt"}));
    broker.done("POST", "/test/v1/clock/advance", json!({"ms": 3_600_000}));
    let state = broker.done("POST", "/test/v1/reset", Value::Null);
    assert_eq!(state["faults"], 0);
    assert_eq!(state["bootstrap"], broker.served.bootstrap.as_str());
    assert!((broker.now_ms() - machine_ms()).abs() < 60_000);
    assert_eq!(broker.topics(), "");
    broker.produce("t", b"y\n");
    assert_eq!(broker.consume("t"), "y\n");
}

#[test]
fn an_expectation_gives_the_record_or_the_story() {
    let broker = Tested::start(&[]);
    let lines =
        b"{\"id\":\"order-41\",\"status\":\"open\"}\n{\"id\":\"order-42\",\"status\":\"paid\"}\n";
    let produce = ["produce", "orders", "--key-field", "id"];
    assert_eq!(broker.served.run_with_input(&produce, lines).text(), "");
    let wanted = json!({"topic": "orders", "key": "order-42", "json": {"/status": "paid"}});
    let record = broker.done("POST", "/test/v1/expect", wanted);
    assert_eq!(
        (&record["key"], &record["offset"]),
        (&json!("order-42"), &json!(1))
    );
    let wanted = json!({"topic": "orders", "key": {"base64": "b3JkZXItNDE="}});
    assert_eq!(broker.done("POST", "/test/v1/expect", wanted)["offset"], 0);
    let wanted = json!({"topic": "orders", "headers": {"by": "me"}, "within_ms": 1}).to_string();
    let (status, answer) = broker.ask("POST", "/test/v1/expect", &wanted);
    assert_eq!(status, 404);
    assert_eq!(answer["error"], "no such record came to \"orders\"");
    let story = answer["story"].as_str().unwrap();
    for part in ["order-41", "order-42", "header by"] {
        assert!(story.contains(part), "{story}");
    }
}

#[test]
fn health_and_metrics_are_those_of_the_broker_that_runs() {
    let broker = Tested::start(&[]);
    assert_eq!(
        broker.raw("GET", "/health/live", ""),
        (200, "live\n".to_owned())
    );
    assert_eq!(
        broker.raw("GET", "/health/ready", ""),
        (200, "ready\n".to_owned())
    );
    broker.produce("t", b"x\n");
    let counted = |count: u32| {
        let (status, text) = broker.raw("GET", "/metrics", "");
        assert_eq!(status, 200);
        let line = format!("\nhighwater_produced_records_total {count}\n");
        assert!(text.contains(&line), "{text}");
    };
    counted(1);
    broker.done("POST", "/test/v1/restart", Value::Null);
    counted(0);
}
