//! The script of a life: everything that happens, in an order that does not depend on what happens.
//!
//! Invariants
//! - What a script does follows from the script alone, so that an event can be left out and the
//!   others stay what they were.
//! - Its text is Rust: a named test holds it as it was printed.

use std::fmt;

use highwater_log::types::LogId;

use crate::client::{A, B, P, Shape};
use crate::rng::Rng;
use crate::sim_fs::{Crash, Errno, Fault, SimFs};
use crate::workload::Step;

/// A life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Where the disk's own choices come from: how much of a failed write is there.
    pub disk: u64,
    /// Sizes and limits.
    pub shape: Shape,
    /// What happens.
    pub events: Vec<Event>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step of the alphabet that all workloads share.
    Do(Step),
    /// So many small batches are written to a log at once; their sync is for later.
    Write(Target, usize),
    /// What is written becomes durable.
    Sync,
    /// A batch to the one log is synced, and while that goes on one to the other is written.
    Overlap(Target, Target),
    /// Time passes, in milliseconds.
    Pass(i64),
    /// Somebody sets the wall clock, by so many milliseconds.
    Jump(i64),
    /// Retention runs, with whatever is old by now.
    Retain,
    /// A page-cache log becomes one that syncs first, or the reverse.
    Switch(Target),
    /// The producers with an id send again what is stored already.
    Retry,
    /// Another program takes nearly all room of the disk: the shard refuses batches in time.
    Full,
    /// The disk has room for so many bytes more; what does not fit is answered with this.
    Room(u64, Errno),
    /// A call of the disk is going to fail. If that makes the shard read-only, the life ends so.
    Fail(Fault, End),
    /// The disk works again, and has room.
    Heal,
    /// The process dies in the middle of the nth call from here that can change the disk.
    Die(usize, End),
    /// The life ends between two calls.
    Crash(End),
    /// From now on the disk says that it synced and does not. The script ends with the next power
    /// cut.
    Lie,
    /// The life ends, in good order or not, and behind that the disk changes some of what it has.
    /// So does the script.
    Rot(Rot),
}

/// What changes on a disk that nobody writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rot {
    /// Whether the process stops before that; else the power fails.
    pub stops: bool,
    /// How the bytes change.
    pub change: Change,
    /// Where the choices of the places come from.
    pub salt: u64,
}

/// How bytes change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A bit is flipped.
    Bit,
    /// A sector is zeros.
    Zeros,
    /// A sector holds what another one was to hold.
    Misdirected,
}

/// A log that is always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one with an idempotent producer.
    Numbered,
    /// The one whose producer has no id.
    Plain,
    /// The one that is on page-cache at first.
    Cached,
}

impl Target {
    pub(super) const ALL: [Self; 3] = [Self::Numbered, Self::Plain, Self::Cached];

    pub(super) const fn id(self) -> LogId {
        match self {
            Self::Numbered => A,
            Self::Plain => B,
            Self::Cached => P,
        }
    }
}

/// How a life ends, and how the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What is left of the disk.
    pub class: Class,
    /// Where the choices of the class come from.
    pub salt: u64,
    /// Deaths of the starts that follow: in the middle of the nth call, and what is left then.
    pub again: [Option<(usize, Class)>; 2],
    /// What happens behind the start.
    pub then: Then,
}

/// What happens behind a start, before the life goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// The power fails, and the next start finds the same.
    Same,
    /// Every producer goes on, and the disk takes what it sends.
    GoOn,
}

/// The classes of crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each is named as a crash of the simulated disk"
)]
pub enum Class {
    Killed,
    Nothing,
    Prefix,
    Subset,
    Lengths,
    Stale,
    Names,
}

impl Class {
    pub(super) const ALL: [Self; 7] = [
        Self::Killed,
        Self::Nothing,
        Self::Prefix,
        Self::Subset,
        Self::Lengths,
        Self::Stale,
        Self::Names,
    ];

    /// The crash of a disk right now.
    pub(super) fn of(self, disk: &SimFs, rng: &mut Rng) -> Crash {
        match self {
            Self::Killed => Crash::Killed,
            Self::Nothing => Crash::Nothing,
            Self::Prefix => Crash::Prefix(rng.below(disk.changes() + 1)),
            Self::Subset => Crash::Subset,
            Self::Lengths => Crash::Lengths,
            Self::Stale => Crash::Stale,
            Self::Names => Crash::Names,
        }
    }
}

impl Script {
    /// The sizes and limits with which it is lived. Where stale blocks come back, a whole batch of
    /// an earlier life may stand in them, at the very place where it would follow: only the epoch
    /// tells it, so that unclean starts raise it there, as a broker's always do.
    pub(super) fn lived_shape(&self) -> Shape {
        Shape {
            raises_epochs: self.shape.raises_epochs || self.events.iter().any(Event::leaves_stale),
            ..self.shape
        }
    }
}

impl Event {
    /// Whether blocks of an earlier life may come back with it.
    fn leaves_stale(&self) -> bool {
        match self {
            Self::Fail(_, end) | Self::Die(_, end) | Self::Crash(end) => {
                let again = end.again.iter().flatten().map(|(_, class)| *class);
                again.chain([end.class]).any(|class| class == Class::Stale)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            disk,
            shape,
            events,
        } = self;
        writeln!(
            f,
            "Script {{\n    disk: {disk},\n    shape: {shape:?},\n    events: vec!["
        )?;
        for event in events {
            writeln!(f, "        {event:?},")?;
        }
        f.write_str("    ],\n}")
    }
}
