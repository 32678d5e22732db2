//! `Run`: what is measured in one call of `cargo bench`, and how it is told.

use std::error::Error;
use std::path::PathBuf;

use highwater_broker::clock::SystemClock;
use highwater_proto::clock::{Clock, Now};

use super::disk::{self, Folder};

/// One call of `cargo bench`.
pub(crate) struct Run {
    is_smoke: bool,
    filters: Vec<String>,
    clock: SystemClock,
    group: &'static str,
    rows: Vec<Row>,
    root: PathBuf,
    /// The machine as it was at the start.
    machine: String,
}

/// A line of the table.
struct Row {
    group: &'static str,
    what: String,
    value: f64,
    unit: Unit,
    against: Option<Against>,
}

/// What a value is held against.
struct Against {
    limit: String,
    value: f64,
    ratio: f64,
    target: Target,
}

/// How a value is printed.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// Bytes a second.
    Rate,
    /// Seconds.
    Time,
    /// Bytes.
    Size,
    /// Times a second.
    PerSecond,
}

/// What a ratio must be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Reached from this ratio on.
    AtLeast(f64),
    /// Reached up to this ratio.
    AtMost(f64),
}

/// The medians of some turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    /// Of the figures.
    pub(crate) value: f64,
    /// Of the limits.
    pub(crate) limit: f64,
    /// Of the ratios of figure and limit, turn by turn.
    pub(crate) ratio: f64,
}

impl Run {
    /// Reads the command line, as `cargo bench` passes it on.
    pub(crate) fn from_args() -> Result<Self, Box<dyn Error>> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let filters = words
            .iter()
            .filter(|word| !word.starts_with("--"))
            .cloned()
            .collect();
        let root = disk::target_dir()?;
        Ok(Self {
            is_smoke: words.iter().any(|word| word == "--test"),
            filters,
            clock: SystemClock::new(),
            group: "",
            rows: Vec::new(),
            machine: disk::describe(&root)?,
            root,
        })
    }

    /// Starts a group, unless the command line names others.
    pub(crate) fn begins(&mut self, group: &'static str) -> bool {
        self.group = group;
        let is_wanted = self.filters.is_empty() || self.filters.iter().any(|f| group.contains(f));
        if is_wanted {
            eprintln!("{group}...");
        }
        is_wanted
    }

    /// Whether it is only to be seen that everything works.
    pub(crate) const fn is_smoke(&self) -> bool {
        self.is_smoke
    }

    /// `full` in a measurement, `smoke` in a try.
    pub(crate) const fn scale(&self, full: usize, smoke: usize) -> usize {
        if self.is_smoke { smoke } else { full }
    }

    /// The machine as it was at the start.
    pub(crate) fn machine(&self) -> &str {
        &self.machine
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// How long `work` takes, in seconds.
    pub(crate) fn seconds<T>(&self, work: impl FnOnce() -> T) -> (f64, T) {
        let start = self.now().mono;
        let result = work();
        (self.now().mono.since(start).as_secs_f64().max(1e-9), result)
    }

    /// A folder on the disk, removed at its end.
    pub(crate) fn folder(&self, name: &str) -> Result<Folder, Box<dyn Error>> {
        Folder::new(&self.root.join("bench-data"), name)
    }

    /// Measures a figure and its limit in turns.
    pub(crate) fn turns<E>(
        &self,
        mut figure: impl FnMut() -> Result<f64, E>,
        mut limit: impl FnMut() -> Result<f64, E>,
    ) -> Result<Turns, E> {
        let (mut values, mut limits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.scale(TURNS, 1) {
            let (ours, theirs) = (figure()?, limit()?);
            values.push(ours);
            limits.push(theirs);
            ratios.push(ours / theirs);
        }
        Ok(Turns {
            value: median(values),
            limit: median(limits),
            ratio: median(ratios),
        })
    }

    /// A row without a limit.
    pub(crate) fn row(&mut self, what: &str, value: f64, unit: Unit) {
        self.push(what, value, unit, None);
    }

    /// A row of a figure that was measured in turns with its limit.
    pub(crate) fn share(
        &mut self,
        what: &str,
        unit: Unit,
        turns: Turns,
        limit: &str,
        target: Target,
    ) {
        let Turns {
            value,
            limit: limit_value,
            ratio,
        } = turns;
        let limit = limit.to_owned();
        self.push(
            what,
            value,
            unit,
            Some(Against {
                limit,
                value: limit_value,
                ratio,
                target,
            }),
        );
    }

    /// A row that must stay below a fixed value.
    pub(crate) fn at_most(&mut self, what: &str, value: f64, unit: Unit, max: f64) {
        self.fixed(what, value, unit, max, ("at most", Target::AtMost(1.0)));
    }

    /// A row that must reach a fixed value.
    pub(crate) fn at_least(&mut self, what: &str, value: f64, unit: Unit, min: f64) {
        self.fixed(what, value, unit, min, ("at least", Target::AtLeast(1.0)));
    }

    fn fixed(&mut self, what: &str, value: f64, unit: Unit, limit: f64, by: (&str, Target)) {
        let turns = Turns {
            value,
            limit,
            ratio: value / limit,
        };
        self.share(what, unit, turns, by.0, by.1);
    }

    fn push(&mut self, what: &str, value: f64, unit: Unit, against: Option<Against>) {
        self.rows.push(Row {
            group: self.group,
            what: what.to_owned(),
            value,
            unit,
            against,
        });
    }

    /// Prints the table and writes `target/bench/GROUP.json`, a row a line.
    pub(crate) fn finish(self) -> Result<(), Box<dyn Error>> {
        if self.is_smoke {
            println!(
                "{} rows were measured with little data: all works",
                self.rows.len()
            );
            return Ok(());
        }
        println!("\n{}, {TURNS} turns", self.machine());
        println!(
            "{:8} {:52} {:>10}  {:36} {:>6} {:>7}",
            "group", "what", "value", "limit", "ratio", "target"
        );
        for row in &self.rows {
            println!("{}", row.line());
        }
        let mut groups: Vec<_> = self.rows.iter().map(|row| row.group).collect();
        groups.dedup();
        for group in groups {
            let rows = self.rows.iter().filter(|row| row.group == group);
            let lines: String = rows.map(|row| row.json() + "\n").collect();
            disk::write(&self.root.join("bench"), &format!("{group}.json"), &lines)?;
        }
        Ok(())
    }
}

impl Row {
    fn line(&self) -> String {
        let Self {
            group,
            what,
            value,
            unit,
            against,
        } = self;
        let line = format!("{group:8} {what:52} {:>10}", unit.show(*value));
        let Some(Against {
            limit,
            value,
            ratio,
            target,
        }) = against
        else {
            return line;
        };
        let limit = format!("{} {limit}", unit.show(*value));
        let (target, verdict) = (target.show(), target.verdict(*ratio));
        format!("{line}  {limit:36} {ratio:>6.2} {target:>7} {verdict}")
    }

    fn json(&self) -> String {
        let Self {
            group,
            what,
            value,
            unit,
            against,
        } = self;
        let unit = unit.name();
        let head =
            format!(r#""group":"{group}","what":"{what}","value":{value:e},"unit":"{unit}""#);
        let Some(Against {
            limit,
            value,
            ratio,
            target,
        }) = against
        else {
            return format!("{{{head}}}");
        };
        let (target, is_reached) = (target.show(), target.is_reached(*ratio));
        let tail = format!(
            r#""limit":"{limit}","limit_value":{value:e},"ratio":{ratio:.4},"target":"{target}""#
        );
        format!(r#"{{{head},{tail},"reached":{is_reached}}}"#)
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Rate if value >= 1e9 => format!("{:.2} GB/s", value / 1e9),
            Self::Rate => format!("{:.0} MB/s", value / 1e6),
            Self::Time if value >= 1e-3 => format!("{:.2} ms", value * 1e3),
            Self::Time if value >= 1e-6 => format!("{:.1} us", value * 1e6),
            Self::Time => format!("{:.0} ns", value * 1e9),
            Self::Size => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::PerSecond => format!("{value:.0} /s"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Rate => "B/s",
            Self::Time => "s",
            Self::Size => "B",
            Self::PerSecond => "1/s",
        }
    }
}

impl Target {
    fn is_reached(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(min) => ratio >= min,
            Self::AtMost(max) => ratio <= max,
        }
    }

    fn verdict(self, ratio: f64) -> &'static str {
        if self.is_reached(ratio) { "yes" } else { "NO" }
    }

    fn show(self) -> String {
        match self {
            Self::AtLeast(min) => format!(">= {min}"),
            Self::AtMost(max) => format!("<= {max}"),
        }
    }
}

/// The value in the middle; infinite without values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len() / 2)
        .copied()
        .unwrap_or(f64::INFINITY)
}

/// Bytes a second.
pub(crate) fn rate(bytes: usize, seconds: f64) -> f64 {
    bytes as f64 / seconds
}

/// Turns of figure and limit; odd, so that one of them is in the middle.
const TURNS: usize = 11;
