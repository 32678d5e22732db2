//! The parts, in the order of the scorecard.

pub mod broker_seeds;
pub mod core_seeds;
pub mod corruption;
pub mod exhaustive;
pub mod key_seeds;
pub mod kills;
pub mod nth_fault;
pub mod offsets_week;
pub mod power_cuts;
pub mod process;
pub mod sabotage;
pub mod stream_seeds;
pub mod syscalls;

use crate::part::Part;

/// All of them.
#[must_use]
pub fn all() -> Vec<Part> {
    vec![
        exhaustive::PART,
        nth_fault::PART,
        core_seeds::PART,
        key_seeds::PART,
        broker_seeds::PART,
        stream_seeds::PART,
        sabotage::PART,
        kills::PART,
        power_cuts::PART,
        syscalls::PART,
        corruption::PART,
        process::PART,
        // The last: what time all others leave is its own, for a week cannot be cut short.
        offsets_week::PART,
    ]
}
