//! The client over TLS: records go and come, and each thing that can be wrong has its sentence.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

#[path = "../../../broker/tests/tls/certs.rs"]
mod certs;
mod native;
mod refusals;
mod reload;
mod rig;

use std::collections::BTreeSet;
use std::time::Duration;

use highwater_client::{ConsumerConfig, ProducerConfig, Record, StartAt};

use rig::{Rig, run};

#[test]
fn records_go_over_tls_and_come_back() {
    let rig = Rig::new();
    run(async {
        let client = rig.client().await.unwrap();
        let producer = client.producer(ProducerConfig::default()).unwrap();
        // Frames of a few bytes, and some that are larger than any buffer of TLS.
        let sizes: Vec<usize> = (0..300).map(|at| (at * at * 13) % 9_000).collect();
        let sizes: Vec<usize> = sizes.into_iter().chain([900_000, 1, 700_000]).collect();
        let mut deliveries = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let value = format!("{at:05}{}", "x".repeat(*size));
            let record = Record::to("orders").value(value);
            deliveries.push(producer.send(record).await.unwrap());
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
        let mut consumer = client.consumer(ConsumerConfig::default());
        consumer
            .assign_topic("orders", StartAt::Earliest)
            .await
            .unwrap();
        let mut seen = BTreeSet::new();
        while seen.len() < sizes.len() {
            for record in consumer.poll(Duration::from_secs(5)).await.unwrap() {
                let value = record.value.unwrap();
                let at: usize = std::str::from_utf8(&value[..5]).unwrap().parse().unwrap();
                assert_eq!(value.len(), 5 + sizes[at]);
                assert!(value[5..].iter().all(|byte| *byte == b'x'));
                assert!(seen.insert(at));
            }
        }
    });
}

#[test]
fn an_ip_address_counts_where_it_stands_in_the_certificate() {
    let rig = Rig::of("127.0.0.1", |_| {});
    run(async {
        assert!(rig.address.starts_with("127.0.0.1:"));
        rig.client().await.unwrap();
    });
}

#[test]
fn the_authorities_of_the_machine_are_asked_where_none_is_named() {
    let rig = Rig::new();
    run(async {
        let config = rig.config().security_protocol("SSL".parse().unwrap());
        let config = highwater_client::ClientConfig {
            ssl_ca_location: None,
            ..config
        };
        let error = highwater_client::Client::connect_with(config)
            .await
            .unwrap_err()
            .to_string();
        // A machine that trusts somebody does not trust this broker, one that trusts nobody says
        // so.
        let said = [
            "signed by nobody whom this client trusts",
            "trusts no authority",
        ];
        assert!(said.iter().any(|part| error.contains(part)), "{error}");
        assert!(error.contains("ssl.ca.location"), "{error}");
    });
}
