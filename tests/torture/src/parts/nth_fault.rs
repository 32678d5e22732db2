//! Each call fails, one after the other: the Nth of its kind, once or from then on, for N from 1
//! until none is left; and the disk runs full at every size.
//!
//! Invariants
//! - Items are the same in every tier, those of ci first: `--item` needs no `--tier`.

use highwater_kit::faults::{Story, each_call_of, each_room};
use highwater_kit::sim_fs::{AfterFailedSync, Errno, Fault, Op};

use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "nth-fault",
    unit: "failed calls",
    // All of them. A start that finds nothing to write makes fewer calls than one that writes.
    asked: [9_000, 35_000, 35_000],
    ci_seconds: 15,
    threads: 2,
    covers: &["proto/src", "log-core/src", "tests/kit/src"],
    open,
};

fn open(_place: &Place, tier: Tier) -> Result<Box<dyn Work>, Unable> {
    let mut items = items();
    if tier == Tier::Ci {
        items.truncate(items.iter().take_while(|item| item.is_quick()).count());
    }
    Ok(Box::new(Faults { items }))
}

struct Faults {
    items: Vec<Item>,
}

/// What an item tries.
#[derive(Clone, Copy, Debug)]
enum Item {
    /// Every call of a kind fails.
    Call(Story, Fault),
    /// The disk runs full at every size.
    Room(Story, Errno),
}

impl Item {
    /// Whether the tier ci has it.
    const fn is_quick(&self) -> bool {
        matches!(
            self,
            Self::Call(
                _,
                Fault {
                    errno: Errno::Io | Errno::NoSpace,
                    ..
                }
            ) | Self::Room(_, Errno::NoSpace)
        )
    }
}

/// All of them: each call of the seam, each answer, once and for ever, what a failed sync leaves,
/// and each story.
fn items() -> Vec<Item> {
    let mut items = Vec::new();
    for story in Story::ALL {
        items.extend([Errno::NoSpace, Errno::Quota].map(|errno| Item::Room(story, errno)));
        for errno in Errno::ALL {
            for on in Op::ALL {
                for after_sync in after_failures(on) {
                    items.extend([false, true].map(|sticky| {
                        let fault = Fault {
                            on,
                            nth: 1,
                            sticky,
                            errno,
                            after_sync: *after_sync,
                        };
                        Item::Call(story, fault)
                    }));
                }
            }
        }
    }
    items.sort_by_key(|item| !item.is_quick());
    items
}

fn after_failures(on: Op) -> &'static [AfterFailedSync] {
    match on {
        Op::Sync | Op::SyncDir => &AfterFailedSync::ALL,
        _ => &[AfterFailedSync::CleanNew],
    }
}

impl Work for Faults {
    fn item(&self, number: u64, _notes: &Notes) -> Result<u64, Finding> {
        let item = usize::try_from(number)
            .ok()
            .and_then(|index| self.items.get(index));
        let failed = match item {
            Some(Item::Call(story, fault)) => each_call_of(*story, *fault, None),
            Some(Item::Room(story, errno)) => each_room(*story, *errno),
            None => return Err(Finding::new("there is no such item")),
        };
        failed.map_err(|finding| Finding::new(finding.to_string()))
    }

    fn items(&self) -> u64 {
        self.items.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_of_ci_come_first_and_are_every_call() {
        let items = items();
        let quick = items.iter().take_while(|item| item.is_quick()).count();
        assert_eq!(quick, items.iter().filter(|item| item.is_quick()).count());
        for op in Op::ALL {
            let is_of = |item: &&Item| matches!(item, Item::Call(_, fault) if fault.on == op);
            assert!(items[..quick].iter().filter(is_of).count() >= 12, "{op:?}");
        }
    }
}
