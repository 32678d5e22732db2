//! `log`: what stands on the disk, and what is wrong with it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::kit::{folder, run, run_with_input, word};

/// A data directory with one topic of one partition, closed in good order; and its segment.
fn filled(dir: &Path) -> PathBuf {
    let args = [
        "produce",
        "t",
        "--data-dir",
        word(dir),
        "--batch-size",
        "1",
        "--key-field",
        "k",
    ];
    let lines = "{\"k\":\"a\"}\n{\"k\":null}\n{\"k\":\"c\"}\n";
    assert_eq!(run_with_input(&args, lines.as_bytes()).text(), "");
    let dumped = run(&["log", "dump", word(dir), "--json", "--records"]).json();
    let is_ours = |line: &serde_json::Value| line["value"] == "{\"k\":null}";
    let at = dumped
        .iter()
        .position(is_ours)
        .expect("the record is dumped");
    let file = dumped[..at]
        .iter()
        .rev()
        .find_map(|line| line["file"].as_str());
    PathBuf::from(file.expect("a batch goes before its records"))
}

#[test]
fn a_sound_directory_is_dumped_and_verified() {
    let dir = folder();
    let segment = filled(dir.path());
    let verified = &run(&["log", "verify", word(dir.path()), "--json"]).json()[0];
    assert_eq!(verified["damaged"], 0);
    assert_eq!(verified["findings"], json!([]));
    assert!(verified["batches"].as_u64().unwrap() >= 2, "{verified}");
    let text = run(&["log", "verify", word(dir.path())]).text();
    assert!(text.ends_with(": all right\n"), "{text}");
    let text = run(&["log", "verify", word(segment.parent().unwrap())]).text();
    assert!(text.starts_with("1 logs, 1 segments, "), "{text}");

    let dumped = run(&["log", "dump", word(&segment), "--json", "--records"]).json();
    let records: Vec<_> = dumped
        .iter()
        .filter(|line| line.get("offset").is_some())
        .collect();
    let offsets: Vec<_> = records
        .iter()
        .map(|record| record["offset"].as_i64())
        .collect();
    assert_eq!(offsets, [Some(0), Some(1), Some(2)]);
    assert_eq!(
        (&records[0]["key"], &records[1]["key"]),
        (&json!("a"), &json!(null))
    );
    let batches: Vec<_> = dumped
        .iter()
        .filter(|line| line.get("codec").is_some())
        .collect();
    assert!(
        batches
            .iter()
            .all(|batch| batch["crc_right"] == true && batch["codec"] == "none")
    );
    let text = run(&["log", "dump", word(&segment)]).text();
    assert!(
        text.starts_with(&format!("{}\n  @0 offsets 0 to ", segment.display())),
        "{text}"
    );
}

#[test]
fn damage_is_found_and_told_and_changes_nothing() {
    let dir = folder();
    let segment = filled(dir.path());
    #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
    let mut bytes = std::fs::read(&segment).unwrap();
    // Within the records of the first batch.
    bytes[70] ^= 1;
    #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
    std::fs::write(&segment, &bytes).unwrap();

    let verified = run(&["log", "verify", word(dir.path())]);
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(1), ""));
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(
        text.starts_with("damage: ") && text.contains(word(&segment)),
        "{text}"
    );
    let verified = run(&["log", "verify", word(dir.path()), "--json"]);
    assert_eq!(verified.code, Some(1));
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["damaged"], 1);
    assert_eq!(report["findings"][0]["damage"], true);
    let dumped = run(&["log", "dump", word(&segment)]);
    assert_eq!(dumped.code, Some(1), "{dumped:?}");
    #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
    let after = std::fs::read(&segment).unwrap();
    assert_eq!(after, bytes);
}

#[test]
fn a_repair_gives_up_what_is_lost_and_says_what_that_was() {
    let dir = folder();
    let segment = filled(dir.path());
    #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[70] ^= 1;
    #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
    std::fs::write(&segment, &bytes).unwrap();

    let planned = run(&["log", "repair", word(dir.path()), "--dry-run", "--json"]);
    assert_eq!(planned.code, Some(1), "there is something to give up");
    let planned: serde_json::Value = serde_json::from_slice(&planned.stdout).unwrap();
    let done = run(&["log", "repair", word(dir.path())]).text();
    assert!(done.starts_with("given up: "), "{done}");
    assert!(done.contains(word(&segment)), "{done}");
    assert!(done.contains("offsets 0 to 1, at most 1 records"), "{done}");
    assert_eq!(planned["records_lost_max"], 1);
    assert_eq!(planned["losses"][0]["offsets"], json!([0, 1]));
    let copy = done.split("a copy is in ").nth(1).unwrap();
    assert!(Path::new(copy.lines().next().unwrap()).is_file(), "{done}");

    let verified = run(&["log", "verify", word(dir.path())]).text();
    let end = ": all right, but for 1 ranges that were given up\n";
    assert!(verified.ends_with(end), "{verified}");
    let again = run(&["log", "repair", word(dir.path())]).text();
    assert!(again.ends_with(": nothing to repair\n"), "{again}");
    let args = ["consume", "t", "--data-dir", word(dir.path())];
    let left = run(&args).text();
    assert_eq!(left.lines().count(), 2, "{left}");
}

#[test]
fn what_is_not_there_is_told() {
    let dir = folder();
    let gone = dir.path().join("gone");
    for verb in ["dump", "verify", "repair"] {
        let ended = run(&["log", verb, word(&gone)]);
        assert!(
            ended.failure(1).starts_with("there is no "),
            "{}",
            ended.stderr
        );
        let ended = run(&["log", verb, word(dir.path())]);
        assert!(ended.code == Some(i32::from(verb != "dump")), "{ended:?}");
    }
}
