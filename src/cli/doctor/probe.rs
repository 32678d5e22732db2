//! Gathers the facts: the only part of the doctor that touches the machine.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - Nothing is written unless a measurement was asked for; its file is removed again.
//! - How many files are looked at is bounded.
//! - What cannot be found out is absent, and no failure.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use highwater_broker::clock::SystemClock;
use highwater_log::error::LogError;
use highwater_log::fs::Fs;
use highwater_log::fs::os::OsFs;
use highwater_log::inspect::survey;
use highwater_proto::clock::Clock as _;

use super::facts::{Contents, Facts, Owner};
use super::mounts::{Mount, mount_of};
use crate::cli::args::DoctorArgs;
use crate::cli::descriptors::raise_limit;
use crate::cli::failure::Failure;
use crate::cli::files::read_text;
use crate::cli::settings::Settings;

/// Looks at a directory and the machine below it.
pub(super) fn facts(args: &DoctorArgs) -> Result<Facts, Failure> {
    let dir = &args.dir;
    if !dir.is_dir() {
        let sentence = format!("there is no folder {}", dir.display());
        return Err(Failure::Failed(sentence));
    }
    let settings = Settings::of_file(args.config.as_deref())?;
    let fs: Arc<dyn Fs> = Arc::new(OsFs::new());
    let contents = contents(&fs, dir);
    let mount = mount(dir);
    let syncs = match args.measure {
        true => Some(measure(&*fs, dir)?),
        false => None,
    };
    let total = fs.total_bytes(dir).ok().flatten();
    Ok(Facts {
        dir: dir.clone(),
        now_ms: SystemClock::new().now().wall.0,
        write_cache: mount.as_ref().and_then(write_cache),
        mount,
        space: fs.free_bytes(dir).ok().zip(total),
        min_free_bytes: settings.min_free_bytes,
        files_max: files_max(&contents),
        max_connections: settings.max_connections,
        owner: owner(dir),
        contents,
        syncs,
    })
}

fn contents(fs: &Arc<dyn Fs>, dir: &Path) -> Contents {
    if fs.list(dir).is_ok_and(|names| names.is_empty()) {
        return Contents::Empty;
    }
    match survey(fs, dir) {
        Ok(survey) => Contents::Read(Box::new(survey)),
        Err(LogError::Locked { why, .. }) => Contents::Locked(why),
        Err(LogError::TooNew { why, .. }) => Contents::TooNew(why),
        Err(error) => Contents::Refused(error.to_string()),
    }
}

fn mount(dir: &Path) -> Option<Mount> {
    let mounts = read_text(Path::new("/proc/self/mountinfo"), MOUNTINFO_BYTES_MAX).ok()?;
    mount_of(&dir.canonicalize().ok()?, &mounts)
}

/// A partition has the queue of its disk.
fn write_cache(mount: &Mount) -> Option<String> {
    let device = Path::new("/sys/dev/block").join(&mount.device);
    let places = [device.join("queue"), device.join("../queue")];
    let read = |place: &std::path::PathBuf| read_text(&place.join("write_cache"), 64).ok();
    places
        .iter()
        .find_map(read)
        .map(|text| text.trim().to_owned())
}

/// The limit of the broker that runs, else that of this process, as far up as it may go.
fn files_max(contents: &Contents) -> Option<u64> {
    let Contents::Locked(why) = contents else {
        return raise_limit();
    };
    let process = why
        .split_whitespace()
        .find_map(|word| word.parse::<u32>().ok())?;
    let limits = read_text(Path::new(&format!("/proc/{process}/limits")), 1 << 16).ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Writes 4 KiB and syncs them, again and again, in a file of its own.
fn measure(fs: &dyn Fs, dir: &Path) -> Result<Vec<Duration>, Failure> {
    let path = dir.join(SCRATCH);
    let cannot = |error| Failure::Failed(format!("cannot measure in {}: {error}", dir.display()));
    match fs.remove(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error)),
        _ => {}
    }
    let clock = SystemClock::new();
    let block = [0x5a_u8; 4096];
    let file = fs.create(&path).map_err(cannot)?;
    let times = (0..SYNCS).map(|turn| {
        let begin = clock.now().mono;
        file.write_at(turn * 4096, &[IoSlice::new(&block)])?;
        file.sync()?;
        Ok(clock.now().mono.since(begin))
    });
    let times = times.collect::<std::io::Result<Vec<_>>>();
    drop(file);
    // What was written goes in any case; a failed sync is the better reason to tell.
    let removed = fs.remove(&path);
    let mut times = times.map_err(cannot)?;
    removed.map_err(cannot)?;
    times.sort_unstable();
    Ok(times)
}

#[cfg(unix)]
fn owner(dir: &Path) -> Option<Owner> {
    use std::os::unix::fs::MetadataExt as _;
    let link = dir.symlink_metadata().ok()?;
    let held = dir.metadata().ok()?;
    let mut owner = Owner {
        is_link: link.is_symlink(),
        mode: held.mode() & 0o7777,
        user: held.uid(),
        me: rustix::process::geteuid().as_raw(),
        ..Owner::default()
    };
    let mut left = FILES_LOOKED_AT_MAX;
    look_through(dir, DEPTH_MAX, &mut left, &mut |path, metadata| {
        // mkfs makes one for itself, at the top of a disk.
        let is_of_the_disk = path.ends_with("lost+found") && metadata.uid() == 0;
        if metadata.uid() != owner.user && !is_of_the_disk {
            owner.foreign += 1;
            owner.foreign_example.get_or_insert_with(|| path.to_owned());
        }
    });
    Some(owner)
}

#[cfg(not(unix))]
fn owner(_dir: &Path) -> Option<Owner> {
    None
}

#[cfg(unix)]
fn look_through(
    dir: &Path,
    depth: usize,
    left: &mut usize,
    see: &mut dyn FnMut(&Path, &std::fs::Metadata),
) {
    let Ok(entries) = dir.read_dir() else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let Some(fewer) = left.checked_sub(1) else {
            return;
        };
        *left = fewer;
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        see(&entry.path(), &metadata);
        if metadata.is_dir() && depth > 0 {
            look_through(&entry.path(), depth - 1, left, see);
        }
    }
}

/// The file of a measurement: no name of the format.
const SCRATCH: &str = "doctor.tmp";
const SYNCS: u64 = 64;
const FILES_LOOKED_AT_MAX: usize = 200_000;
/// logs/TOPIC/PARTITION.
const DEPTH_MAX: usize = 3;
/// Machines with thousands of containers have long lists.
const MOUNTINFO_BYTES_MAX: u64 = 16 << 20;
