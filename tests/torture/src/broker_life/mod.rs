//! Lives of a whole broker on a simulated disk: clients that write, read, share partitions and
//! change topics; deaths inside of any operation of the disk, power cuts, failing calls; and after
//! each start everything that clients were told is compared with what is there.
//!
//! The broker runs by `Builder::simulate`, on one thread with a clock that is moved by hand: a seed
//! decides everything, and says the same each time. What only threads can do to each other is not
//! seen here; the models of loom and the runs with real processes look at that.
//!
//! Invariants
//! - One seed, one course of events: `Stats::digest` is the sum of them.
//! - A finding names its seed, what led to it, and the promise.

mod book;
mod check;
mod clients;
mod clock;
mod compare;
mod life;
mod model;
mod plan;
mod run;
mod scan;

pub use book::{Broken, Oracle, Stats};

/// Lives the lives of one seed.
///
/// # Errors
/// The first promise that was broken.
///
/// ```
/// use highwater_tests::broker_life::life;
///
/// let stats = life(1).expect("no promise is broken");
/// assert_eq!(life(1).expect("nor the second time").digest, stats.digest);
/// ```
pub fn life(seed: u64) -> Result<Stats, Broken> {
    run::Run::new(seed).live()
}
