//! What an append gives back: where the events are, and what a reader has to have seen to see them.
//!
//! Floor 6 of client.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// Events that are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "its token is what a view waits for"]
pub struct Appended {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The revision of each event in its stream, in order.
    pub revisions: Vec<u64>,
    /// The revision of the last event.
    pub revision: u64,
    /// The offset of the last event.
    pub offset: i64,
    /// Whether an earlier try had stored them.
    pub is_duplicate: bool,
    /// The time that the log stamped them with, in milliseconds; `None` for a duplicate, and where
    /// the topic keeps the client's.
    pub log_append_time_ms: Option<i64>,
}

impl Appended {
    /// What a view has to have seen, so that it shows these events.
    #[must_use]
    pub fn token(&self) -> Token {
        Token::new(&self.topic, self.partition, self.offset)
    }
}

/// How far a reader has to be: for each partition of each topic the last offset that it has to have
/// seen. As text it goes through a cookie or a header.
///
/// ```
/// use highwater_client::events::Token;
///
/// let mut token: Token = "orders:0:41".parse()?;
/// token.merge(&"orders:3:7,orders:0:12".parse()?);
/// assert_eq!(token.to_string(), "orders:0:41,orders:3:7");
/// assert_eq!(token.offsets().count(), 2);
/// # Ok::<(), highwater_client::events::NoToken>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    offsets: BTreeMap<(String, i32), i64>,
}

impl Token {
    pub(crate) fn new(topic: &str, partition: i32, offset: i64) -> Self {
        Self {
            offsets: BTreeMap::from([((topic.to_owned(), partition), offset)]),
        }
    }

    /// Takes in what another one asks for.
    pub fn merge(&mut self, other: &Self) {
        for ((topic, partition), offset) in &other.offsets {
            let offsets = &mut self.offsets;
            let own = offsets
                .entry((topic.clone(), *partition))
                .or_insert(*offset);
            *own = (*own).max(*offset);
        }
    }

    /// Topic, partition and the offset that has to be seen.
    pub fn offsets(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        let offsets = self.offsets.iter();
        offsets.map(|((topic, partition), offset)| (topic.as_str(), *partition, *offset))
    }

    /// What it says of a partition.
    pub(super) fn offset(&self, topic: &str, partition: usize) -> Option<i64> {
        let partition = i32::try_from(partition).ok()?;
        self.offsets.get(&(topic.to_owned(), partition)).copied()
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (topic, partition, offset)) in self.offsets().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{topic}:{partition}:{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for Token {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let mut token = Self::default();
        for part in text
            .split(',')
            .filter(|part| !part.is_empty())
            .take(PARTS_MAX)
        {
            let read = || {
                let (topic, place) = part.split_once(':')?;
                let (partition, offset) = place.split_once(':')?;
                Some(Self::new(
                    topic,
                    partition.parse().ok()?,
                    offset.parse().ok()?,
                ))
            };
            token.merge(&read().ok_or_else(|| NoToken(part.to_owned()))?);
        }
        Ok(token)
    }
}

/// A text is no [`Token`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no topic:partition:offset")]
pub struct NoToken(String);

/// A text from outside is not believed to have more.
const PARTS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_asks_for_the_furthest_of_what_it_took_in() {
        let mut token = Token::default();
        assert!(token.is_empty());
        for (partition, offset) in [(0, 5), (1, 9), (0, 3), (1, 10)] {
            token.merge(&Token::new("t", partition, offset));
        }
        assert_eq!(token.to_string(), "t:0:5,t:1:10");
        assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["t", "t:1", "t:x:1", "t:1:", "t:1:2:3", ":,:"] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
        assert_eq!("".parse(), Ok(Token::default()));
    }
}
