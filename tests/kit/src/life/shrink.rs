//! Makes a script that finds something shorter, as long as it finds it.
//!
//! Invariants
//! - The shorter script breaks the same rule.
//! - The search is bounded by the number of scripts that it tries, so that the same finding gives
//!   the same script on every machine.

use super::run;
use super::script::{Class, End, Event, Script, Then};
use crate::client::Shape;
use crate::oracle::Oracle;
use crate::sabotage::Sabotage;
use crate::sweep::Finding;
use crate::watch::Watch;

/// What is left of a script.
#[derive(Debug)]
pub struct Shrunk {
    /// The script.
    pub script: Script,
    /// What it finds.
    pub finding: Finding,
    /// How many scripts were tried.
    pub tries: usize,
}

/// Shrinks a script that finds something. `None` if it finds nothing.
#[must_use]
pub fn shrink(script: &Script, sabotage: Option<Sabotage>, tries_max: usize) -> Option<Shrunk> {
    let finding = run(script, sabotage, Watch::default()).err()?;
    let mut search = Search {
        oracle: finding.violation.oracle,
        sabotage,
        best: script.clone(),
        finding,
        tries: 0,
        tries_max,
    };
    loop {
        let before = search.best.clone();
        search.drop_events();
        search.simplify_events();
        search.simplify_shape();
        if search.best == before || search.is_over() {
            break;
        }
    }
    Some(Shrunk {
        script: search.best,
        finding: search.finding,
        tries: search.tries,
    })
}

struct Search {
    oracle: Oracle,
    sabotage: Option<Sabotage>,
    best: Script,
    finding: Finding,
    tries: usize,
    tries_max: usize,
}

impl Search {
    fn is_over(&self) -> bool {
        self.tries >= self.tries_max
    }

    /// Takes the script if it breaks the same rule.
    fn takes(&mut self, script: Script) -> bool {
        if self.is_over() || script == self.best {
            return false;
        }
        self.tries += 1;
        match run(&script, self.sabotage, Watch::default()) {
            Err(finding) if finding.violation.oracle == self.oracle => {
                self.best = script;
                self.finding = finding;
                true
            }
            _ => false,
        }
    }

    /// Half of the events, then a quarter, and so on down to one, from the end.
    fn drop_events(&mut self) {
        let mut count = self.best.events.len().div_ceil(2);
        while count > 0 && !self.is_over() {
            let mut end = self.best.events.len();
            while end > 0 && !self.is_over() {
                let start = end.saturating_sub(count);
                let mut script = self.best.clone();
                script.events.drain(start..end);
                self.takes(script);
                end = start.min(self.best.events.len());
            }
            count = if count == 1 { 0 } else { count.div_ceil(2) };
        }
    }

    /// Each event becomes a simpler one, if that does.
    fn simplify_events(&mut self) {
        for at in 0..self.best.events.len() {
            for event in simpler(self.best.events[at]) {
                let mut script = self.best.clone();
                script.events[at] = event;
                self.takes(script);
            }
        }
    }

    fn simplify_shape(&mut self) {
        let shape = self.best.shape;
        let plain = Shape {
            keys: shape.keys,
            ..Shape::SMALL
        };
        let simpler = [
            plain,
            Shape {
                raises_epochs: false,
                ..shape
            },
            Shape {
                segment_bytes: plain.segment_bytes,
                ..shape
            },
            Shape {
                journal_bytes: 0,
                ..shape
            },
        ];
        for shape in simpler {
            let script = Script {
                shape,
                ..self.best.clone()
            };
            self.takes(script);
        }
    }
}

/// What an event may be instead, in the order of trying.
fn simpler(event: Event) -> Vec<Event> {
    match event {
        Event::Crash(end) => ends(end).into_iter().map(Event::Crash).collect(),
        Event::Die(calls, end) => {
            let mut events = vec![Event::Crash(end)];
            events.extend(ends(end).into_iter().map(|end| Event::Die(calls, end)));
            events
        }
        Event::Fail(fault, end) => {
            let mut events: Vec<_> = ends(end)
                .into_iter()
                .map(|end| Event::Fail(fault, end))
                .collect();
            let mut once = fault;
            once.sticky = false;
            events.push(Event::Fail(once, end));
            events
        }
        Event::Write(target, count) if count > 1 => vec![Event::Write(target, count - 1)],
        _ => Vec::new(),
    }
}

fn ends(end: End) -> Vec<End> {
    let mut ends = vec![
        End {
            again: [None; 2],
            ..end
        },
        End {
            again: [end.again[0], None],
            ..end
        },
        End {
            then: Then::Nothing,
            ..end
        },
        End { salt: 0, ..end },
    ];
    for class in [Class::Nothing, Class::Killed] {
        ends.push(End { class, ..end });
    }
    ends
}
