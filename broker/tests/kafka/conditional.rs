//! Conditions from unmodified Kafka producers: each cell of the table, and what is around it.
//!
//! A topic with `append.conditional=true`, records with the headers `es-revision` and `es-expect`.

use bytes::Bytes;
use highwater_proto::batch_builder::{BatchBuilder, Producer};
use highwater_proto::compress::Codec;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use highwater_proto::kafka::messages::create_topics::{
    CreateTopic, CreateTopicConfig, CreateTopicsRequest,
};
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::produce::{ProducePartitionResponse, ProduceRequest};

use crate::kit::{Client, PRODUCE, Rig, START, produce};

const INVALID_CONFIG: i16 = 40;
const INVALID_PARTITIONS: i16 = 37;
const POLICY_VIOLATION: i16 = 44;
const INVALID_RECORD: i16 = 87;

/// Key, value and headers.
type Event<'a> = (Option<&'a str>, Option<&'a str>, &'a [(&'a str, &'a str)]);

fn create(
    client: &mut Client,
    name: &'static str,
    configs: &[(&'static str, &'static str)],
) -> i16 {
    let config = |(name, value): &(&'static str, &'static str)| CreateTopicConfig {
        name: Str::from_static(name),
        value: Some(Str::from_static(value)),
    };
    let topic = CreateTopic {
        name: Str::from_static(name),
        num_partitions: 1,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..CreateTopic::default()
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        ..CreateTopicsRequest::default()
    };
    client.call(5, request).topics[0].error_code
}

/// A broker with an event store.
fn store() -> Rig {
    let rig = Rig::new();
    let configs = [("append.conditional", "true"), ("retention.ms", "-1")];
    assert_eq!(create(&mut rig.client(), "orders", &configs), 0);
    rig
}

fn batch_of(codec: Codec, producer: Option<Producer>, events: &[Event<'_>]) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.set_producer(producer);
    for (key, value, headers) in events {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, Some(value.as_bytes())))
            .collect();
        let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
        builder.append(START.0, key, value, &headers).unwrap();
    }
    builder.build().unwrap()
}

fn send(client: &mut Client, batch: Bytes) -> ProducePartitionResponse {
    let mut answer = client.call(PRODUCE, produce("orders", -1, batch));
    answer.topics.remove(0).partitions.remove(0)
}

fn append(client: &mut Client, events: &[Event<'_>]) -> ProducePartitionResponse {
    send(client, batch_of(Codec::None, None, events))
}

/// The offset of what was stored, or the place and the text of each record to blame.
fn outcome(answer: &ProducePartitionResponse) -> Result<i64, Vec<(i32, &str)>> {
    if answer.error_code == 0 {
        assert!(answer.error_message.is_none() && answer.record_errors.is_empty());
        return Ok(answer.base_offset);
    }
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (INVALID_RECORD, -1)
    );
    assert!(answer.error_message.is_some());
    let to_blame = answer.record_errors.iter();
    let to_blame = to_blame.map(|one| (one.batch_index, one.message.as_ref().unwrap().as_str()));
    Err(to_blame.collect())
}

/// What was there before.
#[derive(Clone, Copy)]
enum Before {
    Absent,
    /// At revision 1.
    Present,
    /// By revision 2.
    Deleted,
}

/// One cell: what a record with this header meets; a conflict stores nothing.
fn cell(header: Option<(&str, &str)>, before: Before, wanted: Result<(), &str>) {
    let rig = store();
    let mut client = rig.client();
    let there: &[Event<'_>] = &[
        (Some("k"), Some("0"), &[]),
        (Some("k"), Some("1"), &[]),
        (Some("k"), None, &[]),
    ];
    let there = match before {
        Before::Absent => &there[..0],
        Before::Present => &there[..2],
        Before::Deleted => there,
    };
    if !there.is_empty() {
        assert_eq!(outcome(&append(&mut client, there)), Ok(0));
    }
    // Another key is nobody's business.
    let other = [(Some("other"), Some("x"), &[][..])];
    let next = i64::try_from(there.len()).unwrap();
    assert_eq!(outcome(&append(&mut client, &other)), Ok(next));
    let headers: Vec<_> = header.into_iter().collect();
    let met = append(&mut client, &[(Some("k"), Some("new"), &headers)]);
    let wanted = wanted.map(|()| next + 1).map_err(|text| vec![(0, text)]);
    assert_eq!(outcome(&met), wanted);
    let after = next + 1 + i64::from(wanted.is_ok());
    assert_eq!(outcome(&append(&mut client, &other)), Ok(after));
}

macro_rules! cells {
    ($($name:ident: $header:expr, $before:ident, $wanted:expr;)*) => {
        $(#[test] fn $name() { cell($header, Before::$before, $wanted); })*
    };
}

cells! {
    any_of_an_absent_key: None, Absent, Ok(());
    any_of_a_key_that_is_there: None, Present, Ok(());
    any_of_a_deleted_key: None, Deleted, Ok(());
    no_stream_of_an_absent_key: Some(("es-expect", "no-stream")), Absent, Ok(());
    no_stream_of_a_key_that_is_there:
        Some(("es-expect", "no-stream")), Present, Err("es-conflict actual=1");
    no_stream_of_a_deleted_key:
        Some(("es-expect", "no-stream")), Deleted, Err("es-conflict actual=deleted");
    exists_of_an_absent_key: Some(("es-expect", "exists")), Absent, Err("es-conflict actual=none");
    exists_of_a_key_that_is_there: Some(("es-expect", "exists")), Present, Ok(());
    exists_of_a_deleted_key:
        Some(("es-expect", "exists")), Deleted, Err("es-conflict actual=deleted");
    the_first_revision_of_an_absent_key: Some(("es-revision", "0")), Absent, Ok(());
    the_first_revision_of_a_key_that_is_there:
        Some(("es-revision", "0")), Present, Err("es-conflict actual=1");
    the_first_revision_of_a_deleted_key:
        Some(("es-revision", "0")), Deleted, Err("es-conflict actual=deleted");
    a_revision_of_an_absent_key:
        Some(("es-revision", "2")), Absent, Err("es-conflict actual=none");
    the_next_revision_of_a_key_that_is_there: Some(("es-revision", "2")), Present, Ok(());
    a_lower_revision_of_a_key_that_is_there:
        Some(("es-revision", "1")), Present, Err("es-conflict actual=1");
    a_higher_revision_of_a_key_that_is_there:
        Some(("es-revision", "3")), Present, Err("es-conflict actual=1");
    the_next_revision_of_a_deleted_key:
        Some(("es-revision", "3")), Deleted, Err("es-conflict actual=deleted");
}

#[test]
fn a_conflict_says_what_was_expected_and_what_is_there() {
    let rig = store();
    let mut client = rig.client();
    let event = (Some("k"), Some("x"), &[("es-revision", "7")][..]);
    let answer = append(&mut client, &[event]);
    assert_eq!(
        answer.error_message.as_ref().map(Str::as_str),
        Some("the records were refused: revision 6 was expected, and there is no stream")
    );
    // Before version 8 there is no room for more than the code.
    let request = produce("orders", -1, batch_of(Codec::None, None, &[event]));
    let answer = client.call(7, request);
    assert_eq!(answer.topics[0].partitions[0].error_code, INVALID_RECORD);
}

#[test]
fn revisions_of_one_batch_follow_each_other() {
    let rig = store();
    let mut client = rig.client();
    let codecs = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];
    for (at, codec) in (0_i64..).zip(codecs) {
        let (a, b) = (format!("a{at}"), format!("b{at}"));
        let event = |key, revision| (Some(key), Some("x"), revision);
        let chain = [
            event(a.as_str(), &[("es-revision", "0")][..]),
            event(a.as_str(), &[("es-revision", "1")]),
            event(b.as_str(), &[("es-expect", "no-stream")]),
            event(a.as_str(), &[("es-revision", "2")]),
            event(b.as_str(), &[("es-expect", "exists")]),
        ];
        let answer = send(&mut client, batch_of(codec, None, &chain));
        assert_eq!(outcome(&answer), Ok(5 * at), "{codec:?}");
        let gap = [
            event(b.as_str(), &[("es-revision", "2")]),
            event(a.as_str(), &[("es-revision", "3")]),
            event(a.as_str(), &[("es-revision", "5")]),
        ];
        let answer = send(&mut client, batch_of(codec, None, &gap));
        let to_blame = vec![(2, "es-conflict actual=2")];
        assert_eq!(outcome(&answer), Err(to_blame), "{codec:?}, none is stored");
    }
}

/// Of a refused batch nothing is there: its own records are not counted.
#[test]
fn a_conflict_tells_what_is_there_without_the_batch() {
    let rig = store();
    let mut client = rig.client();
    let event = |value, headers| (Some("k"), value, headers);
    let gap = [
        event(Some("x"), &[("es-revision", "0")][..]),
        event(Some("x"), &[("es-revision", "2")]),
    ];
    let none = Err(vec![(1, "es-conflict actual=none")]);
    assert_eq!(outcome(&append(&mut client, &gap)), none);
    let twice = [
        event(Some("x"), &[("es-expect", "no-stream")][..]),
        event(Some("x"), &[("es-expect", "no-stream")]),
    ];
    let answer = append(&mut client, &twice);
    assert_eq!(outcome(&answer), none);
    let within = "no stream was expected, and a record before it in its batch makes that untrue";
    let message = answer.error_message.as_ref().map(Str::as_str).unwrap();
    assert!(message.ends_with(within), "{message}");
    assert_eq!(outcome(&append(&mut client, &gap[..1])), Ok(0));
    let deleted = [
        event(None, &[("es-revision", "1")][..]),
        event(Some("x"), &[("es-expect", "exists")]),
    ];
    let zero = Err(vec![(1, "es-conflict actual=0")]);
    assert_eq!(outcome(&append(&mut client, &deleted)), zero);
}

/// A record that names no place is a plain one: as often as it is sent it is stored, whatever ids
/// it has, as every Kafka producer expects.
#[test]
fn records_without_a_place_are_stored_as_often_as_they_are_sent() {
    let rig = store();
    let mut client = rig.client();
    let plain = [("ce_id", "a")];
    let exists = [("es-expect", "exists"), ("ce_id", "a")];
    for (offset, headers) in (0..).zip([&plain[..], &plain, &exists, &exists]) {
        let event = (Some("k"), Some("x"), headers);
        assert_eq!(outcome(&append(&mut client, &[event])), Ok(offset));
    }
}

#[test]
fn a_batch_that_comes_again_by_its_sequence_is_no_conflict() {
    let rig = store();
    let mut client = rig.client();
    let producer = |base_sequence| {
        Some(Producer {
            id: 7,
            epoch: 0,
            base_sequence,
        })
    };
    let first = [(Some("k"), Some("x"), &[("es-revision", "0")][..])];
    let first = batch_of(Codec::None, producer(0), &first);
    assert_eq!(outcome(&send(&mut client, first.clone())), Ok(0));
    let second = [(Some("k"), Some("y"), &[("es-revision", "1")][..])];
    let second = batch_of(Codec::None, producer(1), &second);
    assert_eq!(outcome(&send(&mut client, second)), Ok(1));
    assert_eq!(outcome(&send(&mut client, first)), Ok(0));
    // What was refused has used no sequence.
    let stale = [(Some("k"), Some("z"), &[("es-revision", "1")][..])];
    let refused = send(&mut client, batch_of(Codec::None, producer(2), &stale));
    assert_eq!(outcome(&refused), Err(vec![(0, "es-conflict actual=1")]));
    let third = [(Some("k"), Some("z"), &[("es-revision", "2")][..])];
    let stored = send(&mut client, batch_of(Codec::None, producer(2), &third));
    assert_eq!(outcome(&stored), Ok(2));
}

/// The header by which an event is recognised, beside the revision that it is.
macro_rules! event {
    ($key:literal, $revision:literal, $id:literal) => {
        (
            Some($key),
            Some("x"),
            &[("es-revision", $revision), ("ce_id", $id)][..],
        )
    };
}

#[test]
fn events_that_come_again_are_where_they_were() {
    let rig = store();
    let mut client = rig.client();
    let first = [event!("k", "0", "a"), event!("other", "0", "b")];
    assert_eq!(outcome(&append(&mut client, &first)), Ok(0));
    let second = [event!("k", "1", "c"), event!("k", "2", "d")];
    assert_eq!(outcome(&append(&mut client, &second)), Ok(2));
    for codec in [Codec::None, Codec::Lz4] {
        let again = send(&mut client, batch_of(codec, None, &first));
        assert_eq!(outcome(&again), Ok(0));
        let again = send(&mut client, batch_of(codec, None, &second));
        assert_eq!(outcome(&again), Ok(2));
    }
    // One of them, and by the other name of the first revision.
    assert_eq!(outcome(&append(&mut client, &second[1..])), Ok(3));
    let headers = [("es-expect", "no-stream"), ("ce_id", "a")];
    let again = [(Some("k"), Some("x"), &headers[..])];
    assert_eq!(outcome(&append(&mut client, &again)), Ok(0));
    // Nothing of all that was stored.
    let next = [event!("k", "3", "e")];
    assert_eq!(outcome(&append(&mut client, &next)), Ok(4));
}

#[test]
fn other_events_at_the_same_place_are_a_conflict() {
    let rig = store();
    let mut client = rig.client();
    let stored = [event!("k", "0", "a"), event!("k", "1", "b")];
    assert_eq!(outcome(&append(&mut client, &stored)), Ok(0));
    let conflict = Err(vec![(0, "es-conflict actual=1")]);
    let other = [event!("k", "0", "z"), event!("k", "1", "b")];
    assert_eq!(outcome(&append(&mut client, &other)), conflict);
    let unnamed = [(Some("k"), Some("x"), &[("es-revision", "0")][..])];
    assert_eq!(outcome(&append(&mut client, &unnamed)), conflict);
    // An id says nothing where no place is claimed.
    let vague = [("es-expect", "no-stream"), ("ce_id", "b")];
    let vague = [(Some("k"), Some("x"), &vague[..])];
    assert_eq!(outcome(&append(&mut client, &vague)), conflict);

    let in_part = [event!("k", "0", "a"), event!("k", "1", "z")];
    let mismatch = Err(vec![(0, "es-id-mismatch at=1")]);
    assert_eq!(outcome(&append(&mut client, &in_part)), mismatch);
    let longer = [
        event!("k", "0", "a"),
        event!("k", "1", "b"),
        event!("k", "2", "c"),
    ];
    let mismatch = Err(vec![(0, "es-id-mismatch at=2")]);
    assert_eq!(outcome(&append(&mut client, &longer)), mismatch);
}

#[test]
fn of_two_producers_that_write_one_revision_one_wins() {
    const ROUNDS: i64 = 200;
    let rig = store();
    let mut clients = [rig.client(), rig.client()];
    for revision in 0..ROUNDS {
        let text = revision.to_string();
        let event = (Some("k"), Some("x"), &[("es-revision", text.as_str())][..]);
        let batch = batch_of(Codec::None, None, &[event]);
        for client in &mut clients {
            client.send(PRODUCE, produce("orders", -1, batch.clone()));
        }
        let mut answers = clients.each_mut().map(|client| {
            let (_, mut answer) = client.receive::<ProduceRequest>(PRODUCE);
            answer.topics.remove(0).partitions.remove(0)
        });
        answers.sort_by_key(|answer| answer.error_code);
        assert_eq!(outcome(&answers[0]), Ok(revision));
        let text = format!("es-conflict actual={revision}");
        assert_eq!(outcome(&answers[1]), Err(vec![(0, text.as_str())]));
    }
}

#[test]
fn a_header_that_is_not_understood_is_told_by_its_record() {
    let rig = store();
    let mut client = rig.client();
    let refused: &[(Event<'_>, &str)] = &[
        ((None, None, &[]), "es-invalid no key"),
        (
            (Some("k"), None, &[("es-revision", "six")]),
            "es-invalid es-revision is not a number",
        ),
        (
            (Some("k"), None, &[("es-expect", "any")]),
            "es-invalid es-expect is neither no-stream nor exists",
        ),
        (
            (
                Some("k"),
                None,
                &[("es-revision", "0"), ("es-expect", "no-stream")],
            ),
            "es-invalid es-revision and es-expect together",
        ),
        (
            (
                Some("k"),
                None,
                &[("es-revision", "0"), ("es-revision", "0")],
            ),
            "es-invalid es-revision twice",
        ),
    ];
    for (event, text) in refused {
        let events = [(Some("k"), Some("x"), &[][..]), *event];
        assert_eq!(
            outcome(&append(&mut client, &events)),
            Err(vec![(1, *text)])
        );
    }
    let stored = append(&mut client, &[(Some("k"), Some("x"), &[])]);
    assert_eq!(outcome(&stored), Ok(0), "nothing was stored before");
    // Elsewhere these are headers like any other.
    rig.topic("t", 1);
    let events = [(Some("k"), Some("x"), &[("es-revision", "six")][..])];
    let request = produce("t", -1, batch_of(Codec::None, None, &events));
    let answer = client.call(PRODUCE, request);
    assert_eq!(outcome(&answer.topics[0].partitions[0]), Ok(0));
}

#[test]
fn a_transactional_batch_is_refused_with_the_word_for_it() {
    let rig = store();
    let mut builder = BatchBuilder::new(Codec::None);
    builder.set_producer(Some(Producer {
        id: 7,
        epoch: 0,
        base_sequence: 0,
    }));
    builder.set_transactional(true);
    builder.append(START.0, Some(b"k"), None, &[]).unwrap();
    let mut request = produce("orders", -1, builder.build().unwrap());
    request.transactional_id = Some(Str::from_static("tx"));
    let answer = rig.client().call(PRODUCE, request);
    let answer = &answer.topics[0].partitions[0];
    assert_eq!(outcome(answer), Err(vec![]));
    let message = answer.error_message.as_ref().unwrap();
    assert!(message.contains("es-transactional"), "{message:?}");
}

#[test]
fn what_would_take_history_has_its_code() {
    let rig = store();
    let mut client = rig.client();
    let split = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: Str::from_static("orders"),
            count: 2,
            assignments: None,
        }],
        ..CreatePartitionsRequest::default()
    };
    assert_eq!(
        client.call(1, split).results[0].error_code,
        INVALID_PARTITIONS
    );
    let delete = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: Str::from_static("orders"),
            partitions: vec![DeleteRecordsPartition {
                index: 0,
                offset: 0,
            }],
        }],
        ..DeleteRecordsRequest::default()
    };
    let deleted = client.call(1, delete);
    assert_eq!(deleted.topics[0].partitions[0].error_code, POLICY_VIOLATION);
    let finite = [("append.conditional", "true"), ("retention.ms", "1000")];
    assert_eq!(create(&mut client, "finite", &finite), INVALID_CONFIG);
}
