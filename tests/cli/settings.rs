//! Where the settings of `serve` come from, and how they are printed.

use crate::kit::{command, finish, folder, run, word};

/// The value of a setting and where it comes from, as `--print-config` says.
fn setting(printed: &str, name: &str) -> (String, String) {
    let start = format!("\"{name}\" = ");
    let line = printed.lines().find_map(|line| line.strip_prefix(&start));
    let (value, source) = line
        .expect("the setting is printed")
        .split_once("  # ")
        .expect("each line names its source");
    (value.to_owned(), source.to_owned())
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let dir = folder();
    let file = dir.path().join("hw.toml");
    let text =
        "num.partitions = 2\n[log]\nretention.ms = 3\nsegment.bytes = 4096\n[node]\nid = 4\n";
    #[expect(clippy::disallowed_methods, reason = "an input of the test")]
    std::fs::write(&file, text).unwrap();
    let flags = [
        "serve",
        "--print-config",
        "--set",
        "node.id=9",
        "--kafka",
        "A=127.0.0.1:5",
    ];
    let mut command = command(&flags);
    command
        .env("HIGHWATER_CONFIG", word(&file))
        .env("HIGHWATER_NODE_ID", "8")
        .env("HIGHWATER_LOG_RETENTION_MS", "7")
        .env("HIGHWATER_DATA_DIR", "/some/where")
        .env("HIGHWATER_HTTP", "127.0.0.1:9292")
        .env("HIGHWATER_NATIVE", "127.0.0.1:9192")
        .env("HIGHWATER_PORT", "tcp://10.0.0.1:9092")
        .env("HIGHWATER_NO_SUCH", "1");
    let ended = finish(&mut command, b"");
    let printed = ended.text();
    let found = |name| setting(&printed, name);
    let from = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(found("node.id"), from("9", "command line"));
    assert_eq!(found("log.retention.ms"), from("7", "environment"));
    assert_eq!(found("num.partitions"), from("2", word(&file)));
    assert_eq!(found("log.segment.bytes"), from("4096", word(&file)));
    assert_eq!(found("auto.create.topics.enable"), from("true", "default"));
    assert_eq!(found("data.dir"), from("\"/some/where\"", "environment"));
    assert_eq!(found("http"), from("\"127.0.0.1:9292\"", "environment"));
    assert_eq!(found("native"), from("\"127.0.0.1:9192\"", "environment"));
    assert_eq!(found("kafka"), from("[\"A=127.0.0.1:5\"]", "command line"));
    assert!(
        ended.stderr.contains("HIGHWATER_NO_SUCH is no setting"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn what_is_printed_can_be_given_back() {
    let dir = folder();
    let file = dir.path().join("hw.toml");
    let flags = [
        "--profile",
        "edge",
        "--data-dir",
        "/a \"b\" c",
        "--kafka",
        "X=127.0.0.1:0,advertise=h:1",
        "--kafka",
        "[::1]:7",
        "--http",
        "localhost:9292",
        "--allow-unauthenticated",
        "--set",
        "log.retention.ms=-1",
    ];
    let printed = run(&[&["serve", "--print-config"], &flags[..]].concat()).text();
    #[expect(clippy::disallowed_methods, reason = "an input of the test")]
    std::fs::write(&file, &printed).unwrap();
    let again = run(&["serve", "--print-config", "--config", word(&file)]).text();
    let bare = |text: &str| -> Vec<String> {
        let bare = |line: &str| line.split("  # ").next().unwrap_or_default().to_owned();
        text.lines().map(bare).collect()
    };
    assert_eq!(bare(&again), bare(&printed));
    assert!(printed.lines().count() > 40, "every setting is printed");
    assert_eq!(setting(&printed, "fetch.max.bytes").1, "profile edge");
    assert!(
        again.lines().all(|line| line.ends_with(word(&file))),
        "{again}"
    );
}

#[test]
fn only_a_served_broker_waits_for_the_members_of_a_group() {
    let name = "group.initial.rebalance.delay.ms";
    let printed = |args: &[&str]| {
        let printed = run(&[&["serve", "--print-config"], args].concat()).text();
        setting(&printed, name)
    };
    assert_eq!(printed(&[]).0, "3000");
    assert_eq!(printed(&["--profile", "edge"]).0, "3000");
    assert_eq!(printed(&["--dev"]), ("0".to_owned(), "--dev".to_owned()));
    let set = printed(&["--dev", "--set", "group.initial.rebalance.delay.ms=7"]);
    assert_eq!(set, ("7".to_owned(), "command line".to_owned()));
}

#[test]
fn bad_settings_are_refused_with_their_place() {
    let dir = folder();
    let file = dir.path().join("hw.toml");
    let with_file = |text: &str| {
        #[expect(clippy::disallowed_methods, reason = "an input of the test")]
        std::fs::write(&file, text).unwrap();
        run(&["serve", "--dev", "--config", word(&file)])
            .failure(2)
            .replace(word(&file), "FILE")
    };
    assert_eq!(
        with_file("[num]\npartition = 3"),
        "FILE: no setting has the name \"num.partition\"; did you mean num.partitions?"
    );
    assert!(with_file("a = 1\nb =").starts_with("FILE is not TOML: line 2: "));
    assert!(with_file("num.partitions = 'many'").starts_with("FILE: the config num.partitions "));
    let with_flag = |flags: &[&str]| {
        run(&[&["serve", "--dev"], flags].concat())
            .failure(2)
            .to_owned()
    };
    let unknown = with_flag(&["--set", "num.partitions=0"]);
    assert!(unknown.starts_with("command line: the config num.partitions is not valid"));
    assert!(with_flag(&["--set", "x"]).starts_with("invalid value 'x' for '--set <NAME=VALUE>'"));
    assert!(with_flag(&["--kafka", "9092"]).contains("\"9092\" is not HOST:PORT"));
    assert!(with_flag(&["--http", "9292"]).contains("\"9292\" is not HOST:PORT"));
    assert!(with_flag(&["--data-dir", "d"]).contains("cannot be used with"));
    assert!(with_flag(&["--no-such-flag"]).starts_with("unexpected argument '--no-such-flag'"));
    assert!(
        with_flag(&["--log-level", "loud"]).starts_with("--log-level \"loud\" is no log level")
    );
    let missing = run(&["serve", "--dev", "--config", "/no/such.toml"]);
    assert!(
        missing
            .failure(1)
            .starts_with("cannot open /no/such.toml: ")
    );
    let mut by_variable = command(&["serve", "--dev"]);
    let ended = finish(by_variable.env("HIGHWATER_NUM_PARTITIONS", "-1"), b"");
    assert!(
        ended.failure(2).starts_with("HIGHWATER_NUM_PARTITIONS: "),
        "{}",
        ended.stderr
    );
}
