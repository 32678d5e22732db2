//! Lives of a shard that follow from a seed: hundreds of operations, failing disks, crashes and
//! recoveries, and every rule checked behind each of them.
//!
//! Invariants
//! - The same seed gives the same script, and the same script the same calls and answers.
//! - Faults come in the lives; each start and the end of a script have a disk that works, on which
//!   everything must go on.

mod damage;
mod draw;
mod script;
mod shrink;

pub use self::draw::{FaultClass, Options};
pub use self::script::{Change, Class, End, Event, Rot, Script, Target, Then};
pub use self::shrink::{Shrunk, shrink};
use crate::client::Client;
use crate::oracle::{Oracle, Survived, violation};
use crate::rng::Rng;
use crate::sabotage::Sabotage;
use crate::sim_fs::{Crash, SimFs};
use crate::sweep::{Finding, broken};
use crate::watch::Watch;
use crate::workload::Step;
use crate::world::{Stop, World};

/// Lives the lives of one seed.
///
/// # Errors
/// The first finding; it names the seed and what that allows.
pub fn lives(seed: u64, sabotage: Option<Sabotage>) -> Result<(), Finding> {
    lived(seed, drawn(seed), sabotage)
}

/// As [`lives`], with logs that have a key index.
///
/// # Errors
/// As [`lives`].
pub fn lives_keyed(seed: u64, sabotage: Option<Sabotage>) -> Result<(), Finding> {
    lived(seed, drawn_keyed(seed), sabotage)
}

fn lived(
    seed: u64,
    (options, script): (Options, Script),
    sabotage: Option<Sabotage>,
) -> Result<(), Finding> {
    run(&script, sabotage, Watch::default()).map_err(|finding| Finding {
        how: format!("SEED={seed}: {}; {options}", finding.how),
        ..finding
    })
}

/// What a seed allows, and its script.
#[must_use]
pub fn drawn(seed: u64) -> (Options, Script) {
    let mut rng = Rng::new(seed);
    let options = Options::new(&mut rng);
    let script = options.script(&mut rng);
    (options, script)
}

/// As [`drawn`], with logs that have a key index.
#[must_use]
pub fn drawn_keyed(seed: u64) -> (Options, Script) {
    let (options, mut script) = drawn(seed);
    script.shape.keys = true;
    (options, script)
}

/// The seeds that found something once, each with what it was.
#[must_use]
pub fn past_seeds() -> Vec<(u64, &'static str)> {
    let lines = PAST_SEEDS.lines().filter(|line| !line.starts_with('#'));
    let parts = lines.filter_map(|line| line.split_once(' '));
    parts
        .map(|(seed, reason)| (seed.parse().expect("a line begins with a seed"), reason))
        .collect()
}

/// Lives a seed twice: the sums of all calls at the seam, their arguments and answers, and of all
/// answers of the shard are the same.
///
/// # Errors
/// That they are not, or another finding.
pub fn twice(seed: u64) -> Result<(), Finding> {
    let (_, script) = drawn(seed);
    let sum = || {
        let watch = Watch::summing();
        run(&script, None, watch.clone()).map(|()| watch.sum())
    };
    let sums = [sum()?, sum()?];
    if sums[0] == sums[1] {
        return Ok(());
    }
    Err(Finding {
        violation: violation(Oracle::Determinism, "the same script made other calls"),
        how: format!("SEED={seed}: the sums of all events are {sums:x?}"),
    })
}

/// Lives a script.
///
/// # Errors
/// The first finding; it names the event.
pub fn run(script: &Script, sabotage: Option<Sabotage>, watch: Watch) -> Result<(), Finding> {
    let world = World::new(SimFs::new(script.disk), Client::new(), sabotage)
        .with_shape(script.lived_shape())
        .with_watch(watch);
    let mut life = Life {
        world,
        end: LAST,
        refused: 0,
        lies: false,
        is_over: false,
    };
    let finding = |stop, how| Finding {
        violation: broken(stop),
        how,
    };
    life.world
        .start()
        .map_err(|stop| finding(stop, "at the first start".to_owned()))?;
    for (number, event) in script.events.iter().enumerate() {
        life.live(*event)
            .map_err(|stop| finding(stop, format!("at event {number}, {event:?}")))?;
        if life.is_over {
            return Ok(());
        }
    }
    life.last()
        .map_err(|stop| finding(stop, "behind the last event".to_owned()))
}

/// A script that is being lived.
struct Life {
    world: World,
    /// How the life ends if it does not reach the end that the script has for it.
    end: End,
    /// Steps refused by a shard that is read-only.
    refused: usize,
    /// Whether the disk says that it synced and does not.
    lies: bool,
    /// Whether the disk lost what it said it had, so that the model is of no use any more.
    is_over: bool,
}

impl Life {
    fn live(&mut self, event: Event) -> Result<(), Stop> {
        let lived = match event {
            Event::Crash(end) => return self.die(end),
            Event::Rot(rot) => return self.rot(rot),
            Event::Lie => {
                self.lies = true;
                self.world.distrust();
                self.world.disk.lie_about_syncs(true);
                Ok(())
            }
            Event::Die(calls, end) => {
                let operation = self.world.disk.operations() + calls;
                self.world.disk.crash_at(operation);
                self.end = end;
                Ok(())
            }
            Event::Fail(fault, end) => {
                self.world.disk.inject(fault);
                self.end = end;
                Ok(())
            }
            Event::Heal => {
                self.world.heal();
                Ok(())
            }
            Event::Full => {
                self.world.set_full(true);
                Ok(())
            }
            Event::Room(bytes, errno) => {
                self.world.limit_room(bytes, errno);
                Ok(())
            }
            event => self.step(event),
        };
        match lived {
            Err(stop @ Stop::Broken(_)) => return Err(stop),
            Err(Stop::Dead) => return self.die(self.end),
            Ok(()) => {}
            Err(Stop::Refused(_)) if self.world.is_open() => self.world.observe_refused()?,
            Err(Stop::Refused(_)) => return self.die(self.end),
        }
        // What is read-only stays so for a while, and is read.
        self.refused += usize::from(self.world.poisoned().is_some());
        if self.refused > REFUSED_MAX {
            return self.die(self.end);
        }
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), Stop> {
        let world = &mut self.world;
        match event {
            // Behind a failed sync the next process may see what the disk has, and the disk lied.
            Event::Do(Step::Kill | Step::Restart)
                if self.lies && world.survived_death() == Survived::PowerCut =>
            {
                self.die(End {
                    class: Class::Killed,
                    ..LAST
                })
            }
            Event::Do(step) => world.step(step),
            Event::Write(target, count) => world.write(target.id(), count),
            Event::Sync => world.sync(),
            Event::Overlap(first, second) => world.overlap(first.id(), second.id()),
            Event::Retain => world.retention(),
            Event::Switch(target) => world.switch_durability(target.id()),
            Event::Retry => world.retry(),
            Event::Pass(ms) => {
                world.client.pass(ms);
                Ok(())
            }
            Event::Jump(ms) => {
                world.client.jump(ms);
                Ok(())
            }
            _ => unreachable!("it is no step"),
        }
    }

    /// The life ends and the next one begins, on a disk that works.
    fn die(&mut self, end: End) -> Result<(), Stop> {
        let mut rng = Rng::new(end.salt);
        let mut survived = self.world.survived_death();
        self.crash(end.class, &mut survived, &mut rng);
        for (calls, class) in end.again.iter().flatten() {
            self.world.disk.crash_at(*calls);
            match self.world.start() {
                // It needed fewer calls, and dies behind the last one.
                Ok(()) | Err(Stop::Dead) => {}
                Err(stop) => return Err(stop),
            }
            self.crash(*class, &mut survived, &mut rng);
        }
        self.end = LAST;
        self.refused = 0;
        if self.lies && survived == Survived::PowerCut {
            return self.lied();
        }
        let world = &mut self.world;
        world.start()?;
        world.verify(survived)?;
        world.verify_windows()?;
        match end.then {
            Then::Nothing => Ok(()),
            Then::Same => self.verify_same(&mut rng),
            Then::GoOn => world.carry_on(),
        }
    }

    fn crash(&mut self, class: Class, survived: &mut Survived, rng: &mut Rng) {
        let crash = class.of(&self.world.disk, rng);
        if crash != Crash::Killed {
            *survived = Survived::PowerCut;
        }
        self.world = self.world.take_crash(crash, rng);
    }

    /// A power cut behind a recovery changes nothing.
    fn verify_same(&mut self, rng: &mut Rng) -> Result<(), Stop> {
        let before = self.world.snapshot()?;
        self.crash(Class::Nothing, &mut Survived::PowerCut, rng);
        if self.lies {
            return self.lied();
        }
        self.world.start()?;
        if self.world.snapshot()? == before {
            return self.world.verify(Survived::PowerCut);
        }
        let text = "a power cut behind the recovery changed what is there";
        Err(violation(Oracle::Idempotent, text).into())
    }

    /// No more faults: everything goes on, is found, and survives.
    fn last(&mut self) -> Result<(), Stop> {
        self.world.heal();
        self.world.disk.lie_about_syncs(false);
        self.world.disk.crash_at(usize::MAX);
        if self.world.disk.is_dead() || self.world.poisoned().is_some() {
            self.die(self.end)?;
        }
        if self.is_over {
            return Ok(());
        }
        self.world.verify_exclusive()?;
        self.world.carry_on()?;
        self.world.verify_search()?;
        self.die(LAST)
    }
}

const PAST_SEEDS: &str = include_str!("../../crash/regressions/seeds.txt");
/// The end that a script has not drawn.
const LAST: End = End {
    class: Class::Nothing,
    salt: 0,
    again: [None; 2],
    then: Then::GoOn,
};
/// So many steps are refused by a shard that is read-only before it is started again.
const REFUSED_MAX: usize = 3;
