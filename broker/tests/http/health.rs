//! Health, and the limits of the listener.

use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::error::BrokerError;

use crate::get::{Connection, get};
use crate::kit::{Rig, batch};
use crate::member::faulty;

#[test]
fn a_broker_that_works_is_live_and_ready() {
    let broker = Broker::builder()
        .listen_http("127.0.0.1:0".parse().unwrap())
        .start()
        .unwrap();
    let [address] = &broker.http_addresses()[..] else {
        panic!("one listener")
    };
    for (path, body) in [("/health/live", "live\n"), ("/health/ready", "ready\n")] {
        let answer = get(address, path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
    }
    assert_eq!(get(address, "/").status, 404);
    assert_eq!(get(address, "/health").status, 404);
    let mut connection = Connection::open(address);
    connection.send("POST", "/metrics");
    assert_eq!(connection.answer().status, 405);
}

#[test]
fn it_listens_nowhere_unless_it_is_asked_to() {
    let broker = Broker::in_memory().unwrap();
    assert_eq!(broker.http_addresses(), []);
}

#[test]
fn localhost_is_both_addresses() {
    let broker = Broker::in_memory().unwrap();
    let address = broker.listen_http("localhost:0").unwrap();
    assert_eq!(get(&address, "/health/live").status, 200);
    if let Ok(stream) = TcpStream::connect(("::1", address.port)) {
        drop(stream);
        let address = format!("[::1]:{}", address.port).parse().unwrap();
        assert_eq!(get(&address, "/health/live").status, 200);
    }
}

#[tokio::test]
async fn after_a_failed_sync_it_is_live_but_not_ready_and_says_why() {
    let (rig, disk) = faulty();
    let address = rig.broker.listen_http("127.0.0.1:0").unwrap();
    rig.topic("t", 1, &[]).await;
    rig.produce("t", batch(&["x"])).await.unwrap();
    disk.faults.syncs.store(true, Ordering::SeqCst);
    assert!(rig.produce("t", batch(&["x"])).await.is_err());
    let answer = get(&address, "/health/ready");
    assert_eq!(answer.status, 503);
    let why = rig.service.poisoned().unwrap();
    assert!(answer.body.contains(&why), "{}", answer.body);
    assert_eq!(get(&address, "/health/live").status, 200);
    let metrics = get(&address, "/metrics").body;
    assert!(metrics.contains("\nhighwater_poisoned 1\n"), "{metrics}");
    let failed = "\nhighwater_sync_errors_total ";
    let failed = metrics.split(failed).nth(1).map(|rest| &rest[..2]);
    assert_eq!(failed, Some("1\n"), "{metrics}");
}

#[test]
fn a_broker_that_shuts_down_says_so_until_it_has() {
    let broker = Broker::in_memory().unwrap();
    let address = broker.listen_http("127.0.0.1:0").unwrap();
    let mut idle = Connection::open(&address);
    idle.send("GET", "/health/ready");
    assert_eq!(idle.answer().status, 200);
    broker.service().begin_closing();
    let answer = get(&address, "/health/ready");
    let body = "the broker is shutting down\n";
    assert_eq!((answer.status, answer.body.as_str()), (503, body));
    assert_eq!(get(&address, "/health/live").status, 200);

    broker.shutdown_blocking().unwrap();
    assert!(idle.is_closed());
    let refused = TcpStream::connect((address.host.as_str(), address.port));
    assert!(refused.is_err(), "the port is free");
    let again = broker.listen_http("127.0.0.1:0");
    assert!(matches!(again, Err(BrokerError::Closed)), "{again:?}");
}

#[test]
fn a_port_that_is_taken_stops_the_start_with_its_name() {
    let broker = Broker::in_memory().unwrap();
    let address = broker.listen_http("127.0.0.1:0").unwrap();
    let started = Broker::builder()
        .listen_http(address.clone().into())
        .start();
    let error = started.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}

/// More connections than may be open: the last one is served when the others' time is over.
#[test]
fn connections_are_bounded_in_number_and_in_time() {
    let rig = Rig::new();
    let address = rig.broker.listen_http("127.0.0.1:0").unwrap();
    let mut idle: Vec<Connection> = (0..32).map(|_| Connection::open(&address)).collect();
    let serve_all = |idle: &mut Vec<Connection>| {
        for connection in idle {
            connection.send("GET", "/health/live");
            assert_eq!(connection.answer().status, 200);
        }
    };
    serve_all(&mut idle);
    let mut one_more = Connection::open(&address);
    one_more.send("GET", "/health/live");
    serve_all(&mut idle);
    assert!(one_more.is_silent(), "there is no room for it");
    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(one_more.answer().status, 200);
    assert!(idle.iter_mut().all(Connection::is_closed));
}

/// A client that has begun a request and does not go on.
#[test]
fn a_request_that_never_ends_is_cut_off() {
    let rig = Rig::new();
    let address = rig.broker.listen_http("127.0.0.1:0").unwrap();
    let mut endless = Connection::open(&address);
    endless.send("GET", "/health/live");
    assert_eq!(endless.answer().status, 200);
    endless.begin("GET /health/live HTTP/1.1\r\nx-one: 1\r\n");
    rig.clock.advance(Duration::from_secs(60));
    assert!(endless.is_closed());
}
