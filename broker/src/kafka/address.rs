//! A listener as it is written: `[NAME=]HOST:PORT[,advertise=HOST:PORT][,protocol=PROTOCOL]`.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - What is printed is read back as the same listener.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use highwater_proto::security::SecurityProtocol;

use crate::error::InvalidConfig;
use crate::sockets::Address;

/// Where clients of the Kafka wire connect, and what they are told about it.
///
/// ```
/// use highwater_broker::KafkaListener;
///
/// let listener: KafkaListener = "OUTSIDE=0.0.0.0:9092,advertise=broker.example:19092".parse()?;
/// assert_eq!(listener.name.as_deref(), Some("OUTSIDE"));
/// assert_eq!(listener.bind.port, 9092);
/// # Ok::<(), highwater_broker::error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaListener {
    /// Its name, for the log; none for the only one.
    pub name: Option<String>,
    /// Where to listen. Port 0 asks the system for a free one; `localhost` is both 127.0.0.1 and
    /// ::1.
    pub bind: Address,
    /// What clients are told, where that is another address than the one that they came by. Port 0
    /// stands for the real port of `bind`.
    pub advertise: Option<Address>,
    /// What protects its connections.
    pub protocol: SecurityProtocol,
}

impl KafkaListener {
    /// Whether it is at all addresses of this machine, and clients are told no certain one.
    pub(super) fn is_everywhere(&self) -> bool {
        let ip = self.bind.host.parse::<IpAddr>();
        self.advertise.is_none() && ip.is_ok_and(|ip| ip.is_unspecified())
    }
}

impl FromStr for KafkaListener {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        parse(text).map_err(|why| InvalidConfig::new("listeners", why))
    }
}

fn parse(text: &str) -> Result<KafkaListener, String> {
    let mut parts = text.trim().split(',');
    let first = parts.next().unwrap_or_default();
    let (name, bind) = match first.split_once('=') {
        Some((name, bind)) => (Some(listener_name(name)?), bind),
        None => (None, first),
    };
    let mut listener = KafkaListener {
        name,
        bind: Address::parse(bind)?,
        advertise: None,
        protocol: SecurityProtocol::Plaintext,
    };
    let mut has_protocol = false;
    for part in parts {
        match part.split_once('=') {
            Some(("advertise", text)) if listener.advertise.is_none() => {
                listener.advertise = Some(Address::parse(text)?);
            }
            Some(("protocol", text)) if !has_protocol => {
                has_protocol = true;
                let parsed = text.parse::<SecurityProtocol>();
                listener.protocol = parsed.map_err(|error| error.to_string())?;
            }
            _ => {
                return Err(format!(
                    "{part:?} is neither advertise=HOST:PORT nor protocol=PROTOCOL"
                ));
            }
        }
    }
    Ok(listener)
}

fn listener_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(is_plain) {
        return Err(format!(
            "{text:?} is no name of a listener: letters, digits, _ and -"
        ));
    }
    Ok(text.to_owned())
}

impl fmt::Display for KafkaListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        write!(f, "{}", self.bind)?;
        if let Some(address) = &self.advertise {
            write!(f, ",advertise={address}")?;
        }
        match self.protocol {
            SecurityProtocol::Plaintext => Ok(()),
            other => write!(f, ",protocol={other}"),
        }
    }
}

const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in [
            "127.0.0.1:9092",
            "OUTSIDE=0.0.0.0:9092,advertise=broker.example:19092",
            "[::1]:0",
            "in=localhost:1,advertise=[fe80::1]:0",
            "127.0.0.1:9093,protocol=SSL",
            "S=0.0.0.0:9093,advertise=broker.example:1,protocol=SASL_SSL",
        ] {
            assert_eq!(text.parse::<KafkaListener>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "9092",
            ":9092",
            "::1:9092",
            "host:99999",
            "host:1,advertize=host:2",
            "host:1,advertise=a:1,advertise=b:2",
            "host:1,protocol=TLS",
            "host:1,protocol=SSL,protocol=PLAINTEXT",
            "a b=host:1",
            "ho st:1",
        ] {
            assert!(text.parse::<KafkaListener>().is_err(), "{text}");
        }
    }
}
