//! The same store at its address, `highwater://host:port`: a broker's own listener.

use highwater_broker::Broker;
use highwater_client::Client;
use highwater_client::events::{self, AsOf, EventStore, EventsError, Expect, Snapshots, Start};

use crate::order::Order;
use crate::order::OrderEvent;
use crate::order::Status;
use crate::order::added;
use crate::order::seed;

fn listen(broker: &Broker, at: &str) -> String {
    broker.listen_kafka("127.0.0.1:0").unwrap();
    let address = broker.listen_native(at).unwrap();
    format!("highwater://{address}")
}

async fn store(address: &str) -> EventStore<Order> {
    let client = Client::connect(address).await.unwrap();
    for name in ["orders", "orders-snapshots"] {
        let topic = events::new_topic(name);
        // Another client may have made it.
        let _ = client.admin().create_topic(&topic).await;
    }
    let store = client.event_store("orders");
    let store = store.snapshots(Snapshots::json("order.1").every(4));
    store.build().await.unwrap()
}

#[tokio::test]
async fn all_of_it_works_at_an_address() {
    let broker = Broker::in_memory().unwrap();
    let address = listen(&broker, "127.0.0.1:0");
    let orders = store(&address).await;
    let mut events = orders.subscribe(Start::Beginning).await.unwrap();
    let third = orders.append("o-1", Expect::NoStream, seed()[..3].to_vec());
    let third = third.await.unwrap();
    assert_eq!((third.revision, third.offset), (2, 2));

    let conflict = orders.append("o-1", Expect::NoStream, [added("late")]);
    let conflict = conflict.await.unwrap_err();
    assert!(
        matches!(&conflict, EventsError::Conflict { actual: Some(head), .. } if head.revision == 2),
        "{conflict}"
    );
    let paid = orders
        .update("o-1", |order| order.pay(15_000))
        .await
        .unwrap();
    assert_eq!(paid.revision, Some(3));
    orders.settle().await;
    assert_eq!(orders.snapshot_counts().written, 1);

    let now = orders.load("o-1").await.unwrap();
    assert_eq!((now.read, now.state.status), (0, Status::Paid));
    assert_eq!((now.state.cents, now.state.items.len()), (15_000, 2));
    let then = orders.load_as_of("o-1", AsOf::revision(2)).await.unwrap();
    assert_eq!(then.state.status, Status::Open);

    for (offset, event) in (0..).zip(seed()) {
        let seen = events.next().await.unwrap();
        assert_eq!((seen.offset, seen.event), (offset, Some(event)));
        assert_eq!(seen.revision, u64::try_from(offset).ok());
    }
    let metrics = orders.metrics();
    assert_eq!((metrics.appended, metrics.conflicts), (4, 1));
    assert_eq!(metrics.load_seconds.count, 3);
}

/// A broker that goes and comes back at the same address, with all that it had: the subscription
/// goes on where it was.
#[tokio::test]
async fn a_subscription_goes_on_when_the_broker_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::open(folder.path()).unwrap();
    let address = listen(&broker, "127.0.0.1:0");
    let orders = store(&address).await;
    let append = async |orders: &EventStore<Order>, at: usize| {
        let event = added(&at.to_string());
        let _ = orders.append("o-1", Expect::Any, [event]).await.unwrap();
    };
    append(&orders, 0).await;
    append(&orders, 1).await;
    let mut events = orders.subscribe(Start::Beginning).await.unwrap();
    let mut items = Vec::new();
    let mut take = |event: Option<OrderEvent>| match event {
        Some(OrderEvent::ItemAdded { item }) => items.push(item),
        other => panic!("{other:?}"),
    };
    take(events.next().await.unwrap().event);
    broker.shutdown().await.unwrap();
    drop(broker);

    let broker = Broker::open(folder.path()).unwrap();
    listen(&broker, address.strip_prefix("highwater://").unwrap());
    append(&store(&address).await, 2).await;
    take(events.next().await.unwrap().event);
    take(events.next().await.unwrap().event);
    assert_eq!(items, ["0", "1", "2"]);
}
