//! Hexadecimal digits of test vectors.
//!
//! Floor 0 of proto, tests only.
//!
//! Invariants
//! - White space is skipped; anything else that is no digit fails the test.

/// The bytes of an even number of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
        .collect()
}
