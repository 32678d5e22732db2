//! The law of allocation: decoding a message of N bytes holds at most 64 N + 4 KiB of heap at any
//! moment, whatever the bytes are.
//!
//! A counting allocator measures the peak of each decoding, over honest messages, messages with
//! wrong bytes, and messages made to ask for as much as possible.

#![cfg(feature = "kafka")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use highwater_proto::consumer_protocol::{Assignment, Subscription};
use highwater_proto::group_log::GroupRecord;
use highwater_proto::kafka::{APIS, ApiKey, Request, Response};
use highwater_proto::varint;
use proptest::collection::vec;
use proptest::prelude::*;

/// The system's allocator, and how much of it this thread holds.
struct Counting;

thread_local! {
    // Signed: a thread frees things that another one allocated for it.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn grew(bytes: usize) {
    let held = HELD.get() + bytes.cast_signed();
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

fn shrank(bytes: usize) {
    HELD.set(HELD.get() - bytes.cast_signed());
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to write; this one only counts"
)]
// SAFETY: every call goes to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks exist while the content is moved.
        grew(size);
        shrank(layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was held at once while `work` ran, beyond what was held before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    ((PEAK.get() - before).unsigned_abs(), result)
}

/// Decodes in one layout; says whether the bytes were accepted, and what they cost.
fn decode(key: ApiKey, is_request: bool, version: i16, body: &Bytes) -> (usize, bool) {
    if is_request {
        let (peak, request) = peak_of(|| Request::decode(key.number(), version, body.clone()));
        (peak, request.is_ok())
    } else {
        let (peak, response) = peak_of(|| Response::decode(key, version, body.clone()));
        (peak, response.is_ok())
    }
}

/// Fails if decoding breaks the law; gives the peak per byte of those that were accepted.
fn check(key: ApiKey, is_request: bool, version: i16, body: &Bytes) -> Option<usize> {
    let (peak, accepted) = decode(key, is_request, version, body);
    let allowed = 64 * body.len() + 4096;
    assert!(
        peak <= allowed,
        "{key:?} v{version}: {peak} > {allowed} for {body:02x?}"
    );
    accepted.then(|| peak / body.len().max(1))
}

fn for_every_layout(mut check: impl FnMut(ApiKey, bool, i16)) {
    for api in APIS {
        for version in api.implemented.min..=api.implemented.max {
            check(api.key, true, version);
            check(api.key, false, version);
        }
    }
}

/// One honest message of every layout: key, whether it is a request, version and body.
fn honest() -> Vec<(ApiKey, bool, i16, Bytes)> {
    let golden = include_str!("../src/kafka/tests/golden.txt");
    let line = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let key = APIS.iter().find(|api| api.name == name)?.key;
        let is_request = words.next()? == "request";
        let version = words.next()?.parse().ok()?;
        let digits: Vec<u32> = words
            .next()?
            .chars()
            .filter_map(|digit| digit.to_digit(16))
            .collect();
        let bytes = digits
            .chunks(2)
            .filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok());
        Some((key, is_request, version, bytes.collect()))
    };
    golden
        .lines()
        .map(|text| line(text).expect("a line of four words"))
        .collect()
}

#[test]
fn the_allocator_counts() {
    let (peak, ()) = peak_of(|| drop(std::hint::black_box(vec![0_u8; 10_000])));
    assert_eq!(peak, 10_000);
    let (peak, kept) = peak_of(|| {
        drop(std::hint::black_box(vec![0_u8; 3000]));
        std::hint::black_box(vec![0_u8; 2000])
    });
    assert_eq!((peak, kept.len()), (3000, 2000));
}

#[test]
fn honest_messages_obey_the_law() {
    let messages = honest();
    let mut layouts_count = 0;
    for_every_layout(|_, _, _| layouts_count += 1);
    assert_eq!(messages.len(), layouts_count);
    for (key, is_request, version, body) in messages {
        assert!(
            check(key, is_request, version, &body).is_some(),
            "{key:?} v{version}"
        );
    }
}

/// A message whose every byte is the same small number: counts, lengths and booleans at once.
#[test]
fn uniform_messages_obey_the_law() {
    for size in [1, 100, 5000] {
        for byte in 0..=255 {
            let body = Bytes::from(vec![byte; size]);
            for_every_layout(|key, is_request, version| {
                check(key, is_request, version, &body);
            });
        }
    }
}

/// Ten thousand empty names: the accepted message that costs most per byte.
#[test]
fn an_array_of_empty_names_obeys_the_law() {
    let names = [&[0x91, 0x4e][..], &[1; 10_000], &[0, 0, 0, 0, 0]].concat();
    let cost = check(ApiKey::DeleteTopics, true, 4, &names.into());
    assert_eq!(cost, Some(31));
}

/// An array that is as long as it may be, in whose first element another one is, and so on.
#[test]
fn nested_counts_do_not_add_up() {
    // Produce v9: transactional id, acks and timeout, then topics, whose first has partitions.
    for outer in [100_u32, 1000, 5000, 10_000] {
        let mut head = vec![0; 7];
        varint::put_u32(&mut head, outer);
        head.extend([2, b't']);
        varint::put_u32(&mut head, outer / 3);
        let body = [head, vec![0; 20_000]].concat().into();
        assert_eq!(check(ApiKey::Produce, true, 9, &body), None);
    }
}

/// Decodes as everything that members and the log of groups say; fails if that breaks the law.
fn check_groups(bytes: &[u8]) {
    let allowed = 64 * bytes.len() + 4096;
    let offset_key = b"\0\x01\0\x01g\0\x01t\0\0\0\0";
    let peaks = [
        peak_of(|| Subscription::decode(bytes).is_ok()).0,
        peak_of(|| Subscription::decode_topics(bytes).is_ok()).0,
        peak_of(|| Assignment::decode(bytes).is_ok()).0,
        peak_of(|| GroupRecord::decode(bytes, None).is_ok()).0,
        peak_of(|| GroupRecord::decode(offset_key, Some(bytes)).is_ok()).0,
        peak_of(|| GroupRecord::decode(b"\0\x02\0\x01g", Some(bytes)).is_ok()).0,
    ];
    for peak in peaks {
        assert!(peak <= allowed, "{peak} > {allowed} for {bytes:02x?}");
    }
}

/// Arrays of the smallest elements, as long as the input allows: topics, partitions, members.
#[test]
fn what_groups_say_obeys_the_law() {
    for elements in [0_u32, 1, 100, 3000, 10_000] {
        for version in 0..=4 {
            let topics = [&[0, version][..], &elements.to_be_bytes(), &vec![0; 30_000]].concat();
            check_groups(&topics);
            let head: &[u8] = match version {
                4 => &[1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                2 | 3 => &[
                    0, 0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                _ => &[0, 0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff],
            };
            let mut count = elements.to_be_bytes().to_vec();
            if version == 4 {
                count.clear();
                varint::put_u32(&mut count, elements);
            }
            let members = [&[0, version], head, &count, &vec![1; 30_000]].concat();
            check_groups(&members);
        }
    }
}

proptest! {
    #[test]
    fn random_messages_obey_the_law(body in vec(any::<u8>(), 0..2000)) {
        let body = Bytes::from(body);
        check_groups(&body);
        for_every_layout(|key, is_request, version| {
            check(key, is_request, version, &body);
        });
    }

    #[test]
    fn mutated_messages_obey_the_law(
        position: u16,
        noise in vec(prop_oneof![Just(0x7f), Just(0xff), any::<u8>()], 1..6),
        padding in 0_usize..3000,
    ) {
        for (key, is_request, version, body) in honest() {
            let mut bytes = body.to_vec();
            let start = usize::from(position) % (bytes.len() + 1);
            let end = bytes.len().min(start + noise.len());
            bytes.splice(start..end, noise.iter().copied());
            bytes.resize(bytes.len() + padding, 1);
            check(key, is_request, version, &bytes.into());
        }
    }
}

#[cfg(feature = "native")]
mod native {
    use highwater_proto::native::frame;

    use super::*;

    /// Decodes a head in both directions; fails if that breaks the law. Says whether a request was
    /// accepted.
    fn check_head(head: &[u8]) -> bool {
        let size = u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes();
        let bytes: Bytes = [&[frame::VERSION], &size[1..], head].concat().into();
        let allowed = 64 * head.len() + 4096;
        let (request_peak, request) = peak_of(|| frame::decode_request(bytes.clone()).is_ok());
        let (response_peak, _) = peak_of(|| frame::decode_response(bytes).is_ok());
        let peak = request_peak.max(response_peak);
        assert!(peak <= allowed, "{peak} > {allowed} for {head:02x?}");
        request
    }

    /// A field of bytes.
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut field = vec![tag << 3 | 2];
        let size = u32::try_from(content.len()).expect("a head is small");
        varint::put_u32(&mut field, size);
        [field, content.to_vec()].concat()
    }

    /// Two bytes an element, of which each would be a hundred in memory.
    #[test]
    fn heads_of_empty_elements_obey_the_law() {
        for count in [1, 2, 5, 9, 500, 1000, 3000, 5000] {
            let many = |tag, content: &[u8]| field(tag, content).repeat(count);
            let (checks, events) = (many(3, &[]), many(4, &[]));
            let headers = field(4, &many(3, &[]));
            let one_header = many(4, &field(3, &[]));
            for list in [&checks, &events, &headers, &one_header] {
                let is_accepted = check_head(&field(8, list));
                assert_eq!(is_accepted, count <= 9, "{count}");
                // The same in pieces, which prost puts together.
                check_head(&field(8, list).repeat(3));
                check_head(&[field(8, list), field(2, &[]), field(8, list)].concat());
            }
            check_head(&field(11, &many(2, &[])));
            check_head(&field(11, &field(2, &many(5, &[]))));
            check_head(&field(8, &field(4, &vec![1; count])));
            check_head(&field(8, &[4 << 3, 1].repeat(count)));
        }
    }

    /// What clients send is far from the limit.
    #[test]
    fn honest_appends_are_taken() {
        let event = [field(1, b"k"), field(3, &field(1, b"h"))].concat();
        for count in [1, 100, 10_000] {
            assert!(check_head(&field(8, &field(4, &event).repeat(count))));
        }
    }

    proptest! {
        #[test]
        fn random_heads_obey_the_law(
            noise in vec(prop_oneof![Just(0x22), Just(0x1a), Just(0), any::<u8>()], 0..2000),
        ) {
            for head in [noise.clone(), field(8, &noise), field(11, &noise)] {
                check_head(&head);
            }
        }
    }
}
