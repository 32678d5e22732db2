//! Base64 (RFC 4648, section 4) back to bytes.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - Strict: one text for each value, with its padding and without white space.

/// The bytes behind a text, or `None` if it is no Base64.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = text.get(..text.len() - padding)?;
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | digit_value(*digit)?;
        }
        // 4 digits have 3 bytes, 3 have 2 and 2 bits too many, 2 have 1 and 4 bits too many.
        let (count, spare) = match group.len() {
            4 => (3, 0),
            3 => (2, 2),
            2 => (1, 4),
            _ => return None,
        };
        if bits & ((1 << spare) - 1) != 0 {
            return None;
        }
        let group = (bits >> spare).to_be_bytes();
        bytes.extend_from_slice(&group[4 - count..]);
    }
    (padding <= 2).then_some(bytes)
}

fn digit_value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}
