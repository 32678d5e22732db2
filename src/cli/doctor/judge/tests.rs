//! Every finding, from the facts that it is about and none beside them.

use std::path::PathBuf;
use std::time::Duration;

use highwater_log::inspect::Survey;

use super::*;
use crate::cli::doctor::facts::Owner;
use crate::cli::doctor::mounts::Mount;

const HOUR_MS: i64 = 3_600_000;
const NOW_MS: i64 = 1_800_000_000_000;
const GIB: u64 = 1 << 30;

/// A directory on which nothing is wrong.
fn sound() -> Facts {
    Facts {
        dir: PathBuf::from("/data"),
        now_ms: NOW_MS,
        mount: Some(mount("ext4", "rw,noatime,barrier")),
        write_cache: Some("write back".to_owned()),
        space: Some((50 * GIB, 100 * GIB)),
        min_free_bytes: -1,
        files_max: Some(1 << 20),
        max_connections: 10_000,
        owner: Some(Owner {
            mode: 0o700,
            user: 7,
            me: 7,
            ..Owner::default()
        }),
        contents: Contents::Read(Box::new(closed())),
        syncs: None,
    }
}

fn mount(kind: &str, options: &str) -> Mount {
    Mount {
        kind: kind.to_owned(),
        source: "/dev/sda".to_owned(),
        options: options.split(',').map(str::to_owned).collect(),
        ..Mount::default()
    }
}

fn closed() -> Survey {
    Survey {
        topics: 1,
        logs: 12,
        points: 12,
        was_closed: true,
        are_points_whole: true,
        newest_record_ms: Some(NOW_MS + HOUR_MS / 2),
        newest_note_ms: Some(NOW_MS - HOUR_MS),
        journal_commits: 3,
        ..Survey::default()
    }
}

/// The one thing that is not fine once the facts were changed so; its level, text and advice.
fn found(change: impl FnOnce(&mut Facts)) -> (&'static str, Level, String) {
    let mut facts = sound();
    change(&mut facts);
    let mut findings = judge(&facts);
    let asked: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    assert!(asked.contains(&"clock") && asked.contains(&"in use"));
    findings.retain(|finding| finding.level != Level::Fine);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let finding = findings.remove(0);
    assert!(!finding.advice.is_empty(), "{finding:?}");
    let text = format!("{} -> {}", finding.found, finding.advice);
    (finding.check, finding.level, text)
}

fn surveyed(change: impl FnOnce(&mut Survey)) -> (&'static str, Level, String) {
    let mut survey = closed();
    change(&mut survey);
    found(|facts| facts.contents = Contents::Read(Box::new(survey)))
}

fn owned(change: impl FnOnce(&mut Owner)) -> (&'static str, Level, String) {
    found(|facts| change(facts.owner.as_mut().unwrap()))
}

#[track_caller]
fn assert_is(found: (&'static str, Level, String), check: &str, level: Level, part: &str) {
    assert_eq!((found.0, found.1), (check, level), "{}", found.2);
    assert!(found.2.contains(part), "{} lacks {part:?}", found.2);
}

#[test]
fn where_nothing_is_wrong_everything_is_fine() {
    let findings = judge(&sound());
    assert_eq!(findings.len(), 12, "{findings:#?}");
    for finding in &findings {
        assert_eq!(finding.level, Level::Fine, "{finding:?}");
        assert!(finding.advice.is_empty() && !finding.found.is_empty());
    }
}

#[test]
fn a_file_system_that_forgets_or_lies_is_told() {
    let on = |kind: &str, options: &str| found(|facts| facts.mount = Some(mount(kind, options)));
    let check = "file system";
    for kind in ["tmpfs", "ramfs"] {
        assert_is(on(kind, "rw"), check, Level::Bad, "this is memory");
    }
    assert_is(on("overlay", "rw"), check, Level::Warning, "mount a volume");
    for kind in ["nfs4", "cifs", "9p", "ceph", "fuse.sshfs", "virtiofs"] {
        assert_is(on(kind, "rw"), check, Level::Warning, "a network or user");
    }
    assert_is(on("exfat", "rw"), check, Level::Warning, "use ext4");
    assert_is(on("newfs", "rw"), check, Level::Note, "nobody has tested");
    assert_is(on("ext4", "ro,noatime"), check, Level::Bad, "read-only");
    for option in ["nobarrier", "barrier=0"] {
        let options = format!("rw,{option}");
        assert_is(on("xfs", &options), check, Level::Bad, option);
    }
    assert_is(
        found(|facts| facts.mount = None),
        check,
        Level::Note,
        "told",
    );
}

#[test]
fn what_the_kernel_says_about_the_cache_is_told() {
    let said = |cache: Option<&str>| {
        let mut facts = sound();
        facts.write_cache = cache.map(str::to_owned);
        judge(&facts).remove(0).found
    };
    assert!(said(Some("write back")).contains("empties the disk's cache"));
    assert!(said(Some("write through")).contains("no cache of its own"));
    assert!(said(None).contains("cannot be told"));
}

#[test]
fn a_disk_that_fills_up_is_told_before_it_is_full() {
    let with = |free, min| {
        found(|facts| {
            facts.space = Some((free, 100 * GIB));
            facts.min_free_bytes = min;
        })
    };
    let check = "free space";
    assert_is(with(GIB - 1, -1), check, Level::Bad, "1.0 GiB (min.free");
    assert_is(with(GIB + 1, -1), check, Level::Warning, "log.retention.ms");
    assert_is(with(7, 8), check, Level::Bad, "below 8 B");
    assert_is(with(15, 8), check, Level::Warning, "below 8 B");
    let small = found(|facts| facts.space = Some((60 << 20, GIB)));
    assert_is(small, check, Level::Bad, "64.0 MiB (min.free");
    assert_is(
        found(|facts| facts.space = None),
        check,
        Level::Note,
        "told",
    );
    let mut facts = sound();
    (facts.space, facts.min_free_bytes) = (Some((16, 100)), 8);
    assert!(judge(&facts).iter().all(|one| one.level == Level::Fine));
}

#[test]
fn too_few_open_files_are_told() {
    let limit = |limit| found(|facts| facts.files_max = Some(limit));
    let check = "open files";
    assert_is(limit(99), check, Level::Bad, "12 partitions");
    assert_is(limit(1024), check, Level::Warning, "ulimit -Hn");
    assert_is(limit(12_499), check, Level::Warning, "will be fewer");
    let many = surveyed(|survey| (survey.logs, survey.points) = (100_000, 100_000));
    assert_is(many, check, Level::Warning, "100,000 partitions");
    for limit in [Some(12_500), None] {
        let mut facts = sound();
        facts.files_max = limit;
        assert!(judge(&facts).iter().all(|one| one.level == Level::Fine));
    }
}

#[test]
fn a_clock_that_was_not_set_or_was_set_back_is_told() {
    let check = "clock";
    let unset = found(|facts| facts.now_ms = 86_400_000);
    assert_is(unset, check, Level::Bad, "nobody has set it");
    let noted = surveyed(|survey| survey.newest_note_ms = Some(NOW_MS + 3 * HOUR_MS));
    assert_is(noted, check, Level::Warning, "been here 3 hours in");
    let newest = surveyed(|survey| survey.newest_record_ms = Some(NOW_MS + 72 * HOUR_MS));
    assert_is(newest, check, Level::Warning, "record is 3 days in");
}

#[test]
fn owners_and_rights_that_stop_a_broker_are_told() {
    let check = "owner";
    let link = owned(|owner| owner.is_link = true);
    assert_is(link, check, Level::Bad, "symbolic link");
    let open = owned(|owner| owner.mode = 0o777);
    assert_is(open, check, Level::Bad, "chmod o-w /data");
    let seen = owned(|owner| owner.mode = 0o755);
    assert_is(seen, check, Level::Note, "others may look into it (0755)");
    let foreign = owned(|owner| {
        owner.foreign = 2;
        owner.foreign_example = Some(PathBuf::from("/data/VERSION"));
    });
    assert_is(foreign, check, Level::Bad, "chown -R 7 /data");
    let other = owned(|owner| owner.me = 8);
    assert_is(other, check, Level::Note, "user 7's, and you are 8");
}

#[test]
fn a_sync_that_is_too_fast_or_slow_is_told() {
    let took = |micros: &[u64]| {
        let times = micros.iter().copied().map(Duration::from_micros).collect();
        found(|facts| facts.syncs = Some(times))
    };
    assert_is(took(&[1, 2, 900]), "sync", Level::Bad, "does not reach one");
    let slow = took(&[10, 30_000, 90_000]);
    assert_is(slow, "sync", Level::Warning, "30.0 ms for 4 KiB");
    let mut facts = sound();
    facts.syncs = Some([100, 200, 50_000].map(Duration::from_micros).to_vec());
    let sync = judge(&facts).into_iter().find(|one| one.check == "sync");
    let sync = sync.unwrap();
    assert_eq!(sync.level, Level::Fine);
    assert_eq!(
        sync.found,
        "200 us for 4 KiB and fdatasync (median of 3), at most 50.0 ms"
    );
}

#[test]
fn directories_that_cannot_be_looked_at_are_told() {
    let with = |contents| found(|facts| facts.contents = contents);
    let locked = with(Contents::Locked("process 4711 holds its lock".to_owned()));
    assert_is(locked, "in use", Level::Note, "process 4711");
    let newer = with(Contents::TooNew("bits 0x40".to_owned()));
    assert_is(newer, "format", Level::Bad, "a newer one");
    let refused = with(Contents::Refused("cannot open it".to_owned()));
    assert_is(refused, "format", Level::Bad, "that you may read it");
    let mut facts = sound();
    facts.contents = Contents::Empty;
    assert!(judge(&facts).iter().all(|one| one.level == Level::Fine));
}

#[test]
fn what_a_crash_leaves_is_no_reason_to_act() {
    let unclean = |change: fn(&mut Survey)| {
        let mut survey = Survey {
            was_closed: false,
            journal_commits: 0,
            ..closed()
        };
        change(&mut survey);
        let mut facts = sound();
        facts.contents = Contents::Read(Box::new(survey));
        let mut findings = judge(&facts);
        findings.retain(|finding| finding.level != Level::Fine);
        let stop = findings.remove(0);
        assert_eq!((stop.check, stop.level), ("last stop", Level::Note));
        findings
    };
    assert!(unclean(|_| {}).is_empty());
    let journal = unclean(|survey| survey.journal_commits = 2).remove(0);
    assert_eq!((journal.check, journal.level), ("journal", Level::Note));
    let journal = unclean(|survey| survey.journal_damaged = 1).remove(0);
    assert_eq!((journal.check, journal.level), ("journal", Level::Bad));
    assert!(journal.advice.contains("log verify /data"));
    let points = unclean(|survey| survey.are_points_whole = false).remove(0);
    let is = (points.check, points.level);
    assert_eq!(is, ("recovery points", Level::Note));
}

#[test]
fn what_no_crash_leaves_is_told() {
    let version = surveyed(|survey| survey.version_damage = Some("it is missing".to_owned()));
    assert_is(version, "format", Level::Bad, "highwater log repair /data");
    let points = surveyed(|survey| survey.are_points_whole = false);
    assert_is(points, "recovery points", Level::Warning, "disk's health");
    let points = surveyed(|survey| survey.points = 0);
    assert_is(points, "recovery points", Level::Warning, "there are none");
    let damaged = surveyed(|survey| survey.damaged_ranges = 2);
    assert_is(damaged, "damage", Level::Bad, "log verify /data");
    let damaged = surveyed(|survey| survey.checkpoints_damaged = 1);
    assert_is(damaged, "damage", Level::Warning, "1 checkpoints");
    let kept = surveyed(|survey| survey.quarantined = vec!["a.cut".to_owned()]);
    assert_is(kept, "set aside", Level::Warning, "/data/quarantine");
    let lost = surveyed(|survey| survey.lost = vec!["b".to_owned()]);
    assert_is(lost, "set aside", Level::Warning, "/data/lost+found");
    let mut facts = sound();
    let given_up_ranges = 4;
    facts.contents = Contents::Read(Box::new(Survey {
        given_up_ranges,
        ..closed()
    }));
    let findings = judge(&facts);
    let damage = findings.iter().find(|finding| finding.check == "damage");
    let damage = damage.unwrap();
    assert_eq!(damage.level, Level::Fine);
    assert!(damage.found.contains("but 4 ranges"), "{}", damage.found);
}
