//! The same store over a real broker in this process.

use std::sync::Arc;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_client::events;
use highwater_client::events::{AsOf, EventStore, EventsError, Expect, Head, Snapshots};
use highwater_client::{Client, ConsumerConfig, NewTopic, OffsetSpec, ProducerConfig, StartAt};
use highwater_proto::clock::Wall;

use crate::order::Order;
use crate::order::OrderEvent;
use crate::order::Status;
use crate::order::added;
use crate::order::seed;

/// A broker whose clock stands still, with two topics that have streams.
struct Shop {
    clock: Arc<VirtualClock>,
    broker: Broker,
    client: Client,
    orders: EventStore<Order>,
}

impl Shop {
    async fn orders_of(&self, topic: &str) -> EventStore<Order> {
        let store = EventStore::over(self.broker.native(), &self.client, topic);
        store.build().await.unwrap()
    }
}

async fn shop() -> Shop {
    let clock = Arc::new(VirtualClock::new(Wall(1_700_000_000_000)));
    let broker = Broker::builder()
        .in_memory()
        .clock(clock.clone())
        .start()
        .unwrap();
    let client = Client::in_process(broker.sessions());
    for name in ["orders", "orders-snapshots"] {
        let topic = events::new_topic(name).partitions(3);
        let topic = topic.config("segment.bytes", "1000");
        client.admin().create_topic(&topic).await.unwrap();
    }
    let orders = EventStore::over(broker.native(), &client, "orders");
    let orders = orders.snapshots(Snapshots::json("order.1").every(4));
    Shop {
        orders: orders.build().await.unwrap(),
        clock,
        broker,
        client,
    }
}

#[tokio::test]
async fn a_client_of_kafka_alone_is_told_so_before_its_first_append() {
    let shop = shop().await;
    let built = shop.client.event_store::<Order>("orders").build().await;
    let error = built.unwrap_err().to_string();
    assert!(error.contains("highwater://HOST:PORT"), "{error}");
    let broker = shop.broker.native_sessions();
    let client = shop.client.clone().with_native(broker);
    let orders = client.event_store::<Order>("orders").build().await.unwrap();
    assert!(orders.load("o-1").await.unwrap().revision().is_none());
}

#[tokio::test]
async fn a_state_without_its_beginning_is_no_state() {
    let shop = shop().await;
    let admin = shop.client.admin();
    let topic = events::new_topic("lossy").config("allow.history.loss", "true");
    admin.create_topic(&topic).await.unwrap();
    let store = shop.orders_of("lossy").await;
    for event in seed() {
        let _ = store.append("o-1", Expect::Any, [event]).await.unwrap();
    }
    admin.delete_records("lossy", 0, 2).await.unwrap();
    let error = store.load("o-1").await.unwrap_err();
    assert!(
        matches!(error, EventsError::Gone { from: 0, to: 2, .. }),
        "{error}"
    );
    let left = store.history("o-1", 0).await.unwrap();
    assert_eq!(left.first().unwrap().revision, 2);
}

#[tokio::test]
async fn the_seeds_order_is_what_it_was_at_any_moment() {
    let shop = shop().await;
    let orders = &shop.orders;
    for event in seed() {
        let expect = orders.load("o-1").await.unwrap().expect();
        let _ = orders.append("o-1", expect, [event]).await.unwrap();
        let _ = orders
            .append("o-2", Expect::Any, [added("other")])
            .await
            .unwrap();
        shop.clock.advance(Duration::from_secs(1));
    }
    let now = orders.load("o-1").await.unwrap();
    assert_eq!(now.state.items, ["item1", "item2"]);
    assert_eq!((now.state.status, now.state.cents), (Status::Paid, 15_000));
    let history = orders.history("o-1", 0).await.unwrap();
    let third = &history[2];
    assert_eq!(third.timestamp_ms, 1_700_000_002_000);
    for as_of in [
        AsOf::revision(2),
        AsOf::offset(third.offset),
        AsOf::time_ms(1_700_000_002_000),
        AsOf::time_ms(1_700_000_002_999),
    ] {
        let then = orders.load_as_of("o-1", as_of).await.unwrap();
        assert_eq!(
            (then.state.items.len(), then.state.status),
            (2, Status::Open),
            "{as_of:?}"
        );
    }
    orders.settle().await;
    assert_eq!(orders.snapshot_counts().written, 1);
    assert_eq!(orders.load("o-1").await.unwrap().read, 0);

    // What any consumer of Kafka sees of it.
    let mut consumer = shop.client.consumer(ConsumerConfig::default());
    consumer
        .assign_topic("orders", StartAt::Earliest)
        .await
        .unwrap();
    let mut of_order = Vec::new();
    while of_order.len() < 4 {
        let records = consumer.poll(Duration::from_secs(5)).await.unwrap();
        let records = records
            .into_iter()
            .filter(|it| it.key.as_deref() == Some(b"o-1"));
        of_order.extend(records.map(|it| it.event().unwrap()));
    }
    let written: Vec<_> = history.into_iter().map(|it| it.envelope).collect();
    assert_eq!(of_order, written);
}

#[tokio::test]
async fn conflicts_and_repeats_are_told_apart() {
    let shop = shop().await;
    let orders = &shop.orders;
    let first = orders.append(
        "o-1",
        Expect::NoStream,
        [OrderEvent::Created, added("item1")],
    );
    let stored = first.send().await.unwrap();
    assert_eq!(
        (stored.is_duplicate, &stored.revisions[..]),
        (false, &[0, 1][..])
    );
    let _ = orders
        .append("o-1", Expect::Revision(1), [added("item2")])
        .await
        .unwrap();
    let again = first.send().await.unwrap();
    assert_eq!(
        (again.is_duplicate, &again.revisions),
        (true, &stored.revisions)
    );
    assert_eq!(again.token(), stored.token());

    let error = orders
        .append("o-1", Expect::Revision(1), [added("x")])
        .await
        .unwrap_err();
    let EventsError::Conflict {
        key,
        expected,
        actual,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((&key[..], expected), (&b"o-1"[..], Expect::Revision(1)));
    assert!(
        matches!(
            actual,
            Some(Head {
                revision: 2,
                is_deleted: false,
                ..
            })
        ),
        "{actual:?}"
    );
    let error = orders
        .append("o-9", Expect::Exists, [added("x")])
        .await
        .unwrap_err();
    assert!(
        matches!(error, EventsError::Conflict { actual: None, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_deleted_stream_begins_anew_only_if_that_is_expected() {
    let shop = shop().await;
    let orders = &shop.orders;
    let created = [OrderEvent::Created, added("item1")];
    let _ = orders
        .append("o-1", Expect::NoStream, created)
        .await
        .unwrap();
    let _ = orders.delete("o-1", Expect::Exists).await.unwrap();
    let error = orders
        .append("o-1", Expect::NoStream, [added("x")])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("it is deleted since revision 2"),
        "{error}"
    );
    let anew = orders.append("o-1", Expect::NoStreamOrDeleted, [OrderEvent::Created]);
    assert_eq!(anew.await.unwrap().revision, 3);
    let loaded = orders.load("o-1").await.unwrap();
    assert_eq!((loaded.state.items.len(), loaded.revision()), (0, Some(3)));
}

/// Each of them has an idea of the next item; all ideas come through, one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_decide_at_one_time_decide_one_after_the_other() {
    let shop = shop().await;
    let workers = (0..4).map(|worker| {
        let orders = shop.orders.clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                let add = |order: &Order| {
                    let at = order.items.len();
                    Ok::<_, std::convert::Infallible>([added(&format!("{at} of {worker}"))])
                };
                let _ = orders
                    .update("o-1", add)
                    .retry_conflicts(u32::MAX)
                    .await
                    .unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let items = shop.orders.load("o-1").await.unwrap().state.items;
    assert_eq!(items.len(), 20);
    for (at, item) in items.iter().enumerate() {
        assert!(item.starts_with(&format!("{at} of ")), "{items:?}");
    }
}

/// The seed keeps the events of an order on a topic of seven days: then the order is another one.
#[tokio::test]
async fn seed_s12_a_week_takes_the_history_of_a_plain_topic_and_nothing_of_a_stream() {
    let shop = shop().await;
    let admin = shop.client.admin();
    let plain = NewTopic::named("seed").config("segment.bytes", "1000");
    admin.create_topic(&plain).await.unwrap();
    let producer = shop.client.producer(ProducerConfig::default()).unwrap();
    let mut partition = 0;
    for at in 0..20 {
        let expect = shop.orders.load("o-1").await.unwrap().expect();
        let append = shop
            .orders
            .append("o-1", expect, [added(&format!("item{at}"))]);
        for event in append.events() {
            let record = event.to("seed").unwrap().timestamp(1_700_000_000_000);
            producer.send(record).await.unwrap().await.unwrap();
        }
        partition = append.send().await.unwrap().partition;
    }

    shop.clock.advance(Duration::from_secs(8 * 24 * 3_600));
    let service = shop.broker.service().clone();
    service.apply_retention().await.unwrap();
    let start = |topic, partition| {
        let admin = admin.clone();
        async move {
            let asked = [(topic, partition, OffsetSpec::Earliest)];
            admin.offsets(&asked).await.unwrap()[0].offset.unwrap()
        }
    };
    assert!(
        start("seed", 0).await > 0,
        "the seed has lost the first items"
    );
    assert_eq!(start("orders", partition).await, 0);
    assert_eq!(shop.orders.load("o-1").await.unwrap().state.items.len(), 20);

    let week = events::new_topic("week").config("retention.ms", "604800000");
    let why = admin.create_topic(&week).await.unwrap_err().to_string();
    assert!(why.contains("records would be removed"), "{why}");
    assert!(why.contains("allow.history.loss=true"), "{why}");
}

#[tokio::test]
async fn a_topic_without_streams_is_refused_when_the_store_is_opened() {
    let shop = shop().await;
    shop.client
        .admin()
        .create_topic(&NewTopic::named("plain"))
        .await
        .unwrap();
    let plain = EventStore::<Order>::over(shop.broker.native(), &shop.client, "plain");
    let why = plain.build().await.unwrap_err().to_string();
    assert!(why.contains("append.conditional=true"), "{why}");
    let absent = EventStore::<Order>::over(shop.broker.native(), &shop.client, "absent");
    let why = absent.build().await.unwrap_err().to_string();
    assert!(why.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{why}");
}
