//! Requests take effect in their order; answers come as they are ready.

use std::io::Read;
use std::net::Shutdown;
use std::time::Duration;

use highwater_broker::config::BrokerConfig;
use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1::response::Answer;

use crate::kit::{Rig, batch, code, fetch, produce, until};

#[test]
fn who_waits_for_records_holds_back_nobody() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let waiting = client.send(fetch("orders", 0, 1_000_000), b"");
    rig.until_parked(1);
    // The clock stands still: nothing but the batch ends the wait.
    let produced = client.send(produce("orders"), &batch(&["a"]));
    let mut answers = [client.receive(), client.receive()];
    answers.sort_by_key(|(correlation, ..)| *correlation);
    assert_eq!([answers[0].0, answers[1].0], [waiting, produced]);
    assert!(matches!(answers[0].1, Answer::Fetched(fetched) if fetched.next_offset == 1));
    assert!(matches!(answers[1].1, Answer::Produced(produced) if produced.base_offset == 0));
}

#[test]
fn a_wait_ends_with_its_time() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    client.send(fetch("orders", 0, 5_000), b"");
    rig.until_parked(1);
    rig.clock.advance(Duration::from_millis(5_000));
    let (_, answer, body) = client.receive();
    assert!(matches!(answer, Answer::Fetched(fetched) if fetched.next_offset == 0));
    assert!(body.is_empty());
}

#[test]
fn batches_that_are_sent_ahead_are_stored_in_their_order() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    let frames: Vec<(u64, Vec<u8>)> = (0..500)
        .map(|n| client.frame(produce("orders"), &batch(&[&n.to_string()])))
        .collect();
    let together: Vec<u8> = frames.iter().flat_map(|(_, frame)| frame.clone()).collect();
    let mut writer = client.stream.try_clone().unwrap();
    let mut offsets = vec![-1; frames.len()];
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut writer, &together).unwrap());
        for _ in 0..frames.len() {
            let (correlation, answer, _) = client.receive();
            let Answer::Produced(produced) = answer else {
                panic!("{answer:?}")
            };
            let place = frames.iter().position(|(sent, _)| *sent == correlation);
            offsets[place.unwrap()] = produced.base_offset;
        }
    });
    assert_eq!(offsets, (0..500).collect::<Vec<i64>>());
}

#[test]
fn what_a_client_has_sent_before_it_left_takes_effect() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    client.send(fetch("orders", 0, 1_000_000), b"");
    rig.until_parked(1);
    client.send(produce("orders"), &batch(&["a"]));
    client.stream.shutdown(Shutdown::Write).unwrap();
    // The wait is given up, or was over before; the batch is stored and answered.
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty());
    let (_, body) = rig.client().call(fetch("orders", 0, 0), b"");
    assert_eq!(body.len(), batch(&["a"]).len());
    until(|| rig.service.parked_count() == 0);
}

#[test]
fn a_client_that_left_waits_no_longer() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    client.send(fetch("orders", 0, 1_000_000), b"");
    rig.until_parked(1);
    drop(client);
    rig.until_parked(0);
}

#[test]
fn a_shutdown_answers_those_who_wait() {
    let rig = Rig::new();
    rig.topic("orders", 1);
    let mut client = rig.client();
    client.send(fetch("orders", 0, 1_000_000), b"");
    rig.until_parked(1);
    rig.broker.shutdown_blocking().unwrap();
    let (_, answer, _) = client.receive();
    assert!(matches!(answer, Answer::Fetched(_)));
    client.is_closed();
}

#[test]
fn more_requests_than_may_be_under_way_wait_unread() {
    let rig = Rig::with(BrokerConfig {
        connection_requests_max: 2,
        ..BrokerConfig::default()
    });
    rig.topic("orders", 1);
    let mut client = rig.client();
    let waits = [1, 2].map(|_| client.send(fetch("orders", 0, 5_000), b""));
    let third = client.send(fetch("no", 0, 0), b"");
    rig.until_parked(2);
    rig.clock.advance(Duration::from_millis(5_000));
    let answers = [(); 3].map(|()| client.receive());
    let mut first = [answers[0].0, answers[1].0];
    first.sort_unstable();
    assert_eq!(first, waits);
    assert_eq!(answers[2].0, third);
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    assert!(matches!(&answers[2].1, Answer::Failure(failure) if failure.code == unknown));
}
