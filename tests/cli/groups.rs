//! `group` and `consume --group`: how far a group got, moving it, and reading as its member.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::kit::{Running, Served, finish, folder};

/// A broker with the topic `t` of two partitions, ten records in each.
fn broker(dir: &tempfile::TempDir) -> Served {
    let broker = Served::start(dir.path(), &["--set", "group.initial.rebalance.delay.ms=0"]);
    let create = ["topic", "create", "t", "--partitions", "2"];
    assert_eq!(broker.run(&create).text(), "");
    for partition in ["0", "1"] {
        let lines: String = (0..10)
            .map(|number| format!("{partition}{number}\n"))
            .collect();
        let args = ["produce", "t", "--partition", partition];
        assert_eq!(broker.run_with_input(&args, lines.as_bytes()).text(), "");
    }
    broker
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join(" ")
}

/// `partition: [offset, end, lag]` of a group.
fn progress(broker: &Served, group: &str) -> Vec<Value> {
    let described = &broker.run(&["group", "describe", group, "--json"]).json()[0];
    let partitions = described["partitions"].as_array().into_iter().flatten();
    partitions
        .map(|it| json!([it["partition"], it["offset"], it["end"], it["lag"]]))
        .collect()
}

#[test]
fn a_member_prints_commits_and_the_next_one_goes_on() {
    let dir = folder();
    let broker = broker(&dir);
    let consume = ["consume", "t", "--group", "g"];
    let first = broker.run(&[&consume[..], &["--max", "7"]].concat()).text();
    assert_eq!(first.lines().count(), 7);
    let committed: i64 = progress(&broker, "g")
        .iter()
        .filter_map(|it| it[1].as_i64())
        .sum();
    assert_eq!(committed, 7, "what was printed is committed, no more");
    let second = broker.run(&consume).text();
    let all = (0..20)
        .map(|number| format!("{number:02}"))
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(sorted(&(first + &second)), all, "each record once");
    assert_eq!(broker.run(&consume).text(), "", "nothing is left");
    assert_eq!(
        progress(&broker, "g"),
        [json!([0, 10, 10, 0]), json!([1, 10, 10, 0])]
    );
    let late = broker.run(&["consume", "t", "--group", "late", "--from", "latest"]);
    assert_eq!(late.text(), "");
    // A position is committed even where nothing was read: what comes from now on is not missed.
    assert_eq!(
        progress(&broker, "late"),
        [json!([0, 10, 10, 0]), json!([1, 10, 10, 0])]
    );
    assert_eq!(
        broker.run_with_input(&["produce", "t"], b"new\n").text(),
        ""
    );
    let late = broker.run(&["consume", "t", "--group", "late", "--from", "latest"]);
    assert_eq!(late.text(), "new\n");
}

#[test]
fn a_group_is_listed_described_moved_and_deleted() {
    let dir = folder();
    let broker = broker(&dir);
    assert_eq!(
        broker.run(&["group", "list"]).text(),
        "GROUP  STATE  TYPE\n"
    );
    let consume = ["consume", "t", "--group", "g"];
    assert_eq!(broker.run(&consume).text().lines().count(), 20);
    assert_eq!(
        broker.run(&["group", "list"]).text(),
        "GROUP  STATE  TYPE\ng      Empty  consumer\n"
    );
    assert_eq!(
        broker.run(&["group", "list", "--json"]).json(),
        [json!({"group": "g", "state": "Empty", "protocol_type": "consumer"})]
    );
    assert!(
        broker
            .run(&["group", "list", "--json", "--state", "stable"])
            .json()
            .is_empty()
    );

    let plan = ["group", "reset", "g", "--to", "3", "--topic", "t"];
    let shown = broker.run(&plan).text();
    assert_eq!(
        shown,
        "TOPIC  PARTITION  FROM  TO\nt              0    10   3\nt              1    10   3\n\n\
         This is the plan; --execute carries it out.\n"
    );
    assert_eq!(
        broker.run(&[&plan[..], &["--dry-run"]].concat()).text(),
        shown
    );
    assert_eq!(
        progress(&broker, "g")[0],
        json!([0, 10, 10, 0]),
        "only shown"
    );
    let executed = broker
        .run(&[&plan[..], &["--execute", "--json"]].concat())
        .json();
    assert_eq!(
        executed[0],
        json!({"topic": "t", "partition": 0, "from": 10, "to": 3, "executed": true})
    );
    assert_eq!(
        progress(&broker, "g"),
        [json!([0, 3, 10, 7]), json!([1, 3, 10, 7])]
    );
    assert_eq!(broker.run(&consume).text().lines().count(), 14);

    assert_eq!(
        broker
            .run(&["group", "delete", "g", "--topic", "t:1"])
            .text(),
        ""
    );
    assert_eq!(progress(&broker, "g"), [json!([0, 10, 10, 0])]);
    assert_eq!(
        broker.run(&["group", "delete", "g", "--json"]).json(),
        [json!({"group": "g"})]
    );
    assert!(broker.run(&["group", "list", "--json"]).json().is_empty());
}

#[test]
fn a_reset_goes_to_any_place() {
    let dir = folder();
    let broker = broker(&dir);
    let reset = |flags: &[&str]| {
        let args = [&["group", "reset", "g", "--execute", "--json"], flags].concat();
        let steps = broker.run(&args).json();
        let to = |step: &Value| step["to"].as_i64().unwrap();
        steps.iter().map(to).collect::<Vec<_>>()
    };
    assert_eq!(reset(&["--to", "latest", "--topic", "t"]), [10, 10]);
    assert_eq!(reset(&["--shift-by", "-4", "--all-topics"]), [6, 6]);
    assert_eq!(reset(&["--shift-by", "100", "--topic", "t:1"]), [10]);
    assert_eq!(reset(&["--to", "earliest", "--all-topics"]), [0, 0]);
    assert_eq!(reset(&["--to", "-3", "--topic", "t:0"]), [7]);
    assert_eq!(reset(&["--to", "99", "--topic", "t:0,1"]), [10, 10]);
    assert_eq!(reset(&["--to", "@0", "--topic", "t"]), [0, 0]);
    assert_eq!(
        reset(&["--to", "2990-01-01T00:00:00Z", "--topic", "t"]),
        [10, 10]
    );
    assert_eq!(
        progress(&broker, "g"),
        [json!([0, 10, 10, 0]), json!([1, 10, 10, 0])]
    );
}

#[test]
fn the_lag_is_told_in_records_and_in_seconds() {
    let dir = folder();
    let broker = broker(&dir);
    let reset = [
        "group",
        "reset",
        "g",
        "--to",
        "4",
        "--topic",
        "t:1",
        "--execute",
    ];
    broker.run(&reset).text();
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of a record is told by a process"
    )]
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let described = &broker.run(&["group", "describe", "g", "--json"]).json()[0];
    assert_eq!(
        (&described["state"], &described["lag"]),
        (&json!("Empty"), &json!(6))
    );
    assert_eq!(described["members"], json!([]));
    let row = &described["partitions"][0];
    let seconds = row["lag_seconds"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&seconds), "{row}, at {before:?}");
    for field in ["member_id", "host", "client_id"] {
        assert_eq!(row[field], Value::Null, "{row}");
    }
    let text = broker.run(&["group", "describe", "g"]).text();
    assert!(
        text.starts_with("g: Empty, no members, lag 6\n\nTOPIC  PARTITION  OFFSET  END  LAG"),
        "{text}"
    );

    // Of what is deleted, nothing is left to read.
    let deleted = ["topic", "delete-records", "t", "--before", "8", "--json"];
    assert_eq!(
        broker.run(&deleted).json()[1],
        json!({"partition": 1, "start": 8, "end": 10, "deleted": 8})
    );
    assert_eq!(progress(&broker, "g"), [json!([1, 4, 10, 2])]);
    assert_eq!(broker.run(&["topic", "delete", "t"]).text(), "");
}

#[test]
fn a_group_with_members_shows_them_and_is_not_moved() {
    let dir = folder();
    let broker = broker(&dir);
    let on_broker = ["--bootstrap", &broker.bootstrap];
    let consume = ["consume", "t", "--group", "g", "--follow"];
    let mut reader = Running::start(&[&consume[..], &on_broker].concat());
    let mut lines = Vec::new();
    for _ in 0..20 {
        lines.push(reader.line());
    }
    let described = &broker.run(&["group", "describe", "g", "--json"]).json()[0];
    assert_eq!(described["state"], "Stable");
    assert_eq!(described["protocol"], "range");
    let member = &described["members"][0];
    assert_eq!(member["topics"], json!(["t"]));
    assert_eq!(member["host"], "/127.0.0.1");
    assert_eq!(
        member["partitions"],
        json!([{"topic": "t", "partition": 0}, {"topic": "t", "partition": 1}])
    );
    for row in described["partitions"].as_array().unwrap() {
        assert_eq!(row["member_id"], member["member_id"]);
        assert_eq!(row["client_id"], "highwater");
    }
    let members = broker.run(&["group", "describe", "g", "--members"]).text();
    assert!(members.contains("  t:0,1\n"), "{members}");

    let sentence = "group g: it has members: stop them first";
    for args in [
        &[
            "group",
            "reset",
            "g",
            "--to",
            "0",
            "--topic",
            "t",
            "--execute",
        ][..],
        &["group", "reset", "g", "--to", "0", "--all-topics"],
        &["group", "delete", "g"],
    ] {
        assert_eq!(broker.run(args).failure(1), sentence);
    }
    let subscribed = broker.run(&["group", "delete", "g", "--topic", "t"]);
    assert!(!subscribed.failure(1).is_empty());
    reader.signal("INT");
    assert_eq!(reader.end().code, Some(0));
    // It left and committed on its way out: what was printed is not printed again.
    assert_eq!(
        progress(&broker, "g"),
        [json!([0, 10, 10, 0]), json!([1, 10, 10, 0])]
    );
}

#[test]
fn two_members_share_what_comes() {
    let dir = folder();
    let broker = broker(&dir);
    let on_broker = ["--bootstrap", &broker.bootstrap];
    let consume = ["consume", "t", "--group", "g", "--follow"];
    let mut one = Running::start(&[&consume[..], &on_broker].concat());
    for _ in 0..20 {
        one.line();
    }
    let two = Running::start(&[&consume[..], &on_broker].concat());
    // The second one is in when each has a partition.
    let members = || {
        let described = &broker.run(&["group", "describe", "g", "--json"]).json()[0];
        let members = described["members"].as_array().unwrap().clone();
        let partitions = |member: &Value| member["partitions"].as_array().map(Vec::len);
        members.iter().filter_map(partitions).collect::<Vec<_>>()
    };
    assert!((0..1_000).any(|_| members() == [1, 1]), "they do not share");
    for partition in ["0", "1"] {
        let args = ["produce", "t", "--partition", partition];
        assert_eq!(
            broker.run_with_input(&args, partition.as_bytes()).text(),
            ""
        );
    }
    let mut one_line = one.line();
    one.signal("TERM");
    let (one, mut two) = (one.end(), two);
    assert_eq!((one.code, one.stdout.as_slice()), (Some(0), &b""[..]));
    one_line.push_str(&two.line());
    assert_eq!(sorted(&one_line), "0 1");
    two.signal("TERM");
    assert_eq!(two.end().code, Some(0));
}

#[test]
fn what_could_not_be_printed_is_not_committed() {
    let dir = folder();
    let broker = broker(&dir);
    let binary = env!("CARGO_BIN_EXE_highwater");
    let script = format!("\"{binary}\" consume t --group g --bootstrap \"$1\" > /dev/full");
    let mut shell = std::process::Command::new("bash");
    let ended = finish(shell.args(["-c", &script, "bash", &broker.bootstrap]), b"");
    let sentence = ended.failure(1);
    assert!(
        sentence.starts_with("cannot write the output: "),
        "{sentence}"
    );
    // Nobody is left in the group to be waited for, and nothing counts as read.
    let all = broker.run(&["consume", "t", "--group", "g"]).text();
    assert_eq!(all.lines().count(), 20);
}

#[test]
fn what_makes_no_sense_is_said_in_one_sentence() {
    let dir = folder();
    let broker = broker(&dir);
    let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();
    for (line, code, sentence) in REFUSALS {
        let ended = broker.run(&words(line));
        assert!(
            ended.failure(*code).starts_with(sentence),
            "{line}: {}",
            ended.stderr
        );
    }
    let nameless = broker.run(&["consume", "t", "--group", ""]);
    assert!(
        nameless
            .failure(2)
            .starts_with("a group is needed: set group.id")
    );
    let listed = broker.run(&["group", "list", "--json"]).json();
    assert!(listed.is_empty(), "nothing was made: {listed:?}");
}

/// A command, its exit code, and how its sentence begins.
const REFUSALS: &[(&str, i32, &str)] = &[
    (
        "group describe none",
        1,
        "group none: there is no such group",
    ),
    ("group delete none", 1, "group none: there is no such group"),
    (
        "group delete none --topic t",
        1,
        "group none: it has committed no offset there, in t",
    ),
    (
        "group reset none --to 0 --all-topics",
        1,
        "group none: it has committed no offsets; name topics with --topic",
    ),
    (
        "group reset none --shift-by 1 --topic t:1",
        1,
        "group none: it has committed no offset of t-1 to shift",
    ),
    ("group reset g --to 0 --topic none", 1, "topic none: "),
    (
        "group reset g --to 0 --topic t:2",
        1,
        "topic t has the partitions 0 to 1, but no partition 2",
    ),
    (
        "group reset g --to 0",
        2,
        "the following required arguments",
    ),
    (
        "group reset g --topic t",
        2,
        "the following required arguments",
    ),
    (
        "group reset g --to soon --topic t",
        2,
        "invalid value 'soon' for '--to <PLACE>'",
    ),
    (
        "group reset g --to 0 --topic t:x",
        2,
        "invalid value 't:x' for '--topic <TOPIC[:PARTITIONS]>'",
    ),
    (
        "group reset g --to 0 --shift-by 1 --topic t",
        2,
        "the argument '--to <PLACE>' cannot be used with '--shift-by <N>'",
    ),
    (
        "consume t --group g --from 7",
        2,
        "with --group, --from is earliest or latest",
    ),
    ("consume none --group g", 1, "topic none: "),
];
