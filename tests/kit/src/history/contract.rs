//! What may be lost: the contract, by the topic's switch, the producer's `acks` and the fault.
//!
//! Invariants
//! - A kill takes nothing that was acknowledged or read. A power cut takes from an `fsync` topic
//!   only what was neither acknowledged by all nor read.
//! - A power cut takes from a `page-cache` topic only what is newer than its last background sync,
//!   and nothing below an offset that a group has committed.
//! - Where a fault and an operation overlap, either may have come first.

use super::Limits;
use super::index::Sent;
use super::index::Version;
use super::types::Durability;
use super::types::Fault;
use super::types::FaultKind;
use super::types::History;
use super::types::Outcome;
use super::types::Role;
use super::types::Step;

/// The contract, over the faults of a history.
pub(super) struct Contract<'a> {
    history: &'a History,
    cuts: Vec<Cut>,
    /// By partition.
    pins: Vec<Vec<Pin>>,
    window_us: u64,
}

/// A power cut.
struct Cut {
    fault: Fault,
}

/// An acknowledged commit: what was there below its offset when it was asked for is synced.
struct Pin {
    start_us: u64,
    end_us: u64,
    offset: u64,
}

impl<'a> Contract<'a> {
    pub(super) fn of(history: &'a History, limits: &Limits) -> Self {
        let cut = |fault: &Fault| Cut { fault: *fault };
        let mut cuts: Vec<Cut> = history
            .faults
            .iter()
            .filter(|fault| fault.kind == FaultKind::PowerCut)
            .map(cut)
            .collect();
        cuts.sort_by_key(|cut| cut.fault.start_us);
        let mut pins: Vec<Vec<Pin>> = history.partitions.iter().map(|_| Vec::new()).collect();
        let acked = history
            .operations
            .iter()
            .filter(|it| it.result == Outcome::Ok);
        for operation in acked {
            for step in &operation.steps {
                if let Step::Commit {
                    partition, offset, ..
                } = *step
                {
                    pins[partition as usize].push(Pin {
                        start_us: operation.start_us,
                        end_us: operation.end_us,
                        offset,
                    });
                }
            }
        }
        Self {
            history,
            cuts,
            pins,
            window_us: limits.page_cache_window_us,
        }
    }

    /// Whether some power cut may have taken a version.
    pub(super) fn may_vanish(
        &self,
        place: (u32, u64),
        version: &Version,
        sent: Option<&Sent>,
    ) -> bool {
        let mut cuts = self.cuts.iter();
        cuts.any(|cut| self.takes(cut, place, version, sent))
    }

    /// Whether some power cut may have taken a version and made room for another.
    pub(super) fn may_replace(
        &self,
        place: (u32, u64),
        (version, sent): (&Version, Option<&Sent>),
        by: &Version,
    ) -> bool {
        let mut cuts = self
            .cuts
            .iter()
            .filter(|cut| by.first_us >= cut.fault.start_us);
        cuts.any(|cut| self.takes(cut, place, version, sent))
    }

    /// How many power cuts surely lay before a moment.
    pub(super) fn cuts_before(&self, moment_us: u64) -> usize {
        self.cuts
            .partition_point(|cut| cut.fault.end_us < moment_us)
    }

    /// How many power cuts may have lain before a moment.
    pub(super) fn cuts_begun(&self, moment_us: u64) -> usize {
        self.cuts
            .partition_point(|cut| cut.fault.start_us <= moment_us)
    }

    /// Whether the broker was disturbed while a send waited, so that its producer sent it again.
    pub(super) fn was_disturbed(&self, sent: &Sent) -> bool {
        let operation = &self.history.operations[sent.operation as usize];
        let mut faults = self.history.faults.iter();
        faults.any(|it| it.end_us >= operation.start_us && it.start_us <= operation.end_us)
    }

    pub(super) fn role(&self, sent: &Sent) -> Role {
        let operation = &self.history.operations[sent.operation as usize];
        self.history.processes[operation.process as usize].role
    }

    pub(super) fn durability(&self, partition: u32) -> Durability {
        self.history.partitions[partition as usize].durability
    }

    fn takes(
        &self,
        cut: &Cut,
        (partition, offset): (u32, u64),
        version: &Version,
        sent: Option<&Sent>,
    ) -> bool {
        if version.last_us > cut.fault.end_us {
            return false;
        }
        match self.durability(partition) {
            Durability::PageCache => {
                // A commit above the end, of what an older cut took, pins nothing that came later.
                let is_pinned = self.pins[partition as usize].iter().any(|pin| {
                    pin.offset > offset
                        && pin.start_us >= version.first_us
                        && pin.end_us <= cut.fault.start_us
                });
                !is_pinned && version.first_us.saturating_add(self.window_us) >= cut.fault.start_us
            }
            Durability::Fsync => {
                let is_promised = |sent| matches!(self.role(sent), Role::Idempotent | Role::All);
                !version.is_read && !sent.is_none_or(is_promised)
            }
        }
    }
}
