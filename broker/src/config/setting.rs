//! One broker setting: how its text is read into its field, and how it is written back.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - Reading back what was written gives the same value.

use std::ops::RangeInclusive;

use highwater_log::config::Verify;

use crate::config::broker::BrokerConfig;
use crate::config::value::{Check, ConfigType};

/// A row of the table of settings.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) kind: ConfigType,
    pub(super) documentation: &'static str,
    pub(super) read: fn(&BrokerConfig) -> String,
    pub(super) write: fn(&mut BrokerConfig, &str) -> Result<(), String>,
}

/// A type that a setting may have.
pub(super) trait SettingValue: Sized {
    type Allowed;
    const KIND: ConfigType;

    fn parse(text: &str, allowed: &Self::Allowed) -> Result<Self, String>;
    fn print(&self) -> String;
}

/// Nothing to choose from: every value of the type is allowed.
pub(super) struct Any;

impl SettingValue for bool {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::Bool;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        Check::Bool.check(text).map(|value| value == "true")
    }

    fn print(&self) -> String {
        self.to_string()
    }
}

impl SettingValue for String {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::String;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn print(&self) -> String {
        self.clone()
    }
}

macro_rules! whole_number {
    ($($type:ty: $kind:ident),*) => {$(
        impl SettingValue for $type {
            type Allowed = RangeInclusive<i64>;
            const KIND: ConfigType = ConfigType::$kind;

            fn parse(text: &str, allowed: &RangeInclusive<i64>) -> Result<Self, String> {
                let text = Check::Whole(*allowed.start(), *allowed.end()).check(text)?;
                text.parse().map_err(|_| format!("{text} is too large here"))
            }

            fn print(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole_number!(i16: Short, i32: Int, i64: Long, u64: Long, usize: Long);

impl SettingValue for Verify {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::String;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        match Check::OneOf(&["first", "always", "never"])
            .check(text)?
            .as_str()
        {
            "always" => Ok(Self::Always),
            "never" => Ok(Self::Never),
            _ => Ok(Self::First),
        }
    }

    fn print(&self) -> String {
        match self {
            Self::First => "first",
            Self::Always => "always",
            Self::Never => "never",
        }
        .to_owned()
    }
}

/// Declares the struct of all settings, its defaults, and the table that reads and writes them.
macro_rules! settings {
    (
        $(#[doc = $struct_doc:literal])*
        pub struct $config:ident;
        $(
            $(#[doc = $doc:literal])+
            $name:literal $field:ident: $type:ty = $default:expr, $allowed:expr;
        )*
    ) => {
        $(#[doc = $struct_doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $config {
            $($(#[doc = $doc])+ pub $field: $type,)*
            /// Values that replace the built-in defaults of topic configs.
            pub topic_defaults: TopicConfigs,
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $($field: $default,)* topic_defaults: TopicConfigs::default() }
            }
        }

        pub(super) static SETTINGS: &[Setting] = &[$(
            Setting {
                name: $name,
                kind: <$type as SettingValue>::KIND,
                documentation: concat!($($doc),+),
                read: |config| config.$field.print(),
                write: |config, text| {
                    config.$field = <$type as SettingValue>::parse(text, &$allowed)?;
                    Ok(())
                },
            },
        )*];
    };
}

pub(super) use settings;
