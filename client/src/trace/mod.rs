//! W3C trace context in the headers of records, so that a trace goes on behind the broker.
//!
//! Floor 1 of client. Standards: W3C Trace Context, level 2; OpenTelemetry's messaging conventions.
//!
//! Invariants
//! - Any bytes are read without an error: what breaks the rules is no context, or no state.
//! - A context that exists can be written: its ids are never all zeros.
//! - Without a subscriber of `tracing`, and outside of a scope, a record costs two loads.

mod spans;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;

use bytes::Bytes;

use crate::record::{ConsumerRecord, Header, Record};

pub(crate) use spans::{commit_span, poll_span, send_span};

/// Where in which trace something happens: what `traceparent` and `tracestate` say.
///
/// ```
/// use highwater_client::Record;
/// use highwater_client::trace::TraceContext;
///
/// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = parent.parse()?;
/// let record = Record::to("flights").value("delayed").trace(&context);
/// assert_eq!(record.headers[0].value.as_deref(), Some(parent.as_bytes()));
/// # Ok::<(), highwater_client::trace::NoTraceContext>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
    state: String,
}

impl TraceContext {
    /// A context of these ids; `None` if one of them is all zeros, which means that there is none.
    /// Of the flags, those that the standard knows are kept: sampled (1) and random (2).
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) -> Option<Self> {
        let is_there = trace_id != [0; 16] && span_id != [0; 8];
        is_there.then(|| Self {
            trace_id,
            span_id,
            flags: flags & FLAGS_KNOWN,
            state: String::new(),
        })
    }

    /// The first span of a new trace, with random ids, sampled.
    #[must_use]
    pub fn root() -> Self {
        let [high, low] = [random(), random()].map(u64::to_be_bytes);
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&high);
        trace_id[8..].copy_from_slice(&low);
        Self {
            trace_id,
            span_id: random().to_be_bytes(),
            flags: SAMPLED | RANDOM,
            state: String::new(),
        }
    }

    /// A new span of the same trace, below this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self {
            span_id: random().to_be_bytes(),
            ..self.clone()
        }
    }

    /// The same with what vendors add in `tracestate`; a text that breaks its rules counts as none.
    #[must_use]
    pub fn with_state(mut self, tracestate: &str) -> Self {
        self.state = state::read(tracestate).unwrap_or_default();
        self
    }

    /// Reads both headers. Text that breaks the rules is no context; a `tracestate` that does is
    /// left out, as the standard asks for.
    #[must_use]
    pub fn parse(traceparent: &[u8], tracestate: Option<&[u8]>) -> Option<Self> {
        let context = parse_parent(traceparent)?;
        let state = tracestate.and_then(|state| std::str::from_utf8(state).ok());
        Some(match state {
            Some(state) => context.with_state(state),
            None => context,
        })
    }

    /// The trace's id.
    #[must_use]
    pub const fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the span: of whoever comes next, the parent.
    #[must_use]
    pub const fn span_id(&self) -> [u8; 8] {
        self.span_id
    }

    /// The flags as one byte.
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the trace is being recorded.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The value of `tracestate`; empty if there is none.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The value of `traceparent`.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let [trace, span] = [
            u128::from_be_bytes(self.trace_id),
            u64::from_be_bytes(self.span_id).into(),
        ];
        format!("00-{trace:032x}-{span:016x}-{:02x}", self.flags)
    }

    /// The context in whose [`Self::scope`] this is called.
    ///
    /// ```
    /// use highwater_client::trace::TraceContext;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let context = TraceContext::root();
    /// let seen = context.scope(async { TraceContext::current() }).await;
    /// assert_eq!(seen, Some(context));
    /// assert_eq!(TraceContext::current(), None);
    /// # }
    /// ```
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Runs a future in this context: what it sends carries it, unless the record has one already.
    /// Tasks that the future starts are not in it.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), future)
    }

    fn headers(&self) -> impl Iterator<Item = Header> {
        let header = |key: &str, value: String| Header {
            key: key.to_owned(),
            value: Some(Bytes::from(value)),
        };
        let state = (!self.state.is_empty()).then(|| header(STATE, self.state.clone()));
        std::iter::once(header(PARENT, self.traceparent())).chain(state)
    }
}

/// As [`TraceContext::traceparent`].
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

/// A text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text is no traceparent: that is 00-, 32 hexadecimal digits, -, 16 digits, - and 2 digits, \
     in lower case"
)]
pub struct NoTraceContext;

/// Out of a `traceparent`.
impl FromStr for TraceContext {
    type Err = NoTraceContext;

    fn from_str(traceparent: &str) -> Result<Self, Self::Err> {
        parse_parent(traceparent.as_bytes()).ok_or(NoTraceContext)
    }
}

impl Record {
    /// Sets the headers `traceparent` and `tracestate`, in place of those that are there.
    #[must_use]
    pub fn trace(mut self, context: &TraceContext) -> Self {
        self.headers
            .retain(|header| ![PARENT, STATE].contains(&header.key.as_str()));
        self.headers.extend(context.headers());
        self
    }
}

impl ConsumerRecord {
    /// The context out of the headers `traceparent` and `tracestate`, if there is a valid one; of
    /// several the last, as other readers do.
    ///
    /// Who handles the record does so in a child of it:
    ///
    /// ```no_run
    /// # use highwater_client::{Client, ConsumerRecord};
    /// # async fn handle(record: &ConsumerRecord) {}
    /// # async fn run(record: ConsumerRecord) {
    /// match record.trace() {
    ///     Some(context) => context.child().scope(handle(&record)).await,
    ///     None => handle(&record).await,
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn trace(&self) -> Option<TraceContext> {
        let last = |key: &str| {
            let mut headers = self.headers.iter().rev();
            headers.find(|header| header.key == key)?.value.as_deref()
        };
        TraceContext::parse(last(PARENT)?, last(STATE))
    }
}

/// Gives a record that is about to be sent the context in whose scope this is, if it has none.
pub(crate) fn stamp(record: &mut Record) {
    // Outside of a scope there is nothing to do.
    let _ = CURRENT.try_with(|context| {
        if record.headers.iter().all(|header| header.key != PARENT) {
            record.headers.extend(context.headers());
        }
    });
}

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The fixed fields are read in every version but ff; a later version may have more behind them.
fn parse_parent(text: &[u8]) -> Option<TraceContext> {
    let (fixed, more) = text.split_at_checked(PARENT_BYTES)?;
    let field = |from: usize, to: usize| fixed.get(from..to);
    let has_dashes = [2, 35, 52].iter().all(|at| fixed.get(*at) == Some(&b'-'));
    let [version] = hex(field(0, 2)?)?;
    let may_end_here = more.is_empty() || (version > 0 && more.first() == Some(&b'-'));
    if !has_dashes || !may_end_here || version == VERSION_FORBIDDEN {
        return None;
    }
    let [flags] = hex(field(53, 55)?)?;
    TraceContext::new(hex(field(3, 35)?)?, hex(field(36, 52)?)?, flags)
}

/// Bytes out of twice as many digits, in lower case.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = <[u8; 2]>::try_from(pair).ok()?;
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(bytes)
}

/// A random number that is not 0, from what the standard library seeds its hash maps with.
fn random() -> u64 {
    RandomState::new().hash_one(0).max(1)
}

/// The header of the ids and flags.
const PARENT: &str = "traceparent";

/// The header of what vendors add.
const STATE: &str = "tracestate";

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const PARENT_BYTES: usize = 55;

/// The version that no text may have.
const VERSION_FORBIDDEN: u8 = 0xff;

/// The trace is recorded.
const SAMPLED: u8 = 1;

/// The trace's id is random.
const RANDOM: u8 = 2;

/// The others are set to 0 by who writes version 00.
const FLAGS_KNOWN: u8 = SAMPLED | RANDOM;
