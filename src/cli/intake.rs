//! An input as a stream of records, read beside whoever sends them.
//!
//! Floor 3 of cli.
//!
//! Invariants
//! - A few chunks wait at most; a slow sender stops the reading.

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, channel};

use crate::cli::failure::Failure;
use crate::cli::files::Input;
use crate::cli::lines::{Line, Lines, key_of};

/// Records to be, each from its line.
pub(crate) struct Intake {
    chunks: Receiver<std::io::Result<Vec<Line>>>,
    key_field: Option<String>,
}

/// What one line gives.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The line's number, from 1.
    pub(crate) number: u64,
    /// Key and value, or why there are none.
    pub(crate) record: Result<(Option<Bytes>, Bytes), String>,
}

impl Intake {
    /// Reads an input on a thread of the current runtime. With a key field the lines are JSON:
    /// blank ones are no records, and a carriage return at the end belongs to the line's end.
    pub(crate) fn start(input: Input, key_field: Option<String>) -> Self {
        let (sender, chunks) = channel(CHUNKS_MAX);
        tokio::task::spawn_blocking(move || {
            let mut lines = Lines::new(input.reader, LINE_BYTES_MAX);
            loop {
                let chunk = lines.next_chunk();
                let is_last = !matches!(&chunk, Ok(lines) if !lines.is_empty());
                if sender.blocking_send(chunk).is_err() || is_last {
                    return;
                }
            }
        });
        Self { chunks, key_field }
    }

    /// The next lines; none at the end of the input. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Entry>, Failure> {
        loop {
            let chunk = self.chunks.recv().await.unwrap_or(Ok(Vec::new()));
            let lines = chunk
                .map_err(|error| Failure::Failed(format!("the input cannot be read: {error}")))?;
            let is_end = lines.is_empty();
            let entries: Vec<_> = lines
                .into_iter()
                .filter_map(|line| self.entry(line))
                .collect();
            if is_end || !entries.is_empty() {
                return Ok(entries);
            }
        }
    }

    fn entry(&self, line: Line) -> Option<Entry> {
        let number = line.number;
        let record = match (line.text, &self.key_field) {
            (None, _) => Err(format!("the line has more than {LINE_BYTES_MAX} bytes")),
            (Some(text), None) => Ok((None, text)),
            (Some(mut text), Some(field)) => {
                if text.ends_with(b"\r") {
                    text.truncate(text.len() - 1);
                }
                if text.trim_ascii().is_empty() {
                    return None;
                }
                key_of(&text, field).map(|key| (key, text))
            }
        };
        Some(Entry { number, record })
    }
}

/// Chunks of lines that wait to be sent.
const CHUNKS_MAX: usize = 4;
/// The longest line: beyond what any broker takes as a record by default.
const LINE_BYTES_MAX: usize = 16 << 20;
