//! What is counted for monitoring.
//!
//! Floor 1 of broker.

use crate::config::setting::{Any, SettingValue};
use crate::config::value::{Check, ConfigType};

/// What is counted for `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Nothing.
    Off,
    /// Everything.
    Info,
    /// Everything: Kafka's word, which its configuration files may have.
    Debug,
    /// Everything, too.
    Trace,
}

impl Recording {
    /// Whether anything is counted.
    pub(crate) const fn is_on(self) -> bool {
        !matches!(self, Self::Off)
    }
}

impl SettingValue for Recording {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::String;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        let check = Check::OneOf(&["OFF", "INFO", "DEBUG", "TRACE"]);
        match check.check(text)?.as_str() {
            "OFF" => Ok(Self::Off),
            "DEBUG" => Ok(Self::Debug),
            "TRACE" => Ok(Self::Trace),
            _ => Ok(Self::Info),
        }
    }

    fn print(&self) -> String {
        match self {
            Self::Off => "OFF",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
        .to_owned()
    }
}
