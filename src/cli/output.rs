//! The standard output: whole and flushed, or a failure that says so.
//!
//! Floor 1 of cli.
//!
//! Invariants
//! - A reader that has gone (`| head`) ends the command without a complaint.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::failure::Failure;

/// Prints a text.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = Output::new();
    out.bytes(text.as_bytes())?;
    out.flush()
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = Output::new();
    out.json(value)?;
    out.flush()
}

/// The standard output, to be flushed at each moment that a reader may wait for.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
}

impl Output {
    /// Only one at a time.
    pub(crate) fn new() -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock()),
        }
    }

    /// Writes bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::output)
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let written = serde_json::to_writer(&mut self.out, value);
        written.map_err(|error| Failure::output(error.into()))?;
        self.bytes(b"\n")
    }

    /// Hands everything over.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::output)
    }
}

/// A progress bar on the standard error if that is a terminal; else it does nothing.
///
/// Of `total` bytes, or without an end if that is not known.
pub(crate) fn progress(total: Option<u64>, what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {msg}",
        None => "{prefix} {bytes} {bytes_per_sec} {msg}",
    };
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_prefix(what)
}

/// A progress bar of so many records, as [`progress`].
pub(crate) fn counted(total: u64, what: &'static str) -> ProgressBar {
    let bar = progress(Some(total), what);
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {human_pos}/{human_len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

const BUFFER_BYTES: usize = 64 * 1024;
