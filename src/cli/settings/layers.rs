//! The places that settings come from, each read into the same form.
//!
//! Floor 3 of cli.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use highwater_broker::config::BrokerConfig;
use toml::Value;

use super::{ALLOW_UNAUTHENTICATED, DATA_DIR, HTTP, KAFKA, NATIVE, OWN, PROFILE, Profile};
use crate::cli::args::ServeArgs;
use crate::cli::failure::Failure;
use crate::cli::files;

/// What one place says.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) source: Source,
    /// Names with dots, and values.
    pub(super) values: Vec<(String, Value)>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// What `--dev` stands for.
    Dev,
    /// What `--test-mode` stands for.
    TestMode,
    /// A file of settings.
    File(PathBuf),
    /// A variable.
    Environment,
    /// A flag.
    Flag,
}

impl Source {
    /// Where a user finds what is wrong.
    pub(super) fn place(&self, name: &str) -> String {
        match self {
            Self::Environment => variable(name),
            _ => self.to_string(),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dev => f.write_str("--dev"),
            Self::TestMode => f.write_str("--test-mode"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

impl Layer {
    /// What `--dev` stands for, beside the temporary folder: groups do not wait for more members.
    pub(super) fn dev() -> Self {
        let delay = Some("group.initial.rebalance.delay.ms").filter(|name| is_known(name));
        let values = delay.map(|name| (name.to_owned(), Value::Integer(0)));
        Self {
            source: Source::Dev,
            values: values.into_iter().collect(),
        }
    }

    /// What `--test-mode` stands for, beside the memory: free ports for clients and for the control
    /// of the test, and groups do not wait for more members.
    pub(super) fn test_mode() -> Self {
        let free_port = || Value::String("127.0.0.1:0".to_owned());
        let Self { mut values, .. } = Self::dev();
        values.extend([KAFKA, HTTP].map(|name| (name.to_owned(), free_port())));
        Self {
            source: Source::TestMode,
            values,
        }
    }

    /// A TOML file.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        let text = files::read_text(path, FILE_BYTES_MAX)?;
        Self::parse(Source::File(path.to_owned()), &text)
            .map_err(|why| Failure::Usage(format!("{} is not TOML: {why}", path.display())))
    }

    /// A text of TOML: nested tables mean the same as names with dots.
    pub(super) fn parse(source: Source, text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            format!("line {line}: {}", error.message().replace('\n', ", "))
        })?;
        let mut values = Vec::new();
        flatten("", table, &mut values);
        Ok(Self { source, values })
    }

    /// The variables that name a setting; others are warned about.
    pub(super) fn environment(variables: BTreeMap<String, String>) -> Self {
        let known: BTreeMap<String, &str> = names()
            .into_iter()
            .map(|name| (variable(name), name))
            .collect();
        let mut values = Vec::new();
        for (variable, value) in variables {
            match known.get(&variable) {
                Some(name) => values.push(((*name).to_owned(), Value::String(value))),
                None if is_foreign(&variable) => {}
                None => tracing::warn!("the variable {variable} is no setting; it has no effect"),
            }
        }
        Self {
            source: Source::Environment,
            values,
        }
    }

    /// The command line: the flags with a name of their own go over `--set`.
    pub(super) fn flags(args: &ServeArgs) -> Result<Self, Failure> {
        let text = |(name, value): &(String, String)| (name.clone(), Value::String(value.clone()));
        let mut values: Vec<(String, Value)> = args.set.iter().map(text).collect();
        let mut push = |name: &str, value: Value| values.push((name.to_owned(), value));
        if let Some(dir) = &args.data_dir {
            let dir = dir.to_str().ok_or_else(|| {
                Failure::Usage(format!(
                    "the name of the folder {} is not UTF-8",
                    dir.display()
                ))
            })?;
            push(DATA_DIR, Value::String(dir.to_owned()));
        }
        if !args.kafka.is_empty() {
            let texts = args
                .kafka
                .iter()
                .map(|listener| Value::String(listener.to_string()));
            push(KAFKA, Value::Array(texts.collect()));
        }
        if let Some(address) = &args.http {
            push(HTTP, Value::String(address.to_string()));
        }
        if let Some(listener) = &args.native {
            push(NATIVE, Value::String(listener.to_string()));
        }
        if args.allow_unauthenticated {
            push(ALLOW_UNAUTHENTICATED, Value::Boolean(true));
        }
        if let Some(profile) = &args.profile {
            push(PROFILE, Value::String(profile.clone()));
        }
        Ok(Self {
            source: Source::Flag,
            values,
        })
    }

    /// The profile that this place names.
    pub(super) fn profile(&self) -> Option<Result<Profile, Failure>> {
        let (_, value) = self.values.iter().rev().find(|(name, _)| name == PROFILE)?;
        Some(Profile::parse(value.as_str().unwrap_or_default()))
    }
}

/// Every variable that may be ours.
pub(super) fn variables() -> BTreeMap<String, String> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os()
        .filter_map(text)
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// The file that a variable names.
pub(super) fn config_variable(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    variables
        .get(CONFIG_VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// Whether a setting has this name.
pub(super) fn is_known(name: &str) -> bool {
    names().contains(&name)
}

/// The setting that a mistyped name was probably meant to be.
pub(super) fn closest(name: &str) -> Option<&'static str> {
    let distance = |known: &&'static str| edits(name, known);
    let closest = names().into_iter().min_by_key(distance)?;
    (edits(name, closest) * 4 <= name.len()).then_some(closest)
}

fn names() -> Vec<&'static str> {
    let broker = BrokerConfig::default()
        .entries()
        .into_iter()
        .map(|entry| entry.name);
    OWN.into_iter().chain(broker).collect()
}

/// How many letters must be added, removed or replaced to make one text the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, have) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, want) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(have != want);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('.', "_"))
}

/// Variables of ours that are no setting of a broker, those of clients, and those that Kubernetes
/// sets for a service called "highwater".
fn is_foreign(variable: &str) -> bool {
    let rest = variable.strip_prefix(PREFIX).unwrap_or(variable);
    let beginnings = ["CLIENT_", "SERVICE_", "PORT"];
    variable == CONFIG_VARIABLE || beginnings.iter().any(|it| rest.starts_with(it))
}

fn flatten(prefix: &str, table: toml::Table, values: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() {
            key
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(table) => flatten(&name, table, values),
            value => values.push((name, value)),
        }
    }
}

const PREFIX: &str = "HIGHWATER_";
const CONFIG_VARIABLE: &str = "HIGHWATER_CONFIG";
/// A file of settings is much smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_settings_have_one_variable() {
        let mut variables: Vec<String> = names().into_iter().map(variable).collect();
        assert!(variables.contains(&"HIGHWATER_NUM_PARTITIONS".to_owned()));
        assert!(!variables.contains(&CONFIG_VARIABLE.to_owned()));
        let count = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), count);
    }

    #[test]
    fn tables_mean_the_same_as_dots() {
        let values = |text| {
            let mut values = Layer::parse(Source::Flag, text).unwrap().values;
            values.sort_by(|a, b| a.0.cmp(&b.0));
            values
        };
        let nested = "[log]\nretention.ms = 5\n[num]\npartitions = 2";
        assert_eq!(
            values(nested),
            values("\"num.partitions\" = 2\n\"log.retention.ms\" = 5")
        );
    }

    #[test]
    fn a_file_that_is_no_toml_names_the_line() {
        let why = Layer::parse(Source::Flag, "a = 1\nb = \n").unwrap_err();
        assert!(why.starts_with("line 2: "), "{why}");
    }

    #[test]
    fn only_our_variables_are_taken() {
        let pairs = [
            ("HIGHWATER_NUM_PARTITIONS", "3"),
            ("HIGHWATER_PORT", "tcp://10.0.0.1:9092"),
            ("HIGHWATER_SERVICE_HOST", "10.0.0.1"),
            ("HIGHWATER_NO_SUCH", "1"),
            ("HIGHWATER_CONFIG", "x.toml"),
        ];
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let layer = Layer::environment(variables.into_iter().collect());
        assert_eq!(
            layer.values,
            [("num.partitions".to_owned(), Value::String("3".to_owned()))]
        );
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("num.partition", "num.partitions"), 1);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
