//! Snapshots: where a load begins with one, and each way in which one does not fit.

use std::sync::Arc;
use std::time::Duration;

use highwater_broker::clock::VirtualClock;
use highwater_client::events::{
    AsOf, EventStore, Expect, SnapshotCounts, Snapshots, UnknownEvents,
};
use highwater_client::{Client, ErrorCode};
use highwater_proto::clock::Wall;
use highwater_proto::native::v1;

use crate::Nowhere;
use crate::World;
use crate::client;
use crate::fake::Fault;
use crate::fake::intruder;
use crate::order::Order;
use crate::order::OrderEvent;
use crate::order::Status;
use crate::order::added;
use crate::world;

async fn store(world: &World, snapshots: Snapshots<Order>) -> EventStore<Order> {
    let store = EventStore::over(world.streams.clone(), &client(), "orders");
    store.snapshots(snapshots).build().await.unwrap()
}

/// Ten events without a snapshot; then a load, which writes one.
async fn ten() -> (World, EventStore<Order>) {
    let world = world().await;
    let created = [OrderEvent::Created].into_iter();
    let events = created.chain((1..10).map(|at| added(&at.to_string())));
    let _ = world
        .orders
        .append("o-1", Expect::NoStream, events)
        .await
        .unwrap();
    let store = store(&world, Snapshots::json("order.1").every(10)).await;
    let whole = store.load("o-1").await.unwrap();
    assert_eq!((whole.read, whole.state.items.len()), (10, 9));
    store.settle().await;
    assert_eq!(store.snapshot_counts(), counts(|it| it.written = 1));
    (world, store)
}

fn counts(set: impl FnOnce(&mut SnapshotCounts)) -> SnapshotCounts {
    let mut counts = SnapshotCounts::default();
    set(&mut counts);
    counts
}

/// Loads, and gives how many events were read for it.
async fn read(store: &EventStore<Order>) -> u64 {
    let loaded = store.load("o-1").await.unwrap();
    store.settle().await;
    assert_eq!(
        loaded.revision(),
        Some(9 + u64::from(loaded.state.status == Status::Paid))
    );
    assert_eq!(loaded.state.items.len(), 9);
    loaded.read
}

#[tokio::test(start_paused = true)]
async fn a_load_begins_at_the_snapshot_and_reads_only_what_is_behind_it() {
    let (world, store) = ten().await;
    world.streams.reads();
    assert_eq!(read(&store).await, 0);
    let reads = world.streams.reads();
    let of_events = reads.iter().filter(|it| it.topic == "orders");
    let from: Vec<_> = of_events.map(|it| it.from_revision).collect();
    assert_eq!(from, [9], "the event that it names is looked at");

    let paid = store.update("o-1", |order| order.pay(5)).await.unwrap();
    assert_eq!((paid.revision, paid.state.items.len()), (Some(10), 9));
    assert_eq!(read(&store).await, 1);
    let used = counts(|it| (it.used, it.written) = (3, 1));
    assert_eq!(store.snapshot_counts(), used);
}

#[tokio::test(start_paused = true)]
async fn an_update_writes_one_when_enough_has_happened_since_the_last() {
    let world = world().await;
    let store = store(&world, Snapshots::json("order.1").every(3)).await;
    for at in 0..7 {
        let add = |_: &Order| Ok::<_, std::convert::Infallible>([added(&at.to_string())]);
        let _ = store.update("o-1", add).await.unwrap();
        store.settle().await;
    }
    assert_eq!(store.snapshot_counts().written, 2);
    let of_snapshots = world.streams.appends().into_iter();
    let mut of_snapshots = of_snapshots.filter(|it| it.topic == "orders-snapshots");
    let headers = of_snapshots.next_back().unwrap().events.remove(0).headers;
    let value = |header: v1::Header| String::from_utf8(header.value.unwrap().to_vec()).unwrap();
    let headers: Vec<_> = headers
        .into_iter()
        .map(|it| (it.name.clone(), value(it)))
        .collect();
    let id = store.history("o-1", 5).await.unwrap().remove(0).envelope.id;
    let wanted = [
        ("es-snapshot-schema", "order.1"),
        ("es-snapshot-revision", "5"),
        ("es-snapshot-offset", "5"),
        ("es-snapshot-event", id.as_str()),
    ];
    assert_eq!(
        headers,
        wanted.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(store.load("o-1").await.unwrap().read, 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_of_another_schema_is_left_out_and_replaced() {
    let (world, _) = ten().await;
    let other = store(&world, Snapshots::json("order.2").every(10)).await;
    assert_eq!(read(&other).await, 10);
    assert_eq!(
        other.snapshot_counts(),
        counts(|it| (it.ignored, it.written) = (1, 1))
    );
    assert_eq!(read(&other).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_cannot_be_read_is_left_out() {
    let (world, _) = ten().await;
    let broken = || {
        Snapshots::with(
            "order.1",
            |_: &Order| Err("no".into()),
            |_| Err("no".into()),
        )
    };
    let store = store(&world, broken().every(10)).await;
    assert_eq!(read(&store).await, 10);
    assert_eq!(
        store.snapshot_counts(),
        counts(|it| (it.ignored, it.failed) = (1, 1))
    );
}

/// T18: recovery has cut off what was not synced, and the snapshot is of what is gone.
#[tokio::test(start_paused = true)]
async fn a_snapshot_newer_than_its_stream_is_left_out() {
    let (world, store) = ten().await;
    world.streams.truncate("orders", 6);
    let loaded = store.load("o-1").await.unwrap();
    assert_eq!(
        (loaded.revision(), loaded.read, loaded.state.items.len()),
        (Some(5), 6, 5)
    );
    assert_eq!(
        store.snapshot_counts(),
        counts(|it| (it.ignored, it.written) = (1, 1))
    );
}

/// As above, and other events have come to the same places.
#[tokio::test(start_paused = true)]
async fn a_snapshot_after_an_event_that_is_another_one_now_is_left_out() {
    let (world, store) = ten().await;
    world.streams.truncate("orders", 6);
    let others = (0..5).map(|_| added("other"));
    let _ = world
        .orders
        .append("o-1", Expect::Revision(5), others)
        .await
        .unwrap();
    let loaded = store.load("o-1").await.unwrap();
    assert_eq!((loaded.revision(), loaded.read), (Some(10), 11));
    assert_eq!(loaded.state.items[5..], ["other"; 5]);
    assert_eq!(store.snapshot_counts().ignored, 1);
}

#[tokio::test(start_paused = true)]
async fn a_moment_before_the_snapshot_is_folded_from_the_events() {
    let (_, store) = ten().await;
    let then = store.load_as_of("o-1", AsOf::revision(4)).await.unwrap();
    assert_eq!(
        (then.revision(), then.read, then.state.items.len()),
        (Some(4), 5, 4)
    );
    let now = store.load_as_of("o-1", AsOf::revision(9)).await.unwrap();
    assert_eq!((now.read, now.state.items.len()), (0, 9));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_has_no_snapshot_and_is_not_brought_back_by_one() {
    let (world, store) = ten().await;
    let _ = world.orders.delete("o-1", Expect::Exists).await.unwrap();
    let loaded = store.load("o-1").await.unwrap();
    assert_eq!(
        (loaded.is_deleted(), loaded.state),
        (true, Order::default())
    );
    let every = store_of_every(&world).await;
    assert!(every.load("o-1").await.unwrap().is_deleted());
    every.settle().await;
    assert_eq!(every.snapshot_counts().written, 0);
}

async fn store_of_every(world: &World) -> EventStore<Order> {
    store(world, Snapshots::json("order.1").every(1)).await
}

#[tokio::test(start_paused = true)]
async fn a_state_that_leaves_events_out_is_not_written_down() {
    let world = world().await;
    world
        .streams
        .fail(Fault::After(intruder("orders", "o-1", "order.audited.v1")));
    let store = EventStore::<Order>::over(world.streams.clone(), &client(), "orders");
    let store = store
        .unknown(UnknownEvents::Skip)
        .snapshots(Snapshots::json("order.1").every(1));
    let store = store.build().await.unwrap();
    assert_eq!(store.load("o-1").await.unwrap().skipped, 1);
    let _ = store
        .update("o-1", |_| Ok::<_, std::fmt::Error>([added("a")]))
        .await
        .unwrap();
    store.settle().await;
    assert_eq!(store.snapshot_counts(), SnapshotCounts::default());
}

#[tokio::test(start_paused = true)]
async fn no_load_and_no_update_fails_with_a_snapshot() {
    let (world, store) = ten().await;
    // The first request of a load asks for the snapshot.
    for fault in [
        Fault::Lost,
        Fault::AnswerLost,
        Fault::Refused(ErrorCode::KafkaStorageError),
    ] {
        world.streams.fail(fault);
        assert_eq!(read(&store).await, 10);
    }
    let counts = store.snapshot_counts();
    assert_eq!((counts.used, counts.ignored, counts.written), (0, 3, 4));

    // The topic is gone: neither read nor written.
    world.streams.lose_topic("orders-snapshots");
    let paid = store.update("o-1", |order| order.pay(5)).await.unwrap();
    store.settle().await;
    assert_eq!((paid.revision, paid.state.status), (Some(10), Status::Paid));
    assert_eq!(store.snapshot_counts().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_without_a_topic_for_its_snapshots_does_not_open() {
    let world = world().await;
    world.streams.lose_topic("orders-snapshots");
    let open = |snapshots| {
        let store = EventStore::<Order>::over(world.streams.clone(), &client(), "orders");
        store.snapshots(snapshots).build()
    };
    assert!(open(Snapshots::json("order.1")).await.is_err());
    assert!(
        open(Snapshots::json("order.1").topic("elsewhere"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_load_that_took_long_is_written_down_however_few_events_it_read() {
    let world = world().await;
    let events = [OrderEvent::Created, added("item1")];
    let _ = world.orders.append("o-1", Expect::NoStream, events).await;
    let clock = Arc::new(VirtualClock::new(Wall(0)));
    let client = Client::over("nowhere:1", Arc::new(Nowhere), clock.clone()).unwrap();
    let snapshots = Snapshots::<Order>::json("order.1").slower_than(Duration::from_millis(100));
    let store = EventStore::over(world.streams.clone(), &client, "orders");
    let store = store.snapshots(snapshots).build().await.unwrap();
    let load = async || {
        let read = store.load("o-1").await.unwrap().read;
        store.settle().await;
        (read, store.snapshot_counts().written)
    };
    // A load asks for the end of the snapshots, and for the events.
    world.streams.slow(&clock, Duration::from_millis(50));
    assert_eq!(load().await, (2, 0), "as long as it may take");
    world.streams.slow(&clock, Duration::from_millis(51));
    assert_eq!(load().await, (2, 1));
    assert_eq!(load().await, (0, 1), "there is nothing new in it");
    let seconds = store.metrics().load_seconds;
    assert_eq!(seconds.count, 3);
    assert!((seconds.sum - 0.355).abs() < 0.001, "{}", seconds.sum);
}
