//! A native listener as it is written: `HOST:PORT[,protocol=SSL][,access=everybody]`.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - What is printed is read back as the same listener.

use std::fmt;
use std::str::FromStr;

use crate::config::ClientAuth;
use crate::error::InvalidConfig;
use crate::sockets::Address;

/// Where clients of the native protocol connect. They do not prove who they are, but by
/// certificates.
///
/// ```
/// use highwater_broker::NativeListener;
///
/// let listener: NativeListener = "127.0.0.1:9192".parse()?;
/// assert_eq!(listener.bind.port, 9192);
/// assert!(!listener.is_encrypted && !listener.is_for_everybody);
/// # Ok::<(), highwater_broker::error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeListener {
    /// Where to listen. Port 0 asks the system for a free one; `localhost` is both 127.0.0.1 and
    /// ::1.
    pub bind: Address,
    /// `protocol=SSL`: whether its connections are encrypted, with the certificate of the Kafka
    /// listeners.
    pub is_encrypted: bool,
    /// `access=everybody`: it is known that whoever connects may read and write everything, also
    /// where clients of another listener have to prove who they are.
    pub is_for_everybody: bool,
}

impl NativeListener {
    /// Whether everybody may use it and nobody has said so: its clients show no certificates.
    pub(crate) fn is_unwitting(&self, client_auth: ClientAuth) -> bool {
        let shows_certificates = self.is_encrypted && client_auth == ClientAuth::Required;
        !(self.is_for_everybody || shows_certificates)
    }
}

impl FromStr for NativeListener {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        parse(text).map_err(|why| InvalidConfig::new(SETTING, why))
    }
}

fn parse(text: &str) -> Result<NativeListener, String> {
    let mut parts = text.trim().split(',');
    let mut listener = NativeListener {
        bind: Address::parse(parts.next().unwrap_or_default())?,
        is_encrypted: false,
        is_for_everybody: false,
    };
    for part in parts {
        match part {
            ENCRYPTED if !listener.is_encrypted => listener.is_encrypted = true,
            EVERYBODY if !listener.is_for_everybody => listener.is_for_everybody = true,
            _ => return Err(format!("{part:?} is neither {ENCRYPTED} nor {EVERYBODY}")),
        }
    }
    Ok(listener)
}

impl fmt::Display for NativeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bind)?;
        if self.is_encrypted {
            write!(f, ",{ENCRYPTED}")?;
        }
        if self.is_for_everybody {
            write!(f, ",{EVERYBODY}")?;
        }
        Ok(())
    }
}

/// What an error is told under.
pub(super) const SETTING: &str = "native";
const ENCRYPTED: &str = "protocol=SSL";
const EVERYBODY: &str = "access=everybody";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in [
            "127.0.0.1:9192",
            "[::1]:0",
            "0.0.0.0:9192,access=everybody",
            "0.0.0.0:9192,protocol=SSL",
            "0.0.0.0:9192,protocol=SSL,access=everybody",
        ] {
            assert_eq!(text.parse::<NativeListener>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "9192",
            "a:1,access=nobody",
            "a:1,protocol=SASL_SSL",
            "a:1,protocol=SSL,protocol=SSL",
            "a:1,",
        ] {
            assert!(text.parse::<NativeListener>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_required_certificates_or_a_word_are_enough_beside_passwords() {
        let open = |text: &str, client_auth| {
            let listener: NativeListener = text.parse().unwrap();
            listener.is_unwitting(client_auth)
        };
        let (none, required) = (ClientAuth::None, ClientAuth::Required);
        assert!(open("a:1", none) && open("a:1", required));
        assert!(open("a:1,protocol=SSL", none));
        assert!(open("a:1,protocol=SSL", ClientAuth::Requested));
        assert!(!open("a:1,protocol=SSL", required));
        assert!(!open("a:1,access=everybody", none));
    }
}
