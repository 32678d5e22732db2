//! What a seed decides before anything happens: the broker's settings, the clients, which faults
//! there may be.
//!
//! Invariants
//! - Each seed leaves some kinds of faults out: one that happens always hides what it covers.

use highwater_broker::config::BrokerConfig;
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::{AfterFailedSync, Crash, Errno, Fault, Op, SimFs};

/// The options of a seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) config: BrokerConfig,
    pub(super) lives: usize,
    pub(super) producers: u32,
    pub(super) members: u32,
    pub(super) groups: u32,
    /// How many steps a client takes in a life.
    pub(super) steps: usize,
    pub(super) faults: bool,
    pub(super) deaths_inside: bool,
    pub(super) kills: bool,
    pub(super) power_cuts: bool,
    pub(super) clean_stops: bool,
    /// Clients give requests up, or fall silent for a while.
    pub(super) unreliable: bool,
    pub(super) topic_changes: bool,
}

impl Plan {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut config = BrokerConfig {
            auto_create_topics_enable: false,
            log_journal_bytes: rng.pick(&[0, 64 << 10, 256 << 10]),
            log_journal_batch_max_bytes: rng.pick(&[512, 4096, 64 << 10]),
            log_checkpoint_interval_ms: rng.pick(&[50, 1_000, 10_000]),
            log_retention_check_interval_ms: 10_000,
            metadata_snapshot_bytes: rng.pick(&[1024, 4096, 1 << 20]),
            offsets_topic_num_partitions: rng.pick(&[1, 2, 3]),
            offsets_topic_segment_bytes: rng.pick(&[64 << 10, 64 << 10, 1 << 20]),
            group_initial_rebalance_delay_ms: rng.pick(&[0, 0, 100]),
            fetch_parked_max: rng.pick(&[1, 20_000]),
            ..BrokerConfig::default()
        };
        config.fetch_verify = rng.pick(&[
            highwater_log::config::Verify::First,
            highwater_log::config::Verify::Always,
        ]);
        let crashes = rng.below(4);
        Self {
            config,
            lives: 3 + rng.below(3),
            producers: 1 + u32::try_from(rng.below(3)).expect("it is small"),
            members: 1 + u32::try_from(rng.below(3)).expect("it is small"),
            groups: 1 + u32::try_from(rng.below(2)).expect("it is small"),
            steps: rng.pick(&[6, 15, 30]),
            faults: rng.percent(40),
            deaths_inside: rng.percent(80),
            kills: crashes != 0,
            power_cuts: crashes != 1,
            clean_stops: rng.percent(60),
            unreliable: rng.percent(60),
            topic_changes: rng.percent(70),
        }
    }

    /// The options, for whoever reads a finding.
    pub(super) fn says(&self) -> String {
        let config = &self.config;
        format!(
            "{} lives of {} steps, {} producers, {} members of {} groups; faults {}, deaths inside \
             {}, kills {}, power cuts {}, clean stops {}, unreliable clients {}, topic changes {}; \
             log.journal.bytes {}, log.journal.batch.max.bytes {}, log.checkpoint.interval.ms {}, \
             snapshots at {} bytes, {} partitions of offsets with segments of {} bytes, \
             group.initial.rebalance.delay.ms {}, fetch.parked.max {}, fetch.verify {:?}",
            self.lives,
            self.steps,
            self.producers,
            self.members,
            self.groups,
            self.faults,
            self.deaths_inside,
            self.kills,
            self.power_cuts,
            self.clean_stops,
            self.unreliable,
            self.topic_changes,
            config.log_journal_bytes,
            config.log_journal_batch_max_bytes,
            config.log_checkpoint_interval_ms,
            config.metadata_snapshot_bytes,
            config.offsets_topic_num_partitions,
            config.offsets_topic_segment_bytes,
            config.group_initial_rebalance_delay_ms,
            config.fetch_parked_max,
            config.fetch_verify,
        )
    }

    /// How a life ends that did not end by itself.
    pub(super) fn ending(&self, disk: &SimFs, rng: &mut Rng) -> Ending {
        if self.clean_stops && rng.percent(20) && !disk.is_dead() && disk.fired() == 0 {
            return Ending::Clean;
        }
        if self.kills && (!self.power_cuts || rng.percent(30)) {
            return Ending::Crash(Crash::Killed);
        }
        Ending::Crash(match rng.below(5) {
            0 => Crash::Nothing,
            1 => Crash::Prefix(rng.below(disk.changes() + 1)),
            _ => rng.pick(&Crash::RANDOM),
        })
    }

    /// What is to happen to the disk in a life, if anything.
    pub(super) fn accident(&self, rng: &mut Rng) -> Option<Accident> {
        if self.faults && rng.percent(35) {
            return Some(Accident::Fault(fault(rng)));
        }
        if self.deaths_inside && rng.percent(75) {
            let at = match rng.below(4) {
                // During the start, or soon after it.
                0 => rng.below(60),
                _ => rng.below(self.steps * 40),
            };
            return Some(Accident::Death(at));
        }
        None
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Clean,
    Crash(Crash),
}

/// What happens to the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Accident {
    /// The process dies inside the operation with this number, from the start of the life on.
    Death(usize),
    Fault(Fault),
}

fn fault(rng: &mut Rng) -> Fault {
    let modes = [
        AfterFailedSync::CleanNew,
        AfterFailedSync::CleanOld,
        AfterFailedSync::Dirty,
    ];
    Fault {
        on: if rng.percent(50) {
            Op::Sync
        } else {
            rng.pick(&Op::ALL)
        },
        nth: 1 + u64::try_from(rng.below(60)).expect("it is small"),
        sticky: rng.percent(30),
        errno: rng.pick(&[Errno::Io, Errno::NoSpace]),
        after_sync: rng.pick(&modes),
    }
}
