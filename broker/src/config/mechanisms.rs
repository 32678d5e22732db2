//! The setting `sasl.enabled.mechanisms`: a list of names.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - Nothing stands in it twice, and it is not empty.

use highwater_proto::sasl::Mechanism;

use crate::config::setting::{Any, SettingValue};
use crate::config::value::ConfigType;

/// How clients may prove who they are, the best last.
///
/// ```
/// use highwater_broker::config::{BrokerConfig, Mechanisms};
/// use highwater_proto::sasl::Mechanism;
///
/// let mut config = BrokerConfig::default();
/// config.set("sasl.enabled.mechanisms", "SCRAM-SHA-512,PLAIN")?;
/// assert!(config.sasl_enabled_mechanisms.contains(Mechanism::Plain));
/// assert!(!config.sasl_enabled_mechanisms.contains(Mechanism::ScramSha256));
/// # Ok::<(), highwater_broker::error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanisms(Vec<Mechanism>);

impl Mechanisms {
    /// Both forms of SCRAM.
    #[must_use]
    pub fn scram() -> Self {
        Self(vec![Mechanism::ScramSha256, Mechanism::ScramSha512])
    }

    /// Whether this one may be used.
    #[must_use]
    pub fn contains(&self, mechanism: Mechanism) -> bool {
        self.0.contains(&mechanism)
    }

    /// All of them, in the order of the setting.
    pub fn iter(&self) -> impl Iterator<Item = Mechanism> {
        self.0.iter().copied()
    }
}

impl SettingValue for Mechanisms {
    type Allowed = Any;
    const KIND: ConfigType = ConfigType::List;

    fn parse(text: &str, _: &Any) -> Result<Self, String> {
        let mut mechanisms = Vec::new();
        for name in text.split(',').map(str::trim) {
            let mechanism: Mechanism = name.parse().map_err(|error| format!("{error}"))?;
            if mechanisms.contains(&mechanism) {
                return Err(format!("{mechanism} stands in it twice"));
            }
            mechanisms.push(mechanism);
        }
        Ok(Self(mechanisms))
    }

    fn print(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|mechanism| mechanism.name()).collect();
        names.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_nonsense_refused() {
        let read = |text: &str| Mechanisms::parse(text, &Any);
        let both = read("SCRAM-SHA-512, PLAIN").unwrap();
        assert_eq!(both.print(), "SCRAM-SHA-512,PLAIN");
        assert_eq!(read(&both.print()), Ok(both));
        for text in ["", ",", "PLAIN,", "GSSAPI", "PLAIN,PLAIN", "plain"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
