//! The lines that the broker logs, to be looked at.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static BEGUN: Once = Once::new();

/// Begins to collect what is logged as a warning or worse, of all brokers of this process.
pub(crate) fn collect() {
    BEGUN.call_once(|| tracing::subscriber::set_global_default(Collector).unwrap());
}

/// How many lines there are so far.
pub(crate) fn count() -> usize {
    LINES.lock().unwrap().len()
}

/// The lines after the first so many that have this text.
pub(crate) fn lines_with(text: &str, after: usize) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines[after..]
        .iter()
        .filter(|line| line.contains(text))
        .cloned()
        .collect()
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}
