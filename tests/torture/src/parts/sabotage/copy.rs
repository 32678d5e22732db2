//! The sabotaged copy of the project, in the build folder.
//!
//! Invariants
//! - The project itself is only read.
//! - A file of the copy is written only if its text has changed, so that only what depends on it is
//!   built again.
//! - Nothing that is built of the copy stands in for what is built of the project: its packages
//!   have another version, by which Cargo tells them apart in one build folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies, patches and builds; answers the program that searches in it.
///
/// # Errors
/// A sentence: a patch that does not apply, a copy that does not compile.
pub(super) fn build(root: &Path) -> Result<PathBuf, String> {
    let place = root.join("target/sabotage");
    let (fresh, tree) = (patched(root, &place)?, place.join("tree"));
    bring_up_to_date(&fresh, &tree).map_err(disk)?;
    // In the project's own build folder, where the packages of others are built already.
    let built = compile(&tree, &root.join("target"))?;
    // The next build of the project puts its own program there again.
    let kept = place.join(HUNTER);
    fs::copy(built, &kept).map_err(disk)?;
    Ok(kept)
}

/// Copies and patches; answers where.
fn patched(root: &Path, place: &Path) -> Result<PathBuf, String> {
    let fresh = place.join("fresh");
    let mut sources = sources(root).map_err(disk)?;
    mark(&mut sources)?;
    write_all(&fresh, &sources).map_err(disk)?;
    for patch in patches(root).map_err(disk)? {
        apply(&patch, &fresh, place)?;
    }
    Ok(fresh)
}

fn disk(error: io::Error) -> String {
    format!("cannot copy the project: {error}")
}

/// What cargo needs of the project, by path.
fn sources(root: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for name in ["Cargo.toml", "Cargo.lock"] {
        found.insert(PathBuf::from(name), fs::read(root.join(name))?);
    }
    for folder in FOLDERS {
        read_below(root, Path::new(folder), &mut found)?;
    }
    Ok(found)
}

/// Gives the copy's packages their version.
fn mark(sources: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<(), String> {
    let manifest = sources.get(Path::new("Cargo.toml"));
    let text = manifest.map(|bytes| String::from_utf8_lossy(bytes));
    let text = text.unwrap_or_default().replacen(VERSION, MARKED, 1);
    if !text.contains(MARKED) {
        return Err(format!("the project's Cargo.toml has no line `{VERSION}`"));
    }
    sources.insert(PathBuf::from("Cargo.toml"), text.into_bytes());
    Ok(())
}

fn read_below(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = below.join(&name);
        let is_ours = !name.to_string_lossy().starts_with('.') && name != "target";
        match path.extension().and_then(|end| end.to_str()) {
            _ if entry.file_type()?.is_dir() && is_ours => read_below(root, &path, found)?,
            Some("rs" | "toml" | "gz" | "txt") => {
                found.insert(path.clone(), fs::read(root.join(&path))?);
            }
            _ => {}
        }
    }
    Ok(())
}

fn write_all(fresh: &Path, sources: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    match fs::remove_dir_all(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for (path, text) in sources {
        let path = fresh.join(path);
        fs::create_dir_all(path.parent().unwrap_or(fresh))?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// The patches, in the order of their names.
fn patches(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    for entry in fs::read_dir(root.join("tests/sabotage"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "patch") {
            patches.push(path);
        }
    }
    patches.sort();
    Ok(patches)
}

const VERSION: &str = concat!(
    "[workspace.package]\nversion = \"",
    env!("CARGO_PKG_VERSION"),
    "\""
);
const MARKED: &str = concat!(
    "[workspace.package]\nversion = \"",
    env!("CARGO_PKG_VERSION"),
    "+sabotaged\""
);
const WHY_LINES_MAX: usize = 30;

fn apply(patch: &Path, fresh: &Path, place: &Path) -> Result<(), String> {
    let output = Command::new("git")
        // Lines nearby may have changed, as long as those next to the change are the same.
        .args(["apply", "-C1"])
        .arg(patch)
        .current_dir(fresh)
        // The copy lies inside of a repository that has nothing to do with it.
        .env("GIT_CEILING_DIRECTORIES", place)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (patch, why) = (patch.display(), String::from_utf8_lossy(&output.stderr));
    Err(format!("{patch} does not apply any more: {why}"))
}

/// Makes `tree` the same as `fresh`.
fn bring_up_to_date(fresh: &Path, tree: &Path) -> io::Result<()> {
    fs::create_dir_all(tree)?;
    let (mut new, mut old) = (BTreeMap::new(), BTreeMap::new());
    read_below(fresh, Path::new(""), &mut new)?;
    read_below(tree, Path::new(""), &mut old)?;
    // Cargo completes the lock file by itself: it is taken as it is.
    let lock = fs::read(fresh.join("Cargo.lock"))?;
    if fs::read(tree.join("Cargo.lock")).ok().as_ref() != Some(&lock) {
        fs::write(tree.join("Cargo.lock"), lock)?;
    }
    for path in old.keys().filter(|path| !new.contains_key(*path)) {
        fs::remove_file(tree.join(path))?;
    }
    for (path, text) in new
        .iter()
        .filter(|(path, text)| old.get(*path) != Some(text))
    {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap_or(tree))?;
        fs::write(path, text)?;
    }
    Ok(())
}

fn compile(tree: &Path, target: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        // Not `--locked`: the lock file has the project's version.
        .args(["build", "--quiet", "--offline", "--profile", "crash"])
        .args(["--package", "highwater-tests", "--bin", HUNTER])
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        // What a build that was killed leaves behind for the next one does not always link.
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(target.join("crash").join(HUNTER));
    }
    let why = String::from_utf8_lossy(&output.stderr);
    let why: Vec<&str> = why.lines().take(WHY_LINES_MAX).collect();
    let why = why.join("\n");
    Err(format!("the sabotaged copy does not compile:\n{why}"))
}

/// The workspace; its manifests and sources name benches and tests, which must be there.
const FOLDERS: &[&str] = &[
    "proto",
    "log-core",
    "broker",
    "client",
    "src",
    "benches",
    "examples",
    "release/pages",
    "tests/cli",
    "tests/crash",
    "tests/kit",
    "tests/monitoring",
    "tests/relays",
    "tests/testing",
    "tests/torture",
];
const HUNTER: &str = "highwater-hunt";

#[cfg(test)]
mod tests {
    use super::*;

    /// In seconds what the part `sabotage` would say after minutes.
    #[test]
    fn every_patch_fits_the_code() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        let place = tempfile::tempdir().unwrap();
        let patched = patched(root.unwrap(), place.path());
        assert!(patched.is_ok(), "{patched:?}");
    }
}
