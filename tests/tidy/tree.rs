//! The files of the project, and what cargo says of it, as text.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One file, by its path from the root with `/` between the parts.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below the root that ends in `extension`, without build folders and fetched code.
pub(crate) fn files(extension: &str) -> Vec<Source> {
    let mut found = Vec::new();
    walk(&root(), extension, &mut found);
    found.retain(|source| source.path != GENERATED);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        !found.is_empty(),
        "no .{extension} file found: the tree is not where it should be"
    );
    found
}

/// One file by its path from the root.
pub(crate) fn read(path: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "this test reads the source tree")]
    fs::read_to_string(root().join(path))
        .unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// What cargo prints about the lock file as it stands.
pub(crate) fn cargo(words: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(words.split(' '))
        .arg("--locked")
        .current_dir(root())
        .output()
        .expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether something lies at a path from the root.
pub(crate) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

fn walk(dir: &Path, extension: &str, found: &mut Vec<Source>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | ".git" | ".cache" | "node_modules") {
                walk(&path, extension, found);
            }
        } else if name
            .rsplit_once('.')
            .is_some_and(|(_, end)| end == extension)
        {
            let path = path
                .strip_prefix(root())
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            found.push(Source {
                text: read(&path),
                path,
            });
        }
    }
}

/// What a generator writes has its form; `tests/kit/tests/native_proto.rs` says that it is its.
const GENERATED: &str = "proto/src/native/v1.rs";
