//! Links, and the documents that must agree with the code.

use std::collections::BTreeSet;

use crate::tree;

pub(crate) fn broken_links() -> Vec<String> {
    let mut found = Vec::new();
    let mut links = 0;
    for document in tree::files("md") {
        let dir = document.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for target in relative_links(&document.text) {
            links += 1;
            let path = if dir.is_empty() {
                target.clone()
            } else {
                format!("{dir}/{target}")
            };
            if !tree::exists(&path) {
                found.push(format!("{}: {target}", document.path));
            }
        }
    }
    assert!(
        links > 5,
        "only {links} links were seen: the parser is blind"
    );
    found
}

fn relative_links(text: &str) -> Vec<String> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://") && !link.starts_with('#') && !link.contains(' '))
        .filter_map(|link| link.split('#').next())
        .map(str::to_owned)
        .collect()
}

/// Tests that a document names as proof and that no source file has.
pub(crate) fn missing_proofs() -> Vec<String> {
    let sources = tree::files("rs");
    let documents = ["docs/durability.md", "docs/security.md", "SECURITY.md"];
    let text: String = documents.iter().map(|path| tree::read(path)).collect();
    let named: BTreeSet<&str> = text.split('`').filter(|word| is_test_name(word)).collect();
    assert!(named.len() > 30, "only {} tests are named", named.len());
    let is_there = |name: &str| {
        let head = format!("fn {name}(");
        sources.iter().any(|source| source.text.contains(&head))
    };
    let missing = named.into_iter().filter(|name| !is_there(name));
    missing.map(str::to_owned).collect()
}

/// Test names are sentences.
fn is_test_name(word: &str) -> bool {
    word.matches('_').count() >= 3
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Every row of the API table has a message file, a handler and a row in COMPAT.md.
pub(crate) fn api_files() -> Vec<String> {
    let compat = tree::read("COMPAT.md");
    let mut found = Vec::new();
    let mut names = BTreeSet::new();
    for api in highwater_proto::kafka::APIS {
        let file = snake(api.name);
        names.insert(file.clone());
        for path in [
            format!("proto/src/kafka/messages/{file}.rs"),
            format!("broker/src/kafka/api/{file}.rs"),
        ] {
            if !tree::exists(&path) {
                found.push(format!("{} has no {path}", api.name));
            }
        }
        if !compat.contains(&format!("| {} |", api.name)) {
            found.push(format!("{} has no row in COMPAT.md", api.name));
        }
    }
    found.extend(stray_files("proto/src/kafka/messages/", &names));
    found.extend(stray_files("broker/src/kafka/api/", &names));
    found
}

fn stray_files(dir: &str, names: &BTreeSet<String>) -> Vec<String> {
    tree::files("rs")
        .into_iter()
        .filter_map(|source| source.path.strip_prefix(dir).map(str::to_owned))
        .map(|file| file.trim_end_matches(".rs").to_owned())
        .filter(|name| name != "mod" && !name.contains("tests") && !names.contains(name))
        .map(|name| format!("{dir}{name}.rs has no row in the API table"))
        .collect()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[test]
fn names_become_file_names() {
    assert_eq!(snake("OffsetForLeaderEpoch"), "offset_for_leader_epoch");
    assert_eq!(
        relative_links("[a](b.md#c) [d](https://e) [f](#g)"),
        ["b.md"]
    );
}
