//! Random messages for tests, each valid in the version that it is made for.
//!
//! Floor 4 of proto; compiled for its tests only.
//!
//! Invariants
//! - The same entropy gives the same message. When it is used up, values are the simplest ones, so
//!   that less entropy means a smaller message: proptest shrinks a failure by itself.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::message::Field;
use super::wire::{Hidden, Wire};
use crate::cursor::{Records, Str, Uuid, Version};

/// Bytes that decide what a message looks like.
#[derive(Clone, Debug)]
pub(crate) struct Entropy(std::vec::IntoIter<u8>);

impl Entropy {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into_iter())
    }

    /// Enough for a message with every field set.
    pub(crate) fn strategy() -> impl Strategy<Value = Self> {
        vec(any::<u8>(), 0..2000).prop_map(Self::new)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.next().unwrap_or(0))
    }

    /// A number below `end`.
    fn below(&mut self, end: u8) -> u8 {
        let [byte] = self.array();
        byte % end
    }

    /// Every other time a number around zero, where most defaults are.
    fn small<T: From<i8>>(&mut self) -> Option<T> {
        [0, -1, 1, -2]
            .get(usize::from(self.below(8)))
            .map(|&number| T::from(number))
    }

    /// Whether something that may be null is there. Null is not what exhausted entropy gives: some
    /// fields must not be null.
    pub(crate) fn present(&mut self) -> bool {
        self.below(4) != 1
    }

    fn text(&mut self) -> Str {
        let length = self.below(5);
        let alphabet = ['a', '-', 'Z', '\u{e9}', '\u{20ac}', '\u{1f980}'];
        Str::from(
            (0..length)
                .map(|_| alphabet[usize::from(self.below(6))])
                .collect::<String>(),
        )
    }

    fn bytes(&mut self) -> Bytes {
        // Either side of the size from which a writer shares bytes instead of copying them.
        let length = match self.below(4) {
            0 => 0,
            1 => usize::from(self.below(200)),
            2 => 511,
            _ => 600,
        };
        let [fill] = self.array();
        Bytes::from(vec![fill; length])
    }
}

/// A type with random values for every version.
pub(crate) trait Arbitrary {
    fn arbitrary(entropy: &mut Entropy, version: Version) -> Self;
}

impl Field {
    pub(crate) fn arbitrary<T: Arbitrary + Wire>(
        self,
        entropy: &mut Entropy,
        version: Version,
        default: impl FnOnce() -> T,
    ) -> T {
        if !self.on_wire {
            return default();
        }
        loop {
            let value = T::arbitrary(entropy, version);
            if self.nullable || !value.is_null() {
                return value;
            }
        }
    }
}

macro_rules! arbitrary {
    ($($ty:ty: |$entropy:ident, $version:ident| $value:expr;)+) => { $(
        impl Arbitrary for $ty {
            fn arbitrary($entropy: &mut Entropy, $version: Version) -> Self {
                $value
            }
        }
    )+ };
}

arbitrary! {
    bool: |entropy, _version| entropy.below(2) == 1;
    i8: |entropy, _version| entropy.small().unwrap_or_else(|| i8::from_be_bytes(entropy.array()));
    i16: |entropy, _version| entropy.small().unwrap_or_else(|| i16::from_be_bytes(entropy.array()));
    u16: |entropy, _version| u16::from_be_bytes(entropy.array());
    i32: |entropy, _version| entropy.small().unwrap_or_else(|| i32::from_be_bytes(entropy.array()));
    i64: |entropy, _version| entropy.small().unwrap_or_else(|| i64::from_be_bytes(entropy.array()));
    f64: |entropy, _version| f64::from(i32::from_be_bytes(entropy.array())) / 8.0;
    Uuid: |entropy, _version| Uuid(entropy.array());
    Str: |entropy, _version| entropy.text();
    Records: |entropy, _version| match entropy.below(3) {
        0 => Self::default(),
        1 => Self::from(entropy.bytes()),
        _ => Self::from(vec![entropy.bytes(), entropy.bytes()]),
    };
    Option<Str>: |entropy, _version| entropy.present().then(|| entropy.text());
    Bytes: |entropy, _version| entropy.bytes();
    Hidden: |entropy, _version| Hidden(entropy.bytes());
    Option<Bytes>: |entropy, _version| entropy.present().then(|| entropy.bytes());
}

impl<T: Arbitrary> Arbitrary for Vec<T> {
    fn arbitrary(entropy: &mut Entropy, version: Version) -> Self {
        (0..entropy.below(4))
            .map(|_| T::arbitrary(entropy, version))
            .collect()
    }
}

impl<T: Arbitrary> Arbitrary for Option<Vec<T>> {
    fn arbitrary(entropy: &mut Entropy, version: Version) -> Self {
        entropy.present().then(|| Vec::arbitrary(entropy, version))
    }
}
