//! The broker's certificate is replaced while records go over it.

use std::time::Duration;

use highwater_client::{Client, ProducerConfig, Record};

use crate::certs::{Authority, Files};
use crate::rig::{Rig, run};

#[test]
fn old_connections_go_on_under_load_and_new_ones_see_the_new_certificate() {
    let rig = Rig::new();
    let next = Authority::new("the next authority");
    let next_files = Files::new(&next.issue("localhost"), &next);
    run(async {
        let old = rig.client().await.unwrap();
        let producer = old.producer(ProducerConfig::default()).unwrap();
        let trusts_next = rig.config().ssl_ca_location(next_files.text("ca.pem"));
        assert!(Client::connect_with(trusts_next.clone()).await.is_err());
        let (mut is_replaced, mut is_seen) = (false, false);
        for at in 0..2_000 {
            let record = Record::to("orders").value(format!("{at}"));
            // Each is acknowledged: the connection has borne it.
            let delivery = producer.send(record).await.unwrap();
            if at % 100 == 0 {
                delivery.await.unwrap();
            }
            if at == 500 {
                rig.files.replace(&next.issue("localhost"));
                rig.clock.advance(Duration::from_secs(2));
                is_replaced = true;
            }
            if is_replaced && !is_seen {
                is_seen = Client::connect_with(trusts_next.clone()).await.is_ok();
                // Who trusts the old authority alone does not come in any more.
                assert_eq!(rig.client().await.is_err(), is_seen);
            }
        }
        assert!(is_seen);
        let record = Record::to("orders").value("last");
        let last = producer.send(record).await.unwrap().await.unwrap();
        assert_eq!(last.offset, 2_000);
    });
}
