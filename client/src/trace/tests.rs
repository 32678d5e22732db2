//! The rules of the standard, and what any bytes come to.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span;

use super::*;

const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn parse(text: &str) -> Option<TraceContext> {
    TraceContext::parse(text.as_bytes(), None)
}

fn read(headers: Vec<Header>) -> Option<TraceContext> {
    let record = ConsumerRecord {
        topic: Arc::from("t"),
        partition: 0,
        offset: 0,
        timestamp: 0,
        key: None,
        value: None,
        headers,
    };
    record.trace()
}

#[test]
fn a_parent_is_read_by_the_rules() {
    let context = parse(GOOD).unwrap();
    assert_eq!(context.trace_id()[..2], [0x4b, 0xf9]);
    assert_eq!(context.span_id()[6..], [0x02, 0xb7]);
    assert!(context.is_sampled());
    let spoil = |at: usize, with: &str| {
        let mut text = GOOD.to_owned();
        text.replace_range(at..at + with.len(), with);
        text
    };
    for bad in [
        String::new(),
        GOOD[..54].to_owned(),
        format!("{GOOD} "),
        format!("{GOOD}-01"),
        spoil(0, "ff"),
        spoil(0, "0G"),
        spoil(3, "4B"),
        spoil(2, "_"),
        spoil(35, "0"),
        spoil(52, "0"),
        spoil(53, "0x"),
        spoil(3, &"0".repeat(32)),
        spoil(36, &"0".repeat(16)),
        spoil(3, "\u{e4}"),
    ] {
        assert_eq!(parse(&bad), None, "{bad}");
        assert_eq!(bad.parse::<TraceContext>(), Err(NoTraceContext));
    }
}

#[test]
fn a_later_version_is_read_as_far_as_it_is_known() {
    let later = GOOD.replace("00-4b", "cc-4b");
    assert_eq!(parse(&later).unwrap().traceparent(), GOOD);
    assert_eq!(
        parse(&format!("{later}-what-comes")).unwrap().traceparent(),
        GOOD
    );
    assert_eq!(parse(&format!("{later}.what-comes")), None);
}

#[test]
fn unknown_flags_are_not_passed_on() {
    let flags = |flags: &str| parse(&format!("{}{flags}", &GOOD[..53])).unwrap().flags();
    assert_eq!([flags("ff"), flags("fc"), flags("02")], [3, 0, 2]);
}

#[test]
fn a_state_is_read_by_the_rules() {
    let state = |text: &str| parse(GOOD).unwrap().with_state(text).state().to_owned();
    assert_eq!(state("a=1,b=2"), "a=1,b=2");
    assert_eq!(state(" a=1\t, ,,b@x=2 3,"), "a=1,b@x=2 3");
    assert_eq!(state("0a/*-_=~!"), "0a/*-_=~!");
    let long = format!("{}={}", "a".repeat(256), "v".repeat(256));
    assert_eq!(state(&long), long);
    let many: Vec<String> = (0..33).map(|at| format!("k{at}=v")).collect();
    assert_eq!(state(&many[..32].join(",")).split(',').count(), 32);
    for bad in [
        "a",
        "=1",
        "a=",
        "A=1",
        "a=1=2",
        "_a=1",
        "a b=1",
        "a=\u{e4}",
        "a=1,a=2",
        "a=1,b",
        "a=\u{7f}",
        &format!("{}=1", "a".repeat(257)),
        &format!("a={}", "v".repeat(257)),
        &many.join(","),
    ] {
        assert_eq!(state(bad), "", "{bad}");
    }
    let context = TraceContext::parse(GOOD.as_bytes(), Some(b"a=\xff"));
    assert_eq!(context.unwrap().state(), "", "the parent stays");
}

#[test]
fn a_record_carries_one_context_and_a_reader_takes_the_last() {
    let (one, two) = (TraceContext::root().with_state("a=1"), TraceContext::root());
    let record = Record::to("t").header("k", "v").trace(&one);
    assert_eq!(read(record.headers.clone()), Some(one.clone()));
    let record = record.trace(&two);
    assert_eq!(record.headers.len(), 2, "the state of the first is gone");
    let mut headers = record.headers;
    headers.extend(one.headers());
    assert_eq!(read(headers), Some(one));
    assert_eq!(read(Vec::new()), None);
}

#[test]
fn a_child_is_another_span_of_the_same_trace() {
    let root = TraceContext::root().with_state("a=1");
    let child = root.child();
    assert_eq!((child.trace_id(), child.state()), (root.trace_id(), "a=1"));
    assert_ne!(child.span_id(), root.span_id());
    assert_ne!(TraceContext::root().trace_id(), root.trace_id());
}

#[tokio::test]
async fn what_is_sent_in_a_scope_carries_its_context() {
    let (outer, inner) = (TraceContext::root(), TraceContext::root());
    let stamped = || {
        let mut record = Record::to("t");
        stamp(&mut record);
        read(record.headers)
    };
    outer
        .scope(async {
            assert_eq!(stamped(), Some(outer.clone()));
            tokio::task::yield_now().await;
            inner
                .scope(async { assert_eq!(stamped(), Some(inner.clone())) })
                .await;
            assert_eq!(stamped(), Some(outer.clone()));
            let mut record = Record::to("t").trace(&inner);
            stamp(&mut record);
            assert_eq!(read(record.headers), Some(inner.clone()), "its own stays");
        })
        .await;
    assert_eq!(stamped(), None);
}

/// Keeps what the spans say.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Visit for Listener {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut said = self.0.lock().unwrap();
        said.insert(field.name(), format!("{value:?}"));
    }
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What a span says, with what is recorded later.
fn said(make: impl FnOnce() -> tracing::Span, later: &str) -> BTreeMap<&'static str, String> {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), || {
        make().record(later, 7);
    });
    listener.0.lock().unwrap().clone()
}

#[test]
fn spans_speak_as_opentelemetry_has_it() {
    let send = said(
        || send_span("flights"),
        "messaging.destination.partition.id",
    );
    let expected = [
        ("messaging.destination.name", "\"flights\""),
        ("messaging.destination.partition.id", "7"),
        ("messaging.operation.name", "\"send\""),
        ("messaging.operation.type", "\"send\""),
        ("messaging.system", "\"kafka\""),
        ("otel.kind", "\"producer\""),
        ("otel.name", "send flights"),
    ];
    assert_eq!(
        send,
        expected
            .map(|(name, value)| (name, value.to_owned()))
            .into()
    );

    let poll = said(
        || poll_span(Some("billing")),
        "messaging.batch.message_count",
    );
    assert_eq!(poll["messaging.operation.type"], "\"receive\"");
    assert_eq!(poll["messaging.consumer.group.name"], "\"billing\"");
    assert_eq!(poll["messaging.batch.message_count"], "7");
    let without = said(|| poll_span(None), "messaging.batch.message_count");
    assert!(!without.contains_key("messaging.consumer.group.name"));

    let commit = said(|| commit_span("billing"), "none");
    assert_eq!(commit["messaging.operation.type"], "\"settle\"");
}

#[test]
fn a_span_that_nobody_listens_to_is_not_made() {
    assert!(send_span("flights").is_disabled());
}

proptest! {
    #[test]
    fn any_bytes_are_a_context_that_can_be_written_or_none(
        parent in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,9})?"
                .prop_map(String::into_bytes),
        ],
        state in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "([a-z]{1,3}=[ -~]{0,5}[,\t ]{0,2}){0,6}".prop_map(String::into_bytes),
        ],
    ) {
        if let Some(context) = TraceContext::parse(&parent, Some(&state)) {
            let written = Record::to("t").trace(&context).headers;
            prop_assert_eq!(read(written), Some(context));
        }
    }

    #[test]
    fn every_context_is_read_as_it_was_written(
        trace_id in any::<[u8; 16]>(),
        span_id in any::<[u8; 8]>(),
        flags in any::<u8>(),
    ) {
        if let Some(context) = TraceContext::new(trace_id, span_id, flags) {
            let text = context.to_string();
            prop_assert_eq!(text.len(), PARENT_BYTES);
            prop_assert_eq!(text.parse(), Ok(context));
        } else {
            prop_assert!(trace_id == [0; 16] || span_id == [0; 8]);
        }
    }
}
