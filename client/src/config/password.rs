//! A password among the settings.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - It is printed nowhere: not by `Debug`, and not among the properties of a config.

use std::fmt;

use super::table::Value;

/// A password.
///
/// ```
/// use highwater_client::{ClientConfig, Password};
///
/// let config = ClientConfig::new().sasl_password("secret");
/// assert_eq!(config.sasl_password, Some(Password::from("secret")));
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password itself, for whoever has to use it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Password {
    fn from(password: T) -> Self {
        Self(password.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Value for Password {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    /// As Kafka prints it: what is shown of a config may end up in a log.
    fn print(&self) -> Option<String> {
        Some(HIDDEN.to_owned())
    }
}

const HIDDEN: &str = "[hidden]";
