//! Parts of the cluster, as they are written: a topic, or some of its partitions.
//!
//! Floor 0 of cli.

use std::str::FromStr;

/// A topic, all of it or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) topic: String,
    /// `None` for all.
    pub(crate) partitions: Option<Vec<i32>>,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (topic, partitions) = match text.split_once(':') {
            None => (text, None),
            Some((topic, numbers)) => {
                let number = |text: &str| text.parse().ok().filter(|number: &i32| *number >= 0);
                let numbers = numbers.split(',').map(number).collect();
                (topic, Some(numbers))
            }
        };
        match partitions {
            None if !topic.is_empty() => Ok(Self {
                topic: topic.to_owned(),
                partitions: None,
            }),
            Some(Some(partitions)) if !topic.is_empty() => Ok(Self {
                topic: topic.to_owned(),
                partitions: Some(partitions),
            }),
            _ => Err("it is TOPIC, TOPIC:0 or TOPIC:0,1,2".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_partitions_or_all() {
        let part = |topic: &str, partitions: Option<&[i32]>| {
            Ok(Part {
                topic: topic.to_owned(),
                partitions: partitions.map(<[i32]>::to_vec),
            })
        };
        assert_eq!("t".parse(), part("t", None));
        assert_eq!("a.b:3".parse(), part("a.b", Some(&[3])));
        assert_eq!("t:0,12".parse(), part("t", Some(&[0, 12])));
        for text in ["", ":", ":1", "t:", "t:x", "t:-1", "t:1,", "t:1:2", "t:1-3"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }
}
