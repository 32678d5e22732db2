//! `doctor` and `health`: real directories, and a real broker.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a directory is broken by hand, and what cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::kit::{Served, finish, folder, run, run_with_input, word};

/// What the doctor found, by its question; not that of the disk, which is the tester's own.
fn findings(dir: &Path, flags: &[&str]) -> (Option<i32>, BTreeMap<String, (String, String)>) {
    let args = [&["doctor", word(dir), "--json"], flags].concat();
    let ended = run(&args);
    assert_eq!(ended.stderr, "");
    let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(report["dir"], word(dir));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |finding: &Value| {
        let found = format!(
            "{} -> {}",
            text(&finding["found"]),
            text(&finding["advice"])
        );
        (text(&finding["check"]), (text(&finding["level"]), found))
    };
    let list = report["findings"].as_array().unwrap();
    (ended.code, list.iter().map(one).collect())
}

fn level(dir: &Path, check: &str) -> String {
    findings(dir, &[]).1[check].0.clone()
}

fn filled() -> tempfile::TempDir {
    let dir = folder();
    let args = ["produce", "t", "--data-dir", word(dir.path())];
    assert_eq!(run_with_input(&args, b"one\ntwo\n").text(), "");
    dir
}

/// Every file's bytes, but for the name in the lock.
fn image(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            image(&path, into);
        } else if !path.ends_with("LOCK") {
            into.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_stopped_directory_is_fine_and_stays_as_it_is() {
    let dir = filled();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    image(dir.path(), &mut before);
    let (code, found) = findings(dir.path(), &["--measure"]);
    image(dir.path(), &mut after);
    assert_eq!(before, after);
    for check in [
        "in use",
        "format",
        "last stop",
        "recovery points",
        "journal",
        "damage",
    ] {
        assert_eq!(found[check].0, "fine", "{found:#?}");
    }
    assert!(found["format"].1.contains("partitions"), "{found:#?}");
    assert!(found["sync"].1.contains("(median of 64)"), "{found:#?}");
    let worst = ["warning", "bad"];
    let is_bad = found.values().any(|(level, _)| worst.contains(&&**level));
    assert_eq!(code, Some(i32::from(is_bad)));
    let table = run(&["doctor", word(dir.path())]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("CHECK"), "{table}");
    assert_eq!(table.lines().count(), 1 + found.len() - 1, "{table}");
}

#[test]
fn a_directory_in_use_and_one_that_was_killed_are_told() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    let (_, found) = findings(dir.path(), &[]);
    assert_eq!(found["in use"].0, "note");
    assert!(found["in use"].1.contains("process "), "{found:#?}");
    assert!(
        found["open files"].1.contains("the broker's limit"),
        "{found:#?}"
    );
    assert!(!found.contains_key("journal"), "{found:#?}");
    broker.process.signal("KILL");
    drop(broker);
    let (_, found) = findings(dir.path(), &[]);
    assert_eq!(
        (&*found["in use"].0, &*found["last stop"].0),
        ("fine", "note")
    );
}

#[test]
fn what_is_broken_in_a_directory_is_told_with_exit_code_1() {
    let dir = filled();
    fs::create_dir(dir.path().join("quarantine")).unwrap();
    fs::write(dir.path().join("quarantine/x.cut"), b"x").unwrap();
    assert_eq!(findings(dir.path(), &[]).0, Some(1));
    assert_eq!(level(dir.path(), "set aside"), "warning");
    let points = dir.path().join("recovery-points.a");
    fs::remove_file(points).unwrap();
    assert_ne!(level(dir.path(), "recovery points"), "fine");
    fs::remove_file(dir.path().join("VERSION")).unwrap();
    assert_eq!(level(dir.path(), "format"), "bad");

    let strange = folder();
    fs::write(strange.path().join("a"), b"no broker's").unwrap();
    assert_eq!(level(strange.path(), "format"), "bad");
    assert_eq!(fs::read_dir(strange.path()).unwrap().count(), 1);
    let empty = folder();
    assert!(findings(empty.path(), &[]).1["in use"].1.contains("empty"));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
    let nowhere = empty.path().join("x");
    let ended = run(&["doctor", word(&nowhere)]);
    assert!(ended.failure(1).starts_with("there is no folder "));
}

#[test]
fn the_settings_of_the_broker_are_looked_at() {
    let dir = filled();
    let config = dir.path().with_extension("toml");
    fs::write(&config, "min.free.bytes = 9000000000000000000").unwrap();
    let (code, found) = findings(dir.path(), &["--config", word(&config)]);
    fs::remove_file(&config).unwrap();
    assert_eq!((code, &*found["free space"].0), (Some(1), "bad"));
}

#[cfg(unix)]
#[test]
fn rights_that_a_broker_refuses_are_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = filled();
    let allow = |mode| {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(0o777);
    let (code, found) = findings(dir.path(), &[]);
    assert_eq!((code, &*found["owner"].0), (Some(1), "bad"));
    allow(0o755);
    assert_eq!(level(dir.path(), "owner"), "note");
    allow(0o700);
    assert_eq!(level(dir.path(), "owner"), "fine");
    let link = dir.path().with_extension("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    let found = level(&link, "owner");
    fs::remove_file(&link).unwrap();
    assert_eq!(found, "bad");
}

#[test]
fn health_is_an_exit_code() {
    let dir = folder();
    let broker = Served::start(dir.path(), &["--http", "127.0.0.1:0"]);
    let address = broker.ready.split("http ").nth(1).unwrap();
    let address = address.split(',').next().unwrap().to_owned();
    assert_eq!(run(&["health", &address]).text(), "ready\n");
    broker.stop();
    let ended = run(&["health", &address]);
    let why = ended.failure(1);
    assert!(why.contains("started with --http"), "{why}");

    // One that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut command = crate::kit::command(&["health", &address, "--timeout-ms", "50"]);
    let ended = finish(&mut command, b"");
    assert!(ended.failure(1).contains("no answer came in time"));
}
