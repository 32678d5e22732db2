//! What the small files of the data directory mean.
//!
//! Floor 6 of cli. Pure.

use std::path::Path;

use highwater_log::inspect::Survey;

use super::Level::{Bad, Note, Warning};
use super::{Finding, fine, told};
use crate::cli::doctor::facts::{Contents, Facts};
use crate::cli::numbers::count;

/// Whether a broker runs on it.
pub(super) fn usage(facts: &Facts) -> Finding {
    const CHECK: &str = "in use";
    match &facts.contents {
        Contents::Locked(why) => {
            let found = format!("a broker runs on it ({why}): its files were not looked at");
            told(CHECK, Note, found, "stop it and ask again to see the rest")
        }
        Contents::Empty => fine(
            CHECK,
            "no: it is empty, and the first start makes everything",
        ),
        _ => fine(CHECK, "no"),
    }
}

pub(super) fn too_new(why: &str) -> Finding {
    let advice = "use the version of highwater that wrote it, or a newer one";
    told(FORMAT, Bad, why, advice)
}

pub(super) fn refused(why: &str) -> Finding {
    let advice = "see that it is a data directory, and that you may read it";
    told(FORMAT, Bad, why, advice)
}

/// Everything about a directory that could be read.
pub(super) fn of(survey: &Survey, dir: &Path) -> [Finding; 6] {
    [
        format(survey, dir),
        stop(survey),
        points(survey),
        journal(survey, dir),
        damage(survey, dir),
        set_aside(survey, dir),
    ]
}

fn format(survey: &Survey, dir: &Path) -> Finding {
    match &survey.version_damage {
        Some(why) => {
            let found = format!("no broker can open it, for VERSION cannot be used: {why}");
            let advice = format!("highwater log repair {}", dir.display());
            told(FORMAT, Bad, found, advice)
        }
        None => fine(
            FORMAT,
            format!(
                "this version's, with {} topics and {} partitions",
                count(survey.topics),
                count(survey.logs)
            ),
        ),
    }
}

fn stop(survey: &Survey) -> Finding {
    const CHECK: &str = "last stop";
    match survey.was_closed {
        true => fine(CHECK, "clean"),
        false => told(
            CHECK,
            Note,
            "not clean: killed, or the power went; the next start reads what came after the \
             recovery points",
            "if you do not know why, look for it: memory (dmesg), power, a supervisor's time-out",
        ),
    }
}

fn points(survey: &Survey) -> Finding {
    const CHECK: &str = "recovery points";
    let Survey { points, logs, .. } = *survey;
    if logs > 0 && points == 0 {
        let advice = "the next start reads every segment; if files were copied, copy all of them";
        return told(CHECK, Warning, "there are none", advice);
    }
    if survey.are_points_whole {
        return fine(CHECK, format!("of {} partitions", count(points)));
    }
    let found = "one of their two slots is torn or gone; the other is used";
    match survey.was_closed {
        // A crash in the middle of their writing leaves that.
        false => told(CHECK, Note, found, "nothing: the next start writes it anew"),
        true => {
            let advice = "no crash leaves that after a clean stop: look at the disk's health";
            told(CHECK, Warning, found, advice)
        }
    }
}

fn journal(survey: &Survey, dir: &Path) -> Finding {
    const CHECK: &str = "journal";
    let commits = count(survey.journal_commits);
    // After a clean stop everything in it stands in the logs, too.
    if survey.was_closed || survey.journal_commits + survey.journal_damaged == 0 {
        return fine(CHECK, "nothing in it is needed");
    }
    if survey.journal_damaged > 0 {
        let found = format!(
            "{} stretches cannot be read, {commits} commits can",
            count(survey.journal_damaged)
        );
        let advice = format!(
            "highwater log verify {} says whether records are lost",
            dir.display()
        );
        return told(CHECK, Bad, found, advice);
    }
    let found = format!("{commits} commits, which the next start brings into their logs");
    let advice = "copy or move the directory as a whole only: the newest records may be there";
    told(CHECK, Note, found, advice)
}

fn damage(survey: &Survey, dir: &Path) -> Finding {
    const CHECK: &str = "damage";
    let dir = dir.display();
    if survey.damaged_ranges > 0 {
        let found = format!(
            "{} ranges of segments are not what was written",
            count(survey.damaged_ranges)
        );
        let advice = format!(
            "highwater log verify {dir}, then log repair {dir}; and look at the disk's health"
        );
        return told(CHECK, Bad, found, advice);
    }
    if survey.checkpoints_damaged > 0 {
        let found = format!("{} checkpoints", count(survey.checkpoints_damaged));
        let advice = "the next start makes them anew; look at the disk's health";
        return told(CHECK, Warning, found, advice);
    }
    let known = match survey.given_up_ranges {
        0 => "none is known".to_owned(),
        ranges => format!(
            "none is known but {} ranges that a repair gave up",
            count(ranges)
        ),
    };
    let all = "(highwater log verify reads everything)";
    fine(CHECK, format!("{known} {all}"))
}

fn set_aside(survey: &Survey, dir: &Path) -> Finding {
    const CHECK: &str = "set aside";
    let Survey {
        quarantined, lost, ..
    } = survey;
    let folder = |name: &str| dir.join(name).display().to_string();
    if let Some(first) = quarantined.first() {
        let found = format!(
            "{} files in quarantine hold what was cut off, such as {first}",
            count(quarantined.len() as u64)
        );
        let advice = format!(
            "highwater log dump shows them; keep or remove {}",
            folder("quarantine")
        );
        return told(CHECK, Warning, found, advice);
    }
    if let Some(first) = lost.first() {
        let found = format!(
            "{} logs that no topic claimed, such as {first}",
            count(lost.len() as u64)
        );
        let advice = format!("keep or remove {}", folder("lost+found"));
        return told(CHECK, Warning, found, advice);
    }
    fine(CHECK, "nothing")
}

const FORMAT: &str = "format";
