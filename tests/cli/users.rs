//! `user`: who is added to a data directory or to a broker is let in, with a password that stands
//! on no command line.

use std::path::Path;

use crate::kit::{Served, command, finish, folder, run, run_with_input};

/// What a served broker asks for: SCRAM, on a port of its own.
const ASKING: [&str; 2] = ["--kafka", "IN=127.0.0.1:0,protocol=SASL_PLAINTEXT"];

/// These words, of a data directory.
fn within<'a>(words: &[&'a str], data: &'a str) -> Vec<&'a str> {
    [words, &["--data-dir", data]].concat()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the user, not of a broker"
)]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file is written");
}

#[test]
fn a_user_lives_from_add_to_delete_in_a_data_directory() {
    let dir = folder();
    let data = dir.path().join("data").display().to_string();
    let data: &str = &data;
    // Before the first start of a broker; the first line is the password.
    let added = run_with_input(&within(&["user", "add", "alice"], data), b"secret\nrest");
    assert_eq!(added.text(), "");
    let file = dir.path().join("password");
    write(&file, "another\n");
    let file = file.display().to_string();
    let words = ["user", "add", "bob", "--mechanism", "SCRAM-SHA-512"];
    let more = ["--iterations", "5000", "--password-file", &file, "--json"];
    let added = run(&within(&[&words[..], &more].concat(), data)).json();
    let expected = r#"{"iterations":5000,"mechanisms":["SCRAM-SHA-512"],"user":"bob"}"#;
    assert_eq!(added[0].to_string(), expected);

    assert_eq!(
        run(&within(&["user", "list"], data)).text(),
        "USER   MECHANISM      ITERATIONS\n\
         alice  SCRAM-SHA-256        4096\n\
         alice  SCRAM-SHA-512        4096\n\
         bob    SCRAM-SHA-512        5000\n"
    );
    let listed = run(&within(&["user", "list", "--json"], data)).json();
    assert_eq!(listed[1]["credentials"][0]["iterations"], 5000);

    let one = ["user", "delete", "alice", "--mechanism", "SCRAM-SHA-256"];
    assert_eq!(run(&within(&one, data)).text(), "");
    assert_eq!(run(&within(&["user", "delete", "alice"], data)).text(), "");
    let again = run(&within(&["user", "delete", "alice"], data));
    assert_eq!(again.failure(1), "there is no user alice");
    assert_eq!(
        run(&within(&["user", "list", "--json"], data)).json().len(),
        1
    );
}

#[test]
fn who_was_added_is_let_in_and_nobody_else() {
    let dir = folder();
    let data = dir.path().display().to_string();
    let add = ["user", "add", "alice", "--data-dir", &data];
    assert_eq!(run_with_input(&add, b"secret\n").text(), "");
    let broker = Served::start(dir.path(), &ASKING);
    // The first one is open.
    let asking = broker.bootstrap.split_once(',').expect("there are two").1;
    let list = |password: &str, more: &[&str]| {
        let words = ["topic", "list", "--bootstrap", asking];
        let words = [&words[..], more].concat();
        let mut command = command(&words);
        command
            .env("HIGHWATER_CLIENT_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
            .env("HIGHWATER_CLIENT_SASL_MECHANISM", "SCRAM-SHA-512")
            .env("HIGHWATER_CLIENT_SASL_USERNAME", "alice")
            .env("HIGHWATER_CLIENT_SASL_PASSWORD", password);
        finish(&mut command, b"")
    };
    assert!(list("secret", &[]).text().starts_with("TOPIC"));
    let wrong = list("wrong", &[]);
    let said = wrong.failure(1);
    assert!(said.contains("SASL_AUTHENTICATION_FAILED"), "{said}");
    assert!(said.contains("look at sasl.username"), "{said}");
    // A flag goes before a variable.
    let file = dir.path().join("login");
    write(&file, "secret\n");
    let file = file.display().to_string();
    let flags = ["--sasl-password-file", &file];
    assert!(list("wrong", &flags).text().starts_with("TOPIC"));
    let plain = list("secret", &["--sasl-mechanism", "PLAIN"]);
    let said = plain.failure(1);
    let offered = "does not offer PLAIN here, but SCRAM-SHA-256, SCRAM-SHA-512";
    assert!(said.contains(offered), "{said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = folder();
    let data = dir.path().display().to_string();
    let data: &str = &data;
    let add = within(&["user", "add", "alice"], data);
    let empty = run_with_input(&add, b"");
    assert_eq!(
        empty.failure(2),
        "the standard input has no password: it is empty"
    );
    let plain = run(&within(
        &["user", "add", "alice", "--mechanism", "PLAIN"],
        data,
    ));
    assert!(plain.failure(2).contains("nothing is stored for PLAIN"));
    let few = within(&["user", "add", "alice", "--iterations", "10"], data);
    let few = run_with_input(&few, b"secret\n");
    assert_eq!(
        few.failure(1),
        "user alice: 10 iterations are not within 4096 to 100000"
    );
    let missing = dir.path().join("missing").display().to_string();
    let nowhere = run(&["user", "list", "--data-dir", &missing]);
    assert!(nowhere.failure(1).starts_with("there is no data directory"));
}

/// What was written of users can be guessed against: it is for the broker's own user alone.
#[cfg(unix)]
#[test]
fn nobody_else_reads_what_a_broker_writes() {
    use std::os::unix::fs::PermissionsExt;

    fn modes(path: &Path, found: &mut Vec<(String, u32)>) {
        let metadata = path.metadata().expect("it is there");
        let mode = metadata.permissions().mode() & 0o7777;
        found.push((path.display().to_string(), mode));
        if metadata.is_dir() {
            for entry in path.read_dir().expect("it can be listed") {
                modes(&entry.expect("it has a name").path(), found);
            }
        }
    }

    let dir = folder();
    let data = dir.path().join("data");
    let text = data.display().to_string();
    let added = run_with_input(&within(&["user", "add", "alice"], &text), b"secret\n");
    assert_eq!(added.text(), "");
    drop(Served::start(&data, &ASKING));
    let mut found = Vec::new();
    modes(&data, &mut found);
    assert!(found.len() > 5, "{found:?}");
    for (path, mode) in found {
        let private = if Path::new(&path).is_dir() {
            0o700
        } else {
            0o600
        };
        assert_eq!(mode, private, "{path}: {mode:o}");
    }
}
