//! How many files and sockets the process may have open at the same time.
//!
//! Floor 0 of cli.

/// Takes as many as this process may have: a program is usually started with a soft limit far below
/// the hard one, for the sake of old system calls that this one does not use. A broker needs one
/// for each connection and a few for each partition.
///
/// Answers the limit, `None` where there is none or where it cannot be known.
#[cfg(unix)]
pub(crate) fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where the hard limit is none, some systems refuse it: then the soft one stays.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// How many connections leave room for the files: four of five.
pub(crate) fn connections_max(limit: u64) -> usize {
    usize::try_from(limit / 5 * 4).unwrap_or(usize::MAX).max(1)
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(crate) fn raise_limit() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_a_fifth_of_the_files() {
        assert_eq!(connections_max(1_000), 800);
        assert_eq!(connections_max(0), 1, "somebody can connect");
        assert!(connections_max(u64::MAX) as u64 <= u64::MAX / 5 * 4);
    }
}
