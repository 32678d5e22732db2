//! Frames that were valid once: bits flipped, ends cut off, sizes that lie. Only the connection
//! that sends them pays.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Shutdown;

use highwater_broker::config::BrokerConfig;
use highwater_proto::code::ErrorCode;
use highwater_proto::native::v1::request::Call;
use highwater_proto::native::v1::response::Answer;
use highwater_proto::native::v1::{self, expect::What, subscribe::Start};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop};
use proptest::test_runner::TestRunner;

use crate::kit::{Client, Rig, batch, code, fetch, produce, subscribe, until};
use crate::streams::{STORE, append, check, event, no_stream, read};

/// What is done to one of the frames of a conversation.
#[derive(Clone, Debug)]
enum Harm {
    Flip {
        at: prop::sample::Index,
        bit: u8,
    },
    Cut {
        at: prop::sample::Index,
    },
    Overwrite {
        at: prop::sample::Index,
        with: [u8; 4],
    },
    Insert {
        at: prop::sample::Index,
        bytes: Vec<u8>,
    },
    Leave,
}

fn harm() -> impl Strategy<Value = Harm> {
    let at = any::<prop::sample::Index>;
    prop::strategy::Union::new_weighted(vec![
        (
            4,
            (at(), 0..8_u8)
                .prop_map(|(at, bit)| Harm::Flip { at, bit })
                .boxed(),
        ),
        (1, at().prop_map(|at| Harm::Cut { at }).boxed()),
        (
            2,
            (at(), any::<[u8; 4]>())
                .prop_map(|(at, with)| Harm::Overwrite { at, with })
                .boxed(),
        ),
        (
            1,
            (at(), prop::collection::vec(any::<u8>(), 1..40))
                .prop_map(|(at, bytes)| Harm::Insert { at, bytes })
                .boxed(),
        ),
        (2, Just(Harm::Leave).boxed()),
    ])
}

impl Harm {
    fn done_to(&self, mut frame: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Flip { at, bit } => {
                let at = at.index(frame.len());
                frame[at] ^= 1 << bit;
            }
            Self::Cut { at } => frame.truncate(at.index(frame.len())),
            Self::Overwrite { at, with } => {
                let at = at.index(frame.len());
                for (place, byte) in frame[at..].iter_mut().zip(with) {
                    *place = *byte;
                }
            }
            Self::Insert { at, bytes } => {
                let at = at.index(frame.len());
                frame.splice(at..at, bytes.iter().copied());
            }
            Self::Leave => {}
        }
        frame
    }
}

/// One call of each kind; nothing of what they write is what the bystander reads.
fn calls() -> Vec<(Call, Vec<u8>)> {
    let hello = Call::Hello(v1::Hello {
        version_max: 1,
        client_id: "hostile".to_owned(),
    });
    let two = [event("a", "1", Some("x")), event("b", "2", None)];
    let credit = Call::Credit(v1::Credit {
        subscription: 4,
        bytes: u32::MAX,
    });
    let end = Call::Unsubscribe(v1::Unsubscribe { subscription: 4 });
    let head_only = [
        hello,
        fetch("theirs", 0, 1),
        append(&[check("a", no_stream())], &two),
        subscribe("theirs", Start::Earliest(true), u32::MAX),
        credit,
        Call::ReadStream(read("a")),
        append(&[check("a", What::Exists(true))], &two),
        end,
    ];
    let mut calls: Vec<_> = head_only.map(|call| (call, Vec::new())).into();
    calls.push((produce("theirs"), batch(&["one", "two"]).to_vec()));
    calls
}

fn rig() -> Rig {
    let rig = Rig::with(BrokerConfig {
        socket_request_max_bytes: 512 * 1024,
        queued_max_request_bytes: 1 << 20,
        ..BrokerConfig::default()
    });
    rig.topic_with("events", 1, STORE);
    rig.topic("theirs", 1);
    rig.topic("ours", 1);
    rig
}

/// What is sent is taken or not; then the connection comes to its end, however it is answered.
fn served(rig: &Rig, conversation: &[Vec<u8>]) {
    let closed = rig.service.metrics().closed_connections.value();
    let mut hostile = Client::connect(rig.address);
    for frame in conversation {
        // It may be closed already.
        if hostile.stream.write_all(frame).is_err() {
            break;
        }
    }
    let _ = hostile.stream.shutdown(Shutdown::Write);
    let _ = hostile.stream.read_to_end(&mut Vec::new());
    until(|| rig.service.metrics().closed_connections.value() > closed);
}

#[test]
fn harmed_frames_cost_nobody_else_anything() {
    let rig = rig();
    let bystander = RefCell::new((rig.client(), 0));
    let frames: Vec<Vec<u8>> = {
        let mut writer = Client::connect(rig.address);
        let frames = calls().into_iter();
        frames
            .map(|(call, body)| writer.frame(call, &body).1)
            .collect()
    };
    let count = frames.len();
    // Most begin with a good Hello, or nothing behind it would be read.
    let conversation = (0..8_u8, prop::collection::vec((0..count, harm()), 1..12));
    TestRunner::new(ProptestConfig::with_cases(200))
        .run(&conversation, |(greeting, steps)| {
            let mut sent = Vec::new();
            if greeting > 0 {
                sent.push(frames[0].clone());
            }
            sent.extend(
                steps
                    .iter()
                    .map(|(at, harm)| harm.done_to(frames[*at].clone())),
            );
            served(&rig, &sent);
            // Nothing of it is left, and who behaves is served.
            until(|| rig.service.queued_requests().used == 0);
            until(|| rig.service.queued_batches().used == 0);
            until(|| rig.service.parked_count() == 0);
            let (client, written) = &mut *bystander.borrow_mut();
            assert_eq!(client.produced("ours", &batch(&["x"])), *written);
            let (answer, _) = client.call(fetch("ours", *written, 0), b"");
            *written += 1;
            assert!(matches!(answer, Answer::Fetched(fetched) if fetched.next_offset == *written));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_batch_that_is_cut_off_is_refused_and_its_connection_goes_on() {
    let rig = rig();
    let mut client = rig.client();
    let whole = batch(&["one", "two"]);
    for end in 0..whole.len() {
        let failure = client.refused(produce("theirs"), &whole[..end]);
        assert!(
            [ErrorCode::CorruptMessage, ErrorCode::InvalidRecord]
                .map(code)
                .contains(&failure.code),
            "{end}: {failure:?}"
        );
    }
    let longer = [&whole[..], &[0]].concat();
    client.refused(produce("theirs"), &longer);
    assert_eq!(client.produced("theirs", &whole), 0);
}

/// Frames that are announced, and of which too little comes to be worth their memory.
#[test]
fn announced_bytes_are_reserved_from_one_budget_and_given_back() {
    let rig = rig();
    let mut bystander = rig.client();
    let frame_bytes = 400 * 1024_u32;
    let mut hostile: Vec<Client> = (0..10).map(|_| rig.client()).collect();
    for client in &mut hostile {
        client.write(&frame_bytes.to_be_bytes());
        client.write(&[1]);
        client.write(&[0; 80 * 1024]);
    }
    let used = || rig.service.queued_requests().used;
    // Two fit; the first of the others holds what is left, and nothing more is read of theirs.
    until(|| used() > 2 * u64::from(frame_bytes));
    for offset in 0..100 {
        assert_eq!(bystander.produced("ours", &batch(&["x"])), offset);
        assert!(used() <= 1 << 20);
    }
    drop(hostile);
    until(|| used() == 0);
}

/// Credit without end, and nobody who reads what comes of it.
#[test]
fn credit_buys_no_more_than_the_client_takes() {
    const BATCHES: usize = 40;
    let rig = Rig::new();
    rig.topic("ours", 1);
    let mut bystander = rig.client();
    let large = batch(&["x".repeat(900_000).as_str()]);
    for _ in 0..BATCHES {
        bystander.produced("ours", &large);
    }
    let metrics = rig.service.metrics();
    let before = metrics.sent_bytes.value();
    let mut hostile = rig.client();
    let name = hostile.send(subscribe("ours", Start::Earliest(true), u32::MAX), b"");
    for _ in 0..20 {
        let credit = v1::Credit {
            subscription: name,
            bytes: u32::MAX,
        };
        hostile.send(Call::Credit(credit), b"");
    }
    until(|| metrics.sent_bytes.value() - before > large.len() as u64);
    for offset in (BATCHES as i64..).take(50) {
        assert_eq!(bystander.produced("ours", &batch(&["x"])), offset);
    }
    // What the system takes for a socket, and little more.
    let sent = metrics.sent_bytes.value() - before;
    assert!(sent < 24_000_000, "{sent}");
    until(|| {
        rig.clock.advance(std::time::Duration::from_secs(1));
        metrics.closed_connections.value() > 0
    });
    hostile.line_with("took no byte of an answer");
}
