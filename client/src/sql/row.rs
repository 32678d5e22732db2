//! A row that a statement gave.
//!
//! Floor 1 of client. Pure.

use super::error::SqlError;
use super::statement::SqlValue;

/// A row: its values in the order in which the statement names them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SqlRow(pub Vec<SqlValue>);

impl SqlRow {
    /// A whole number.
    ///
    /// # Errors
    /// `Row` if the column is missing, null or something else.
    pub fn integer(&self, column: usize) -> Result<i64, SqlError> {
        match self.0.get(column) {
            Some(SqlValue::Integer(value)) => Ok(*value),
            other => Err(unexpected(column, "a whole number", other)),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// As [`Self::integer`].
    pub fn text(&self, column: usize) -> Result<&str, SqlError> {
        match self.0.get(column) {
            Some(SqlValue::Text(value)) => Ok(value),
            other => Err(unexpected(column, "text", other)),
        }
    }

    /// The value of a column; null if there is none.
    #[must_use]
    pub fn value(&self, column: usize) -> &SqlValue {
        self.0.get(column).unwrap_or(&SqlValue::Null)
    }
}

fn unexpected(column: usize, wanted: &str, found: Option<&SqlValue>) -> SqlError {
    let found = match found {
        None => "nothing",
        Some(SqlValue::Null) => "null",
        Some(SqlValue::Integer(_)) => "a whole number",
        Some(SqlValue::Text(_)) => "text",
        Some(SqlValue::Bytes(_)) => "bytes",
    };
    SqlError::Row(format!("column {column} has {found} instead of {wanted}"))
}
