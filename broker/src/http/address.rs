//! A listener of HTTP as it is written: `HOST:PORT[,protocol=PLAINTEXT|SSL]`.
//!
//! Floor 5 of broker, behind the feature `http`.
//!
//! Invariants
//! - What is printed is read back as the same listener.

use std::fmt;
use std::str::FromStr;

use highwater_proto::security::SecurityProtocol;

use crate::error::InvalidConfig;
use crate::sockets::Address;

/// Where health and metrics are served.
///
/// ```
/// use highwater_broker::HttpListener;
///
/// let listener: HttpListener = "0.0.0.0:9292,protocol=SSL".parse()?;
/// assert_eq!(listener.bind.port, 9292);
/// assert!(listener.is_encrypted);
/// # Ok::<(), highwater_broker::error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpListener {
    /// Where to listen. Port 0 asks the system for a free one.
    pub bind: Address,
    /// Whether it is HTTPS, with the certificate of the Kafka listeners.
    pub is_encrypted: bool,
}

/// Plain HTTP.
impl From<Address> for HttpListener {
    fn from(bind: Address) -> Self {
        Self {
            bind,
            is_encrypted: false,
        }
    }
}

impl FromStr for HttpListener {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        parse(text.trim()).map_err(|why| InvalidConfig::new("listeners", why))
    }
}

fn parse(text: &str) -> Result<HttpListener, String> {
    let (bind, protocol) = match text.split_once(',') {
        None => (text, SecurityProtocol::Plaintext),
        Some((bind, rest)) => {
            let protocol = rest.strip_prefix("protocol=");
            let protocol = protocol.and_then(|text| text.parse::<SecurityProtocol>().ok());
            let protocol = protocol.filter(|protocol| !protocol.has_sasl());
            let wrong = || format!("{rest:?} is neither protocol=PLAINTEXT nor protocol=SSL");
            (bind, protocol.ok_or_else(wrong)?)
        }
    };
    Ok(HttpListener {
        bind: Address::parse(bind)?,
        is_encrypted: protocol.is_encrypted(),
    })
}

impl fmt::Display for HttpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.is_encrypted {
            ",protocol=SSL"
        } else {
            ""
        };
        write!(f, "{}{protocol}", self.bind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_read_back_and_nonsense_is_refused() {
        for text in ["127.0.0.1:9292", "[::1]:0,protocol=SSL"] {
            assert_eq!(text.parse::<HttpListener>().unwrap().to_string(), text);
        }
        let plain: HttpListener = "a:1,protocol=plaintext".parse().unwrap();
        assert!(!plain.is_encrypted);
        for text in [
            "",
            "9292",
            "a:1,protocol=SASL_SSL",
            "a:1,tls",
            "a:1,protocol=SSL,x",
        ] {
            assert!(text.parse::<HttpListener>().is_err(), "{text}");
        }
    }
}
