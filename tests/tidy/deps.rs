//! What the project depends on: each with its reason, and no more than there is room for.

use std::collections::BTreeSet;

use crate::tree;

/// Packages in the graph of the library without features, Highwater's own included. It grows
/// only by a decision: raise it here and say in ARCHITECTURE.md why.
const LIBRARY_PACKAGES_MAX: usize = 75;

pub(crate) fn without_reason() -> Vec<String> {
    let architecture = tree::read("ARCHITECTURE.md");
    let manifest = tree::read("Cargo.toml");
    let section = manifest
        .split("[workspace.dependencies]")
        .nth(1)
        .and_then(|rest| rest.split("\n[").next())
        .expect("Cargo.toml has [workspace.dependencies]");
    section
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| !name.starts_with("highwater") && !name.starts_with('#'))
        .filter(|name| !architecture.contains(&format!("`{name}`")))
        .map(str::to_owned)
        .collect()
}

pub(crate) fn graph_too_large() -> Vec<String> {
    let words = "tree -p highwater --no-default-features -e normal --prefix none --format {p}";
    let text = tree::cargo(words);
    let packages: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split(" (").next())
        .map(str::trim)
        .collect();
    assert!(packages.len() > 5, "the graph was not read");
    let mut found = Vec::new();
    if packages.len() > LIBRARY_PACKAGES_MAX {
        found.push(format!(
            "{} packages, at most {LIBRARY_PACKAGES_MAX}",
            packages.len()
        ));
    }
    for banned in [
        "clap", "axum", "rustls", "sqlx", "openssl", "cc", "zstd-sys", "lz4-sys",
    ] {
        if packages.iter().any(|p| p.split(' ').next() == Some(banned)) {
            found.push(format!("{banned} is in the library's graph"));
        }
    }
    found
}
