//! Which names a topic may have.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Two names with the same collision key are never topics at once: file systems and metric
//!   systems would confuse them.

use crate::error::TopicError;
use crate::meta::{META_TOPIC, OFFSETS_TOPIC};

/// Checks the characters and the length of a topic's name, and that it is not reserved.
pub fn check(name: &str) -> Result<(), TopicError> {
    let refuse = |why: String| Err(TopicError::InvalidName { why });
    if name.is_empty() || name.len() > NAME_CHARS_MAX {
        return refuse(format!(
            "it has {} bytes, 1 to {NAME_CHARS_MAX} are allowed",
            name.len()
        ));
    }
    if let Some(other) = name
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"._-".contains(*c))
    {
        return refuse(format!(
            "it contains '{}'; letters, digits, '.', '_' and '-' are allowed",
            other.escape_debug()
        ));
    }
    if name == "." || name == ".." {
        return refuse(format!("\"{name}\" is a directory in many systems"));
    }
    if is_reserved(name) && name != OFFSETS_TOPIC {
        return refuse(format!(
            "{META_TOPIC} and {OFFSETS_TOPIC} are reserved for the broker"
        ));
    }
    Ok(())
}

/// Whether a name is, or collides with, that of the metadata log or of an internal topic.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let key = collision_key(name);
    key == META_TOPIC || key == OFFSETS_TOPIC
}

/// Names with the same key collide: those that differ only by case, or by `.` against `_`.
pub(super) fn collision_key(name: &str) -> String {
    name.to_ascii_lowercase().replace('.', "_")
}

const NAME_CHARS_MAX: usize = 249;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        for name in [
            "a",
            "A-b_c.9",
            &"x".repeat(249),
            "...",
            "__consumer_offsets",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "",
            &"x".repeat(250),
            ".",
            "..",
            "a b",
            "a/b",
            "\u{e4}",
            "__meta",
            "..Meta",
            "__consumer.offsets",
            "__Consumer_Offsets",
        ] {
            assert!(
                matches!(check(name), Err(TopicError::InvalidName { .. })),
                "{name}"
            );
        }
    }
}
