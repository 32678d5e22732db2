//! Real files that are damaged: what is healthy is served, what is not is named, and nothing is
//! deleted.
//!
//! A directory that a real broker has written is copied, one file of it is damaged, and then it is
//! verified, opened, read, repaired, verified again and read again.
//!
//! Invariants
//! - What is done to which file follows from the item's number.
//! - The outcome is one of three: all is there; what is lost answers an error and was named before;
//!   the start is refused with a sentence that names a command, and the command then works.

mod harm;
mod look;
mod template;
mod verdict;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use highwater_broker::clock::SystemClock;
use highwater_broker::repair::{RepairMode, Repaired, repair};
use highwater_kit::rng::Rng;
use highwater_log::fs::Fs;
use highwater_log::fs::os::OsFs;
use highwater_log::inspect::{Event, Finding as Named, Verified, verify};
use highwater_proto::clock::Clock as _;

use self::harm::Harm;
use self::template::Template;
use self::verdict::Verdict;
use crate::part::{Finding, Notes, Part, Tier, Unable, Work};
use crate::place::Place;

/// The part.
pub const PART: Part = Part {
    name: "corruption",
    unit: "corruptions",
    asked: [200, 2_000, 20_000],
    ci_seconds: 15,
    threads: 2,
    covers: &[
        "proto/src",
        "log-core/src",
        "broker/src",
        "tests/kit/src",
        "tests/torture/src",
    ],
    open,
};

fn open(place: &Place, _tier: Tier) -> Result<Box<dyn Work>, Unable> {
    let unable = |why: String| Unable(format!("no directory to damage: {why}"));
    let scratch = place
        .scratch("corruption")
        .map_err(|error| unable(error.to_string()))?;
    let templates = Template::both(&scratch).map_err(unable)?;
    Ok(Box::new(Corruption {
        scratch,
        templates,
        counts: Mutex::default(),
    }))
}

struct Corruption {
    scratch: PathBuf,
    templates: [Template; 2],
    /// How often each kind of file came to each verdict.
    counts: Mutex<BTreeMap<String, [u64; 3]>>,
}

impl Corruption {
    /// Counts a verdict; answers all counts of the kind. Of two such texts the later one is larger.
    fn count(&self, harm: &Harm, verdict: Verdict) -> String {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(harm.kind()).or_default();
        counts[verdict as usize] += 1;
        let [whole, contained, refused] = *counts;
        format!(
            "{whole:>5} lost nothing, {contained:>5} contained, {refused:>5} refused and repaired"
        )
    }
}

impl Work for Corruption {
    fn item(&self, number: u64, notes: &Notes) -> Result<u64, Finding> {
        let dir = self.scratch.join(format!("item-{number}"));
        let mut rng = Rng::new(number);
        let template = &self.templates[usize::from(rng.percent(50))];
        let harm =
            Harm::draw(template, &mut rng).map_err(|error| Finding::new(error.to_string()))?;
        let story = || format!("item {number}, {}: {harm}", template.stop);
        let done = catch_unwind(AssertUnwindSafe(|| one(&dir, template, &harm)));
        let verdict = match done {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(why)) => return Err(Finding::new(format!("{}: {why}", story()))),
            Err(panic) => {
                let why = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                let why = why.unwrap_or("no reason");
                return Err(Finding::new(format!("{}: it panicked: {why}", story())));
            }
        };
        notes.row(
            format!("corruption of {}", harm.kind()),
            self.count(&harm, verdict),
        );
        // Damage that is not removed tells more than the sentence.
        fs::remove_dir_all(&dir).map_err(|error| Finding::new(error.to_string()))?;
        Ok(1)
    }
}

/// Damages a copy and follows it to its end; a sentence about the promise that broke.
fn one(dir: &Path, template: &Template, harm: &Harm) -> Result<Verdict, String> {
    let io = |error: std::io::Error| error.to_string();
    let opened = dir.join("opened");
    template::copy(&template.dir, &opened).map_err(io)?;
    harm.inflict(&opened).map_err(io)?;
    let untouched = dir.join("untouched");
    template::copy(&opened, &untouched).map_err(io)?;
    let named = named(&opened)?.1;
    let seen = look::look(&opened, template)?;
    let verdict = verdict::judge_start(template, harm, &named, &seen)?;
    // A repair comes before the first start, or after it.
    let repaired = if harm.repairs_first {
        &untouched
    } else {
        &opened
    };
    let healed = mend(repaired)?;
    let (verified, named) = self::named(repaired)?;
    if verified.damaged > 0 {
        return Err(format!("after the repair there still is damage: {named:?}"));
    }
    let after = look::look(repaired, template)?;
    verdict::judge_repair(template, harm, &healed, &seen, &after)?;
    Ok(verdict)
}

fn named(dir: &Path) -> Result<(Verified, Vec<Named>), String> {
    let fs: Arc<dyn Fs> = Arc::new(OsFs::new());
    let mut named = Vec::new();
    let verified = verify(&fs, dir, &mut |event| {
        if let Event::Finding(finding) = event {
            named.push(finding);
        }
    });
    let verified = verified.map_err(|error| format!("log verify failed: {error}"))?;
    Ok((verified, named))
}

fn mend(dir: &Path) -> Result<Repaired, String> {
    let fs: Arc<dyn Fs> = Arc::new(OsFs::new());
    let now = SystemClock::new().now();
    repair(&fs, dir, RepairMode::GiveUp, now, &mut |_| {})
        .map_err(|error| format!("log repair failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_corruptions_come_to_a_good_end() {
        let place = Place::here().expect("a place for scratch");
        let work = open(&place, Tier::Ci).unwrap_or_else(|unable| panic!("{}", unable.0));
        let notes = Notes::default();
        for number in 0..24 {
            let done = work.item(number, &notes);
            assert_eq!(done.unwrap_or_else(|finding| panic!("{}", finding.text)), 1);
        }
    }
}
