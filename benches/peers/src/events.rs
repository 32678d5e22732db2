//! Event stores: appends that say what they expect of their stream, each durable before its
//! answer, and loads of one stream. Highwater's, in process and over TCP, beside those of the
//! registry that lie on SQLite, beside SQLite with next to nothing around it, and beside UmaDB.
//!
//! Invariants
//! - All store the same JSON documents, one in each append, which expects the revision before it.
//! - After each pass every stream is loaded: count, order and content of its events. What is
//!   missing fails the run, and so does a store that takes an event which is not expected.
//! - Every store in process is opened anew for each pass, in a folder of its own on one disk.

mod alone;
mod cqrs;
mod evento;
mod highwater;
mod sqlite;
mod uma;

use std::sync::Arc;

use highwater_proto::exchange::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use self::highwater::Remote;
use crate::Call;
use crate::Failure;
use crate::Ran;
use crate::figures::Class;
use crate::figures::Figures;
use crate::figures::Side;
use crate::figures::Target;
use crate::figures::Unit;
use crate::figures::Work;
use crate::load::Ready;
use crate::meter::Meter;
use crate::meter::Pass;
use crate::server::Program;
use crate::server::Server;
use crate::stores::locked;

/// An event store that is open.
trait Store: Send + Sync {
    /// Appends the event with this revision to a stream whose last one has the revision before,
    /// and is done when it is durable.
    fn append<'a>(
        &'a self,
        stream: &'a str,
        revision: u64,
        note: Note,
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// Folds the events of a stream.
    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Notes, Failure>>;

    /// The process that stores, if it is not this one.
    fn process(&self) -> Option<u32> {
        None
    }
}

/// Opens a store without events.
type Open<'a> = Box<dyn Fn(&Runtime) -> Result<Arc<dyn Store>, Failure> + 'a>;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    number: u64,
    text: String,
}

impl Note {
    fn numbered(number: u64) -> Self {
        Self {
            // As many digits in each.
            number: 1_000_000_000 + number,
            text: "n".repeat(TEXT_BYTES),
        }
    }
}

/// What a stream folds to: it differs if an event is missing, twice there, elsewhere or another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Notes {
    count: u64,
    chain: u64,
}

impl Notes {
    fn take(&mut self, note: &Note) {
        self.count += 1;
        let bytes = note.text.len() as u64;
        self.chain = (self.chain ^ note.number ^ (bytes << 48)).wrapping_mul(ODD);
    }
}

/// What is appended in a pass.
#[derive(Clone, Copy)]
struct Plan {
    writers: usize,
    /// Of each writer, one after another.
    streams: usize,
    /// Of each stream.
    events: u64,
}

impl Plan {
    fn total(&self) -> usize {
        self.writers * self.streams * self.events as usize
    }

    fn streams(self) -> impl Iterator<Item = (usize, usize)> {
        let of_writer = move |writer| (0..self.streams).map(move |stream| (writer, stream));
        (0..self.writers).flat_map(of_writer)
    }

    /// The event with this revision of a stream, unlike all others.
    fn note(&self, (writer, stream): (usize, usize), revision: u64) -> Note {
        let before = (writer * self.streams + stream) as u64;
        Note::numbered(before * self.events + revision)
    }

    fn folded(&self, stream: (usize, usize)) -> Notes {
        let mut notes = Notes::default();
        (0..self.events).for_each(|revision| notes.take(&self.note(stream, revision)));
        notes
    }
}

pub(crate) fn measure(figures: &mut Figures, call: &Call) -> Result<Ran, Failure> {
    let program = match &call.binary {
        Some(binary) => Program::Highwater(binary.clone()),
        None => Program::Own,
    };
    figures.note(format!(
        "SQLite {}, WAL, synchronous=FULL, one connection; streams of one partition at fsync; each \
         append holds one event of {} bytes of JSON",
        rusqlite::version(),
        serde_json::to_vec(&Note::numbered(0))?.len(),
    ));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let rows = Rows {
        runtime: builder.worker_threads(2).enable_all().build()?,
        meter: Meter::new(),
    };
    let server = Server::start(program)?;
    let remote = Remote::connect(&rows.runtime, &server)?;
    let ways: [(&str, Entry<'_>); 2] = [
        ("in process", Entry::of("highwater", highwater::open)),
        ("over TCP", Entry::of("highwater", |on| remote.open(on))),
    ];
    for (way, ours) in &ways {
        let sides = |peers| std::iter::once(ours).chain(peers);
        let one = Plan {
            writers: 1,
            streams: call.scale(50, 2),
            events: EVENTS,
        };
        let many = Plan {
            writers: WRITERS,
            streams: call.scale(3, 1),
            ..one
        };
        let peers = peers();
        rows.appends(figures, way, &one, Target::MoreIsBetter, sides(&peers))?;
        rows.appends(figures, way, &many, Target::AtLeast(5.0), sides(&peers))?;
        rows.loads(figures, call, way, &many, sides(&peers))?;
    }
    Ok(Ran::Yes)
}

/// Who is held against Highwater.
fn peers() -> [Entry<'static>; 4] {
    [
        Entry::of("SQLite alone", alone::open),
        Entry::of(&format!("sqlite-es {}", locked("sqlite-es")), cqrs::open),
        Entry::of(&format!("evento {}", locked("evento")), evento::open),
        Entry::of(&format!("UmaDB {}", locked("umadb-core")), uma::open).without_target(),
    ]
}

/// A side of a row.
struct Entry<'a> {
    name: String,
    open: Open<'a>,
    /// Whether the target is meant for it.
    has_target: bool,
}

impl<'a> Entry<'a> {
    fn of(name: &str, open: impl Fn(&Runtime) -> Result<Arc<dyn Store>, Failure> + 'a) -> Self {
        Self {
            name: name.to_owned(),
            open: Box::new(open),
            has_target: true,
        }
    }

    fn without_target(mut self) -> Self {
        self.has_target = false;
        self
    }
}

struct Rows {
    runtime: Runtime,
    meter: Meter,
}

impl Rows {
    fn appends<'a>(
        &'a self,
        figures: &mut Figures,
        way: &str,
        plan: &'a Plan,
        target: Target,
        entries: impl Iterator<Item = &'a Entry<'a>>,
    ) -> Result<(), Failure> {
        let writers = match plan.writers {
            1 => "1 writer".to_owned(),
            count => format!("{count} writers"),
        };
        let work = Work {
            what: format!("append with revision, {writers}, {way}"),
            unit: Unit::Records,
        };
        let sides = entries.map(|entry| Side {
            name: entry.name.clone(),
            class: Class::Synced,
            target: match entry.has_target {
                true => target,
                false => Target::MoreIsBetter,
            },
            run: Box::new(move || self.pass(entry, plan)),
        });
        figures.compare(&work, &mut sides.collect::<Vec<_>>())
    }

    fn pass(&self, entry: &Entry<'_>, plan: &Plan) -> Result<Pass, Failure> {
        let store = (entry.open)(&self.runtime)?;
        let note_bytes = serde_json::to_vec(&Note::numbered(0))?.len();
        let size = (plan.total(), note_bytes);
        let pass = self.meter.pass(size, store.process(), || {
            // Files are made by the first append, statements prepared.
            let first = store.append(FIRST, 0, Note::numbered(0));
            self.runtime.block_on(first)?;
            Ok(Ready::new(|| self.write(&store, plan)))
        })?;
        self.check(&store, plan)?;
        Ok(pass)
    }

    /// All writers at once.
    fn write(&self, store: &Arc<dyn Store>, plan: &Plan) -> Result<(), Failure> {
        self.runtime.block_on(async {
            let tasks: Vec<_> = (0..plan.writers)
                .map(|writer| {
                    let (store, plan) = (Arc::clone(store), *plan);
                    tokio::spawn(async move { write_one(&*store, &plan, writer).await })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            Ok(())
        })
    }

    /// Fails unless every stream holds what was appended to it, and the store keeps to what is
    /// expected of a stream.
    fn check(&self, store: &Arc<dyn Store>, plan: &Plan) -> Result<(), Failure> {
        self.runtime.block_on(async {
            for stream in plan.streams() {
                let (found, wanted) = (store.load(&name(stream)).await?, plan.folded(stream));
                if found != wanted {
                    return Err(format!("{stream:?} is {found:?} instead of {wanted:?}").into());
                }
            }
            match store.append(FIRST, 0, Note::numbered(0)).await {
                Ok(()) => Err("it takes a first event twice".into()),
                Err(_) => Ok(()),
            }
        })
    }

    /// Seconds of a load, the mean of one turn over all streams, after all were loaded once.
    fn loads<'a>(
        &self,
        figures: &mut Figures,
        call: &Call,
        way: &str,
        plan: &Plan,
        entries: impl Iterator<Item = &'a Entry<'a>>,
    ) -> Result<(), Failure> {
        let mut sides = Vec::new();
        for entry in entries {
            let store = (entry.open)(&self.runtime)?;
            self.runtime
                .block_on(store.append(FIRST, 0, Note::numbered(0)))?;
            self.write(&store, plan)?;
            self.check(&store, plan)?;
            sides.push((entry, store, Vec::new()));
        }
        let names: Vec<String> = plan.streams().map(name).collect();
        for _ in 0..call.scale(LOAD_TURNS, 1) {
            for (entry, store, times) in &mut sides {
                let (seconds, count) = self.meter.seconds(|| self.load_all(&**store, &names));
                if count? != plan.total() as u64 {
                    return Err(format!("{}: not all is loaded", entry.name).into());
                }
                times.push(seconds / names.len() as f64);
            }
        }
        let work = Work {
            what: format!("load of {} events, warm, {way}", plan.events),
            unit: Unit::Time,
        };
        let Some(((_, _, ours), peers)) = sides.split_first() else {
            return Err("a row has two sides".into());
        };
        for (entry, _, theirs) in peers {
            let by = (entry.name.as_str(), Target::LessIsBetter);
            figures.pair(&work, by, (ours.clone(), theirs.clone()));
        }
        Ok(())
    }

    fn load_all(&self, store: &dyn Store, names: &[String]) -> Result<u64, Failure> {
        self.runtime.block_on(async {
            let mut count = 0;
            for name in names {
                count += store.load(name).await?.count;
            }
            Ok(count)
        })
    }
}

/// One stream after another, each from its first event to its last.
async fn write_one(store: &dyn Store, plan: &Plan, writer: usize) -> Result<(), Failure> {
    for stream in 0..plan.streams {
        let stream = (writer, stream);
        let name = name(stream);
        for revision in 0..plan.events {
            let note = plan.note(stream, revision);
            store.append(&name, revision, note).await?;
        }
    }
    Ok(())
}

fn name((writer, stream): (usize, usize)) -> String {
    format!("notes-{writer}-{stream}")
}

/// Of the stream whose event comes before all that is measured.
const FIRST: &str = "first";
const TYPE: &str = "note.v1";
const EVENTS: u64 = 20;
const WRITERS: usize = 64;
const TEXT_BYTES: usize = 200;
const LOAD_TURNS: usize = 15;
const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests;
