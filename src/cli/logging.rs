//! What the broker and the client log, as lines on the standard error.
//!
//! Floor 1 of cli.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{fmt, registry};

use crate::cli::failure::Failure;

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
    let filter = filter(given)
        .ok_or_else(|| Failure::Usage(format!("{place} {given:?} is no log level")))?;
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    registry().with(lines).with(filter).init();
    Ok(())
}

/// `LEVEL`, or `TARGET=LEVEL` with commas between. A bare word would be taken for a target.
fn filter(text: &str) -> Option<Targets> {
    let is_level = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    text.split(',').all(is_level).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for text in [
            "info",
            "WARN",
            "off",
            "highwater_broker=debug,info",
            "a=trace",
        ] {
            assert!(filter(text).is_some(), "{text}");
        }
        for text in ["loud", "info,loud", "a=loud"] {
            assert!(filter(text).is_none(), "{text}");
        }
    }
}
