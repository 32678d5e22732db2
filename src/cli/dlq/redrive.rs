//! `highwater dlq redrive`: letters go back to where they came from, after showing which.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Nothing is sent without `--execute`.
//! - What became of a letter is printed before the next one is sent (`--json`), and at the latest
//!   when the command ends, however it ends.
//! - The first signal ends the run behind the letter at hand, the second one at once.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::pin::pin;

use highwater_client::{Client, Redrive, RedriveEntry, RedriveSummary, Redriven};
use serde::Serialize;

use crate::cli::args::{LetterPlace, RedriveArgs};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::signals::Signals;
use crate::cli::table::{Side, Table, cell};
use crate::cli::topic::named;

/// Runs the command.
pub(super) async fn redrive(
    client: &Client,
    args: &RedriveArgs,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let letters = client.dead_letters(&args.topic);
    let mut redrive = letters
        .redrive(args.filter.letters())
        .max_redrives(args.max_redrives)
        .max_letters(args.max.unwrap_or(LETTERS_MAX));
    if let Some(count) = args.per_second {
        redrive = redrive.per_second(count);
    }
    if !args.execute {
        redrive = redrive.dry_run();
    }
    let mut audit = Audit::new(args);
    let ended = run(redrive, &mut audit, signals).await;
    let (last, refused) = (audit.last, audit.refused);
    audit.end()?;
    verdict(args, ended?, last, refused)
}

/// How a run ended.
enum Ended {
    /// By itself.
    Whole(RedriveSummary),
    /// Behind a letter, since a signal came.
    Early,
}

async fn run(
    redrive: Redrive,
    audit: &mut Audit<'_>,
    signals: &mut Signals,
) -> Result<Ended, Failure> {
    let is_stopping = Cell::new(false);
    let failure = RefCell::new(None);
    let mut running = pin!(redrive.run_each(|entry| {
        let told = audit.tell(entry);
        let flow = match told.is_err() || is_stopping.get() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        failure.replace(told.err());
        flow
    }));
    let ended = tokio::select! {
        summary = &mut running => Ended::Whole(summary),
        () = signals.next() => {
            is_stopping.set(true);
            tokio::select! {
                summary = &mut running => match summary.error {
                    Some(_) => Ended::Whole(summary),
                    None => Ended::Early,
                },
                () = signals.next() => return Err(Failure::Interrupted),
            }
        }
    };
    match failure.take() {
        Some(failure) => Err(failure),
        None => Ok(ended),
    }
}

/// Whether all of it was done, in an exit code.
fn verdict(
    args: &RedriveArgs,
    ended: Ended,
    last: Option<LetterPlace>,
    refused: u64,
) -> Result<(), Failure> {
    let go_on = last.map_or_else(String::new, |last| format!("; --behind {last} goes on"));
    let summary = match ended {
        Ended::Whole(summary) => summary,
        Ended::Early => return Err(Failure::Failed(format!("interrupted{go_on}"))),
    };
    if summary.unreadable > 0 {
        let count = summary.unreadable;
        eprintln!("highwater: {count} records are no dead letters: `dlq list` says why");
    }
    if let Some(error) = summary.error {
        let failed = summary.audit.last();
        let failed = failed.filter(|it| it.outcome == Redriven::Failed);
        let topic = failed.map_or(&args.topic, |it| &it.source);
        return Err(match (failed, last, named(topic, error)) {
            (Some(_), Some(at), Failure::Failed(why)) => Failure::Failed(format!(
                "the letter at {at} may not have been sent: {why}; --behind {at} goes on without it"
            )),
            (None, Some(_), Failure::Failed(why)) => Failure::Failed(why + &go_on),
            (_, _, failure) => failure,
        });
    }
    if summary.has_more && args.max.is_none() {
        let sentence = format!("there are more than {LETTERS_MAX} letters{go_on}");
        return Err(Failure::Failed(sentence));
    }
    match (args.execute, refused) {
        (true, 1..) => Err(Failure::Failed(format!(
            "{refused} letters were not sent back"
        ))),
        _ => Ok(()),
    }
}

/// Tells what became of each letter.
struct Audit<'a> {
    args: &'a RedriveArgs,
    out: Output,
    table: Table,
    last: Option<LetterPlace>,
    refused: u64,
}

impl<'a> Audit<'a> {
    fn new(args: &'a RedriveArgs) -> Self {
        let left = Side::Left;
        Self {
            args,
            out: Output::new(),
            table: Table::new([("AT", left), ("TO", left), ("OUTCOME", left)]),
            last: None,
            refused: 0,
        }
    }

    fn tell(&mut self, entry: &RedriveEntry) -> Result<(), Failure> {
        let at = LetterPlace {
            partition: entry.partition,
            offset: entry.offset,
        };
        self.last = Some(at);
        let (outcome, offset, why) = match &entry.outcome {
            Redriven::WouldBeSent => ("planned", None, None),
            Redriven::Sent(stored) => ("sent", Some(stored.offset), None),
            Redriven::Refused(why) => ("refused", None, Some(why.as_str())),
            Redriven::Failed => ("failed", None, None),
        };
        self.refused += u64::from(why.is_some());
        if self.args.json {
            self.out.json(&Told {
                partition: entry.partition,
                offset: entry.offset,
                topic: &entry.source,
                topic_partition: entry.source_partition,
                failed_offset: entry.source_offset,
                outcome,
                stored_offset: offset,
                why,
            })?;
            return self.out.flush();
        }
        let (topic, partition) = (&entry.source, entry.source_partition);
        let outcome = match (offset, why) {
            (Some(offset), _) => format!("{outcome}: it is at {offset}"),
            (None, Some(why)) => format!("{outcome}: {}", cell(why, WHY_MAX)),
            (None, None) => outcome.to_owned(),
        };
        let target = cell(&format!("{topic}-{partition}"), WHY_MAX);
        self.table.row([at.to_string(), target, outcome]);
        Ok(())
    }

    fn end(mut self) -> Result<(), Failure> {
        if !self.args.json {
            self.out.bytes(self.table.to_string().as_bytes())?;
            if !self.args.execute {
                let plan = b"\nThis is the plan; --execute carries it out.\n";
                self.out.bytes(plan)?;
            }
        }
        self.out.flush()
    }
}

/// What became of a letter, as JSON.
#[derive(Debug, Serialize)]
struct Told<'a> {
    partition: i32,
    offset: i64,
    topic: &'a str,
    topic_partition: i32,
    failed_offset: i64,
    outcome: &'a str,
    /// Where the record is now.
    stored_offset: Option<i64>,
    why: Option<&'a str>,
}

/// How many letters one run takes if it is not said.
const LETTERS_MAX: usize = 10_000;

/// What a cell shows at most, in characters.
const WHY_MAX: usize = 100;
