//! Crashes and failing disks: what was acknowledged is there, and nothing else is.
//!
//! Every test prints how much it tried. A failure names steps, operation, crash and seed; `SEED=n`
//! runs one seed again. By default each crash point gets two images, other ones than the next
//! point; with `HW_CRASH_FULL=1` every prefix of what was not synced and many subsets, and the
//! searches at random go on for longer: for the optimised build (`--profile crash`).

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the whole crate is a test, its helpers too"
)]

mod corruption;
mod every_op;
mod lying_disk;
mod recovery_crash;
mod regressions;
mod repair;
mod sabotage;
mod seeds;
mod sync_fails;
mod torn_tail;

/// Whether the long form was asked for.
fn is_full() -> bool {
    std::env::var_os("HW_CRASH_FULL").is_some()
}
