//! Tables: rows that take turns, their medians, and how they are told.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::kit::disk;
use super::kit::run::{Run, median};
use super::plot;
use super::rig::Failure;

/// What one pass of a row has shown; what a table does not measure is absent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Turn {
    /// Records a second.
    pub(crate) per_second: Option<f64>,
    /// Records a second that both cores would allow.
    pub(crate) bound: Option<f64>,
    /// From the moment at which a record was meant to be sent, in seconds.
    pub(crate) p50: Option<f64>,
    /// As `p50`, for all but one of a hundred.
    pub(crate) p99: Option<f64>,
    /// CPU time of client and broker, in seconds a record.
    pub(crate) cpu: Option<f64>,
    /// Bytes of segments a record.
    pub(crate) stored: Option<f64>,
    /// Requests for a thousand records.
    pub(crate) requests: Option<f64>,
}

/// A column of the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    PerSecond,
    Ratio,
    Share,
    P50,
    P99,
    Cpu,
    Stored,
    Requests,
}

/// Rows that were measured in turns.
pub(crate) struct Table {
    /// What it shows, in a line.
    title: &'static str,
    /// What is drawn.
    charts: &'static [Column],
    rows: Vec<Row>,
}

struct Row {
    what: String,
    turns: Vec<Turn>,
    /// Of the first row, in the same turns.
    first: Vec<Turn>,
}

impl Table {
    /// Measures rows in turns.
    pub(crate) fn measure<K>(
        run: &Run,
        title: &'static str,
        charts: &'static [Column],
        knobs: Vec<(String, K)>,
        mut pass: impl FnMut(&K) -> Result<Turn, Failure>,
    ) -> Result<Self, Failure> {
        let turns = run.scale(TURNS, 1);
        let bar = ProgressBar::new((turns * knobs.len()) as u64).with_style(
            ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {elapsed}")?,
        );
        let mut taken: Vec<Vec<Turn>> = vec![Vec::new(); knobs.len()];
        for _ in 0..turns {
            for ((what, knob), taken) in knobs.iter().zip(&mut taken) {
                bar.set_message(what.clone());
                taken.push(pass(knob).map_err(|error| format!("{what}: {error}"))?);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let first = taken.first().cloned().unwrap_or_default();
        let rows = knobs.into_iter().zip(taken);
        let row = |((what, _), turns)| Row {
            what,
            turns,
            first: first.clone(),
        };
        Ok(Self {
            title,
            charts,
            rows: rows.map(row).collect(),
        })
    }

    /// The columns that have something in them.
    fn columns(&self) -> Vec<Column> {
        let has = |column: &Column| self.rows.iter().any(|row| row.value(*column).is_some());
        Column::ALL.into_iter().filter(has).collect()
    }

    /// As Markdown, aligned so that it reads well in a terminal, too.
    fn text(&self) -> String {
        let columns = self.columns();
        let mut lines = vec![vec![self.title.to_owned()]];
        lines[0].extend(columns.iter().map(|column| column.head().to_owned()));
        for row in &self.rows {
            let cells = columns.iter().map(|column| row.cell(*column));
            lines.push([row.what.clone()].into_iter().chain(cells).collect());
        }
        let width = |at: usize| lines.iter().map(|line| line[at].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            let cell = |(at, cell): (usize, &String)| match at {
                0 => format!("| {cell:<width$} |", width = widths[at]),
                _ => format!(" {cell:>width$} |", width = widths[at]),
            };
            text += &line.iter().enumerate().map(cell).collect::<String>();
            text += "\n";
            if number == 0 {
                let rule = |(at, width): (usize, &usize)| match at {
                    0 => format!("|{}|", "-".repeat(width + 2)),
                    _ => format!("{}:|", "-".repeat(width + 1)),
                };
                text += &widths.iter().enumerate().map(rule).collect::<String>();
                text += "\n";
            }
        }
        text
    }

    fn json(&self) -> Value {
        let columns = self.columns();
        let rows = self.rows.iter().map(|row| {
            let cells = columns.iter().filter_map(|column| {
                let (low, middle, high) = row.spread(*column)?;
                let cell = json!({ "median": middle, "min": low, "max": high });
                Some((column.head().to_owned(), cell))
            });
            let cells: serde_json::Map<String, Value> = cells.collect();
            json!({ "row": row.what, "turns": row.turns.len(), "values": cells })
        });
        json!({ "table": self.title, "rows": rows.collect::<Vec<_>>() })
    }

    /// A picture of each column that is drawn: its name and its text.
    fn pictures(&self, name: &str) -> Vec<(String, String)> {
        let picture = |column: &Column| {
            let bars = self.rows.iter().filter_map(|row| {
                Some(plot::Bar {
                    label: row.what.clone(),
                    value: row.value(*column)?,
                    text: row.cell(*column),
                })
            });
            let title = format!("{}: {}", self.title, column.head());
            let svg = plot::bars(&title, &bars.collect::<Vec<_>>());
            (format!("{name}-{}.svg", column.name()), svg)
        };
        self.charts.iter().map(picture).collect()
    }
}

impl Row {
    /// The median over the turns.
    fn value(&self, column: Column) -> Option<f64> {
        self.spread(column).map(|(_, middle, _)| middle)
    }

    /// The least, the middle and the greatest over the turns.
    fn spread(&self, column: Column) -> Option<(f64, f64, f64)> {
        let pairs = self.turns.iter().zip(&self.first);
        let values: Option<Vec<f64>> = pairs.map(|(turn, first)| column.of(turn, first)).collect();
        let values = values.filter(|values| !values.is_empty())?;
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some((low, median(values), high))
    }

    fn cell(&self, column: Column) -> String {
        let Some((low, middle, high)) = self.spread(column) else {
            return String::new();
        };
        match column {
            Column::Ratio => format!("{middle:.2} ({low:.2} to {high:.2})"),
            _ => column.show(middle),
        }
    }
}

impl Column {
    const ALL: [Self; 8] = [
        Self::PerSecond,
        Self::Ratio,
        Self::Share,
        Self::P50,
        Self::P99,
        Self::Cpu,
        Self::Stored,
        Self::Requests,
    ];

    fn of(self, turn: &Turn, first: &Turn) -> Option<f64> {
        match self {
            Self::PerSecond => turn.per_second,
            Self::Ratio => Some(turn.per_second? / first.per_second?),
            Self::Share => Some(turn.per_second? / turn.bound?),
            Self::P50 => turn.p50,
            Self::P99 => turn.p99,
            Self::Cpu => turn.cpu,
            Self::Stored => turn.stored,
            Self::Requests => turn.requests,
        }
    }

    const fn head(self) -> &'static str {
        match self {
            Self::PerSecond => "records/s",
            Self::Ratio => "to the first",
            Self::Share => "of the bound",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Cpu => "CPU a record",
            Self::Stored => "bytes stored",
            Self::Requests => "requests/1000",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "throughput",
            Self::Ratio => "ratio",
            Self::Share => "share",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Cpu => "cpu",
            Self::Stored => "stored",
            Self::Requests => "requests",
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond => thousands(value),
            Self::Ratio | Self::Share => format!("{value:.2}"),
            Self::P50 | Self::P99 if value >= 1e-3 => format!("{:.1} ms", value * 1e3),
            Self::P50 | Self::P99 => format!("{:.0} us", value * 1e6),
            Self::Cpu => format!("{:.2} us", value * 1e6),
            Self::Stored => format!("{value:.0}"),
            Self::Requests => format!("{value:.1}"),
        }
    }
}

/// A whole number with commas.
fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// All tables of a run.
pub(crate) struct Report {
    machine: String,
    tables: Vec<(&'static str, Table)>,
}

impl Report {
    /// A report without tables.
    pub(crate) fn new(machine: &str) -> Self {
        Self {
            machine: format!("{machine}, {TURNS} turns"),
            tables: Vec::new(),
        }
    }

    /// Adds a table.
    pub(crate) fn add(&mut self, name: &'static str, table: Table) {
        self.tables.push((name, table));
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        println!("\n{}", self.machine);
        for (_, table) in &self.tables {
            println!("\n{}", table.text());
        }
    }

    /// Puts tables, their figures and their plots into `docs/tuning`.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tuning");
        for (name, table) in &self.tables {
            let mut text = String::new();
            writeln!(text, "{}.\n\n{}", self.machine, table.text())?;
            let pictures = table.pictures(name);
            for (file, svg) in &pictures {
                writeln!(text, "![{}]({file})", table.title)?;
                disk::write(&dir, file, svg)?;
            }
            disk::write(&dir, &format!("{name}.md"), &text)?;
            let figures = json!({ "machine": self.machine, "figures": table.json() });
            let figures = format!("{figures:#}\n");
            disk::write(&dir, &format!("{name}.json"), &figures)?;
        }
        println!("written to {}", dir.display());
        Ok(())
    }
}

/// Turns of each row: the least and the greatest of seven hold the median of all that could have
/// been measured with 98 %.
const TURNS: usize = 7;
