//! The rules of `tracestate`: a list of what vendors say, each under its key.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - What is read is written as the standard has it: members, commas, no space, no empty member.
//! - One member that breaks the rules takes all others with it.

/// The members of a `tracestate`, or `None` if it breaks the rules.
pub(super) fn read(text: &str) -> Option<String> {
    let members = text
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let members: Vec<&str> = members
        .filter(|member| !member.is_empty())
        .take(MEMBERS_MAX + 1)
        .collect();
    if members.len() > MEMBERS_MAX {
        return None;
    }
    let mut keys = Vec::with_capacity(members.len());
    for member in &members {
        let (key, value) = member.split_once('=')?;
        if !is_key(key) || !is_value(value) || keys.contains(&key) {
            return None;
        }
        keys.push(key);
    }
    Some(members.join(","))
}

/// A lower-case letter or a digit, then up to 255 of `a-z0-9_-*/@`.
fn is_key(key: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_next = |byte: u8| is_first(&byte) || b"_-*/@".contains(&byte);
    key.len() <= BYTES_MAX
        && key.as_bytes().first().is_some_and(is_first)
        && key.bytes().all(is_next)
}

/// 1 to 256 printable characters without comma and equals sign; the last is no space.
fn is_value(value: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=';
    (1..=BYTES_MAX).contains(&value.len()) && value.bytes().all(is_allowed) && !value.ends_with(' ')
}

/// The members that a list may have.
const MEMBERS_MAX: usize = 32;

/// The length of a key and of a value.
const BYTES_MAX: usize = 256;
