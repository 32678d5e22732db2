//! A statement and its values.
//!
//! Floor 1 of client. Pure.

use std::borrow::Cow;

#[cfg(any(
    feature = "rusqlite",
    feature = "tokio-postgres",
    feature = "sqlx-postgres",
    feature = "sqlx-sqlite"
))]
use super::error::SqlError;

/// A value that goes into a statement, or comes out of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// No value.
    Null,
    /// A whole number; in PostgreSQL of any width that holds it, and a truth value as 0 or 1.
    Integer(i64),
    /// Text. In PostgreSQL it fits every type that is written as text: `uuid`, `jsonb`, `xid8`;
    /// where nothing tells the type, it is `text`.
    Text(String),
    /// Bytes. In PostgreSQL they are `bytea`, and a statement casts them into anything else.
    Bytes(Vec<u8>),
}

/// A statement with its values: `$1`, `$2` in the text, in both dialects.
///
/// ```
/// use highwater_client::sql::SqlStatement;
///
/// let statement = SqlStatement::new("update t set n = $1 where id = $2").bind(7).bind("a");
/// assert_eq!(statement.binds.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SqlStatement {
    /// The text.
    pub text: Cow<'static, str>,
    /// The values of `$1`, `$2` and so on.
    pub binds: Vec<SqlValue>,
}

impl SqlStatement {
    /// A statement without values.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            text: text.into(),
            binds: Vec::new(),
        }
    }

    /// Gives the next `$n` its value.
    #[must_use]
    pub fn bind(mut self, value: impl Into<SqlValue>) -> Self {
        self.binds.push(value.into());
        self
    }

    /// Whether a statement with so many parameters has as many values.
    #[cfg(any(
        feature = "rusqlite",
        feature = "tokio-postgres",
        feature = "sqlx-postgres",
        feature = "sqlx-sqlite"
    ))]
    pub(super) fn fits(parameters: usize, values: usize) -> Result<(), SqlError> {
        if parameters == values {
            return Ok(());
        }
        Err(SqlError::Refused(format!(
            "the statement has {parameters} parameters and {values} values"
        )))
    }
}

impl From<i64> for SqlValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<i32> for SqlValue {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<&str> for SqlValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for SqlValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for SqlValue {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(value.to_vec())
    }
}

impl From<Vec<u8>> for SqlValue {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
