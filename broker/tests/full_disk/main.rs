//! A disk without room, a directory with a limit, and what a disk of flash is spared: the broker
//! and its shard on disks of a few megabytes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

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
mod limit;
#[expect(dead_code, reason = "shared with the tests of groups, which need more")]
#[path = "../groups/member.rs"]
mod member;
mod model;
mod scenarios;
mod small;
mod starts;
mod wear;
