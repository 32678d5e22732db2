//! `Figures`: turns, medians, the table, and a line of JSON for each row.
//!
//! Invariants
//! - The sides of a row take turns, A-B-A-B; its ratio is the median of the ratios of the turns.
//! - A row in which Highwater would promise less than its peer is refused.

mod row;

use std::fmt::Write;

use crate::Failure;
use crate::disk;
use crate::meter::Pass;

pub(crate) use self::row::Class;
use self::row::Row;
pub(crate) use self::row::Target;
pub(crate) use self::row::Unit;

/// The rows of a run.
pub(crate) struct Figures {
    turns: usize,
    group: &'static str,
    machine: String,
    notes: Vec<String>,
    rows: Vec<Row>,
}

/// The work of a row.
pub(crate) struct Work {
    pub(crate) what: String,
    pub(crate) unit: Unit,
}

/// One who does it.
pub(crate) struct Side<'a> {
    pub(crate) name: String,
    pub(crate) class: Class,
    /// What Highwater's ratio to it must be; the first side's, Highwater's own, is not read.
    pub(crate) target: Target,
    pub(crate) run: Box<dyn FnMut() -> Result<Pass, Failure> + 'a>,
}

impl Figures {
    pub(crate) fn new(turns: usize) -> Result<Self, Failure> {
        Ok(Self {
            turns,
            group: "",
            machine: disk::machine()?,
            notes: Vec::new(),
            rows: Vec::new(),
        })
    }

    /// Starts a group.
    pub(crate) fn begin(&mut self, group: &'static str) {
        eprintln!("{group}...");
        self.group = group;
    }

    /// Something that belongs to the figures: a version, how long was warmed up.
    pub(crate) fn note(&mut self, note: String) {
        eprintln!("  {note}");
        self.notes.push(format!("{}: {note}", self.group));
    }

    /// Highwater, the first side, and its peers in turns: a row for each of the peers.
    pub(crate) fn compare(&mut self, work: &Work, sides: &mut [Side<'_>]) -> Result<(), Failure> {
        eprintln!("  {}", work.what);
        let mut passes: Vec<Vec<Pass>> = sides.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.turns {
            for (side, passes) in sides.iter_mut().zip(&mut passes) {
                let pass = (side.run)();
                let of_whom = |error| format!("{}, {}: {error}", work.what, side.name);
                passes.push(pass.map_err(of_whom)?);
            }
        }
        let (Some((ours, peers)), Some((our_passes, peers_passes))) =
            (sides.split_first(), passes.split_first())
        else {
            return Err("a row has two sides".into());
        };
        for (peer, passes) in peers.iter().zip(peers_passes) {
            if ours.class < peer.class {
                return Err(format!(
                    "{}: class {} is not held against class {} of {}",
                    work.what,
                    ours.class.number(),
                    peer.class.number(),
                    peer.name
                )
                .into());
            }
            self.rows.push(Row::of_passes(
                (self.group, &work.what, work.unit),
                (ours.class, peer.class),
                (&peer.name, peer.target),
                (our_passes, passes),
            ));
        }
        Ok(())
    }

    /// A row of two values that were taken otherwise, each the median of as many.
    pub(crate) fn pair(
        &mut self,
        work: &Work,
        (name, target): (&str, Target),
        (ours, theirs): (Vec<f64>, Vec<f64>),
    ) {
        eprintln!("  {}", work.what);
        self.rows.push(Row::of_values(
            (self.group, &work.what, work.unit),
            (name, target),
            (&ours, &theirs),
        ));
    }

    /// Prints the table and writes `target/bench/peers.json`; after a try only the count.
    pub(crate) fn finish(&self, is_smoke: bool) -> Result<(), Failure> {
        if let Some(row) = self.rows.iter().find(|row| !row.is_whole()) {
            return Err(format!("a row holds no number: {}", row.line()).into());
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        if is_smoke {
            let count = self.rows.len();
            println!("{count} rows were measured with little data: all works");
            return Ok(());
        }
        let mut text = format!("\n{}, median of {} turns\n", self.machine, self.turns);
        for note in &self.notes {
            writeln!(text, "{note}")?;
        }
        writeln!(text, "{}", row::HEAD)?;
        for row in &self.rows {
            writeln!(text, "{}", row.line())?;
        }
        println!("{text}{LEGEND}");
        let head = format!(
            "{{\"machine\":{:?},\"turns\":{},\"notes\":{:?}}}\n",
            self.machine, self.turns, self.notes
        );
        let lines: String = self.rows.iter().map(|row| row.json() + "\n").collect();
        let path = disk::keep("peers.json", &(head + &lines))?;
        println!("the same as JSON, a row a line: {}", path.display());
        Ok(())
    }
}

/// The value in the middle; not a number without values.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

const LEGEND: &str = "\
class: 0 may be lost with the process, 1 survives it, 2 survives a power cut; `1>0`: Highwater \
promises more than its peer
server, client: CPU milliseconds per MiB of values, Highwater / peer = ratio
";

#[cfg(test)]
mod tests {
    use super::*;

    fn side(class: Class) -> Side<'static> {
        let pass = Pass {
            seconds: 1.0,
            records: 1,
            bytes: 1,
            client_cpu: 1.0,
            server_cpu: None,
        };
        Side {
            name: "one".to_owned(),
            class,
            target: Target::MoreIsBetter,
            run: Box::new(move || Ok(pass)),
        }
    }

    #[test]
    fn a_weaker_promise_is_not_held_against_a_stronger_one() {
        let mut figures = Figures::new(3).unwrap();
        let work = Work {
            what: "append".to_owned(),
            unit: Unit::Records,
        };
        let mut weaker = [side(Class::Cached), side(Class::Synced)];
        let refused = figures.compare(&work, &mut weaker).unwrap_err().to_string();
        assert_eq!(
            refused,
            "append: class 1 is not held against class 2 of one"
        );
        let mut fair = [side(Class::Cached), side(Class::Cached), side(Class::Lazy)];
        figures.compare(&work, &mut fair).unwrap();
        assert_eq!(figures.rows.len(), 2, "a row for each peer");
    }
}
