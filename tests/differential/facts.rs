//! An answer as facts: the path of each field and its value, with what cannot be equal masked.
//!
//! Invariants
//! - The facts are those of the answer's `Debug` text, one for each leaf: no field is forgotten
//!   when a message grows.
//! - A masked id becomes the order of its first appearance on its side, so that two equal ids stay
//!   equal and two different ones stay different.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

/// Paths and values of one answer.
pub(crate) type Facts = BTreeMap<String, String>;

/// What has been masked on one side so far.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    seen: HashMap<&'static str, HashMap<String, usize>>,
}

impl Masks {
    /// The facts of an answer.
    pub(crate) fn facts(&mut self, answer: &impl Debug) -> Facts {
        let text = format!("{answer:#?}");
        let leaves = leaves(&text);
        leaves
            .into_iter()
            .map(|(path, value)| {
                let masked = self.mask(&path, value);
                (path, masked)
            })
            .collect()
    }

    fn mask(&mut self, path: &str, value: String) -> String {
        let field = path
            .rsplit('.')
            .find(|part| !part.starts_with('['))
            .unwrap_or(path);
        match kind(path, field) {
            Kind::Compared => value,
            Kind::Ignored => "*".to_owned(),
            Kind::Presence if value == "None" => value,
            Kind::Presence => "a text".to_owned(),
            Kind::Id(_) if value.is_empty() || value == "-1" || is_nil(&value) => value,
            Kind::Id(family) => {
                let ids = self.seen.entry(family).or_default();
                let count = ids.len();
                let order = ids.entry(value).or_insert(count);
                format!("<{family} {order}>")
            }
        }
    }
}

enum Kind {
    Compared,
    /// Nothing is asked of it.
    Ignored,
    /// Only whether there is one.
    Presence,
    /// Which of the ids that were seen.
    Id(&'static str),
}

/// How a field is compared. Texts for people differ; addresses, times and ids must.
fn kind(path: &str, field: &str) -> Kind {
    match field {
        "throttle_time_ms" | "host" | "port" | "rack" | "client_host" | "log_dir" => Kind::Ignored,
        "log_append_time_ms" | "total_bytes" | "usable_bytes" | "size" | "documentation" => {
            Kind::Ignored
        }
        "error_message" => Kind::Presence,
        "cluster_id" => Kind::Id("cluster"),
        "topic_id" => Kind::Id("topic id"),
        "producer_id" => Kind::Id("producer"),
        "session_id" => Kind::Id("session"),
        "member_id" | "leader" if !path.contains("partition") => Kind::Id("member"),
        _ => Kind::Compared,
    }
}

fn is_nil(value: &str) -> bool {
    value
        .bytes()
        .all(|byte| matches!(byte, b'A' | b'0' | b'-' | b'"' | b'='))
        || value == "\"\""
}

/// Path and value of each leaf of a pretty `Debug` text.
fn leaves(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(|line| line.trim().trim_end_matches(','));
    while let Some(line) = lines.next() {
        Node::parse(line, &mut lines).leaves("", &mut found);
    }
    found
}

/// A value of a `Debug` text: a leaf, or names and values; the items of a list have no names.
enum Node {
    Leaf(String),
    Branch(Vec<(String, Self)>),
}

impl Node {
    /// The value that begins in this line.
    fn parse<'a>(line: &'a str, lines: &mut impl Iterator<Item = &'a str>) -> Self {
        if !line.ends_with(['{', '[', '(']) {
            return Self::Leaf(line.to_owned());
        }
        let is_some = line == "Some(";
        let mut children = Vec::new();
        while let Some(line) = lines.next() {
            if matches!(line, "}" | "]" | ")") {
                break;
            }
            let (name, value) = match line.split_once(": ") {
                Some((name, value)) if is_name(name) => (name, value),
                _ => ("", line),
            };
            children.push((name.to_owned(), Self::parse(value, lines)));
        }
        match children.pop() {
            Some((_, value)) if is_some => value,
            last => {
                children.extend(last);
                Self::Branch(children)
            }
        }
    }

    fn leaves(self, path: &str, found: &mut Vec<(String, String)>) {
        match self {
            Self::Leaf(value) => found.push((path.trim_start_matches('.').to_owned(), value)),
            Self::Branch(children) => {
                let names: Vec<Option<String>> =
                    children.iter().map(|(_, child)| child.own_name()).collect();
                for (index, (name, child)) in children.into_iter().enumerate() {
                    let own = names[index].as_ref();
                    let own =
                        own.filter(|own| names.iter().flatten().filter(|n| n == own).count() == 1);
                    let name = match own {
                        _ if !name.is_empty() => name,
                        Some(own) => format!("[{own}]"),
                        None => format!("[{index}]"),
                    };
                    child.leaves(&format!("{path}.{name}"), found);
                }
            }
        }
    }

    /// What an item of a list is called in it: nobody promises an order of topics or configs.
    fn own_name(&self) -> Option<String> {
        let Self::Branch(children) = self else {
            return None;
        };
        children.iter().find_map(|(name, child)| match child {
            Self::Leaf(value) if matches!(name.as_str(), "name" | "index") && value != "None" => {
                Some(value.trim_matches('"').to_owned())
            }
            _ => None,
        })
    }
}

fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Answer {
        error_code: i16,
        error_message: Option<&'static str>,
        topics: Vec<Topic>,
        empty: Vec<i32>,
    }

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Topic {
        name: &'static str,
        topic_id: &'static str,
        partitions: Vec<i32>,
    }

    #[test]
    fn every_leaf_is_a_fact_and_ids_are_counted() {
        let topic = |name, topic_id| Topic {
            name,
            topic_id,
            partitions: vec![7, 8],
        };
        let answer = Answer {
            error_code: 3,
            error_message: Some("whatever: it is"),
            topics: vec![topic("a", "x"), topic("b", "y"), topic("a", "x")],
            empty: Vec::new(),
        };
        let facts = Masks::default().facts(&answer);
        let value = |path: &str| facts[path].as_str();
        assert_eq!(value("error_code"), "3");
        assert_eq!(value("error_message"), "a text");
        assert_eq!(value("topics.[0].topic_id"), "<topic id 0>");
        assert_eq!(value("topics.[b].topic_id"), "<topic id 1>");
        assert_eq!(value("topics.[2].topic_id"), "<topic id 0>");
        assert_eq!(value("topics.[b].partitions.[1]"), "8");
        assert_eq!(value("empty"), "[]");
        assert_eq!(facts.len(), 15);
    }
}
