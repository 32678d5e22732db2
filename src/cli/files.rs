//! The files and folders of the command line: inputs, settings, temporary data.
//!
//! Floor 2 of cli.
//!
//! Invariants
//! - Only here does the command line touch the disk itself; a broker's data goes through `Fs`.
//!   `doctor/probe` looks at owners and links, which `Fs` does not know.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use tempfile::TempDir;

use crate::cli::failure::Failure;
use crate::cli::output;

/// Bytes to be read, and the bar that shows how far that is.
pub(crate) struct Input {
    /// The bytes, decompressed.
    pub(crate) reader: Box<dyn Read + Send>,
    /// Moves with what is read of the file itself.
    pub(crate) bar: ProgressBar,
}

impl Input {
    /// A file, which is decompressed if its name ends in `.gz`.
    pub(crate) fn file(path: &Path) -> Result<Self, Failure> {
        let is_gzip = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("gz"));
        if path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("xz"))
        {
            let name = path.display();
            return Err(Failure::Usage(format!(
                "{name}: xz is not read here; decompress it and pipe it in, or use .gz"
            )));
        }
        let file = open(path)?;
        let bytes = file
            .metadata()
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|data| data.len());
        let bar = output::progress(bytes, "reading");
        let reader = bar.wrap_read(file);
        let reader: Box<dyn Read + Send> = match is_gzip {
            true => Box::new(MultiGzDecoder::new(reader)),
            false => Box::new(reader),
        };
        Ok(Self { reader, bar })
    }

    /// The standard input.
    pub(crate) fn stdin() -> Self {
        let bar = output::progress(None, "reading");
        Self {
            reader: Box::new(bar.wrap_read(io::stdin())),
            bar,
        }
    }

    /// Bytes that the program itself carries.
    pub(crate) fn built_in(bytes: Vec<u8>) -> Self {
        let bar = output::progress(Some(bytes.len() as u64), "reading");
        Self {
            reader: Box::new(bar.wrap_read(io::Cursor::new(bytes))),
            bar,
        }
    }
}

/// A small text file as a whole.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let mut text = String::new();
    let read = open(path)?.take(bytes_max + 1).read_to_string(&mut text);
    let cannot = |why: String| Failure::Failed(format!("cannot read {}: {why}", path.display()));
    read.map_err(|error| cannot(error.to_string()))?;
    if text.len() as u64 > bytes_max {
        return Err(cannot(format!("it has more than {bytes_max} bytes")));
    }
    Ok(text)
}

/// A file as a whole, or the standard input without a path.
pub(crate) fn read_bytes(path: Option<&Path>, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let (name, read) = match path {
        Some(path) => {
            let read = open(path)?.take(bytes_max + 1).read_to_end(&mut bytes);
            (path.display().to_string(), read)
        }
        None => {
            let read = io::stdin().take(bytes_max + 1).read_to_end(&mut bytes);
            ("the standard input".to_owned(), read)
        }
    };
    let cannot = |why: String| Failure::Failed(format!("cannot read {name}: {why}"));
    read.map_err(|error| cannot(error.to_string()))?;
    if bytes.len() as u64 > bytes_max {
        return Err(cannot(format!("it has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// A folder that is removed with the value.
pub(crate) fn temporary_folder() -> Result<TempDir, Failure> {
    tempfile::Builder::new()
        .prefix("highwater-")
        .tempdir()
        .map_err(|error| Failure::Failed(format!("cannot make a temporary folder: {error}")))
}

/// Removes a temporary folder now, to tell if that fails.
pub(crate) fn remove(folder: TempDir) -> Result<(), Failure> {
    let path = folder.path().display().to_string();
    folder
        .close()
        .map_err(|error| Failure::Failed(format!("cannot remove {path}: {error}")))
}

fn open(path: &Path) -> Result<File, Failure> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an input of the command is no broker's data"
    )]
    let opened = File::open(path);
    opened.map_err(|error| Failure::Failed(format!("cannot open {}: {error}", path.display())))
}
