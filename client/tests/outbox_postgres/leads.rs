//! Which of several relays leads.

use super::*;

/// A lease that nobody waits for.
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_relay_whose_connection_is_gone_is_replaced_without_waiting_for_its_lease() {
    world(|world| async move {
        for capturing in BOTH {
            let name = format!("{capturing:?}").to_lowercase();
            let outbox = world.outbox(&name).await;
            let relay = || {
                let relay = world.client.relay(world.database.clone()).table(&name);
                relay.capture(capturing).lease(HOUR)
            };
            let first = Running::start(relay());
            commit(&world.database, &outbox, &[event("k", 0)]).await;
            world.read_count(&name, 1).await;
            first.crash().await;

            // The lock goes with the connection; whoever comes then need not wait.
            let held = "select count(*) from pg_locks where locktype = 'advisory' and database = \
                        (select oid from pg_database where datname = current_database())";
            while world.psql(held) != "0" {}
            let second = Running::start(relay());
            commit(&world.database, &outbox, &[event("k", 1)]).await;
            world.read_count(&name, 2).await;
            assert_eq!(second.stop().await.result(), Ok(()));
        }
    });
}

#[test]
fn a_relay_that_waits_neither_publishes_nor_looks_into_the_table_before_it_leads() {
    world(|world| async move {
        for capturing in BOTH {
            let name = format!("{capturing:?}").to_lowercase();
            let outbox = world.outbox(&name).await;
            let relay = || {
                let relay = world.client.relay(world.database.clone()).table(&name);
                relay.capture(capturing).lease(Duration::from_millis(300))
            };
            let first = Running::start(relay());
            commit(&world.database, &outbox, &[event("k", 0)]).await;
            world.read_count(&name, 1).await;
            let waiting = relay();
            let metrics = waiting.metrics();
            let second = Running::start(waiting);
            for number in 1..10 {
                commit(&world.database, &outbox, &[event("k", number)]).await;
                world.read_count(&name, number + 1).await;
            }
            assert!(!metrics.snapshot().is_leader);
            assert_eq!(first.stop().await.published, 10);
            until(|| metrics.snapshot().is_leader).await;
            commit(&world.database, &outbox, &[event("k", 10)]).await;
            let records = world.read_count(&name, 11).await;
            assert_eq!(first_by_key(&records)["k"], (0..11).collect::<Vec<_>>());
            assert_eq!(second.stop().await.published, 1);
        }
    });
}
