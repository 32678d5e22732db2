//! Where it is listened, and who may.

use highwater_broker::Broker;

use crate::kit::Client;

fn refusal(result: Result<impl Sized, highwater_broker::error::BrokerError>) -> String {
    match result {
        Ok(_) => panic!("it is open"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn beside_passwords_it_is_open_only_if_that_is_said() {
    let guarded = "127.0.0.1:0,protocol=SASL_PLAINTEXT";
    let builder = || Broker::builder().listen_kafka(guarded.parse().unwrap());
    let refused = refusal(
        builder()
            .listen_native("127.0.0.1:0".parse().unwrap())
            .start(),
    );
    assert!(refused.contains("access=everybody"), "{refused}");
    if cfg!(not(feature = "sasl")) {
        return;
    }
    let known = "127.0.0.1:0,access=everybody";
    let broker = builder()
        .listen_native(known.parse().unwrap())
        .start()
        .unwrap();
    assert_eq!(broker.native_addresses().len(), 1);
    let refused = refusal(broker.listen_native("127.0.0.1:0"));
    assert!(refused.contains("access=everybody"), "{refused}");
}

#[test]
fn passwords_come_too_late_beside_one_that_is_open() {
    let broker = Broker::in_memory().unwrap();
    broker.listen_native("127.0.0.1:0").unwrap();
    let refused = refusal(broker.listen_kafka("127.0.0.1:0,protocol=SASL_PLAINTEXT"));
    assert!(refused.contains("access=everybody"), "{refused}");
    broker.listen_kafka("127.0.0.1:0").unwrap();
}

/// All of 127/8 is this machine, on Linux.
#[cfg(target_os = "linux")]
#[test]
fn a_kafka_listener_at_all_addresses_is_told_by_the_one_that_was_reached() {
    let broker = Broker::in_memory().unwrap();
    let port = broker.listen_native("0.0.0.0:0").unwrap().port;
    let welcomed = || Client::connect(([127, 0, 0, 2], port).into()).welcomed();
    assert_eq!(welcomed().bootstrap_servers, "");
    let everywhere = broker.listen_kafka("0.0.0.0:0").unwrap();
    let named = "A=127.0.0.1:0,advertise=broker.example:19092";
    broker.listen_kafka(named).unwrap();
    let expected = format!("127.0.0.2:{},broker.example:19092", everywhere.port);
    assert_eq!(welcomed().bootstrap_servers, expected);
}

#[test]
fn a_port_that_is_taken_is_said() {
    let broker = Broker::in_memory().unwrap();
    let address = broker.listen_native("127.0.0.1:0").unwrap().to_string();
    let refused = refusal(broker.listen_native(&address));
    assert!(refused.contains(&address), "{refused}");
    broker.shutdown_blocking().unwrap();
    assert!(broker.listen_native("127.0.0.1:0").is_err());
}
