//! Licences, banned crates and sources of deny.toml, held without the tool.
//!
//! Advisories need its database, and stay `cargo deny`'s.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::SplitWhitespace;

use serde_json::Value;

use crate::tree;

/// Every package of the lock file, of all platforms and features, that deny.toml does not let in.
pub(crate) fn not_allowed() -> Vec<String> {
    let rules = tree::read("deny.toml");
    let allowed: BTreeSet<&str> = quoted_behind(&rules, "allow = [").collect();
    let banned: BTreeSet<&str> = rules
        .split("{ name = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(
        allowed.contains("MIT") && banned.contains("openssl"),
        "deny.toml is not seen"
    );
    let metadata = tree::cargo("metadata --all-features --format-version 1");
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let wrong = |package: &Value| {
        let why = why_not(package, &allowed, &banned)?;
        let of = |key: &str| package[key].as_str().unwrap_or_default();
        Some(format!("{} {}: {why}", of("name"), of("version")))
    };
    packages.iter().filter_map(wrong).collect()
}

fn why_not(package: &Value, allowed: &BTreeSet<&str>, banned: &BTreeSet<&str>) -> Option<String> {
    let name = package["name"].as_str().unwrap_or_default();
    if banned.contains(name) {
        return Some("it is banned".to_owned());
    }
    // What lies in this project has none.
    let source = package["source"].as_str();
    if source.is_some_and(|source| source != CRATES_IO) {
        return Some(format!("it comes from {}", package["source"]));
    }
    let licence = package["license"].as_str().unwrap_or_default();
    if !may_be_used(licence, allowed) {
        return Some(format!("its licence is {licence:?}"));
    }
    let any_version = |of: &&Value| of["req"] == "*" && of["path"].is_null();
    let wild = package["dependencies"].as_array().into_iter().flatten();
    let wild = wild.filter(|_| source.is_none()).find(any_version);
    wild.map(|of| format!("it takes any version of {}", of["name"]))
}

/// Whether an expression of SPDX can be kept by keeping licences of the list alone. The sign `/`
/// is an old way to write `OR`.
fn may_be_used(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed) && words.next().is_none()
}

fn any_of(words: &mut Peekable<SplitWhitespace<'_>>, allowed: &BTreeSet<&str>) -> bool {
    let mut is_any = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        // Both sides are read, whatever the first one says.
        is_any |= all_of(words, allowed);
    }
    is_any
}

fn all_of(words: &mut Peekable<SplitWhitespace<'_>>, allowed: &BTreeSet<&str>) -> bool {
    let mut is_all = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        is_all &= one(words, allowed);
    }
    is_all
}

fn one(words: &mut Peekable<SplitWhitespace<'_>>, allowed: &BTreeSet<&str>) -> bool {
    let Some(word) = words.next() else {
        return false;
    };
    if word == "(" {
        let inner = any_of(words, allowed);
        return words.next_if_eq(&")").is_some() && inner;
    }
    // With an exception it is another licence, which nobody has listed.
    let has_exception = words.next_if_eq(&"WITH").and_then(|_| words.next());
    has_exception.is_none() && allowed.contains(word)
}

/// The words in quotes between this and the next `]`.
fn quoted_behind<'a>(text: &'a str, start: &str) -> impl Iterator<Item = &'a str> {
    let list = text.split(start).nth(1).unwrap_or_default();
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2)
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn expressions_of_licences_are_weighed() {
    let allowed = BTreeSet::from(["MIT", "ISC", "Unicode-3.0"]);
    for (expression, may) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND ISC", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0", false),
        ("GPL-3.0 WITH MIT", false),
        ("MIT WITH LLVM-exception", false),
        ("MIT WITH LLVM-exception OR ISC", true),
        ("MIT ISC", false),
        ("(MIT", false),
    ] {
        assert_eq!(may_be_used(expression, &allowed), may, "{expression:?}");
    }
}

#[test]
fn packages_that_are_not_let_in_are_seen() {
    let (allowed, banned) = (BTreeSet::from(["MIT"]), BTreeSet::from(["openssl"]));
    let package = |name: &str, licence: &str, source: Value, requirement: &str| {
        serde_json::json!({
            "name": name, "license": licence, "source": source,
            "dependencies": [{ "name": "other", "req": requirement, "path": null }],
        })
    };
    let why = |package: &Value| why_not(package, &allowed, &banned).is_some();
    assert!(!why(&package("good", "MIT", CRATES_IO.into(), "*")));
    assert!(!why(&package("ours", "MIT", Value::Null, "^1")));
    assert!(why(&package("openssl", "MIT", CRATES_IO.into(), "^1")));
    assert!(why(&package("strange", "GPL-3.0", CRATES_IO.into(), "^1")));
    let elsewhere = "git+https://example.org/other";
    assert!(why(&package("elsewhere", "MIT", elsewhere.into(), "^1")));
    assert!(why(&package("ours", "MIT", Value::Null, "*")));
}
