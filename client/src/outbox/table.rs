//! The table of an outbox, as SQL names it.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - A name that stands in a statement is letters, digits, `_` and at most one dot: nobody's text
//!   becomes SQL.

use super::error::OutboxError;

/// Which table is read, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// `outbox`, or `shop.outbox`.
    name: String,
    /// The column that orders the rows: whole numbers that ascend.
    order: String,
    /// The column that says when a row was written, if there is one.
    created: Option<String>,
    /// What the router needs of a row, in this order.
    columns: Vec<String>,
}

impl Table {
    pub(super) fn new(name: &str) -> Result<Self, OutboxError> {
        let parts = name.split('.').count();
        if parts > 2 || !name.split('.').all(is_identifier) {
            return Err(OutboxError::Invalid(format!(
                "{name:?} is no name of a table: letters, digits and _, with at most one schema \
                 before it, as in shop.outbox"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            order: "seq".to_owned(),
            created: Some("created_at".to_owned()),
            columns: Vec::new(),
        })
    }

    /// The same, ordered by another column.
    pub(super) fn ordered_by(mut self, column: &str) -> Result<Self, OutboxError> {
        self.order = column_name(column)?;
        Ok(self)
    }

    /// The same, of which these columns are read; `created` is the one that has the time.
    pub(super) fn reading(
        mut self,
        columns: &[String],
        created: Option<&str>,
    ) -> Result<Self, OutboxError> {
        let columns = columns.iter().map(|column| column_name(column));
        self.columns = columns.collect::<Result<_, _>>()?;
        self.created = created.map(column_name).transpose()?;
        Ok(self)
    }

    /// As it stands in statements.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The name without its schema, and the schema.
    pub(super) fn bare(&self) -> (&str, Option<&str>) {
        match self.name.split_once('.') {
            Some((schema, name)) => (name, Some(schema)),
            None => (&self.name, None),
        }
    }

    pub(super) fn order(&self) -> &str {
        &self.order
    }

    pub(super) fn created(&self) -> Option<&str> {
        self.created.as_deref()
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The columns for a `select`: quoted, since `partition` and `type` are words of SQL.
    pub(super) fn selected(&self) -> String {
        let columns = self.columns.iter();
        let columns: Vec<String> = columns.map(|column| format!("\"{column}\"")).collect();
        columns.join(", ")
    }

    /// Where relays keep how far they are.
    pub(super) fn progress(&self) -> String {
        format!("{}_progress", self.name)
    }

    /// Where rows are kept that could not be published.
    pub(super) fn parked(&self) -> String {
        format!("{}_parked", self.name)
    }

    /// Where SQLite keeps the id of the database.
    pub(super) fn system(&self) -> String {
        format!("{}_system", self.name)
    }
}

fn column_name(name: &str) -> Result<String, OutboxError> {
    match is_identifier(name) {
        true => Ok(name.to_owned()),
        false => Err(OutboxError::Invalid(format!(
            "{name:?} is no name of a column: letters, digits and _"
        ))),
    }
}

fn is_identifier(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = name.bytes().next().is_some_and(|it| !it.is_ascii_digit());
    starts_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_allowed)
}

/// PostgreSQL cuts longer names; `_progress` comes behind a table's.
const NAME_BYTES_MAX: usize = 50;
