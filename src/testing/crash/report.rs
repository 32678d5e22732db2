//! What came of crashing everywhere.

use std::fmt;
use std::time::Duration;

use highwater_broker::error::BrokerError;
use highwater_client::ClientError;
use highwater_client::sql::{SqlError, SqlRow, SqlValue};
use thiserror::Error;

/// What came of crashing everywhere; from [`CrashTest::run`](super::CrashTest::run).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "whether a crash can be told is what was asked"]
pub struct CrashReport {
    /// The points at which there was a crash.
    pub points: Vec<String>,
    /// The crashes that can be told from what the database has in the end.
    pub differences: Vec<CrashDifference>,
}

/// A crash that can be told from what the database has in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashDifference {
    /// Where the crash was.
    pub point: String,
    /// The query whose rows differ.
    pub query: String,
    /// Its rows without a crash.
    pub expected: Vec<String>,
    /// Its rows after the crash and the second start.
    pub found: Vec<String>,
}

/// A run did not come to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CrashError {
    /// No query was given.
    #[error("nothing is compared: say with `compare` which rows have to be the same")]
    NothingToCompare,
    /// The database refused.
    #[error(transparent)]
    Database(#[from] SqlError),
    /// The broker refused.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The test's own client failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The application ended too early.
    #[error("the application ended before everything was handled ({at}): {how}")]
    Ended {
        /// Where it has crashed before.
        at: String,
        /// What it answered.
        how: String,
    },
    /// The application did not come to its end.
    #[error("after {} s not everything is handled ({at}): {left}", .limit.as_secs())]
    TooLong {
        /// Where it has crashed before.
        at: String,
        /// How long it was waited for.
        limit: Duration,
        /// The partitions that are not committed.
        left: String,
    },
}

impl CrashReport {
    /// Fails the test if a crash can be told.
    ///
    /// # Panics
    /// If one can; with the point, the query and both of its answers.
    pub fn expect_same(&self) {
        assert!(self.differences.is_empty(), "{self}");
    }

    pub(super) fn compare(
        &mut self,
        point: String,
        queries: &[String],
        expected: &[Vec<String>],
        found: &[Vec<String>],
    ) {
        for ((query, expected), found) in queries.iter().zip(expected).zip(found) {
            if expected != found {
                self.differences.push(CrashDifference {
                    point: point.clone(),
                    query: query.clone(),
                    expected: expected.clone(),
                    found: found.clone(),
                });
            }
        }
        self.points.push(point);
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (all, bad) = (self.points.len(), self.differences.len());
        write!(f, "{bad} differences after {all} crashes")?;
        for difference in &self.differences {
            write!(f, "\n{difference}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CrashDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "after a crash {}: `{}` gives [{}] instead of [{}]",
            self.point,
            self.query,
            self.found.join(", "),
            self.expected.join(", ")
        )
    }
}

/// A row as people read it.
pub(super) fn shown(row: &SqlRow) -> String {
    let value = |value: &SqlValue| match value {
        SqlValue::Null => "null".to_owned(),
        SqlValue::Integer(value) => value.to_string(),
        SqlValue::Text(value) => format!("{value:?}"),
        SqlValue::Bytes(value) => format!("{value:02x?}"),
    };
    let values: Vec<String> = row.0.iter().map(value).collect();
    match &values[..] {
        [one] => one.clone(),
        _ => format!("({})", values.join(", ")),
    }
}
