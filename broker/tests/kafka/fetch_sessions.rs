//! Fetch sessions: what a client hears again, and what not.

use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::messages::fetch::{
    FetchForgottenTopic, FetchPartition, FetchRequest, FetchResponse, FetchTopic,
};
use highwater_proto::kafka::messages::produce::{ProducePartition, ProduceRequest, ProduceTopic};

use crate::kit::{Client, FETCH, PRODUCE, Rig, batch, fetch};

/// The last version with names; the first with ids is the one after it.
const BY_NAME: i16 = FETCH;
const BY_ID: i16 = FETCH + 1;

fn partitions(at: &[(i32, i64)]) -> Vec<FetchPartition> {
    let partition = |&(index, fetch_offset)| FetchPartition {
        index,
        fetch_offset,
        max_bytes: i32::MAX,
        ..FetchPartition::default()
    };
    at.iter().map(partition).collect()
}

/// A step of a session that reads on in these partitions of the topic `t`.
fn step(session_id: i32, session_epoch: i32, at: &[(i32, i64)]) -> FetchRequest {
    let topic = FetchTopic {
        name: "t".into(),
        partitions: partitions(at),
        ..FetchTopic::default()
    };
    FetchRequest {
        min_bytes: 1,
        session_id,
        session_epoch,
        topics: if at.is_empty() { vec![] } else { vec![topic] },
        ..FetchRequest::default()
    }
}

fn begin(client: &mut Client, at: &[(i32, i64)]) -> i32 {
    let answer = client.call(BY_NAME, step(0, 0, at));
    assert_eq!(answer.error_code, 0);
    answer.session_id
}

fn write(client: &mut Client, index: i32) {
    let records = Some(batch(&["v"]));
    let topic = ProduceTopic {
        name: "t".into(),
        partitions: vec![ProducePartition { index, records }],
    };
    let request = ProduceRequest {
        acks: -1,
        topics: vec![topic],
        ..ProduceRequest::default()
    };
    let answer = client.call(PRODUCE, request);
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

/// Topic, partition, error, and whether there are records.
fn told(answer: &FetchResponse) -> Vec<(&str, i32, i16, bool)> {
    let topics = answer.topics.iter();
    let all = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|one| {
            let has_records = !one.records.clone().into_bytes().is_empty();
            (topic.name.as_str(), one.index, one.error_code, has_records)
        })
    });
    all.collect()
}

#[test]
fn a_session_tells_what_is_new_and_nothing_else() {
    let rig = Rig::new();
    rig.topic("t", 3);
    let mut client = rig.client();
    let session = begin(&mut client, &[(0, 0), (1, 0), (2, 0)]);
    assert_ne!(session, 0);
    let nothing = client.call(BY_NAME, step(session, 1, &[]));
    assert_eq!((nothing.error_code, nothing.session_id), (0, session));
    assert_eq!(told(&nothing), []);
    write(&mut client, 1);
    let one = client.call(BY_NAME, step(session, 2, &[]));
    assert_eq!(told(&one), [("t", 1, 0, true)]);
    // The client reads on, adds a partition that is not there, and leaves another one.
    let mut changed = step(session, 3, &[(1, 1), (9, 0)]);
    changed.forgotten_topics = vec![FetchForgottenTopic {
        name: "t".into(),
        partitions: vec![2],
        ..FetchForgottenTopic::default()
    }];
    assert_eq!(
        told(&client.call(BY_NAME, changed)),
        [("t", 9, 3, false)],
        "an error is told"
    );
    write(&mut client, 2);
    write(&mut client, 0);
    let next = client.call(BY_NAME, step(session, 4, &[]));
    assert_eq!(told(&next), [("t", 0, 0, true), ("t", 9, 3, false)]);
}

#[test]
fn an_answer_keeps_the_order_of_the_session() {
    let rig = Rig::new();
    for name in ["t", "u"] {
        rig.topic(name, 2);
    }
    let mut client = rig.client();
    let topic = |name: &'static str| FetchTopic {
        name: Str::from_static(name),
        partitions: partitions(&[(0, 0), (1, 0)]),
        ..FetchTopic::default()
    };
    let both = FetchRequest {
        topics: vec![topic("t"), topic("u")],
        ..step(0, 0, &[])
    };
    let session = client.call(BY_NAME, both).session_id;
    write(&mut client, 0);
    client.call(BY_NAME, step(session, 1, &[]));
    // t-0 had records and went to the end: t stands twice in the answer, in the order of service.
    write(&mut client, 1);
    let answer = client.call(BY_NAME, step(session, 2, &[]));
    assert_eq!(told(&answer), [("t", 1, 0, true), ("t", 0, 0, true)]);
    let answer = client.call(BY_NAME, step(session, 3, &[]));
    assert_eq!(told(&answer), [("t", 1, 0, true), ("t", 0, 0, true)]);
}

#[test]
fn an_unknown_session_is_error_70() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let session = begin(&mut client, &[(0, 0)]);
    let elsewhere = Rig::new();
    // Also in a broker that knows the session of another one: as after a restart.
    for (client, id) in [
        (&mut client, session ^ 1),
        (&mut elsewhere.client(), session),
    ] {
        let answer = client.call(BY_NAME, step(id, 1, &[]));
        assert_eq!((answer.error_code, answer.session_id), (70, 0));
        assert_eq!(answer.topics, []);
    }
}

#[test]
fn an_epoch_that_does_not_follow_is_error_71() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let session = begin(&mut client, &[(0, 0)]);
    for (epoch, error) in [(2, 71), (1, 0), (1, 71), (-3, 71), (2, 0)] {
        let answer = client.call(BY_NAME, step(session, epoch, &[]));
        assert_eq!(answer.error_code, error, "{epoch}");
    }
}

#[test]
fn ids_in_a_session_of_names_are_error_106() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let id = Uuid(rig.service.topic_id("t").unwrap().0);
    let mut client = rig.client();
    let of_names = begin(&mut client, &[(0, 0)]);
    assert_eq!(client.call(BY_ID, step(of_names, 1, &[])).error_code, 106);
    let topic = FetchTopic {
        topic_id: id,
        partitions: partitions(&[(0, 0)]),
        ..FetchTopic::default()
    };
    let by_id = FetchRequest {
        topics: vec![topic],
        ..step(0, 0, &[])
    };
    let answer = client.call(BY_ID, by_id);
    assert_eq!(answer.topics[0].topic_id, id);
    let of_ids = answer.session_id;
    assert_eq!(client.call(BY_NAME, step(of_ids, 1, &[])).error_code, 106);
    write(&mut client, 0);
    let answer = client.call(BY_ID, step(of_ids, 1, &[]));
    assert_eq!(answer.topics[0].topic_id, id, "the refusal changed nothing");
    // Gone with its topic: told as an error, again and again.
    assert_eq!(rig.client().call(1, delete("t")).topics[0].error_code, 0);
    for epoch in [2, 3] {
        let answer = client.call(BY_ID, step(of_ids, epoch, &[]));
        assert_eq!(answer.topics[0].partitions[0].error_code, 100);
    }
}

fn delete(
    name: &'static str,
) -> highwater_proto::kafka::messages::delete_topics::DeleteTopicsRequest {
    highwater_proto::kafka::messages::delete_topics::DeleteTopicsRequest {
        topic_names: vec![Str::from_static(name)],
        ..Default::default()
    }
}

#[test]
fn a_waiting_step_is_woken_by_a_partition_that_it_does_not_name() {
    let rig = Rig::new();
    rig.topic("t", 2);
    let mut client = rig.client();
    let session = begin(&mut client, &[(0, 0), (1, 0)]);
    let wait = |epoch| FetchRequest {
        max_wait_ms: 60_000,
        ..step(session, epoch, &[])
    };
    client.send(BY_NAME, wait(1));
    rig.until_parked(1);
    write(&mut rig.client(), 1);
    let (_, answer) = client.receive::<FetchRequest>(BY_NAME);
    assert_eq!(told(&answer), [("t", 1, 0, true)]);
    // And by its time, when nothing comes.
    let read_on = FetchRequest {
        max_wait_ms: 60_000,
        ..step(session, 2, &[(1, 1)])
    };
    client.send(BY_NAME, read_on);
    rig.until_parked(1);
    rig.advance(Duration::from_secs(60));
    let (_, answer) = client.receive::<FetchRequest>(BY_NAME);
    assert_eq!((answer.session_id, told(&answer)), (session, vec![]));
}

#[test]
fn a_session_is_closed_over_any_connection_and_goes_on_over_any() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let session = begin(&mut rig.client(), &[(0, 0)]);
    let on = rig.client().call(BY_NAME, step(session, 1, &[]));
    assert_eq!(on.error_code, 0);
    let last = rig.client().call(BY_NAME, step(session, -1, &[(0, 0)]));
    assert_eq!(
        (last.session_id, told(&last)),
        (0, vec![("t", 0, 0, false)])
    );
    let gone = rig.client().call(BY_NAME, step(session, 2, &[]));
    assert_eq!(gone.error_code, 70);
}

#[test]
fn without_room_every_fetch_is_a_full_one() {
    let rig = Rig::with(BrokerConfig {
        fetch_session_slots_max: 1,
        ..BrokerConfig::default()
    });
    rig.topic("t", 1);
    let mut client = rig.client();
    let first = begin(&mut client, &[(0, 0)]);
    assert_ne!(first, 0);
    assert_eq!(begin(&mut client, &[(0, 0)]), 0);
    rig.advance(Duration::from_millis(120_001));
    assert_ne!(begin(&mut client, &[(0, 0)]), 0);
    assert_eq!(
        client.call(BY_NAME, step(first, 1, &[])).error_code,
        70,
        "it was idle"
    );
    // Versions without sessions are answered without one.
    assert_eq!(client.call(6, step(0, -1, &[(0, 0)])).session_id, 0);
}

/// None of what is not there, as in Kafka; other errors have null.
#[test]
fn a_partition_that_is_not_there_has_no_aborted_transactions() {
    let rig = Rig::new();
    rig.topic("t", 1);
    let mut client = rig.client();
    let mut fetched = |topic, partition, offset| {
        let mut request = fetch(topic, offset, 0);
        request.topics[0].partitions[0].index = partition;
        let mut answer = client.call(FETCH, request);
        let found = answer.topics.remove(0).partitions.remove(0);
        (found.error_code, found.aborted_transactions)
    };
    assert_eq!(fetched("none", 0, 0), (3, Some(Vec::new())));
    assert_eq!(fetched("t", 1, 0), (3, Some(Vec::new())));
    assert_eq!(fetched("t", 0, 9), (1, None));
}
