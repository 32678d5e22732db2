//! Draws a script from a seed: first what may happen and how often, then what happens.
//!
//! Invariants
//! - Each seed switches a random half of the faults and of the crashes off: a fault that always
//!   comes first hides what others would show.
//! - A script has 200 to 500 operations and at least three crashes.

use std::fmt;

use super::script::{Change, Class, End, Event, Rot, Script, Target, Then};
use crate::client::{RETENTION_MS, SEGMENT_MS, Shape, Size};
use crate::rng::Rng;
use crate::sim_fs::{AfterFailedSync, Errno, Fault, Op};
use crate::workload::Step;

/// What a seed allows, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// Sizes and limits.
    pub shape: Shape,
    /// How many operations there are.
    pub operations: usize,
    /// How many of them are crashes.
    pub crashes: usize,
    /// What crashes leave of the disk.
    pub classes: Vec<Class>,
    /// What fails.
    pub faults: Vec<FaultClass>,
    /// Faults in a thousand operations.
    pub faults_permille: usize,
    /// Of a hundred crashes, those in the middle of a call.
    pub mid_call_percent: usize,
    /// Of a hundred crashes, those right behind the one before.
    pub double_percent: usize,
    /// Of a hundred starts, those that die, too.
    pub disturbed_percent: usize,
    /// What is done, as often as it stands here.
    pub menu: Vec<Event>,
}

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultClass {
    /// A sync of bytes, and what the page cache holds behind it.
    Sync(AfterFailedSync),
    /// A sync of names.
    SyncDir(AfterFailedSync),
    /// A call that writes.
    Write,
    /// A call that changes names.
    Names,
    /// A call that only looks.
    Look,
    /// There is no room for what a call needs.
    NoSpace,
    /// The disk takes so much more, and then nothing.
    Room,
    /// Too many files are open.
    Descriptors,
    /// Any call, with any error.
    Odd,
    /// The broker's own limit: other programs took the room.
    Full,
    /// Syncs that are none, once, before the last power cut.
    Lie,
    /// Bytes that change while nobody writes, once, at the end.
    Rot,
}

impl Options {
    /// What a seed allows.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let mut classes = some(&Class::ALL, rng);
        if classes.is_empty() {
            classes.push(Class::Subset);
        }
        Self {
            shape: shape(rng),
            operations: 200 + rng.below(301),
            crashes: 3 + rng.below(6),
            classes,
            faults: some(&FaultClass::ALL, rng),
            faults_permille: rng.pick(&[0, 5, 15, 30]),
            mid_call_percent: rng.pick(&[0, 30, 70]),
            double_percent: rng.pick(&[0, 30, 60]),
            disturbed_percent: rng.pick(&[0, 10, 40]),
            menu: menu(rng),
        }
    }

    /// The script of a seed.
    #[must_use]
    pub fn script(&self, rng: &mut Rng) -> Script {
        let mut crashes: Vec<usize> = Vec::new();
        while crashes.len() < self.crashes {
            let at = match crashes.last() {
                Some(last) if rng.percent(self.double_percent) => last + 1 + rng.below(3),
                _ => rng.below(self.operations),
            };
            crashes.push(at);
        }
        let mut events = Vec::with_capacity(self.operations + 20);
        for at in 0..self.operations {
            for _ in crashes.iter().filter(|crash| **crash == at) {
                events.push(self.crash(rng));
            }
            if rng.below(1000) < self.faults_permille {
                events.extend(self.fault(rng));
            }
            events.push(rng.pick(&self.menu));
        }
        // Those that were drawn behind the end, at the end.
        let behind = crashes.iter().filter(|crash| **crash >= self.operations);
        for _ in behind {
            events.push(Event::Crash(self.end(rng)));
        }
        self.end_of_trust(&mut events, rng);
        Script {
            disk: rng.bits(),
            shape: self.shape,
            events,
        }
    }

    /// What a script can end with: a disk that lies, or one that rots.
    fn end_of_trust(&self, events: &mut Vec<Event>, rng: &mut Rng) {
        if self.faults.contains(&FaultClass::Lie) {
            let place = events.len() - rng.below(LAST_EVENTS_MAX);
            events.insert(place, Event::Lie);
        }
        if self.faults.contains(&FaultClass::Rot) {
            events.push(Event::Rot(Rot {
                stops: rng.percent(50),
                change: rng.pick(&[Change::Bit, Change::Zeros, Change::Misdirected]),
                salt: rng.bits(),
            }));
        }
    }

    fn crash(&self, rng: &mut Rng) -> Event {
        let end = self.end(rng);
        match rng.percent(self.mid_call_percent) {
            true => Event::Die(rng.below(CALLS_MAX), end),
            false => Event::Crash(end),
        }
    }

    fn end(&self, rng: &mut Rng) -> End {
        let mut again = [None; 2];
        for death in &mut again {
            if !rng.percent(self.disturbed_percent) {
                break;
            }
            *death = Some((rng.below(START_CALLS_MAX), rng.pick(&self.classes)));
        }
        End {
            class: rng.pick(&self.classes),
            salt: rng.bits(),
            again,
            then: rng.pick(&[
                Then::Nothing,
                Then::Nothing,
                Then::Same,
                Then::GoOn,
                Then::GoOn,
            ]),
        }
    }

    /// A fault, or the end of those before.
    fn fault(&self, rng: &mut Rng) -> Option<Event> {
        if self.faults.is_empty() {
            return None;
        }
        let class = rng.pick(&self.faults);
        if rng.percent(HEALED_PERCENT) {
            return Some(Event::Heal);
        }
        let mut end = self.end(rng);
        if matches!(class, FaultClass::Sync(_)) && rng.percent(50) {
            // The page cache that lies survives the process only.
            end.class = Class::Killed;
        }
        class.event(end, rng)
    }
}

impl FaultClass {
    const ALL: [Self; 15] = [
        Self::Sync(AfterFailedSync::CleanNew),
        Self::Sync(AfterFailedSync::CleanOld),
        Self::Sync(AfterFailedSync::Dirty),
        Self::SyncDir(AfterFailedSync::CleanNew),
        Self::SyncDir(AfterFailedSync::Dirty),
        Self::Write,
        Self::Names,
        Self::Look,
        Self::NoSpace,
        Self::Room,
        Self::Descriptors,
        Self::Odd,
        Self::Full,
        Self::Lie,
        Self::Rot,
    ];

    /// Nothing for the classes that have their place at the end.
    fn event(self, end: End, rng: &mut Rng) -> Option<Event> {
        let (ops, errnos): (&[Op], &[Errno]) = match self {
            Self::Sync(_) => (&[Op::Sync], &[Errno::Io]),
            Self::SyncDir(_) => (&[Op::SyncDir], &[Errno::Io]),
            Self::Write => (&[Op::Write, Op::Write, Op::SetLen], &[Errno::Io]),
            Self::Names => (&NAME_OPS, &[Errno::Io]),
            Self::Look => (&[Op::Open, Op::Read, Op::List, Op::Len], &[Errno::Io]),
            Self::NoSpace => (&ROOM_OPS, &[Errno::NoSpace, Errno::Quota]),
            Self::Descriptors => (
                &[Op::Open, Op::Create, Op::Lock],
                &[Errno::FilesOfProcess, Errno::FilesOfSystem],
            ),
            Self::Odd => (&Op::ALL, &Errno::ALL),
            Self::Full => return Some(Event::Full),
            Self::Room => {
                let errno = rng.pick(&[Errno::NoSpace, Errno::Quota]);
                return Some(Event::Room(rng.below(ROOM_BYTES_MAX) as u64, errno));
            }
            Self::Lie | Self::Rot => return None,
        };
        let after_sync = match self {
            Self::Sync(after) | Self::SyncDir(after) => after,
            _ => rng.pick(&AfterFailedSync::ALL),
        };
        let fault = Fault {
            on: rng.pick(ops),
            nth: 1 + rng.below(CALLS_MAX) as u64,
            sticky: rng.percent(30),
            errno: rng.pick(errnos),
            after_sync,
        };
        Some(Event::Fail(fault, end))
    }
}

fn shape(rng: &mut Rng) -> Shape {
    let small = rng.pick(&[Size::SMALL, Size::SECTOR, Size::SECTOR]);
    Shape {
        segment_bytes: rng.pick(&[2048, 4096, 4096, 16 << 10]),
        journal_bytes: rng.pick(&[0, 16 << 10, 16 << 10, 64 << 10]),
        journal_batch_bytes_max: rng.pick(&[64 << 10, 64 << 10, 600]),
        small,
        large: rng.pick(&[Size::LARGE, small]),
        retention_bytes: rng.pick(&[4 << 10, 12 << 10]),
        raises_epochs: rng.percent(40),
        keys: false,
    }
}

/// A random part of the alphabet, each with a random weight.
fn menu(rng: &mut Rng) -> Vec<Event> {
    let mut menu = Vec::new();
    let appends = [
        Event::Do(Step::Append),
        Event::Do(Step::AppendLarge),
        Event::Do(Step::AppendTwice),
        Event::Do(Step::AppendBoth),
        Event::Do(Step::AppendWritten),
        Event::Do(Step::AppendCached),
        Event::Write(rng.pick(&Target::ALL), 2),
        Event::Write(rng.pick(&Target::ALL), 3),
        Event::Sync,
        Event::Overlap(
            rng.pick(&Target::ALL),
            rng.pick(&[Target::Plain, Target::Cached]),
        ),
    ];
    let rare = [
        Event::Do(Step::Roll),
        Event::Do(Step::Flush),
        Event::Do(Step::Flush),
        Event::Do(Step::Checkpoint),
        Event::Do(Step::Checkpoint),
        Event::Do(Step::CreateLog),
        Event::Do(Step::RemoveLog),
        Event::Do(Step::DeleteRecords),
        Event::Do(Step::Retention),
        Event::Do(Step::Restart),
        Event::Do(Step::Kill),
        Event::Pass(rng.pick(&[1, SEGMENT_MS, RETENTION_MS / 2])),
        Event::Jump(rng.pick(&[-TEN_YEARS_MS, TEN_YEARS_MS])),
        Event::Retain,
        Event::Retry,
        Event::Switch(Target::Cached),
    ];
    for event in appends {
        let weight = rng.pick(&[0, 2, 6, 12]);
        menu.extend(std::iter::repeat_n(event, weight));
    }
    for event in rare {
        let weight = rng.pick(&[0, 0, 1, 1, 2]);
        menu.extend(std::iter::repeat_n(event, weight));
    }
    menu.push(Event::Do(Step::Append));
    menu
}

/// About half of several.
fn some<T: Copy>(all: &[T], rng: &mut Rng) -> Vec<T> {
    all.iter().copied().filter(|_| rng.percent(50)).collect()
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shape,
            operations,
            crashes,
            classes,
            faults,
            faults_permille,
            mid_call_percent,
            double_percent,
            disturbed_percent,
            menu,
        } = self;
        write!(
            f,
            "{operations} operations, {crashes} crashes of {classes:?}, {mid_call_percent} % of \
             them in the middle of a call, {double_percent} % right behind another, \
             {disturbed_percent} % of the starts die; {faults_permille} faults in a thousand \
             operations, of {faults:?}; {shape:?}; menu"
        )?;
        let mut rest = &menu[..];
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|event| *event == first).count();
            write!(f, " {count}x{first:?}")?;
            rest = &rest[count..];
        }
        Ok(())
    }
}

/// What a few steps need.
const CALLS_MAX: usize = 20;
/// A little less than a start needs that has something to recover.
const START_CALLS_MAX: usize = 60;
const HEALED_PERCENT: usize = 35;
/// What is left of a script when the disk begins to lie.
const LAST_EVENTS_MAX: usize = 30;
const ROOM_BYTES_MAX: usize = 8 << 10;
const NAME_OPS: [Op; 4] = [Op::Create, Op::CreateDir, Op::Rename, Op::Remove];
const ROOM_OPS: [Op; 5] = [Op::Write, Op::Write, Op::Create, Op::CreateDir, Op::Rename];
/// The jump of a clock that was never set.
const TEN_YEARS_MS: i64 = 10 * 365 * 24 * 3600 * 1000;
