//! `produce` and `consume`: what goes in comes out, byte for byte, and nothing is lost silently.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::kit::{Running, Served, command, finish, folder, run, run_with_input, word};

#[test]
fn lines_come_back_byte_for_byte() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    let mut lines: Vec<u8> = b"first\n\n  blanks \t\r\n{\"no\": json\n\xff\xfe not text\n".to_vec();
    for number in 0..5000 {
        lines.extend_from_slice(format!("line {number}\n").as_bytes());
    }
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let args = [
            "produce",
            codec,
            "--compression",
            codec,
            "--batch-size",
            "1000",
        ];
        let produced = broker.run_with_input(&args, &lines);
        assert_eq!(produced.text(), "");
        assert!(
            produced.stderr.starts_with("5,005 records, "),
            "{}",
            produced.stderr
        );
        let consumed = broker.run(&["consume", codec]);
        assert_eq!(consumed.code, Some(0), "{}", consumed.stderr);
        assert!(
            consumed.stdout == lines,
            "{codec}: {} bytes",
            consumed.stdout.len()
        );
    }
}

#[test]
fn acks_of_each_kind_are_taken() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    for acks in ["0", "1", "all"] {
        let args = ["produce", "t", "--acks", acks, "--linger-ms", "0"];
        assert_eq!(broker.run_with_input(&args, b"a\n").text(), "");
    }
    // An unacknowledged record has no answer to wait for: what follows it is behind it.
    assert_eq!(broker.run(&["consume", "t"]).text(), "a\na\na\n");
}

#[test]
fn a_field_becomes_the_key_and_bad_lines_are_told() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    assert_eq!(
        broker
            .run(&["topic", "create", "t", "--partitions", "3"])
            .text(),
        ""
    );
    let lines = b"{\"k\":\"N1\",\"v\":1}\r\n\nnot json\n{\"k\":null}\n{\"k\":7}\n[]\n{\"v\":2}";
    let args = ["produce", "t", "--key-field", "k"];
    let produced = broker.run_with_input(&args, lines);
    assert_eq!(produced.code, Some(1));
    let told: Vec<&str> = produced.stderr.lines().collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[0].starts_with("line 3 was rejected: "), "{told:?}");
    assert!(told[1].starts_with("line 6 was rejected: "), "{told:?}");
    assert!(
        told[2].starts_with("4 records, ") && told[2].ends_with(", 2 rejected"),
        "{told:?}"
    );

    let mut read: Vec<(String, String)> = broker
        .run(&["consume", "t", "--json"])
        .json()
        .iter()
        .map(|record| {
            (
                record["key"].to_string(),
                record["value"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    read.sort();
    let expected = [
        ("\"7\"", "{\"k\":7}"),
        ("\"N1\"", "{\"k\":\"N1\",\"v\":1}"),
        ("null", "{\"k\":null}"),
        ("null", "{\"v\":2}"),
    ];
    assert_eq!(
        read,
        expected.map(|(key, value)| (key.to_owned(), value.to_owned()))
    );

    let skipped =
        broker.run_with_input(&[&args[..], &["--skip-bad"]].concat(), b"oops\n{\"k\":1}\n");
    assert_eq!(skipped.code, Some(0), "{}", skipped.stderr);
    assert!(skipped.stderr.contains("1 rejected"));
}

#[test]
fn reading_begins_and_ends_where_it_is_told() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    assert_eq!(
        broker
            .run(&["topic", "create", "t", "--partitions", "2"])
            .text(),
        ""
    );
    for partition in ["0", "1"] {
        let lines: String = (0..10)
            .map(|number| format!("{partition}{number}\n"))
            .collect();
        let args = ["produce", "t", "--partition", partition];
        assert_eq!(broker.run_with_input(&args, lines.as_bytes()).text(), "");
    }
    let read = |flags: &[&str]| {
        let text = broker.run(&[&["consume", "t"], flags].concat()).text();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join(" ")
    };
    let all = (0..20)
        .map(|number| format!("{number:02}"))
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(read(&[]), all);
    assert_eq!(read(&["--from", "@0"]), all);
    assert_eq!(read(&["--from", "1990-01-01T00:00:00Z"]), all);
    assert_eq!(read(&["--from", "2990-01-01T00:00:00Z"]), "");
    assert_eq!(read(&["--from", "latest"]), "");
    assert_eq!(read(&["--from", "8"]), "08 09 18 19");
    assert_eq!(read(&["--from", "99"]), "");
    assert_eq!(read(&["--from", "-1"]), "09 19");
    assert_eq!(
        read(&["--from", "-99", "--partition", "1", "--max", "3"]),
        "10 11 12"
    );
    assert_eq!(read(&["--max", "0"]), "");
    for (flags, code, sentence) in [
        (
            ["--partition", "2"],
            1,
            "topic t has the partitions 0 to 1, but no partition 2",
        ),
        (
            ["--from", "soon"],
            2,
            "invalid value 'soon' for '--from <FROM>'",
        ),
    ] {
        let ended = broker.run(&[&["consume", "t"], &flags[..]].concat());
        assert!(
            ended.failure(code).starts_with(sentence),
            "{}",
            ended.stderr
        );
    }
    let none = broker.run(&["consume", "none"]);
    assert!(
        none.failure(1).starts_with("topic none: "),
        "{}",
        none.stderr
    );
    assert_eq!(
        broker.run(&["topic", "list", "--json"]).json().len(),
        1,
        "reading creates nothing"
    );
}

#[test]
fn following_shows_each_record_as_it_comes_until_interrupted() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    assert_eq!(
        broker.run_with_input(&["produce", "t"], b"old\n").text(),
        ""
    );
    let on_broker = ["--bootstrap", &broker.bootstrap];
    let mut reader = Running::start(&[&["consume", "t", "--follow"], &on_broker[..]].concat());
    assert_eq!(reader.line(), "old\n");
    // A line is sent while the input stays open.
    let mut writer = Running::start(&[&["produce", "t"], &on_broker[..]].concat());
    for line in ["new\n", "newer\n"] {
        writer.input().write_all(line.as_bytes()).unwrap();
        assert_eq!(reader.line(), line);
    }
    // The end of the writer by a signal is the end of its input.
    writer.signal("INT");
    let written = writer.end();
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    assert!(
        written.stderr.starts_with("2 records, "),
        "{}",
        written.stderr
    );
    reader.signal("INT");
    assert_eq!(reader.end().code, Some(0));
}

#[test]
fn files_are_read_packed_or_not_and_a_folder_is_enough_of_a_broker() {
    let dir = folder();
    let data = dir.path().join("data");
    let plain = dir.path().join("lines.txt");
    let packed = dir.path().join("lines.txt.gz");
    let text = "one\ntwo\n".repeat(1000);
    #[expect(clippy::disallowed_methods, reason = "an input of the test")]
    std::fs::write(&plain, &text).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "an input of the test")]
    std::fs::write(&packed, gzip.finish().unwrap()).unwrap();
    for input in [&plain, &packed] {
        let args = [
            "produce",
            "t",
            "--data-dir",
            word(&data),
            "--input",
            word(input),
        ];
        assert_eq!(run(&args).text(), "");
    }
    let read = run(&["consume", "t", "--data-dir", word(&data)]).text();
    assert!(read == text.repeat(2), "{} bytes", read.len());
    let missing = run(&[
        "produce",
        "t",
        "--data-dir",
        word(&data),
        "--input",
        "/no/such.txt",
    ]);
    assert!(
        missing.failure(1).starts_with("cannot open /no/such.txt: "),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_record_that_is_too_large_is_told_and_the_others_arrive() {
    let dir = folder();
    let large = "x".repeat(2 << 20);
    let args = ["produce", "t", "--data-dir", word(dir.path())];
    let produced = run_with_input(&args, format!("a\n{large}\nb\n").as_bytes());
    assert_eq!(produced.code, Some(1), "{}", produced.stderr);
    assert!(
        produced.stderr.starts_with("line 2 was rejected: "),
        "{}",
        produced.stderr
    );
    assert_eq!(
        run(&["consume", "t", "--data-dir", word(dir.path())]).text(),
        "a\nb\n"
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let dir = folder();
    let lines = "a line that fills the pipe\n".repeat(100_000);
    let data = ["--data-dir", word(dir.path())];
    let produced = run_with_input(&[&["produce", "t"], &data[..]].concat(), lines.as_bytes());
    assert_eq!(produced.text(), "");
    let binary = env!("CARGO_BIN_EXE_highwater");
    let script =
        format!("\"{binary}\" consume t --data-dir \"$1\" | head -1; exit ${{PIPESTATUS[0]}}");
    let mut shell = std::process::Command::new("bash");
    let ended = finish(shell.args(["-c", &script, "bash", word(dir.path())]), b"");
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(ended.stdout, b"a line that fills the pipe\n");
}

#[test]
fn without_a_broker_both_say_so() {
    for args in [&["produce", "t"][..], &["consume", "t"], &["topic", "list"]] {
        // Port 1 is not listened on.
        let args = [args, &["--bootstrap", "127.0.0.1:1"]].concat();
        let ended = finish(&mut command(&args), b"x\n");
        assert!(
            ended
                .failure(1)
                .starts_with("nothing listens at 127.0.0.1:1: "),
            "{}",
            ended.stderr
        );
    }
}
