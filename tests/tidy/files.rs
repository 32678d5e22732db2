//! Headers, lengths and forbidden text of each source file.

use std::collections::BTreeMap;

use crate::tree;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

pub(crate) fn without_header() -> Vec<String> {
    tree::files("rs")
        .iter()
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| source.path.clone())
        .collect()
}

/// Findings that the ratchet does not excuse.
pub(crate) fn too_long() -> Vec<String> {
    let ratchet = ratchet();
    lengths()
        .into_iter()
        .filter(|(what, lines)| ratchet.get(what).is_none_or(|allowed| lines > allowed))
        .map(|(what, lines)| format!("{what}: {lines} lines"))
        .collect()
}

/// Entries of the ratchet that are gone or have shrunk.
pub(crate) fn loose_ratchet() -> Vec<String> {
    let now: BTreeMap<String, usize> = lengths().into_iter().collect();
    ratchet()
        .into_iter()
        .filter_map(|(what, allowed)| match now.get(&what) {
            Some(lines) if *lines >= allowed => None,
            Some(lines) => Some(format!("{what}: {allowed} in the ratchet, {lines} now")),
            None => Some(format!("{what}: no longer too long, remove it")),
        })
        .collect()
}

/// Everything over its limit: `path` for files, `path fn name` for functions.
fn lengths() -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for source in tree::files("rs") {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push((source.path.clone(), lines));
        }
        for (name, lines) in functions(&source.text) {
            if lines > FUNCTION_LINES_MAX {
                found.push((format!("{} fn {name}", source.path), lines));
            }
        }
    }
    found
}

/// Name and length of each function. Relies on rustfmt: the closing brace of an item stands alone
/// at the indentation of its first line.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let stop = format!("{indent}fn ");
        let length = lines[start..]
            .iter()
            .enumerate()
            .skip(1)
            .take_while(|(_, l)| !l.starts_with(&stop))
            .find(|(_, l)| **l == end)
            .map_or(1, |(at, _)| at + 1);
        found.push((name, length));
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let code = line.trim_start();
    if code.starts_with("//") || code.ends_with(';') || code.ends_with('}') {
        return None;
    }
    let before_and_after = code.split_once("fn ")?;
    let qualifiers = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "const",
        "async",
        "unsafe",
        "extern",
    ];
    if !before_and_after
        .0
        .split_whitespace()
        .all(|word| qualifiers.contains(&word))
    {
        return None;
    }
    let name: String = before_and_after
        .1
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

fn ratchet() -> BTreeMap<String, usize> {
    tree::read("tests/tidy/ratchet.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (what, lines) = line
                .rsplit_once(' ')
                .expect("a ratchet line is `what lines`");
            (
                what.to_owned(),
                lines.parse().expect("a ratchet line ends in a number"),
            )
        })
        .collect()
}

pub(crate) fn forbidden() -> Vec<String> {
    let mut found = Vec::new();
    for source in tree::files("rs") {
        // This file names what it forbids.
        if source.path == "tests/tidy/files.rs" {
            continue;
        }
        for (number, line) in source.text.lines().enumerate() {
            if let Some(why) = forbidden_in(&source.path, line) {
                found.push(format!("{}:{}: {why}", source.path, number + 1));
            }
        }
    }
    found
}

fn forbidden_in(path: &str, line: &str) -> Option<&'static str> {
    const WORDS: &[(&str, &str)] = &[
        ("FIXME", "do it, or say in a document that it is not done"),
        ("TODO", "do it, or say in a document that it is not done"),
        ("todo!(", "a stub is a defect"),
        ("unimplemented!(", "a stub is a defect"),
        ("#[allow(", "use #[expect(lint, reason = \"..\")]"),
        ("#![allow(", "use #![expect(lint, reason = \"..\")]"),
        ("#[ignore", "a test that does not run is a defect"),
        ("should_panic", "return an error and compare it"),
        ("unbounded_channel", "every queue has a limit"),
        (
            "use crate::{",
            "one import a line, so that the floors can be read from them",
        ),
    ];
    if !line.is_ascii() {
        return Some("not ASCII");
    }
    if line.chars().count() > LINE_COLUMNS_MAX && !line.contains("\"") {
        return Some("longer than 100 columns");
    }
    // What kills processes at moments of its choice has to wait for them.
    let may_pause = path == "tests/torture/src/process/mod.rs";
    if line.contains("thread::sleep(") && !may_pause {
        return Some("wait for the event, not for the clock");
    }
    if line.contains("tokio::time") && !path.ends_with("src/clock.rs") {
        return Some("tokio::time outside clock.rs: take the time from `Clock`");
    }
    if (line.contains("unsafe {") || line.contains("unsafe impl")) && !may_be_unsafe(path) {
        return Some("unsafe outside log-core/src/fs/os.rs");
    }
    WORDS
        .iter()
        .find(|(word, _)| line.contains(word))
        .map(|(_, why)| *why)
}

/// The one file of the product, the tests that count allocations, and SQLite's access to files in
/// a test that takes its power away.
fn may_be_unsafe(path: &str) -> bool {
    let files = ["log-core/src/fs/os.rs", "tests/relays/forgetful.rs"];
    files.contains(&path) || path.ends_with("tests/allocation.rs")
}

#[test]
fn a_long_function_is_seen() {
    let body = "    let x = 1;\n".repeat(FUNCTION_LINES_MAX);
    let text =
        format!("pub async fn long(\n    a: u8,\n) -> u8 {{\n{body}}}\n\nfn short() {{\n}}\n");
    let found = functions(&text);
    assert_eq!(found[0], ("long".to_owned(), FUNCTION_LINES_MAX + 4));
    assert_eq!(found[1], ("short".to_owned(), 2));
}

#[test]
fn forbidden_text_is_seen() {
    assert!(forbidden_in("a/src/x.rs", "    todo!()").is_some());
    assert!(forbidden_in("a/src/x.rs", "use tokio::time::sleep;").is_some());
    assert!(forbidden_in("broker/src/clock.rs", "use tokio::time::sleep;").is_none());
    assert!(forbidden_in("a/src/x.rs", "let x = unsafe { y() };").is_some());
}
