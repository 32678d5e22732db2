//! Where the torture runs: the project's folder, its binaries, a folder for scratch.
//!
//! Invariants
//! - Scratch is removed with the `Place`.

use std::io;
use std::path::{Path, PathBuf};

use crate::part::Unable;

/// Paths that parts need.
#[derive(Debug)]
pub struct Place {
    /// The project's folder.
    pub root: PathBuf,
    /// Where this program and the other binaries of the build stand.
    pub binaries: PathBuf,
    /// The broker under test, if it is another one than that of this build.
    pub broker: Option<PathBuf>,
    scratch: tempfile::TempDir,
}

impl Place {
    /// The place of this program.
    ///
    /// # Errors
    /// If there is no folder for scratch.
    pub fn here() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let exe = std::env::current_exe()?;
        // A test's executable stands one folder deeper.
        let binaries = exe.ancestors().skip(1).find(|dir| !dir.ends_with("deps"));
        Ok(Self {
            root: root.canonicalize()?,
            binaries: binaries.map(Path::to_path_buf).unwrap_or_default(),
            broker: None,
            scratch: tempfile::Builder::new().prefix("torture-").tempdir()?,
        })
    }

    /// A new, empty folder of this name below the scratch.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn scratch(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.scratch.path().join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A binary of this build, or the broker that was named.
    ///
    /// # Errors
    /// If it was not built, with the command that builds it.
    pub fn binary(&self, name: &str) -> Result<PathBuf, Unable> {
        let named = self.broker.clone().filter(|_| name == "highwater");
        let path = named.unwrap_or_else(|| self.binaries.join(name));
        if path.is_file() {
            return Ok(path);
        }
        Err(Unable(format!(
            "{} was not built: run `cargo build --release --workspace --bins`",
            path.display()
        )))
    }

    /// A program of this machine, from `PATH`.
    ///
    /// # Errors
    /// If it is not installed.
    pub fn tool(&self, name: &str) -> Result<PathBuf, Unable> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|path| path.is_file());
        found.ok_or_else(|| Unable(format!("`{name}` is not installed")))
    }
}
