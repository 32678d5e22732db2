//! What cannot be seen from outside: memory that is reserved, and clocks that stand.
//!
//! Floor 5 of broker; compiled for its tests only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use highwater_proto::clock::{Mono, Wall};
use highwater_proto::kafka::Request;
use highwater_proto::kafka::messages::api_versions::ApiVersionsRequest;

use super::*;
use crate::Broker;
use crate::clock::VirtualClock;
use crate::config::BrokerConfig;
use crate::kafka::faults::Faults;
use crate::workers::{Slow, Workers};

const MIB: usize = 1 << 20;

pub(super) struct Rig {
    /// Its end is the end of everything.
    pub(super) broker: Broker,
    pub(super) server: Arc<Server>,
    clock: VirtualClock,
    address: SocketAddr,
}

impl Rig {
    /// A budget of one frame of the largest size.
    pub(super) fn new() -> Self {
        let clock = VirtualClock::new(Wall(0));
        let config = BrokerConfig {
            socket_request_max_bytes: MIB,
            queued_max_request_bytes: MIB,
            ..BrokerConfig::default()
        };
        let broker = Broker::builder()
            .config(config)
            .clock(Arc::new(clock.clone()));
        let broker = broker.start().unwrap();
        let workers = Workers::new(broker.handle().clone(), Slow::Threads);
        let server = Server::new(broker.service().clone(), workers, Faults::default());
        let address = server.listen(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = address.to_string().parse().unwrap();
        Self {
            broker,
            server,
            clock,
            address,
        }
    }

    /// Announces a frame and sends so much of it.
    fn begin(&self, size: usize, sent: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
            .write_all(&i32::try_from(size).unwrap().to_be_bytes())
            .unwrap();
        stream.write_all(&vec![0; sent]).unwrap();
        stream
    }

    fn until_free(&self, bytes: usize) {
        until(|| self.server.connections.frame_budget.available_permits() == bytes);
    }
}

fn until(is_so: impl Fn() -> bool) {
    for _ in 0..20_000_000_u64 {
        if is_so() {
            return;
        }
        std::thread::yield_now();
    }
    panic!("it never came to be");
}

fn is_answered(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = Request::from(ApiVersionsRequest::default());
    stream
        .write_all(&request.encode_frame(0, 1, None).unwrap().into_bytes())
        .unwrap();
    stream.read_exact(&mut [0; 8]).unwrap();
}

#[test]
fn a_size_is_reserved_only_once_64_kib_of_the_frame_are_there() {
    let rig = Rig::new();
    // A byte less than what is read unreserved: the size of the frame counts, too.
    let mut stream = rig.begin(600_000, 64 * 1024 - 5);
    is_answered(rig.address);
    assert_eq!(rig.server.connections.frame_budget.available_permits(), MIB);
    stream.write_all(&[0]).unwrap();
    rig.until_free(MIB - 600_000);
    drop(stream);
    rig.until_free(MIB);
}

#[test]
fn small_requests_need_no_budget_and_large_ones_get_it_in_the_order_of_asking() {
    let rig = Rig::new();
    let first = rig.begin(MIB, 100_000);
    rig.until_free(0);
    is_answered(rig.address);
    let mut second = rig.begin(700_000, 100_000);
    second.write_all(&[0; 100_000]).unwrap();
    drop(first);
    rig.until_free(MIB - 700_000);
    drop(second);
    rig.until_free(MIB);
}

#[test]
fn who_waits_for_the_budget_does_not_pay_for_it() {
    let rig = Rig::new();
    let mut slow = rig.begin(MIB, 64 * 1024);
    rig.until_free(0);
    let mut waiting = rig.begin(700_000, 64 * 1024);
    // Time enough for what it has sent to be read: it is the budget that it waits for.
    (0..100).for_each(|_| is_answered(rig.address));
    // The first sends nothing for a window: it is closed, and the second one's turn comes.
    let refused = &rig.server.service.metrics().refused_connections;
    until(|| {
        rig.clock.advance(Duration::from_millis(10));
        refused.value() == 1
    });
    assert_eq!(slow.read(&mut [0; 1]).unwrap_or(0), 0);
    rig.until_free(MIB - 700_000);
    assert_eq!(refused.value(), 1, "the other one has only waited");
    // A body of zeros is a Produce of version 0, which is not spoken here.
    waiting.write_all(&vec![0; 700_000 - 64 * 1024]).unwrap();
    assert_eq!(waiting.read(&mut [0; 1]).unwrap_or(0), 0);
    until(|| refused.value() == 2);
    rig.until_free(MIB);
}

#[test]
fn a_panic_ends_its_session_and_gives_back_what_it_held() {
    let rig = Rig::new();
    let sessions = rig.server.connections.sessions.one();
    let admission = rig
        .server
        .connections
        .gate
        .admit([127, 0, 0, 1].into(), rig.clock_now())
        .unwrap();
    let task = rig.server.workers.spawn(async move {
        let _held = (sessions, admission);
        panic!("a handler has a defect");
    });
    until(|| task.is_finished());
    is_answered(rig.address);
    rig.server
        .workers
        .runtime()
        .block_on(rig.server.connections.sessions.zero());
}

impl Rig {
    fn clock_now(&self) -> Mono {
        self.server.service.clock().now().mono
    }
}
