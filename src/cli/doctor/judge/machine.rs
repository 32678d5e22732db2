//! What is judged without a look at the broker's files: disk, limits, clock, owners.
//!
//! Floor 6 of cli. Pure.

use std::time::Duration;

use super::Level::{Bad, Note, Warning};
use super::{Finding, Level, fine, told};
use crate::cli::doctor::facts::{Contents, Facts, Owner};
use crate::cli::doctor::mounts::Mount;
use crate::cli::numbers::{bytes, count, duration};

/// Whether a sync in this file system reaches something that survives a power cut.
pub(super) fn file_system(facts: &Facts) -> Finding {
    const CHECK: &str = "file system";
    let Some(mount) = &facts.mount else {
        let found = "it cannot be told here";
        return told(CHECK, Note, found, "see that it is a local disk's");
    };
    let name = format!("{} on {}", mount.kind, mount.source);
    if has(mount, "ro") {
        let advice = "mount it for writing; if the kernel did that by itself, read its log: \
                      the disk fails";
        return told(CHECK, Bad, format!("{name}, mounted read-only"), advice);
    }
    let option = CARELESS.iter().find(|option| has(mount, option));
    if let Some(option) = option {
        let advice = format!("mount it without {option}");
        let found = format!("{name}, {option}: a sync does not empty the disk's cache");
        return told(CHECK, Bad, found, advice);
    }
    if let Some((level, why, advice)) = by_kind(&mount.kind) {
        return told(CHECK, level, format!("{name}: {why}"), advice);
    }
    let cache = match facts.write_cache.as_deref() {
        Some("write back") => {
            "a sync empties the disk's cache; whether the disk obeys cannot be seen from here"
        }
        Some("write through") => {
            "the disk says that it has no cache of its own, so a sync ends with the write"
        }
        _ => "what the disk does with a sync cannot be told",
    };
    fine(CHECK, format!("{name}: {cache}"))
}

/// File systems that are no local disk's, or whose names may not survive a power cut.
fn by_kind(kind: &str) -> Option<(Level, &'static str, &'static str)> {
    let is_remote = REMOTE.contains(&kind) || kind.starts_with("fuse");
    match kind {
        "tmpfs" | "ramfs" => Some((
            Bad,
            "this is memory, all of it is gone with the power",
            "put the data on a disk",
        )),
        "overlay" | "aufs" => Some((
            Warning,
            "the layer of a container, which goes when the container does",
            "mount a volume there",
        )),
        _ if is_remote => Some((
            Warning,
            "a network or user-space file system: locks and syncs are as good as its server's",
            "put the data on a local disk",
        )),
        "vfat" | "msdos" | "exfat" | "ntfs" | "ntfs3" => Some((
            Warning,
            "it keeps no journal of its names as Linux file systems do, and no owners",
            "use ext4 or xfs",
        )),
        _ if LOCAL.contains(&kind) => None,
        _ => Some((
            Note,
            "nobody has tested this one",
            "prefer ext4, xfs or btrfs",
        )),
    }
}

fn has(mount: &Mount, option: &str) -> bool {
    mount.options.iter().any(|other| other == option)
}

/// Whether there is room to go on.
pub(super) fn space(facts: &Facts) -> Finding {
    const CHECK: &str = "free space";
    let Some((free, total)) = facts.space else {
        return told(CHECK, Note, "it cannot be told here", "look at the disk");
    };
    let least = u64::try_from(facts.min_free_bytes);
    let least = least.unwrap_or_else(|_| (total / 100).max(MIN_FREE_BYTES));
    let found = format!(
        "{} of {}; producers are refused below {} (min.free.bytes)",
        bytes(free),
        bytes(total),
        bytes(least)
    );
    let advice = "free some, lower log.retention.ms or log.retention.bytes, or set \
                  log.dirs.max.bytes";
    match free {
        _ if free < least => told(CHECK, Bad, found, advice),
        _ if free / 2 < least => told(CHECK, Warning, found, advice),
        _ => fine(CHECK, found),
    }
}

/// Whether connections and partitions can have their files.
pub(super) fn open_files(facts: &Facts) -> Finding {
    const CHECK: &str = "open files";
    let Some(limit) = facts.files_max else {
        return fine(CHECK, "no limit");
    };
    let logs = match &facts.contents {
        Contents::Read(survey) => survey.logs,
        _ => 0,
    };
    let needed = FILES_OF_A_BROKER + logs * FILES_OF_A_LOG;
    let whose = match facts.contents {
        Contents::Locked(_) => "the broker's limit",
        _ => "the limit of this shell (a service has its own)",
    };
    let found = format!(
        "{} is {whose}; {} partitions and {} connections (max.connections)",
        count(limit),
        count(logs),
        count(facts.max_connections as u64)
    );
    let advice = "raise it: ulimit -Hn, LimitNOFILE= of a service, --ulimit nofile of a container";
    let connections = limit / 5 * 4;
    if limit < needed {
        told(CHECK, Bad, found, advice)
    } else if limit - connections < needed || connections < facts.max_connections as u64 {
        let found = format!("{found}: connections will be fewer");
        told(CHECK, Warning, found, advice)
    } else {
        fine(CHECK, found)
    }
}

/// Whether the clock can be believed.
pub(super) fn clock(facts: &Facts) -> Finding {
    const CHECK: &str = "clock";
    if facts.now_ms < MADE_MS {
        let found = "it stands before this program was made: nobody has set it";
        let advice = "set it, and have it kept (chrony, systemd-timesyncd) before a broker starts: \
                      records would get its times";
        return told(CHECK, Bad, found, advice);
    }
    let Contents::Read(survey) = &facts.contents else {
        return fine(CHECK, "it is set");
    };
    let ahead = |time: Option<i64>| {
        let ms = u64::try_from(time?.saturating_sub(facts.now_ms)).ok()?;
        Some(Duration::from_millis(ms))
    };
    if let Some(ahead) = ahead(survey.newest_note_ms).filter(|ahead| *ahead > STEP) {
        let found = format!("a broker has been here {} in the future", span(ahead));
        let advice = "one of the two clocks was wrong: see which, and have it kept";
        return told(CHECK, Warning, found, advice);
    }
    if let Some(ahead) = ahead(survey.newest_record_ms).filter(|ahead| *ahead > AHEAD) {
        let found = format!("the newest record is {} in the future", span(ahead));
        let advice = "a producer's clock is wrong (or this one): searches by time will find it; \
                      see which, and have it kept";
        return told(CHECK, Warning, found, advice);
    }
    fine(CHECK, "it is set, and no record lies in its future")
}

/// A time for people, who do not count in seconds.
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 172_800.. => format!("{} days", count(seconds / 86_400)),
        seconds @ 7_200.. => format!("{} hours", seconds / 3_600),
        seconds @ 120.. => format!("{} minutes", seconds / 60),
        _ => duration(time),
    }
}

/// Whether the broker, and nobody else, can read and write its files.
pub(super) fn owner(facts: &Facts) -> Finding {
    const CHECK: &str = "owner";
    let Some(owner) = &facts.owner else {
        return fine(CHECK, "this system has no such owners");
    };
    let Owner { mode, user, me, .. } = *owner;
    let dir = facts.dir.display();
    if owner.is_link {
        let found = "the directory is a symbolic link, which a broker refuses";
        return told(CHECK, Bad, found, "name the directory that it leads to");
    }
    if mode & 0o002 != 0 {
        let found = format!("every user may write to it ({mode:04o}): a broker refuses it");
        return told(CHECK, Bad, found, format!("chmod o-w {dir}"));
    }
    if let Some(example) = &owner.foreign_example {
        let found = format!(
            "{} files and folders are not of the directory's owner {user}, such as {}",
            count(owner.foreign),
            example.display()
        );
        let advice = format!("chown -R {user} {dir}: a start under that user fails at the first");
        return told(CHECK, Bad, found, advice);
    }
    if mode & 0o077 != 0 {
        let found = format!("others may look into it ({mode:04o})");
        return told(CHECK, Note, found, format!("chmod 0700 {dir}"));
    }
    match user == me || me == 0 {
        true => fine(CHECK, format!("all of it is user {user}'s alone")),
        false => {
            let found = format!("it is user {user}'s, and you are {me}");
            told(CHECK, Note, found, "run this as that user, or as root")
        }
    }
}

/// How long a sync takes, if that was measured.
pub(super) fn sync(facts: &Facts) -> Option<Finding> {
    const CHECK: &str = "sync";
    let times = facts.syncs.as_ref()?;
    let (median, slowest) = (*times.get(times.len() / 2)?, *times.last()?);
    let found = format!(
        "{} for 4 KiB and fdatasync (median of {}), at most {}",
        duration(median),
        times.len(),
        duration(slowest)
    );
    Some(match median {
        _ if median < TOO_FAST => {
            let advice = "too fast for a disk: it does not reach one. See what lies below \
                          (memory, a virtual disk that ignores flushes)";
            told(CHECK, Bad, found, advice)
        }
        _ if median > SLOW => {
            let advice = "every acknowledged batch waits for this: use a faster disk, larger \
                          batches, or durability=page-cache for topics that may lose the last \
                          100 ms";
            told(CHECK, Warning, found, advice)
        }
        _ => fine(CHECK, found),
    })
}

/// Options that make a sync return before the disk has it.
const CARELESS: [&str; 3] = ["nobarrier", "barrier=0", "volatile"];
const LOCAL: [&str; 8] = [
    "ext4", "ext3", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs",
];
const REMOTE: [&str; 11] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "9p",
    "ceph",
    "glusterfs",
    "lustre",
    "afs",
    "gfs2",
    "virtiofs",
];
/// As the broker's own default has it.
const MIN_FREE_BYTES: u64 = 64 << 20;
/// The segment that is written and its two indexes.
const FILES_OF_A_LOG: u64 = 3;
/// The journal, the recovery points, the lock, listeners, and some to spare.
const FILES_OF_A_BROKER: u64 = 64;
/// The start of 2026.
const MADE_MS: i64 = 1_767_225_600_000;
/// What a clock that is kept is set back at most.
const STEP: Duration = Duration::from_secs(60);
/// How wrong producers' clocks often are.
const AHEAD: Duration = Duration::from_secs(3_600);
/// Faster than any disk that keeps what it is given.
const TOO_FAST: Duration = Duration::from_micros(8);
const SLOW: Duration = Duration::from_millis(20);
