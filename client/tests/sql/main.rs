//! The drivers of SQLite and PostgreSQL: what both do alike, and what each does in its own way.
//!
//! Without a PostgreSQL its half is skipped, loudly; with `REQUIRE_POSTGRES=1` that is a failure.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[macro_use]
mod words;

mod alike;
mod begun;
#[cfg(unix)]
mod postgres;
mod sqlite;

use self::words::{commit, number, number_now, refusal, round_trip, sql, with_table};
