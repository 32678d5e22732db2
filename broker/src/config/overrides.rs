//! Checked values that replace the defaults of one table of configs.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - Only checked values of known names are kept, so that reading them back never fails.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use crate::config::value::Check;
use crate::error::InvalidConfig;

/// A table of configs.
pub trait Table {
    /// The name as the table has it, and what it accepts.
    fn find(name: &str) -> Option<(&'static str, Check)>;

    /// Whether the name is accepted and means nothing.
    fn is_ignored(name: &str) -> bool;

    /// What is said of a name that is not in the table.
    const UNKNOWN: &'static str;
}

/// Values that replace defaults, by name. Each value was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides<T> {
    values: BTreeMap<&'static str, String>,
    table: PhantomData<T>,
}

impl<T> Overrides<T> {
    /// Nothing is replaced.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            values: BTreeMap::new(),
            table: PhantomData,
        }
    }

    /// The value that was set.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether nothing is replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    /// The values as a metadata record holds them.
    #[must_use]
    pub fn to_stored(&self) -> BTreeMap<String, String> {
        self.iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

impl<T: Table> Overrides<T> {
    /// Sets a config. A name that is accepted and means nothing is not kept; then the answer is
    /// `false`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, InvalidConfig> {
        let Some((name, check)) = T::find(name) else {
            return Self::refuse_unknown(name).map(|()| false);
        };
        let value = check
            .check(value)
            .map_err(|why| InvalidConfig::new(name, why))?;
        self.values.insert(name, value);
        Ok(true)
    }

    /// Takes a config back to its default.
    pub fn remove(&mut self, name: &str) -> Result<(), InvalidConfig> {
        if T::find(name).is_none() {
            return Self::refuse_unknown(name);
        }
        self.values.remove(name);
        Ok(())
    }

    fn refuse_unknown(name: &str) -> Result<(), InvalidConfig> {
        if T::is_ignored(name) {
            return Ok(());
        }
        Err(InvalidConfig::new(name, T::UNKNOWN))
    }

    /// What a metadata record holds, or what in it is not possible here.
    pub fn read(stored: &BTreeMap<String, String>) -> Result<Self, InvalidConfig> {
        let mut overrides = Self::new();
        for (name, value) in stored {
            overrides.set(name, value)?;
        }
        Ok(overrides)
    }

    /// What a metadata record holds; what is not possible is left out.
    #[must_use]
    pub fn kept(stored: &BTreeMap<String, String>) -> Self {
        let mut overrides = Self::new();
        for (name, value) in stored {
            // A start refuses a record with such a value before it is applied.
            drop(overrides.set(name, value));
        }
        overrides
    }
}
