//! Statements in transactions of sqlx: what they do as those of the other drivers, what is its own,
//! and an outbox that a service with sqlx fills.
//!
//! `cargo test -p highwater-client --features sqlx --test sqlx`. Without a PostgreSQL its half is
//! skipped, loudly; with `REQUIRE_POSTGRES=1` that is a failure.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[macro_use]
#[path = "../sql/words.rs"]
mod words;

#[path = "../sql/alike.rs"]
mod alike;
mod outbox;
mod pools;
#[cfg(unix)]
mod postgres;
mod sqlite;

use self::words::{commit, number, number_now, refusal, round_trip, sql, with_table};
