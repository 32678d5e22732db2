//! strace: how the broker is run under it, and what its log says.
//!
//! Invariants
//! - Only the calls of the list are stopped at, and all others run at full speed (`--seccomp-bpf`),
//!   but not for a kill: strace 6.1 does not inject signals then, and says nothing.
//! - Calls are counted by thread, as strace counts them for `when=`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::points::{KINDS, Point, What};
use crate::part::Unable;
use crate::place::Place;
use crate::process::pause;

/// strace, if it works here.
pub(super) fn strace(place: &Place) -> Result<PathBuf, Unable> {
    let strace = place.tool("strace")?;
    let tried = Command::new(&strace)
        .args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null"])
        .args(["-e", "trace=openat", "true"])
        .output();
    match tried {
        Ok(tried) if tried.status.success() => Ok(strace),
        Ok(tried) => Err(Unable(format!(
            "strace cannot trace a child here: {}",
            String::from_utf8_lossy(&tried.stderr).trim()
        ))),
        Err(error) => Err(Unable(format!("{}: {error}", strace.display()))),
    }
}

/// The words in front of the broker's command line; the broker stays our child.
pub(super) fn words(strace: &Path, log: &Path, point: Option<&Point>) -> Vec<OsString> {
    let calls = match point {
        Some(point) => point.call.to_owned(),
        None => KINDS.map(|kind| kind.call).join(","),
    };
    let mut words: Vec<OsString> = vec![strace.into()];
    words.extend(["-D", "-f", "-o"].map(OsString::from));
    words.push(log.into());
    if point.is_none_or(|point| point.what != What::Kill) {
        words.push("--seccomp-bpf".into());
    }
    words.extend(["-e".into(), format!("trace={calls}").into()]);
    if let Some(point) = point {
        words.extend(["-e".into(), point.injection().into()]);
    }
    words
}

/// How often each call was made by the thread that made it most.
pub(super) fn counts(log: &str) -> BTreeMap<&'static str, u32> {
    let mut by_thread: BTreeMap<(&str, &'static str), u32> = BTreeMap::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        // `<... write resumed>` is the end of a call that was counted.
        let Some((call, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if let Some(kind) = KINDS.iter().find(|kind| kind.call == call) {
            *by_thread.entry((thread, kind.call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in by_thread {
        let most = most.entry(call).or_insert(0);
        *most = count.max(*most);
    }
    most
}

/// The log of a run whose process has ended: strace writes its last lines a moment later.
pub(super) fn log_of(path: &Path) -> String {
    let since = Instant::now();
    loop {
        let log = fs::read(path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let last = log.lines().last().unwrap_or_default();
        let is_over = last.contains("+++ exited with") || last.contains("+++ killed by");
        if is_over || since.elapsed() > LOG_MAX {
            return log;
        }
        pause(Duration::from_millis(2));
    }
}

/// Whether an error was injected.
pub(super) fn is_injected(log: &str) -> bool {
    log.contains("(INJECTED)")
}

const LOG_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_thread() {
        let log = "10 openat(AT_FDCWD, \"a(b\", O_RDONLY) = 3\n\
            10 openat(AT_FDCWD, \"c\", O_RDONLY <unfinished ...>\n\
            11 openat(AT_FDCWD, \"d\", O_RDONLY) = 4\n\
            10 <... openat resumed>) = 5\n\
            11 fdatasync(5) = -1 EIO (Input/output error) (INJECTED)\n\
            11 close(5) = 0\n\
            10 +++ exited with 0 +++\n";
        assert_eq!(
            counts(log),
            BTreeMap::from([("fdatasync", 1), ("openat", 2)])
        );
        assert!(is_injected(log) && !is_injected("10 fdatasync(5) = 0"));
    }
}
