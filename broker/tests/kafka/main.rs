//! The broker as Kafka clients see it: real connections on the loopback interface, and the session
//! of an embedded client.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as the test itself does"
)]

mod addresses;
mod admin_broker_configs;
mod admin_cluster;
mod admin_configs;
mod admin_topics;
mod apis;
mod bad_input;
mod conditional;
mod conversation;
mod damage;
#[path = "../service/disk.rs"]
#[expect(dead_code, reason = "the tests of the service use the rest of it")]
mod disk;
mod fetch_sessions;
mod group_kit;
mod group_members;
mod group_offsets;
mod group_tools;
mod group_waits;
mod kit;
mod limits;
mod limits_documented;
mod local;
mod logs;
mod names;
mod order;
mod patience;
mod requests;
mod shutdown;
