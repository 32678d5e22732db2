//! What the world refuses: one sentence each, and exit code 1.

use std::net::TcpListener;

use crate::kit::{Served, folder, run, word};

#[test]
fn a_data_directory_in_use_names_its_user() {
    let dir = folder();
    let _broker = Served::start(dir.path(), &[]);
    for args in [
        &[
            "serve",
            "--kafka",
            "127.0.0.1:0",
            "--data-dir",
            word(dir.path()),
        ][..],
        &["log", "verify", word(dir.path())],
    ] {
        let ended = run(args);
        let sentence = ended.failure(1);
        assert!(sentence.contains(word(dir.path())), "{sentence}");
        assert!(sentence.contains("is in use: process "), "{sentence}");
    }
}

#[test]
fn a_data_directory_of_a_newer_version_is_left_alone() {
    let dir = folder();
    assert_eq!(Served::start(dir.path(), &[]).stop().code, Some(0));
    let version = dir.path().join("VERSION");
    #[expect(clippy::disallowed_methods, reason = "the test plays a newer version")]
    let mut bytes = std::fs::read(&version).unwrap();
    // The file's own version stands behind its eight letters, and the CRC-32 of all else at 16.
    bytes[8..12].copy_from_slice(&99_u32.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[..16]);
    crc.update(&bytes[20..]);
    bytes[16..20].copy_from_slice(&crc.sum().to_be_bytes());
    #[expect(clippy::disallowed_methods, reason = "the test plays a newer version")]
    std::fs::write(&version, &bytes).unwrap();
    let ended = run(&[
        "serve",
        "--kafka",
        "127.0.0.1:0",
        "--data-dir",
        word(dir.path()),
    ]);
    assert!(
        ended
            .failure(1)
            .contains("needs a newer version of Highwater"),
        "{}",
        ended.stderr
    );
    #[expect(clippy::disallowed_methods, reason = "the test plays a newer version")]
    let after = std::fs::read(&version).unwrap();
    assert_eq!(after, bytes);
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let dir = folder();
    let file = dir.path().join("file");
    #[expect(clippy::disallowed_methods, reason = "an obstacle of the test")]
    std::fs::write(&file, b"").unwrap();
    // Not even root makes a folder in /proc.
    for data in ["/proc/highwater", word(&file)] {
        let ended = run(&["serve", "--kafka", "127.0.0.1:0", "--data-dir", data]);
        let sentence = ended.failure(1);
        assert!(
            sentence.starts_with("cannot ") && sentence.contains(data),
            "{sentence}"
        );
    }
}

#[test]
fn a_disk_without_room_is_told() {
    let dir = folder();
    let broker = Served::start(dir.path(), &["--set", "min.free.bytes=9000000000000000000"]);
    let args = [
        "produce",
        "t",
        "--linger-ms",
        "0",
        "--delivery-timeout-ms",
        "300",
    ];
    let ended = broker.run_with_input(&args, b"x\n");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last = ended.stderr.lines().last();
    let sentence = last.and_then(|line| line.strip_prefix("highwater: "));
    assert!(
        sentence.is_some_and(|text| text.contains("min.free.bytes")),
        "{}",
        ended.stderr
    );
    // What is there can still be read, and the stop is clean.
    assert_eq!(broker.run(&["topic", "list", "--json"]).json().len(), 1);
    assert_eq!(broker.stop().code, Some(0));
}

#[test]
fn a_port_in_use_is_told_and_the_folder_is_free_again() {
    let dir = folder();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let ended = run(&[
        "serve",
        "--log-level",
        "error",
        "--kafka",
        &address,
        "--data-dir",
        word(dir.path()),
    ]);
    let sentence = ended.failure(1);
    assert!(
        sentence.starts_with(&format!("cannot listen on {address}: ")),
        "{sentence}"
    );
    assert_eq!(Served::start(dir.path(), &[]).stop().code, Some(0));
}

#[test]
fn nobody_is_let_in_from_outside_by_accident() {
    let dir = folder();
    for (flag, bind) in [
        ("--kafka", "0.0.0.0:0"),
        ("--kafka", "[::]:0"),
        ("--http", "0.0.0.0:0"),
        // Encrypted is not authenticated.
        ("--kafka", "0.0.0.0:0,protocol=SSL"),
        ("--http", "0.0.0.0:0,protocol=SSL"),
    ] {
        let args = ["serve", "--data-dir", word(dir.path()), flag, bind];
        let ended = run(&args);
        assert!(
            ended.failure(2).contains("--allow-unauthenticated"),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing was begun"
    );
}

#[test]
fn words_that_make_no_sense_are_told() {
    let cases: &[(&[&str], &str)] = &[
        (&["bogus"], "unrecognized subcommand 'bogus'"),
        (&["serve"], "where is the data to live?"),
        (
            &["topic", "create"],
            "the following required arguments were not provided: <TOPIC>",
        ),
        (
            &["produce", "t", "--compression", "rar"],
            "invalid value 'rar'",
        ),
        (
            &["produce", "t", "--acks", "2"],
            "invalid value '2' for '--acks <ACKS>'",
        ),
        (
            &["consume", "t", "--bootstrap", "a:1", "--data-dir", "d"],
            "the argument '--bootstrap",
        ),
        (
            &["demo", "flights", "--input", "x.jsonl"],
            "the following required arguments were not provided",
        ),
        (
            &["demo", "flights", "--partitions", "0"],
            "at least one partition and one consumer are needed",
        ),
        (
            &["demo", "flights", "--input", "x.xz", "--key-field", "k"],
            "x.xz: xz is not read here",
        ),
    ];
    for (args, sentence) in cases {
        let ended = run(args);
        assert!(
            ended.failure(2).starts_with(sentence),
            "{args:?}: {}",
            ended.stderr
        );
    }
    assert!(run(&["--version"]).text().starts_with("highwater 0."));
    assert!(run(&["serve", "--help"]).text().contains("--print-config"));
}
