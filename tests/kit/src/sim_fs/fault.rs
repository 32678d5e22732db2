//! Failures of single calls, chosen by kind and number.
//!
//! Invariants
//! - A fault counts the calls of its kind from the moment it is injected, from 1.
//! - A failed call may have happened in part: a write leaves a prefix of its bytes.

use std::io::{self, ErrorKind};

/// The calls of the seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named like the call")]
pub enum Op {
    CreateDir,
    Create,
    Open,
    Read,
    Write,
    SetLen,
    /// [`File::sync`](highwater_log::fs::File::sync), and the one in an open for recovery.
    Sync,
    SyncDir,
    Rename,
    Remove,
    List,
    Len,
    FreeBytes,
    Lock,
}

impl Op {
    /// Every call that can change the disk or fail.
    pub const ALL: [Self; 14] = [
        Self::CreateDir,
        Self::Create,
        Self::Open,
        Self::Read,
        Self::Write,
        Self::SetLen,
        Self::Sync,
        Self::SyncDir,
        Self::Rename,
        Self::Remove,
        Self::List,
        Self::Len,
        Self::FreeBytes,
        Self::Lock,
    ];

    /// Whether the call only looks: its failure leaves the disk as it was.
    #[must_use]
    pub const fn only_looks(self) -> bool {
        matches!(
            self,
            Self::Open | Self::Read | Self::List | Self::Len | Self::FreeBytes
        )
    }
}

/// What the disk, or the kernel, answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// EIO: the device failed.
    Io,
    /// ENOSPC: no space left.
    NoSpace,
    /// EDQUOT: the user's share is used up.
    Quota,
    /// EROFS: the file system was mounted anew, for reading only.
    ReadOnly,
    /// EMFILE: this process has too many files open.
    FilesOfProcess,
    /// ENFILE: the system has too many files open.
    FilesOfSystem,
    /// EINTR: a signal came. `OsFs` tries again by itself; a file system in user space may not.
    Interrupted,
    /// EACCES: somebody took the rights away.
    Denied,
}

impl Errno {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::Io,
        Self::NoSpace,
        Self::Quota,
        Self::ReadOnly,
        Self::FilesOfProcess,
        Self::FilesOfSystem,
        Self::Interrupted,
        Self::Denied,
    ];

    pub(super) fn error(self) -> io::Error {
        let simulated = |kind, name| io::Error::new(kind, format!("simulated {name}"));
        match self {
            Self::Io => io::Error::other("simulated EIO"),
            Self::NoSpace => simulated(ErrorKind::StorageFull, "ENOSPC"),
            Self::Quota => simulated(ErrorKind::QuotaExceeded, "EDQUOT"),
            Self::ReadOnly => simulated(ErrorKind::ReadOnlyFilesystem, "EROFS"),
            // They have no kind; the numbers are the same on every Unix.
            Self::FilesOfProcess => io::Error::from_raw_os_error(24),
            Self::FilesOfSystem => io::Error::from_raw_os_error(23),
            Self::Interrupted => simulated(ErrorKind::Interrupted, "EINTR"),
            Self::Denied => simulated(ErrorKind::PermissionDenied, "EACCES"),
        }
    }
}

/// What the page cache holds after a failed sync, as observed on Linux file systems. In every
/// case the next sync may answer success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterFailedSync {
    /// Pages count as clean and hold the new bytes, which never reach the disk (ext4, XFS).
    #[default]
    CleanNew,
    /// Pages count as clean and hold the old bytes again (Btrfs).
    CleanOld,
    /// Pages stay dirty: a later sync brings them to the disk.
    Dirty,
}

impl AfterFailedSync {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::CleanNew, Self::CleanOld, Self::Dirty];
}

/// Makes the `nth` call of one kind fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of call.
    pub on: Op,
    /// Which one fails, from 1.
    pub nth: u64,
    /// Whether all later ones fail, too.
    pub sticky: bool,
    /// What it answers.
    pub errno: Errno,
    /// What a failed sync leaves behind.
    pub after_sync: AfterFailedSync,
}

/// A fault and how many calls it has seen.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    fault: Fault,
    seen: u64,
}

impl Armed {
    pub(super) const fn new(fault: Fault) -> Self {
        Self { fault, seen: 0 }
    }

    /// Counts a call; the fault, if the call is to fail.
    pub(super) fn check(&mut self, op: Op) -> Option<Fault> {
        if op != self.fault.on {
            return None;
        }
        self.seen += 1;
        let hit = self.seen == self.fault.nth || (self.fault.sticky && self.seen > self.fault.nth);
        hit.then_some(self.fault)
    }
}
