//! A history as lines of JSON: one for each partition, process, fault and operation.
//!
//! Invariants
//! - What is written is read back as it was.

use std::io;
use std::io::BufRead;
use std::io::Write;

use serde::Deserialize;
use serde::Serialize;

use super::types::Fault;
use super::types::History;
use super::types::Operation;
use super::types::Partition;
use super::types::Process;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Partition(Partition),
    Process(Process),
    Fault(Fault),
    Operation(Operation),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum LineOf<'a> {
    Partition(&'a Partition),
    Process(&'a Process),
    Fault(&'a Fault),
    Operation(&'a Operation),
}

impl History {
    /// Writes it, a line of JSON for each thing.
    ///
    /// # Errors
    /// What `target` answers.
    pub fn write(&self, target: &mut impl Write) -> io::Result<()> {
        let partitions = self.partitions.iter().map(LineOf::Partition);
        let processes = self.processes.iter().map(LineOf::Process);
        let faults = self.faults.iter().map(LineOf::Fault);
        let operations = self.operations.iter().map(LineOf::Operation);
        for line in partitions.chain(processes).chain(faults).chain(operations) {
            serde_json::to_writer(&mut *target, &line)?;
            target.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads what [`History::write`] has written. Empty lines are skipped.
    ///
    /// # Errors
    /// What `source` answers; `InvalidData` with the number of the line that is not one.
    pub fn read(mut source: impl BufRead) -> io::Result<Self> {
        let mut history = Self::default();
        let mut text = String::new();
        for number in 1_u64.. {
            text.clear();
            if source.read_line(&mut text)? == 0 {
                break;
            }
            if text.trim().is_empty() {
                continue;
            }
            let line = serde_json::from_str(&text).map_err(|error| {
                let sentence = format!("line {number} is not of a history: {error}");
                io::Error::new(io::ErrorKind::InvalidData, sentence)
            })?;
            match line {
                Line::Partition(partition) => history.partitions.push(partition),
                Line::Process(process) => history.processes.push(process),
                Line::Fault(fault) => history.faults.push(fault),
                Line::Operation(operation) => history.operations.push(operation),
            }
        }
        Ok(history)
    }
}
