//! `serve`: how it begins, and how it ends.

use std::path::PathBuf;

use crate::kit::{Running, Served, command, folder, get};

#[test]
fn it_says_where_to_connect_and_keeps_what_it_was_given() {
    let dir = folder();
    let broker = Served::start(dir.path(), &["--set", "num.partitions=5"]);
    let ready = &broker.ready;
    assert!(
        ready.contains("num.partitions=5, ") && ready.contains("log.durability=fsync"),
        "{ready}"
    );
    assert!(broker.bootstrap.starts_with("127.0.0.1:"), "{ready}");
    assert_eq!(
        broker.run_with_input(&["produce", "t"], b"kept\n").text(),
        ""
    );
    let stopped = broker.stop();
    assert_eq!(stopped.code, Some(0), "{}", stopped.stderr);
    assert!(stopped.stdout.is_empty(), "{stopped:?}");

    let broker = Served::start(dir.path(), &[]);
    assert_eq!(broker.run(&["consume", "t"]).text(), "kept\n");
}

#[test]
fn ctrl_c_is_a_clean_end_too() {
    let dir = folder();
    let broker = Served::start(dir.path(), &["--log-level", "error"]);
    broker.process.signal("INT");
    let ended = broker.process.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn every_listener_is_listened_on() {
    let dir = folder();
    let flags = ["--kafka", "SECOND=127.0.0.1:0,advertise=127.0.0.1:0"];
    let broker = Served::start(dir.path(), &flags);
    let addresses: Vec<&str> = broker.bootstrap.split(',').collect();
    assert_eq!(addresses.len(), 2, "{}", broker.ready);
    for address in addresses {
        let listed = crate::kit::run(&["topic", "list", "--json", "--bootstrap", address]);
        assert_eq!(listed.text(), "");
    }
}

#[test]
fn the_native_protocol_is_listened_to_where_that_was_asked_for() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    assert!(!broker.ready.contains("native"), "{}", broker.ready);
    assert_eq!(broker.stop().code, Some(0));
    let broker = Served::start(dir.path(), &["--native", "127.0.0.1:0"]);
    let address = broker.ready.split("native ").nth(1);
    let address = address.and_then(|rest| rest.split(", ").next()).unwrap();
    let both = format!("highwater://{address}");
    let listed = crate::kit::run(&["topic", "list", "--bootstrap", &both]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
}

#[test]
fn beside_passwords_the_native_protocol_is_open_only_if_that_is_said() {
    let dir = folder();
    let dir = dir.path().to_str().unwrap();
    let guarded = ["--kafka", "127.0.0.1:0,protocol=SASL_PLAINTEXT"];
    let open = ["--native", "127.0.0.1:0"];
    let words = [&["serve", "--data-dir", dir][..], &guarded, &open].concat();
    let ended = crate::kit::run(&words);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("access=everybody"), "{ended:?}");
}

#[test]
fn health_and_metrics_are_served_where_that_was_asked_for() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    assert!(!broker.ready.contains("http"), "{}", broker.ready);
    assert_eq!(broker.stop().code, Some(0));
    let broker = Served::start(dir.path(), &["--http", "127.0.0.1:0"]);
    let address = broker.ready.split("http ").nth(1);
    let address = address.and_then(|rest| rest.split(", ").next()).unwrap();
    assert_eq!(broker.run_with_input(&["produce", "t"], b"x\n").text(), "");
    let ready = get(address, "/health/ready");
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n") && ready.ends_with("\r\n\r\nready\n"));
    let metrics = get(address, "/metrics");
    assert!(
        metrics.contains("\nhighwater_produced_records_total 1\n"),
        "{metrics}"
    );
    assert_eq!(broker.stop().code, Some(0));
}

#[test]
fn the_playground_needs_no_flag_and_leaves_nothing() {
    let root = folder();
    let mut dev = command(&["serve", "--dev", "--kafka", "127.0.0.1:0"]);
    let broker = Served::spawn(dev.env("TMPDIR", root.path()));
    let data = broker
        .ready
        .split("data in ")
        .nth(1)
        .and_then(|rest| rest.split(", ").next());
    let data = PathBuf::from(data.expect("the folder is named"));
    assert!(
        data.starts_with(root.path()) && data.is_dir(),
        "{}",
        data.display()
    );
    assert_eq!(broker.run_with_input(&["produce", "t"], b"x\n").text(), "");
    assert_eq!(broker.stop().code, Some(0));
    assert!(!data.exists());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn a_consumer_that_waits_does_not_hold_up_the_stop() {
    let dir = folder();
    let broker = Served::start(dir.path(), &[]);
    assert_eq!(broker.run_with_input(&["produce", "t"], b"x\n").text(), "");
    let args = ["consume", "t", "--follow", "--bootstrap", &broker.bootstrap];
    let mut reader = Running::start(&args);
    assert_eq!(reader.line(), "x\n");
    assert_eq!(broker.stop().code, Some(0));
    reader.signal("INT");
    drop(reader.end());
}
