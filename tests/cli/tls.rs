//! The binary over TLS: what `serve` is told, what every command that connects is told, and a
//! client on librdkafka, where there is one.

use std::path::Path;
use std::process::Command;

use crate::certs::{Authority, Files};
use crate::kit::{Ended, Served, command, finish, folder, run, word};

/// A served broker that speaks TLS, and the files of both sides.
struct Rig {
    served: Served,
    authority: Authority,
    files: Files,
    _dir: tempfile::TempDir,
}

impl Rig {
    fn new(more: &[&str]) -> Self {
        let dir = folder();
        let authority = Authority::new("test authority");
        let files = Files::new(&authority.issue("127.0.0.1"), &authority);
        let set = ["certificate", "key", "ca"].map(|name| {
            let path = files.text(&format!("{name}.pem"));
            format!("ssl.{name}.location={path}")
        });
        let mut args = vec!["serve", "--data-dir", word(dir.path())];
        args.extend(["--kafka", "127.0.0.1:0,protocol=SSL"]);
        args.extend(set.iter().flat_map(|set| ["--set", set]));
        args.extend(more);
        let served = Served::spawn(&mut command(&args));
        Self {
            served,
            authority,
            files,
            _dir: dir,
        }
    }

    /// The flags of a client that trusts the broker's authority.
    fn flags(&self) -> Vec<String> {
        let words = ["--security-protocol", "SSL", "--ssl-ca-location"];
        let words = words.into_iter().map(str::to_owned);
        words.chain([self.files.text("ca.pem")]).collect()
    }

    fn run(&self, args: &[&str], more: &[String], input: &[u8]) -> Ended {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let args = [args, &more].concat();
        self.served.run_with_input(&args, input)
    }
}

#[test]
fn records_go_through_the_binary_by_flags_by_variables_and_by_a_file() {
    let rig = Rig::new(&[]);
    let flags = rig.flags();
    let produced = rig.run(&["produce", "t"], &flags, b"one\ntwo\n");
    assert_eq!(produced.text(), "");
    let ca = rig.files.text("ca.pem");
    let bootstrap = rig.served.bootstrap.as_str();
    let mut by_variables = command(&["consume", "t", "--bootstrap", bootstrap]);
    by_variables.env("HIGHWATER_CLIENT_SECURITY_PROTOCOL", "ssl");
    by_variables.env("HIGHWATER_CLIENT_SSL_CA_LOCATION", &ca);
    assert_eq!(finish(&mut by_variables, b"").stdout, b"one\ntwo\n");
    let file = format!("# as Java's tools take it\nsecurity.protocol=SSL\nssl.ca.location={ca}\n");
    rig.files.put("client.properties", &file);
    let path = rig.files.text("client.properties");
    let listed = rig.run(&["topic", "list", "--client-config", &path], &[], b"");
    assert!(listed.text().contains('t'), "{listed:?}");
    // A flag goes over the file.
    let nowhere = [
        "--ssl-ca-location".to_owned(),
        rig.files.text("nowhere.pem"),
    ];
    let failed = rig.run(&["topic", "list", "--client-config", &path], &nowhere, b"");
    assert!(failed.failure(2).contains("nowhere.pem"), "{failed:?}");
}

#[test]
fn without_tls_or_with_the_wrong_authority_the_sentence_says_what_to_do() {
    let rig = Rig::new(&[]);
    let plain = rig.run(&["topic", "list"], &[], b"");
    assert!(plain.failure(1).contains("expects TLS"), "{plain:?}");
    let other = Authority::new("another");
    let files = Files::new(&other.issue("x"), &other);
    let mut flags = rig.flags();
    *flags.last_mut().expect("it is not empty") = files.text("ca.pem");
    let wrong = rig.run(&["topic", "list"], &flags, b"");
    assert!(wrong.failure(1).contains("ssl.ca.location"), "{wrong:?}");
}

#[test]
fn a_required_certificate_is_shown_by_flags() {
    let rig = Rig::new(&["--set", "ssl.client.auth=required"]);
    let mut flags = rig.flags();
    let without = rig.run(&["topic", "list"], &flags, b"");
    let sentence = without.failure(1);
    assert!(
        sentence.contains("asks for a client certificate"),
        "{sentence}"
    );
    let own = Files::new(&rig.authority.issue("billing"), &rig.authority);
    for name in ["certificate", "key"] {
        flags.push(format!("--ssl-{name}-location"));
        flags.push(own.text(&format!("{name}.pem")));
    }
    let produced = rig.run(&["produce", "t"], &flags, b"one\n");
    assert_eq!(produced.text(), "");
}

#[test]
fn a_listener_without_its_certificate_does_not_start() {
    let dir = folder();
    let args = ["serve", "--data-dir", word(dir.path())];
    let args = [&args[..], &["--kafka", "127.0.0.1:0,protocol=SSL"]].concat();
    let ended = run(&args);
    let sentence = ended.failure(1);
    assert!(
        sentence.contains("ssl.certificate.location is not set"),
        "{sentence}"
    );
}

#[test]
fn a_client_on_librdkafka_writes_and_reads_over_tls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("tests/interop/.cache/venv/bin/python");
    if !python.is_file() {
        let is_required = std::env::var_os("REQUIRE_CLIENTS").is_some();
        assert!(
            !is_required,
            "REQUIRE_CLIENTS is set: run tests/interop/install confluent"
        );
        eprintln!("SKIPPED: there is no confluent-kafka (tests/interop/install confluent)");
        return;
    }
    let rig = Rig::new(&["--set", "ssl.client.auth=required"]);
    let own = Files::new(&rig.authority.issue("billing"), &rig.authority);
    let mut command = Command::new(python);
    command.arg(root.join("tests/interop/tls.py"));
    command.args(["--bootstrap", &rig.served.bootstrap]);
    for name in ["ca", "certificate", "key"] {
        command.arg(format!("--{name}"));
        command.arg(own.text(&format!("{name}.pem")));
    }
    assert_eq!(finish(&mut command, b"").text(), "100 records\n");
}
