//! What the broker and the client log, as lines on the standard error.
//!
//! Floor 1 of highwater.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use super::failure::Failure;

/// Starts it, once. The flag wins over RUST_LOG; without both a broker tells what an operator
/// must know, and other commands only what went wrong.
pub(crate) fn start(flag: Option<&str>, is_server: bool) -> Result<(), Failure> {
    let variable = std::env::var("RUST_LOG").ok();
    let default = if is_server { "info" } else { "error" };
    let (given, place) = match (flag, variable.as_deref()) {
        (Some(level), _) => (level, "--log-level"),
        (None, Some(level)) if !level.is_empty() => (level, "RUST_LOG"),
        _ => (default, ""),
    };
    let filter: Targets = given
        .parse()
        .map_err(|error| Failure::Usage(format!("{place} {given:?} is no log level: {error}")))?;
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    registry().with(lines).with(filter).init();
    Ok(())
}
