//! The points: each system call of the list, its Nth call in a thread, and what happens there.
//!
//! Invariants
//! - A number names the same point on every machine: the points follow from the list below alone.
//! - Two of three points are kills. Kinds take turns, and the calls of a kind come spread over the
//!   run, so that the first few are a sample of all.

use std::fmt;

/// A system call, and what is injected into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) call: &'static str,
    /// The highest call of a thread that is tried; a note says if the script makes more.
    pub(super) calls_max: u32,
    /// What it answers in the points with an error.
    errors: &'static [&'static str],
}

/// What the broker begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scene {
    /// Nothing: it makes its directory.
    Fresh,
    /// What a broker has left that was killed: it recovers.
    Killed,
}

/// What is injected where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) scene: Scene,
    pub(super) call: &'static str,
    /// Which call of a thread.
    pub(super) nth: u32,
    pub(super) what: What,
}

/// What is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The process dies when it enters the call.
    Kill,
    /// The call is not done, and answers this.
    Error(&'static str),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, nth, .. } = self;
        match self.what {
            What::Kill => write!(f, "killed at call {nth} of {call}")?,
            What::Error(error) => write!(f, "{error} from call {nth} of {call}")?,
        }
        match self.scene {
            Scene::Fresh => f.write_str(", in a new directory"),
            Scene::Killed => f.write_str(", in a directory to be recovered"),
        }
    }
}

impl Point {
    /// As `strace -e inject=` takes it.
    pub(super) fn injection(&self) -> String {
        let Self { call, nth, .. } = self;
        match self.what {
            What::Kill => format!("inject={call}:signal=SIGKILL:when={nth}"),
            What::Error(error) => format!("inject={call}:error={error}:when={nth}"),
        }
    }

    /// Whether an error here is one of the disk.
    pub(super) fn is_disk_error(&self) -> bool {
        let is_network = matches!(
            self.call,
            "accept4" | "epoll_wait" | "writev" | "sendto" | "sendfile"
        );
        self.what != What::Kill && !is_network
    }
}

/// All points, in their order.
pub(super) fn all() -> Vec<Point> {
    let (mut kills, mut errors) = (Vec::new(), Vec::new());
    for kind in &KINDS {
        for scene in [Scene::Fresh, Scene::Killed] {
            kills.push(series(kind, scene, What::Kill));
            let its = kind.errors.iter();
            errors.extend(its.map(|error| series(kind, scene, What::Error(error))));
        }
    }
    let mut kills = by_turns(kills).into_iter();
    let mut errors = by_turns(errors).into_iter();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(kills.by_ref().take(2));
        all.extend(errors.next());
        if all.len() == before {
            return all;
        }
    }
}

/// The points of one kind, spread: a step of the golden section comes near no point twice.
fn series(kind: &Kind, scene: Scene, what: What) -> Vec<Point> {
    let step = f64::from(kind.calls_max) * 0.618_033_988;
    let begun =
        (1..=kind.calls_max).map(|count| (f64::from(count) * step) % f64::from(kind.calls_max));
    let mut places: Vec<(u32, f64)> = (1..).zip(begun).collect();
    places.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut by_turn: Vec<(u32, u32)> = (1..).zip(&places).map(|(nth, it)| (it.0, nth)).collect();
    by_turn.sort_unstable();
    let point = |(_, nth): (u32, u32)| Point {
        scene,
        call: kind.call,
        nth,
        what,
    };
    by_turn.into_iter().map(point).collect()
}

/// One of each, then one more of each, until all are out.
fn by_turns(series: Vec<Vec<Point>>) -> Vec<Point> {
    let longest = series.iter().map(Vec::len).max().unwrap_or(0);
    let turn = |turn: usize| {
        let of_each = series.iter();
        of_each.filter_map(move |points| points.get(turn).copied())
    };
    (0..longest).flat_map(turn).collect()
}

/// The list of the specification. Errors of `mmap` and `madvise` are left out: strace cannot tell
/// the memory of the process from the maps of files; those of `sendto`, too: the broker's only one
/// is the pipe by which a signal handler wakes it, where these errors do not occur. The network's
/// errors are those that a socket can have.
pub(super) const KINDS: [Kind; 23] = [
    kind("pwritev", 48, &["EIO", "ENOSPC", "EINTR"]),
    kind("fdatasync", 96, &["EIO", "ENOSPC", "EINTR"]),
    kind("fsync", 40, &["EIO", "ENOSPC", "EINTR"]),
    kind("openat", 140, &["EIO", "ENOSPC", "EMFILE", "EINTR"]),
    kind("rename", 32, &["EIO", "ENOSPC"]),
    kind("unlink", 12, &["EIO"]),
    kind("ftruncate", 6, &["EIO", "EINTR"]),
    kind("pread64", 48, &["EIO", "EINTR"]),
    kind("fadvise64", 20, &["EIO"]),
    kind("unlinkat", 4, &["EIO"]),
    kind("rmdir", 6, &["EIO"]),
    kind("accept4", 6, &["EMFILE", "EINTR"]),
    kind("epoll_wait", 96, &["EINTR"]),
    kind("writev", 48, &["EINTR", "EIO"]),
    kind("sendto", 4, &[]),
    kind("mmap", 40, &[]),
    kind("madvise", 10, &[]),
    kind("pwrite64", 4, &["EIO", "ENOSPC", "EINTR"]),
    kind("pwritev2", 4, &["EIO", "ENOSPC", "EINTR"]),
    kind("renameat", 4, &["EIO", "ENOSPC"]),
    kind("renameat2", 4, &["EIO", "ENOSPC"]),
    kind("preadv", 4, &["EIO", "EINTR"]),
    kind("sendfile", 4, &["EINTR", "EIO"]),
];

const fn kind(call: &'static str, calls_max: u32, errors: &'static [&'static str]) -> Kind {
    Kind {
        call,
        calls_max,
        errors,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_call_of_every_kind_is_a_point_once() {
        let all = all();
        let names: BTreeSet<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), all.len());
        let per_kind = |kind: &Kind| 2 * kind.calls_max as usize * (1 + kind.errors.len());
        assert_eq!(all.len(), KINDS.iter().map(per_kind).sum::<usize>());
    }

    #[test]
    fn the_first_points_are_a_sample_of_all() {
        let first = &all()[..3 * KINDS.len()];
        let kills = first.iter().filter(|point| point.what == What::Kill);
        let calls: BTreeSet<&str> = kills.clone().map(|point| point.call).collect();
        assert_eq!((kills.count(), calls.len()), (2 * KINDS.len(), KINDS.len()));
        let nth = |point: &Point| (point.call == "pwritev").then_some(point.nth);
        let mut writes: Vec<u32> = all().iter().filter_map(nth).take(40).collect();
        writes.sort_unstable();
        assert!(writes[0] < 10 && writes[39] > 36, "{writes:?}");
    }
}
