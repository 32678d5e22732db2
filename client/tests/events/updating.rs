//! Load, decide, append.

use std::convert::Infallible;

use highwater_client::events::{EventsError, Expect, UpdateError};

use crate::World;
use crate::fake::{Fault, intruder};
use crate::order::{NotOpen, Order, OrderEvent, Status, added};
use crate::world;

/// An order with one item.
async fn open_order() -> World {
    let world = world().await;
    let events = [OrderEvent::Created, added("item1")];
    let _ = world
        .orders
        .append("o-1", Expect::NoStream, events)
        .await
        .unwrap();
    world
}

/// Somebody adds an item between the next load and the append that follows it.
fn race(world: &World) {
    // The read itself goes through, then comes the append.
    world.streams.fail(Fault::After(intruder(
        "orders",
        "o-2",
        "order.item-added.v1",
    )));
    world.streams.fail(Fault::After(intruder(
        "orders",
        "o-1",
        "order.item-added.v1",
    )));
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_appended_to_the_state_that_it_was_taken_on() {
    let world = open_order().await;
    let updated = world
        .orders
        .update("o-1", |order| order.pay(15_000))
        .await
        .unwrap();
    assert_eq!(updated.state.status, Status::Paid);
    assert_eq!((updated.revision, updated.conflicts), (Some(2), 0));
    assert_eq!(updated.token().to_string(), "orders:0:2");
    assert_eq!(world.orders.load("o-1").await.unwrap().state, updated.state);

    // The next one is decided on the new state.
    let error = world
        .orders
        .update("o-1", |order| order.pay(1))
        .await
        .unwrap_err();
    assert_eq!(error, UpdateError::Refused(NotOpen));
    assert_eq!(error.to_string(), "the order is not open");
}

#[tokio::test(start_paused = true)]
async fn who_was_slower_decides_anew_on_what_is_there_then() {
    let world = open_order().await;
    race(&world);
    let mut seen = Vec::new();
    let decide = |order: &Order| {
        seen.push(order.items.len());
        order.pay(100 * order.items.len() as u64)
    };
    let updated = world
        .orders
        .update("o-1", decide)
        .retry_conflicts(3)
        .await
        .unwrap();
    assert_eq!(seen, [1, 2]);
    assert_eq!((updated.state.cents, updated.conflicts), (200, 1));
    assert_eq!(updated.revision, Some(3));
    assert_eq!(updated.state.items, ["item1", "theirs"]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_too_many_is_told() {
    for times in [0, 2] {
        let world = open_order().await;
        (0..=times).for_each(|_| race(&world));
        let update = world
            .orders
            .update("o-1", |order| order.pay(1))
            .retry_conflicts(times);
        let error = update.await.unwrap_err();
        let UpdateError::Store(EventsError::Conflict {
            expected, actual, ..
        }) = error
        else {
            panic!("{error}");
        };
        let revision = 1 + u64::from(times);
        assert_eq!(expected, Expect::Revision(revision));
        assert_eq!(actual.unwrap().revision, revision + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_decided_is_nothing_appended() {
    let world = open_order().await;
    let nothing = |_: &Order| Ok::<_, Infallible>([]);
    let updated = world.orders.update("o-1", nothing).await.unwrap();
    assert_eq!((updated.appended, updated.revision), (None, Some(1)));
    assert_eq!(world.streams.appends().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_event_expects_that_there_is_none() {
    let world = world().await;
    let create = |_: &Order| Ok::<_, Infallible>([OrderEvent::Created]);
    world.streams.fail(Fault::Lost);
    world.streams.fail(Fault::After(intruder(
        "orders",
        "o-2",
        "order.item-added.v1",
    )));
    world.streams.fail(Fault::AnswerLost);
    let updated = world.orders.update("o-1", create).await.unwrap();
    assert_eq!(updated.revision, Some(0));
    assert!(updated.appended.unwrap().is_duplicate);
    let create = |order: &Order| match order.status {
        Status::None => Ok::<_, Infallible>(vec![OrderEvent::Created]),
        Status::Open | Status::Paid => Ok(vec![]),
    };
    assert_eq!(
        world.orders.update("o-1", create).await.unwrap().appended,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_comes_back_only_if_that_is_said() {
    let world = open_order().await;
    let orders = &world.orders;
    let _ = orders.delete("o-1", Expect::Exists).await.unwrap();
    let create = |_: &Order| Ok::<_, Infallible>([OrderEvent::Created]);
    let error = orders.update("o-1", create).await.unwrap_err();
    let sentence = "the stream o-1 of orders is deleted since revision 2: allow_recreate begins it \
                    anew";
    assert_eq!(error.to_string(), sentence);
    let again = orders.update("o-1", create).allow_recreate().await.unwrap();
    assert_eq!((again.revision, again.state.items.len()), (Some(3), 0));
}

#[tokio::test(start_paused = true)]
async fn an_update_says_what_its_events_belong_to() {
    let world = open_order().await;
    let cause = world
        .orders
        .history("o-1", 0)
        .await
        .unwrap()
        .remove(0)
        .envelope;
    let update = world
        .orders
        .update("o-1", |order| order.pay(1))
        .caused_by(&cause);
    update.await.unwrap();
    let paid = world
        .orders
        .history("o-1", 2)
        .await
        .unwrap()
        .remove(0)
        .envelope;
    assert_eq!(paid.extensions["causationid"], cause.id.as_str());
    assert_eq!(paid.extensions["correlationid"], cause.id.as_str());
}
