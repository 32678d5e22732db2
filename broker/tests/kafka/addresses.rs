//! Where a client is told to come back to.

use std::net::SocketAddr;

use highwater_broker::Broker;
use highwater_broker::error::BrokerError;
use highwater_proto::kafka::messages::describe_cluster::DescribeClusterRequest;
use highwater_proto::kafka::messages::metadata::MetadataRequest;

use crate::kit::Client;

/// What a client is told that comes by this address.
fn told_at(address: SocketAddr) -> (String, i32) {
    let mut client = Client::connect(address);
    let metadata = client.call(9, MetadataRequest::default());
    let cluster = client.call(0, DescribeClusterRequest::default());
    let broker = &metadata.brokers[0];
    assert_eq!(
        (&broker.host, broker.port),
        (&cluster.brokers[0].host, cluster.brokers[0].port)
    );
    assert_eq!(metadata.cluster_id, Some(cluster.cluster_id));
    assert_eq!(
        (
            broker.node_id,
            metadata.controller_id,
            cluster.controller_id
        ),
        (1, 1, 1)
    );
    (broker.host.as_str().to_owned(), broker.port)
}

fn told_over(broker: &Broker, listener: &str) -> (String, i32) {
    let address = broker.listen_kafka(listener).unwrap();
    told_at(address.to_string().parse().unwrap())
}

#[test]
fn without_another_address_it_is_the_one_that_the_client_came_by() {
    let broker = Broker::in_memory().unwrap();
    let (host, port) = told_over(&broker, "127.0.0.1:0");
    assert_eq!(host, "127.0.0.1");
    assert_eq!(broker.bootstrap_servers(), format!("127.0.0.1:{port}"));
    let (host, port) = told_over(&broker, "ALL=0.0.0.0:0");
    assert_eq!(host, "127.0.0.1");
    assert!(
        broker
            .bootstrap_servers()
            .ends_with(&format!(",127.0.0.1:{port}"))
    );
    assert_eq!(
        told_at(([127, 0, 0, 5], u16::try_from(port).unwrap()).into()).0,
        "127.0.0.5"
    );
}

#[test]
fn each_listener_tells_its_own_address() {
    let broker = Broker::in_memory().unwrap();
    let inside: SocketAddr = broker
        .listen_kafka("IN=127.0.0.1:0")
        .unwrap()
        .to_string()
        .parse()
        .unwrap();
    // The port on which it really listens is not told: found by taking a free one.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let outside = format!("OUT={free},advertise=broker.example:19092");
    let address = broker.listen_kafka(&outside).unwrap();
    assert_eq!(address.to_string(), "broker.example:19092");
    assert_eq!(told_at(free), ("broker.example".to_owned(), 19092));
    assert_eq!(
        told_at(inside),
        ("127.0.0.1".to_owned(), inside.port().into())
    );
    assert_eq!(
        broker.bootstrap_servers(),
        format!("{inside},broker.example:19092")
    );
}

#[test]
fn an_advertised_port_0_is_the_real_port() {
    let broker = Broker::in_memory().unwrap();
    let address = broker
        .listen_kafka("127.0.0.1:0,advertise=localhost:0")
        .unwrap();
    assert_ne!(address.port, 0);
    let told = told_at(([127, 0, 0, 1], address.port).into());
    assert_eq!(told, ("localhost".to_owned(), address.port.into()));
}

#[test]
fn localhost_is_both_addresses_on_one_port() {
    let broker = Broker::in_memory().unwrap();
    let address = broker.listen_kafka("localhost:0").unwrap();
    assert_eq!(
        told_at(([127, 0, 0, 1], address.port).into()).0,
        "127.0.0.1"
    );
    // Where the machine has no IPv6 there is nothing to be listened on.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let ipv6 = (std::net::Ipv6Addr::LOCALHOST, address.port).into();
        assert_eq!(told_at(ipv6), ("::1".to_owned(), address.port.into()));
    }
}

#[test]
fn an_address_that_is_taken_or_none_is_an_error_that_names_it() {
    let broker = Broker::in_memory().unwrap();
    let taken = broker.listen_kafka("127.0.0.1:0").unwrap().to_string();
    let error = broker.listen_kafka(&taken).unwrap_err();
    assert!(matches!(error, BrokerError::Listen { .. }));
    assert!(error.to_string().contains(&taken), "{error}");
    assert!(matches!(
        broker.listen_kafka("9092").unwrap_err(),
        BrokerError::Config(_)
    ));
    let error = Broker::builder()
        .listen_kafka(taken.parse().unwrap())
        .start()
        .unwrap_err();
    assert!(matches!(error, BrokerError::Listen { .. }));
}

#[test]
fn it_can_be_opened_from_async_code() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let broker = Broker::in_memory().unwrap();
        assert_eq!(told_over(&broker, "127.0.0.1:0").0, "127.0.0.1");
        broker.shutdown().await.unwrap();
    });
}
