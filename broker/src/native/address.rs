//! A native listener as it is written: `HOST:PORT[,access=everybody]`.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - What is printed is read back as the same listener.

use std::fmt;
use std::str::FromStr;

use crate::error::InvalidConfig;
use crate::sockets::Address;

/// Where clients of the native protocol connect. They do not prove who they are.
///
/// ```
/// use highwater_broker::NativeListener;
///
/// let listener: NativeListener = "127.0.0.1:9192".parse()?;
/// assert_eq!(listener.bind.port, 9192);
/// assert!(!listener.is_for_everybody);
/// # Ok::<(), highwater_broker::error::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeListener {
    /// Where to listen. Port 0 asks the system for a free one; `localhost` is both 127.0.0.1 and
    /// ::1.
    pub bind: Address,
    /// `access=everybody`: it is known that whoever connects may read and write everything, also
    /// where clients of another listener have to prove who they are.
    pub is_for_everybody: bool,
}

impl FromStr for NativeListener {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        parse(text).map_err(|why| InvalidConfig::new(SETTING, why))
    }
}

fn parse(text: &str) -> Result<NativeListener, String> {
    let text = text.trim();
    let (bind, access) = match text.split_once(',') {
        Some((bind, access)) => (bind, Some(access)),
        None => (text, None),
    };
    let is_for_everybody = match access {
        None => false,
        Some(EVERYBODY) => true,
        Some(other) => return Err(format!("{other:?} is not {EVERYBODY}")),
    };
    Ok(NativeListener {
        bind: Address::parse(bind)?,
        is_for_everybody,
    })
}

impl fmt::Display for NativeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bind)?;
        if self.is_for_everybody {
            write!(f, ",{EVERYBODY}")?;
        }
        Ok(())
    }
}

/// What an error is told under.
pub(super) const SETTING: &str = "native";
const EVERYBODY: &str = "access=everybody";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["127.0.0.1:9192", "[::1]:0", "0.0.0.0:9192,access=everybody"] {
            assert_eq!(text.parse::<NativeListener>().unwrap().to_string(), text);
        }
        for text in ["", "9192", "a:1,access=nobody", "a:1,protocol=SSL", "a:1,"] {
            assert!(text.parse::<NativeListener>().is_err(), "{text}");
        }
    }
}
