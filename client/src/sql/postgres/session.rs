//! A connection to PostgreSQL with its prepared statements.
//!
//! Floor 1 of client.

use std::borrow::Cow;
use std::collections::HashMap;

use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::sql::error::SqlError;

pub(super) struct Session {
    pub(super) client: Client,
    statements: HashMap<Cow<'static, str>, Statement>,
}

impl Session {
    pub(super) async fn connect(config: &Config) -> Result<Self, SqlError> {
        let (client, connection) = config
            .connect(NoTls)
            .await
            .map_err(|error| super::error::of_connecting(&error))?;
        // Ends with the client.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL broke");
            }
        });
        Ok(Self {
            client,
            statements: HashMap::new(),
        })
    }

    /// A statement, prepared once.
    pub(super) async fn prepared(
        &mut self,
        text: Cow<'static, str>,
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(known) = self.statements.get(&text) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(&text).await?;
        // Texts are few, unless somebody builds values into them.
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(text, statement.clone());
        Ok(statement)
    }

    /// Prepares a statement anew at its next use: it failed, and what it was prepared for, such as
    /// the type of a column, may have changed since.
    pub(super) fn forget(&mut self, text: &str) {
        self.statements.remove(text);
    }
}

const STATEMENTS_MAX: usize = 128;
