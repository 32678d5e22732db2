//! Consumer groups as an embedder sees them: members, offsets, timers, and what is left of them
//! after restarts, crashes and disk errors.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

mod crash;
mod deletion;
#[expect(
    dead_code,
    reason = "shared with the tests of the service, which need more"
)]
#[path = "../service/disk.rs"]
mod disk;
#[expect(
    dead_code,
    reason = "shared with the tests of the service, which need more"
)]
#[path = "../service/kit.rs"]
mod kit;
mod lag;
mod life;
mod member;
mod poison;
mod rewrite;
mod stalls;
mod timers;
mod topic;
