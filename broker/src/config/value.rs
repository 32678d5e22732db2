//! How one config's text is read: its type, what is allowed, and how it is described.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - A text that `Check::check` accepts is read by every later use without an error.

use std::fmt;

/// The type of a config, as DescribeConfigs tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Bool,
    /// A text.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 16 bits.
    Short,
    /// A whole number of 64 bits.
    Long,
    /// A number.
    Double,
    /// Texts with commas between.
    List,
}

/// Where the value of a config comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on the broker while it runs.
    DynamicBroker,
    /// Set on every broker while they run.
    DynamicDefault,
    /// Set at the start of the broker.
    StaticBroker,
    /// Built in.
    Default,
}

/// One config with its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: &'static str,
    /// Its effective value.
    pub value: String,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Its type.
    pub kind: ConfigType,
    /// Whether it can only be set at the start.
    pub read_only: bool,
    /// Every place that gives it a value, the effective one first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it means, in a sentence.
    pub documentation: &'static str,
}

/// A place that gives a config a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name there.
    pub name: &'static str,
    /// The value there.
    pub value: String,
    /// The place.
    pub source: ConfigSource,
}

/// What a config accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// `true` or `false`.
    Bool,
    /// `false`, because the other value asks for something that one node cannot do.
    OnlyFalse(&'static str),
    /// A whole number within both bounds.
    Whole(i64, i64),
    /// A number within both bounds.
    Number(f64, f64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Some of these words, at least one, with commas between.
    SomeOf(&'static [&'static str]),
    /// Any list.
    AnyList,
}

impl Check {
    /// The text as it is kept, or a sentence that says what would be accepted.
    pub fn check(self, text: &str) -> Result<String, String> {
        let text = text.trim();
        if text.len() > VALUE_BYTES_MAX {
            return Err(format!("a value has at most {VALUE_BYTES_MAX} bytes"));
        }
        match self {
            Self::Bool => boolean(text).map(|value| value.to_string()),
            Self::OnlyFalse(why) => match boolean(text)? {
                false => Ok("false".to_owned()),
                true => Err(why.to_owned()),
            },
            Self::Whole(min, max) => match text.parse::<i64>() {
                Ok(value) if (min..=max).contains(&value) => Ok(value.to_string()),
                _ => Err(format!(
                    "{} is not a whole number from {min} to {max}",
                    Shown(text)
                )),
            },
            Self::Number(min, max) => match text.parse::<f64>() {
                Ok(value) if (min..=max).contains(&value) => Ok(text.to_owned()),
                _ => Err(format!(
                    "{} is not a number from {min} to {max}",
                    Shown(text)
                )),
            },
            Self::OneOf(words) if words.contains(&text) => Ok(text.to_owned()),
            Self::OneOf(words) => Err(format!(
                "{} is not one of {}",
                Shown(text),
                words.join(", ")
            )),
            Self::SomeOf(words) => some_of(text, words),
            Self::AnyList => Ok(list(text).join(",")),
        }
    }

    /// Whether the config is a list, which can be appended to.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self, Self::SomeOf(_) | Self::AnyList)
    }
}

/// The elements of a list config.
#[must_use]
pub fn list(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|element| !element.is_empty())
        .collect()
}

fn boolean(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err(format!("{} is neither true nor false", Shown(text)))
    }
}

fn some_of(text: &str, words: &[&str]) -> Result<String, String> {
    let elements = list(text);
    if elements.is_empty() {
        return Err(format!(
            "the list is empty; it holds some of {}",
            words.join(", ")
        ));
    }
    match elements.iter().find(|element| !words.contains(element)) {
        None => Ok(elements.join(",")),
        Some(other) => Err(format!(
            "{} is not one of {}",
            Shown(other),
            words.join(", ")
        )),
    }
}

/// A foreign text in a message: escaped and short.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.0.chars().take(SHOWN_CHARS_MAX).collect();
        write!(f, "\"{}\"", short.escape_debug())
    }
}

const VALUE_BYTES_MAX: usize = 4096;
const SHOWN_CHARS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_accepts_and_refuses() {
        let cases: &[(Check, &str, Option<&str>)] = &[
            (Check::Bool, "TRUE", Some("true")),
            (Check::Bool, "yes", None),
            (Check::OnlyFalse("never"), "false", Some("false")),
            (Check::OnlyFalse("never"), "true", None),
            (Check::Whole(0, 9), " 9 ", Some("9")),
            (Check::Whole(0, 9), "10", None),
            (Check::Whole(0, 9), "1.5", None),
            (Check::Number(0.0, 1.0), "0.5", Some("0.5")),
            (Check::Number(0.0, 1.0), "NaN", None),
            (Check::OneOf(&["a", "b"]), "b", Some("b")),
            (Check::OneOf(&["a", "b"]), "B", None),
            (Check::SomeOf(&["a", "b"]), "a, b", Some("a,b")),
            (Check::SomeOf(&["a", "b"]), "", None),
            (Check::SomeOf(&["a", "b"]), "a,c", None),
            (Check::AnyList, "", Some("")),
        ];
        for (check, text, expected) in cases {
            assert_eq!(
                check.check(text).ok().as_deref(),
                *expected,
                "{check:?} of {text:?}"
            );
        }
    }

    #[test]
    fn a_foreign_text_is_escaped_in_the_message() {
        let why = Check::Bool.check("a\nb").unwrap_err();
        assert_eq!(why, "\"a\\nb\" is neither true nor false");
    }
}
