//! `demo`: every number that it prints is checked against the input, or against what is left.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::GzDecoder;

use crate::kit::{command, finish, folder, run, word};

#[test]
fn every_change_of_the_story_has_one_effect_whatever_goes_wrong() {
    let root = folder();
    let args = ["demo", "--orders", "60", "--seed", "3", "--json"];
    let ended = finish(command(&args).env("TMPDIR", root.path()), b"");
    let report = &ended.json()[0];
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["differences"], serde_json::json!([]));
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(count("effects"), count("changes"), "{report}");
    for name in [
        "rolled_back",
        "sent_again",
        "dead_letters",
        "failed_calls",
        "slow_calls",
    ] {
        assert!(count(name) > 0, "{name} did not happen: {report}");
    }
    assert_eq!(count("sent_back"), count("dead_letters"));
    let repeated = count("repeated_by_the_relay") + count("sent_again");
    assert!(count("left_out") >= repeated, "{report}");
    assert_eq!(
        count("records"),
        count("changes") + repeated + count("sent_back")
    );
    assert_eq!((count("relay_crashes"), count("service_crashes")), (2, 2));
    assert_eq!(
        std::fs::read_dir(root.path()).unwrap().count(),
        0,
        "the folder is removed"
    );
}

#[test]
fn what_the_story_leaves_can_be_looked_at() {
    let dir = folder();
    let data = dir.path().join("data");
    let args = ["demo", "--orders", "20", "--data-dir", word(&data)];
    let text = run(&args).text();
    assert!(text.starts_with("20 orders by the seed 1, in "), "{text}");
    assert!(text.contains("\nverified  each of the "), "{text}");
    let broker = data.join("broker");
    let topic = ["topic", "describe", "order-events", "--json"];
    let topic = &run(&[&topic[..], &["--data-dir", word(&broker)]].concat()).json()[0];
    assert_eq!(topic["partitions"].as_array().map(Vec::len), Some(12));
    let twice = run(&args);
    assert!(
        twice.failure(1).contains("the topic exists already"),
        "{}",
        twice.stderr
    );
}

#[test]
fn the_flights_are_all_there() {
    let sample = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/cli/flights-sample.jsonl.gz"
    );
    #[expect(clippy::disallowed_methods, reason = "the input of the demo")]
    let packed = std::fs::read(sample).unwrap();
    let mut text = String::new();
    GzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .unwrap();
    let parse = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let keys: Vec<Option<String>> = text
        .lines()
        .map(|line| parse(line)["tailnum"].as_str().map(str::to_owned))
        .collect();
    let named: BTreeSet<&String> = keys.iter().flatten().collect();
    let key_bytes: usize = keys.iter().flatten().map(String::len).sum();
    let value_bytes: usize = text.lines().map(str::len).sum();

    let root = folder();
    let ended = finish(
        command(&["demo", "flights", "--json"]).env("TMPDIR", root.path()),
        b"",
    );
    let report = &ended.json()[0];
    assert_eq!(report["verified"], true, "{report}");
    assert_eq!(report["records"], keys.len());
    assert!(keys.len() >= 20_000);
    assert_eq!(report["keys"], named.len());
    assert_eq!(
        report["unkeyed"],
        keys.iter().filter(|key| key.is_none()).count()
    );
    assert_eq!(report["bytes"], key_bytes + value_bytes);
    assert_eq!(report["compression"], "lz4");
    let stored = report["stored_bytes"].as_u64().unwrap();
    assert!(
        stored > 0 && stored * 2 < (key_bytes + value_bytes) as u64,
        "{stored}"
    );
    assert!(report["first_ack_us"].as_u64() > Some(0));
    assert!(report["ack_p50_us"].as_u64() <= report["ack_p99_us"].as_u64());
    let partitions = report["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 12);
    for sum in ["records", "keys", "bytes", "stored_bytes", "batches"] {
        let parts: u64 = partitions.iter().filter_map(|one| one[sum].as_u64()).sum();
        assert_eq!(report[sum], parts, "{sum}");
    }
    assert_eq!(
        std::fs::read_dir(root.path()).unwrap().count(),
        0,
        "the folder is removed"
    );
}

#[test]
fn own_records_are_kept_on_demand_and_can_be_read_again() {
    let dir = folder();
    let input = dir.path().join("own.jsonl");
    let data = dir.path().join("data");
    let lines: String = (0..500)
        .map(|n| format!("{{\"id\":{},\"n\":{n}}}\n", n % 7))
        .collect();
    #[expect(clippy::disallowed_methods, reason = "an input of the test")]
    std::fs::write(&input, format!("{lines}no json\n")).unwrap();
    let args = [
        "demo",
        "flights",
        "--input",
        word(&input),
        "--key-field",
        "id",
        "--partitions",
        "4",
    ];
    let more = [
        "--consumers",
        "9",
        "--compression",
        "gzip",
        "--data-dir",
        word(&data),
    ];
    let text = run(&[&args[..], &more].concat()).text();
    assert!(
        text.contains("all 500 records, in order within each of 7 keys"),
        "{text}"
    );
    let again = run(&["consume", "demo", "--data-dir", word(&data)]).text();
    let mut read: Vec<&str> = again.lines().collect();
    let mut sent: Vec<&str> = lines.lines().collect();
    read.sort_unstable();
    sent.sort_unstable();
    assert_eq!(read, sent);
    let twice = run(&[&args[..], &more].concat());
    assert!(
        twice.failure(1).contains("the topic exists already"),
        "{}",
        twice.stderr
    );
}

#[test]
fn an_input_without_records_is_told() {
    let dir = folder();
    let input = dir.path().join("empty.jsonl");
    #[expect(clippy::disallowed_methods, reason = "an input of the test")]
    std::fs::write(&input, b"\n").unwrap();
    let ended = run(&[
        "demo",
        "flights",
        "--input",
        word(&input),
        "--key-field",
        "k",
    ]);
    assert_eq!(ended.failure(1), "the input holds no record");
}
