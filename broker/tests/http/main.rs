//! HTTP: health, metrics, and limits, over real connections.

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
mod documented;
mod format;
mod get;
mod health;
#[expect(
    dead_code,
    reason = "shared with the tests of the service, which need more"
)]
#[path = "../service/kit.rs"]
mod kit;
#[expect(dead_code, reason = "shared with the tests of groups, which need more")]
#[path = "../groups/member.rs"]
mod member;
mod metrics;
mod native;
