//! Crashes and failing disks: what was acknowledged is there, and nothing else is.
//!
//! Every test prints how much it tried. A failure names steps, operation, crash and seed; `SEED=n`
//! runs one seed again. By default each crash point gets every prefix of what was not synced, and
//! a few subsets; with `HW_CRASH_FULL=1` many, and the searches at random go on for longer.

mod corruption;
mod every_op;
mod recovery_crash;
mod regressions;
mod sabotage;
mod seeds;
mod sync_fails;
mod torn_tail;

/// Whether the long form was asked for.
fn is_full() -> bool {
    std::env::var_os("HW_CRASH_FULL").is_some()
}
