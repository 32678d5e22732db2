//! Logs in process: Highwater's, without broker or network, beside the crates `commitlog` and
//! `okaywal` and beside SQLite; class by class, and beside the raw disk where the disk decides.
//!
//! Invariants
//! - Each record carries its number; after each pass all of them are read back, counted, and their
//!   numbers added up.
//! - Encoding, checksums and the copy of the value are part of what is measured, for all alike.

mod commit_log;
mod okay_wal;
mod raw;
mod shard;
pub(crate) mod sqlite;

use std::path::Path;

use crate::Call;
use crate::Failure;
use crate::Ran;
use crate::disk;
use crate::figures::Class;
use crate::figures::Figures;
use crate::figures::Side;
use crate::figures::Target;
use crate::figures::Unit;
use crate::figures::Work;
use crate::load::Ready;
use crate::meter::Meter;
use crate::meter::Pass;

/// A log that is open.
trait Store: Sync {
    /// Appends values, all or nothing, and returns when its class is reached.
    fn append(&self, values: &[Vec<u8>]) -> Result<(), Failure>;

    /// What is stored: the values, in any order.
    fn read_back(self: Box<Self>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure>;
}

/// Opens a store in an empty folder, at a class.
type Open = fn(&Path, Class) -> Result<Box<dyn Store>, Failure>;

/// What is appended in a pass.
#[derive(Clone, Copy)]
struct Appends {
    threads: usize,
    /// Calls of `append`, all threads together.
    calls: usize,
    /// Values in each.
    values: usize,
    value_bytes: usize,
    /// For the table.
    how: &'static str,
}

pub(crate) fn measure(figures: &mut Figures, call: &Call) -> Result<Ran, Failure> {
    let (commitlog, okaywal) = (locked("commitlog"), locked("okaywal"));
    let sqlite = format!("SQLite {}", rusqlite::version());
    figures.note(format!(
        "commitlog {commitlog} has class 1 only: its flush syncs no data; okaywal {okaywal} has \
         class 2 only: its commit always syncs; {sqlite}, WAL: 1 is synchronous=NORMAL, 2 is FULL"
    ));
    let at_least = Target::AtLeast(1.3);
    let cached = [
        Entry::of("highwater", shard::open, Target::MoreIsBetter),
        Entry::of(
            &format!("commitlog {commitlog}"),
            commit_log::open,
            at_least,
        ),
        Entry::of(&sqlite, sqlite::open, Target::MoreIsBetter),
    ];
    let awaited = Appends {
        threads: 1,
        calls: call.scale(300_000, 500),
        values: 1,
        value_bytes: 256,
        how: "",
    };
    let rows = Rows {
        meter: Meter::new(),
    };
    rows.measure(figures, Class::Cached, &awaited, &cached)?;
    let batches = Appends {
        calls: call.scale(8_000, 50),
        // With what each store puts around a value about 32 KiB.
        values: 32,
        value_bytes: 1000,
        ..awaited
    };
    rows.measure(figures, Class::Cached, &batches, &cached)?;

    // One log is written by its callers, or has a thread that commits for them, as in the broker.
    let committing: Open = shard::open_committing;
    for (threads, open, how, of_raw) in [
        (1, shard::open as Open, "", 0.77),
        (16, committing, ", committer", 8.0),
        (16, shard::open, "", 8.0),
    ] {
        let raw = Target::AtLeast(of_raw);
        let synced = [
            Entry::of("highwater", open, Target::MoreIsBetter),
            Entry::of("write + fdatasync, 1 thread", raw::open, raw).alone(),
            Entry::of(
                &format!("okaywal {okaywal}"),
                okay_wal::open,
                Target::MoreIsBetter,
            ),
            Entry::of(&sqlite, sqlite::open, Target::MoreIsBetter),
        ];
        let appends = Appends {
            threads,
            calls: call.scale(2_000, 20) * if threads > 1 { 8 } else { 1 },
            how,
            ..awaited
        };
        rows.measure(figures, Class::Synced, &appends, &synced)?;
    }
    Ok(Ran::Yes)
}

/// A side of a row.
struct Entry {
    name: String,
    open: Open,
    target: Target,
    /// Whether one thread does it, however many the others have.
    is_alone: bool,
}

impl Entry {
    fn of(name: &str, open: Open, target: Target) -> Self {
        Self {
            name: name.to_owned(),
            open,
            target,
            is_alone: false,
        }
    }

    fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }
}

struct Rows {
    meter: Meter,
}

impl Rows {
    fn measure(
        &self,
        figures: &mut Figures,
        class: Class,
        appends: &Appends,
        entries: &[Entry],
    ) -> Result<(), Failure> {
        let Appends {
            threads,
            values,
            value_bytes,
            how,
            ..
        } = *appends;
        let work = match values {
            1 => Work {
                what: format!(
                    "append, {value_bytes} B awaited, {}{how}",
                    of_threads(threads)
                ),
                unit: Unit::Records,
            },
            _ => Work {
                what: format!("append, {values} x {value_bytes} B at once"),
                unit: Unit::Bytes,
            },
        };
        let sides = entries.iter().map(|entry| {
            let threads = if entry.is_alone { 1 } else { threads };
            // As many for each thread as the others have: the disk's pace is the same.
            let calls = appends.calls / if entry.is_alone { appends.threads } else { 1 };
            let appends = Appends {
                threads,
                calls,
                ..*appends
            };
            Side {
                name: entry.name.clone(),
                class,
                target: entry.target,
                run: Box::new(move || self.pass(entry.open, class, &appends)),
            }
        });
        figures.compare(&work, &mut sides.collect::<Vec<_>>())
    }

    fn pass(&self, open: Open, class: Class, appends: &Appends) -> Result<Pass, Failure> {
        let folder = disk::folder()?;
        let store = open(folder.path(), class)?;
        let records = appends.calls * appends.values;
        let size = (records, appends.value_bytes);
        let pass = self.meter.pass(size, None, || {
            // Files are made by the first append, caches filled: a log is long-lived.
            store.append(&[numbered(records as u64, appends.value_bytes)])?;
            Ok(Ready::new(|| append(&*store, appends)))
        })?;
        let mut found = Sum::default();
        store.read_back(&mut |value| found.take(value, appends.value_bytes))?;
        let mut wanted = Sum::default();
        (0..=records).for_each(|number| wanted.add(number as u64));
        match found == wanted {
            true => Ok(pass),
            false => Err(format!("read back {found:?} instead of {wanted:?}").into()),
        }
    }
}

/// Appends from all threads at once.
fn append(store: &dyn Store, appends: &Appends) -> Result<(), Failure> {
    let Appends {
        threads,
        calls,
        values,
        value_bytes,
        ..
    } = *appends;
    let run = |thread: usize| {
        let mut batch = vec![numbered(0, value_bytes); values];
        for call in (thread..calls).step_by(threads) {
            for (at, value) in batch.iter_mut().enumerate() {
                number_it(value, (call * values + at) as u64);
            }
            store.append(&batch)?;
        }
        Ok(())
    };
    if threads == 1 {
        return run(0);
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        running.into_iter().try_for_each(|thread| {
            let failed = |_| Err("a thread has panicked".into());
            thread.join().unwrap_or_else(failed)
        })
    })
}

fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = vec![7; bytes];
    number_it(&mut value, number);
    value
}

fn number_it(value: &mut [u8], number: u64) {
    value[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
}

/// What tells one set of numbered values from another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    wrong: u64,
    numbers: u64,
    squares: u64,
}

impl Sum {
    fn take(&mut self, value: &[u8], value_bytes: usize) {
        match value.first_chunk() {
            Some(number) if value.len() == value_bytes => self.add(u64::from_be_bytes(*number)),
            _ => self.wrong += 1,
        }
    }

    fn add(&mut self, number: u64) {
        self.count += 1;
        self.numbers = self.numbers.wrapping_add(number);
        self.squares = self.squares.wrapping_add(number.wrapping_mul(number));
    }
}

fn of_threads(threads: usize) -> String {
    match threads {
        1 => "1 thread".to_owned(),
        _ => format!("{threads} threads"),
    }
}

/// The version of a crate in the lock file.
pub(crate) fn locked(name: &str) -> &'static str {
    let head = format!("name = \"{name}\"\nversion = \"");
    let rest = LOCK.split_once(&head).map_or("", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default()
}

/// An error of a library that is not one of the standard library's kind.
fn told(error: impl std::fmt::Debug) -> Failure {
    format!("{error:?}").into()
}

const LOCK: &str = include_str!("../Cargo.lock");
const NUMBER_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// Forgets the first value.
    struct Lossy(Mutex<Vec<Vec<u8>>>);

    impl Store for Lossy {
        fn append(&self, values: &[Vec<u8>]) -> Result<(), Failure> {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(values);
            Ok(())
        }

        fn read_back(self: Box<Self>, each: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().skip(1).for_each(|value| each(value));
            Ok(())
        }
    }

    #[test]
    fn a_store_that_loses_a_record_fails_the_run() {
        let rows = Rows {
            meter: Meter::new(),
        };
        let appends = Appends {
            threads: 2,
            calls: 10,
            values: 1,
            value_bytes: 16,
            how: "",
        };
        let open: Open = |_, _| Ok(Box::new(Lossy(Mutex::default())));
        let error = rows.pass(open, Class::Cached, &appends).err();
        let error = error.expect("a record is missing").to_string();
        assert!(
            error.starts_with("read back Sum { count: 10, wrong: 0"),
            "{error}"
        );
        for (open, class) in [
            (shard::open as Open, Class::Cached),
            (shard::open, Class::Synced),
            (shard::open_committing, Class::Synced),
            (commit_log::open, Class::Cached),
            (okay_wal::open, Class::Synced),
            (raw::open, Class::Synced),
            (sqlite::open, Class::Cached),
        ] {
            let pass = rows.pass(open, class, &appends).unwrap();
            assert_eq!((pass.records, pass.bytes), (10, 160));
        }
        assert!(commit_log::open(Path::new("."), Class::Synced).is_err());
        assert!(okay_wal::open(Path::new("."), Class::Cached).is_err());
    }
}
