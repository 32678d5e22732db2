//! Runs a part: items side by side until enough is done, time is up, or a promise broke.
//!
//! Invariants
//! - No item is begun behind a finding or after the deadline.
//! - A panic inside an item is a finding of that item.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::ledger::Entry;
use crate::part::{Finding, Notes, Part, Work};

/// How far a part is to go.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// Units, those of earlier runs included.
    pub units: u64,
    /// When no further item is begun.
    pub deadline: Instant,
}

/// Goes on from an entry of the ledger; what was done so far is given to `keep` behind each
/// stage, so that a run that is killed goes on from there.
///
/// # Errors
/// Those of `keep`.
pub fn in_stages<E>(
    part: &Part,
    work: &dyn Work,
    mut entry: Entry,
    goal: Goal,
    stage: Duration,
    mut keep: impl FnMut(&Entry) -> Result<(), E>,
) -> Result<Entry, E> {
    let known = entry.findings.len();
    loop {
        let next = Goal {
            deadline: goal.deadline.min(Instant::now() + stage),
            ..goal
        };
        entry = go_on(part, work, entry, next);
        keep(&entry)?;
        let is_over = entry.done >= goal.units
            || entry.next >= work.items()
            || entry.findings.len() > known
            || Instant::now() >= goal.deadline;
        if is_over {
            return Ok(entry);
        }
    }
}

/// Goes on from an entry of the ledger, without a break.
#[must_use]
pub fn go_on(part: &Part, work: &dyn Work, mut entry: Entry, goal: Goal) -> Entry {
    let started = Instant::now();
    let bar = bar(part, goal.units, entry.done);
    let notes = Notes::default();
    let running = Running {
        next: AtomicU64::new(entry.next),
        done: AtomicU64::new(entry.done),
        findings: Mutex::new(Vec::new()),
    };
    thread::scope(|scope| {
        for _ in 0..part.threads {
            scope.spawn(|| {
                while let Some(number) = running.next(work.items(), goal) {
                    running.item(work, number, &notes);
                    bar.set_position(running.done.load(Ordering::Relaxed));
                }
            });
        }
    });
    bar.finish_and_clear();
    entry.next = running.next.into_inner().min(work.items());
    entry.done = running.done.into_inner();
    entry.seconds += started.elapsed().as_secs_f64();
    let findings = running.findings.into_inner();
    entry
        .findings
        .extend(findings.unwrap_or_else(PoisonError::into_inner));
    entry.notes.extend(notes.rows());
    entry
}

/// Runs one item again.
///
/// # Errors
/// What it finds.
pub fn again(work: &dyn Work, number: u64, notes: &Notes) -> Result<u64, Finding> {
    catch_unwind(AssertUnwindSafe(|| work.item(number, notes))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(Finding::new(format!(
            "panicked: {}",
            text.unwrap_or_default()
        )))
    })
}

struct Running {
    next: AtomicU64,
    done: AtomicU64,
    findings: Mutex<Vec<String>>,
}

impl Running {
    fn next(&self, items: u64, goal: Goal) -> Option<u64> {
        let is_over = self.done.load(Ordering::Relaxed) >= goal.units
            || Instant::now() >= goal.deadline
            || !self.findings().is_empty();
        if is_over {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < items).then_some(number)
    }

    fn item(&self, work: &dyn Work, number: u64, notes: &Notes) {
        match again(work, number, notes) {
            Ok(units) => {
                self.done.fetch_add(units, Ordering::Relaxed);
            }
            Err(finding) => self
                .findings()
                .push(format!("item {number}: {}", finding.text)),
        }
    }

    fn findings(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bar(part: &Part, units: u64, done: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:14} [{bar:30}] {pos}/{len} {msg}, {eta} left");
    let bar = ProgressBar::new(units);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(part.name);
    bar.set_message(part.unit);
    bar.set_position(done);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::{Tier, Unable};
    use crate::place::Place;

    struct Ones {
        broken: u64,
        items: u64,
    }

    impl Work for Ones {
        fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
            notes.row("last", "seen");
            assert!(number != self.broken, "the promise of item {number}");
            Ok(2)
        }

        fn items(&self) -> u64 {
            self.items
        }
    }

    fn no_work(_: &Place, _: Tier) -> Result<Box<dyn Work>, Unable> {
        Err(Unable("a test".to_owned()))
    }

    const PART: Part = Part {
        name: "ones",
        unit: "ones",
        asked: [1, 2, 3],
        ci_seconds: 1,
        threads: 1,
        covers: &[],
        open: no_work,
    };

    fn run(work: &Ones, entry: Entry, units: u64, time: Duration) -> Entry {
        let deadline = Instant::now() + time;
        go_on(&PART, work, entry, Goal { units, deadline })
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_part_stops_when_enough_is_done_and_goes_on_from_there() {
        let work = Ones {
            broken: 1000,
            items: 10,
        };
        let entry = run(&work, Entry::default(), 7, HOUR);
        assert_eq!((entry.next, entry.done), (4, 8));
        assert_eq!(entry.notes["last"], "seen");
        let entry = run(&work, entry, 100, HOUR);
        assert_eq!((entry.next, entry.done), (10, 20));
        assert!(entry.findings.is_empty());
    }

    /// One that takes longer than a stage.
    struct Slow(Ones);

    impl Work for Slow {
        fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(2) {}
            self.0.item(number, notes)
        }

        fn items(&self) -> u64 {
            self.0.items
        }
    }

    #[test]
    fn what_is_done_is_kept_behind_each_stage() {
        let work = |broken| Slow(Ones { broken, items: 5 });
        let stages = |work: &Slow, entry, units| {
            let (mut kept, stage) = (Vec::new(), Duration::from_millis(1));
            let deadline = Instant::now() + HOUR;
            let keep = |entry: &Entry| -> Result<(), ()> {
                kept.push(entry.next);
                Ok(())
            };
            let goal = Goal { units, deadline };
            let entry = in_stages(&PART, work, entry, goal, stage, keep).unwrap();
            (entry, kept)
        };
        let (entry, kept) = stages(&work(1000), Entry::default(), 6);
        assert_eq!((entry.done, kept.last()), (6, Some(&3)));
        assert!(kept.len() > 1, "{kept:?}");
        let (entry, _) = stages(&work(3), entry, 100);
        assert_eq!((entry.next, entry.findings.len()), (4, 1));
        // What was found before ends nothing.
        let (entry, _) = stages(&work(1000), entry, 100);
        assert_eq!((entry.next, entry.findings.len()), (5, 1));
        let refused = in_stages(
            &PART,
            &work(1000),
            Entry::default(),
            Goal {
                units: 1,
                deadline: Instant::now(),
            },
            Duration::ZERO,
            |_| Err("full"),
        );
        assert_eq!(refused.unwrap_err(), "full");
    }

    #[test]
    fn nothing_is_begun_after_the_deadline() {
        let work = Ones {
            broken: 1000,
            items: 10,
        };
        assert_eq!(run(&work, Entry::default(), 7, Duration::ZERO).done, 0);
    }

    #[test]
    fn a_panic_is_a_finding_that_names_the_item_and_ends_the_part() {
        let work = Ones {
            broken: 3,
            items: 10,
        };
        let entry = run(&work, Entry::default(), 100, HOUR);
        assert_eq!(entry.done, 6);
        assert_eq!(entry.findings, ["item 3: panicked: the promise of item 3"]);
    }
}
