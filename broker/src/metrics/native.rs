//! Requests of the native protocol, over connections and in this process.
//!
//! Floor 0 of broker.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Errors;
use super::histogram::{Histogram, Scale};

/// What is asked, in the words of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NativeCall {
    /// A batch is appended.
    Produce,
    /// Batches are read.
    Fetch,
    /// Events are appended to streams.
    Append,
    /// The events of a stream are read.
    ReadStream,
    /// Batches are to be pushed. It has no answer, so that only its failures are counted.
    Subscribe,
}

impl NativeCall {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Produce,
        Self::Fetch,
        Self::Append,
        Self::ReadStream,
        Self::Subscribe,
    ];

    /// Its name in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Produce => "Produce",
            Self::Fetch => "Fetch",
            Self::Append => "Append",
            Self::ReadStream => "ReadStream",
            Self::Subscribe => "Subscribe",
        }
    }
}

/// Requests of the native protocol by call, and the error codes that were answered. A conflict is
/// an answer, and no error.
#[derive(Debug)]
pub struct NativeRequests {
    times: [Histogram; NativeCall::ALL.len()],
    errors: Errors<NativeCall>,
}

impl NativeRequests {
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            times: NativeCall::ALL.map(|_| Histogram::new(Scale::TIMES, is_on)),
            errors: Errors::new(is_on),
        }
    }

    /// Counts a request: how long it took from its arrival to its answer.
    #[inline]
    pub fn observe(&self, call: NativeCall, took: Duration) {
        self.times[call as usize].observe_time(took);
    }

    /// Counts an error code in the answer to a request.
    pub fn failed(&self, call: NativeCall, code: i16) {
        self.errors.count(call, code);
    }

    /// How long requests of each call took; none that has no answer.
    pub fn times(&self) -> impl Iterator<Item = (NativeCall, &Histogram)> {
        let calls = NativeCall::ALL.into_iter().zip(&self.times);
        calls.filter(|(call, _)| *call != NativeCall::Subscribe)
    }

    /// How many errors of each code each call was answered.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<(NativeCall, i16), u64> {
        self.errors.counted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_place() {
        let requests = NativeRequests::new(true);
        for (place, call) in NativeCall::ALL.into_iter().enumerate() {
            assert_eq!(call as usize, place);
            for _ in 0..=place {
                requests.observe(call, Duration::ZERO);
            }
            requests.failed(call, 3);
        }
        let counts: Vec<u64> = requests
            .times()
            .map(|(_, times)| times.now().counts.iter().sum())
            .collect();
        assert_eq!(counts, [1, 2, 3, 4]);
        assert!(requests.errors().values().all(|count| *count == 1));
        assert_eq!(requests.errors().len(), NativeCall::ALL.len());
    }

    #[test]
    fn what_is_off_counts_nothing() {
        let off = NativeRequests::new(false);
        off.observe(NativeCall::Append, Duration::ZERO);
        off.failed(NativeCall::Append, 3);
        assert!(
            off.times()
                .all(|(_, times)| times.now().counts.iter().all(|count| *count == 0))
        );
        assert!(off.errors().is_empty());
    }
}
