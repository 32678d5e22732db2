//! Lint as a test: what no compiler checks about the shape of this project.
//!
//! Each check reads the tree as text and answers the list of what is wrong, so that one run shows
//! everything at once.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a check that cannot read the tree fails"
)]

mod deny;
mod deps;
mod docs;
mod files;
mod floors;
mod tree;

/// Fails with every finding, one a line.
fn expect_none(what: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}

#[test]
fn files_import_only_from_below() {
    expect_none(
        "a file imports from above its floor",
        floors::upward_imports(),
    );
}

#[test]
fn every_file_stands_on_a_floor() {
    expect_none(
        "a source file is missing in ARCHITECTURE.md's floors",
        floors::unplaced_files(),
    );
}

#[test]
fn headers_and_table_agree_on_the_floor() {
    expect_none("a header names another floor", floors::wrong_headers());
}

#[test]
fn crates_import_only_from_below() {
    expect_none(
        "a crate depends on one above its floor",
        floors::upward_crates(),
    );
}

#[test]
fn files_open_with_what_they_are() {
    expect_none(
        "a file does not open with its `//!` header",
        files::without_header(),
    );
}

#[test]
fn files_and_functions_stay_short() {
    expect_none("a file or a function outgrew its limit", files::too_long());
}

#[test]
fn the_ratchet_only_shrinks() {
    expect_none(
        "tests/tidy/ratchet.txt can be lowered",
        files::loose_ratchet(),
    );
}

#[test]
fn sources_hold_nothing_forbidden() {
    expect_none("forbidden text", files::forbidden());
}

#[test]
fn links_in_documents_lead_somewhere() {
    expect_none("a link leads nowhere", docs::broken_links());
}

#[test]
fn every_proof_that_is_named_exists() {
    expect_none(
        "a document names a test that does not exist",
        docs::missing_proofs(),
    );
}

#[test]
fn the_api_table_has_a_file_for_each_row() {
    expect_none(
        "the Kafka API table and its files disagree",
        docs::api_files(),
    );
}

#[test]
fn every_dependency_has_its_reason() {
    expect_none(
        "ARCHITECTURE.md gives no reason for a dependency",
        deps::without_reason(),
    );
}

#[test]
fn the_library_stays_small() {
    expect_none("the library without features grew", deps::graph_too_large());
}

#[test]
fn every_package_is_one_that_deny_toml_lets_in() {
    expect_none("deny.toml does not let it in", deny::not_allowed());
}
