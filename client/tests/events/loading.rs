//! What events fold to, now and as of a moment.

use highwater_client::events::{AsOf, EventStore, EventsError, Expect, UnknownEvents};

use crate::client;
use crate::fake::{Fault, intruder};
use crate::order::{Order, OrderEvent, Status, added, seed};
use crate::world;

#[tokio::test(start_paused = true)]
async fn the_seeds_four_events_fold_to_a_paid_order() {
    let world = world().await;
    let orders = &world.orders;
    for (event, at) in seed().into_iter().zip(0..) {
        let expect = orders.load("o-1").await.unwrap().expect();
        let appended = orders.append("o-1", expect, [event]).await.unwrap();
        assert_eq!(appended.revision, at);
    }
    let now = orders.load("o-1").await.unwrap();
    assert_eq!(now.state.items, ["item1", "item2"]);
    assert_eq!((now.state.status, now.state.cents), (Status::Paid, 15_000));
    assert_eq!((now.revision(), now.read), (Some(3), 4));
    assert_eq!(now.token().to_string(), "orders:0:3");

    // The third event was stored at 3 s.
    for as_of in [
        AsOf::revision(2),
        AsOf::offset(2),
        AsOf::time_ms(3_000),
        AsOf::time_ms(3_999),
    ] {
        let then = orders.load_as_of("o-1", as_of).await.unwrap();
        assert_eq!(then.state.items, ["item1", "item2"], "{as_of:?}");
        assert_eq!(then.state.status, Status::Open, "{as_of:?}");
        assert_eq!(then.revision(), Some(2), "{as_of:?}");
    }
    let before = orders.load_as_of("o-1", AsOf::time_ms(999)).await.unwrap();
    assert_eq!((before.head, before.state), (None, Order::default()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_in_parts_and_over_lost_answers() {
    let world = world().await;
    let _ = world
        .orders
        .append("o-1", Expect::NoStream, seed())
        .await
        .unwrap();
    let whole = world.orders.load("o-1").await.unwrap();
    for count in 1..4 {
        world.streams.page_events(count);
        world.streams.reads();
        world.streams.fail(Fault::Lost);
        world.streams.fail(Fault::AnswerLost);
        assert_eq!(world.orders.load("o-1").await.unwrap(), whole);
        let from = world.streams.reads().into_iter().map(|it| it.from_revision);
        let from: Vec<_> = from.collect();
        let pages: Vec<_> = (0..4).step_by(count).collect();
        // The first was asked for twice.
        assert_eq!(from[1..], pages, "{count} a page");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_without_an_event_that_is_not_the_last_ends_the_reading() {
    let world = world().await;
    let _ = world
        .orders
        .append("o-1", Expect::NoStream, seed())
        .await
        .unwrap();
    world.streams.page_events(0);
    assert!(world.orders.load("o-1").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_stream_is_the_default_and_its_revisions_go_on() {
    let world = world().await;
    let orders = &world.orders;
    let _ = orders
        .append("o-1", Expect::NoStream, seed())
        .await
        .unwrap();
    let _ = orders.delete("o-1", Expect::Revision(3)).await.unwrap();
    let deleted = orders.load("o-1").await.unwrap();
    assert!(deleted.is_deleted());
    assert_eq!(
        (deleted.state.clone(), deleted.revision()),
        (Order::default(), Some(4))
    );
    let before = orders.load_as_of("o-1", AsOf::revision(3)).await.unwrap();
    assert_eq!(
        (before.state.status, before.is_deleted()),
        (Status::Paid, false)
    );

    let again = orders.append("o-1", deleted.expect(), [OrderEvent::Created, added("new")]);
    assert_eq!(again.await.unwrap().revisions, [5, 6]);
    let again = orders.load("o-1").await.unwrap();
    assert_eq!(again.state.items, ["new"]);
    assert!(!again.is_deleted());
}

#[tokio::test(start_paused = true)]
async fn an_event_of_an_unknown_type_stops_an_aggregate_unless_it_is_skipped() {
    let world = world().await;
    let _ = world
        .orders
        .append("o-1", Expect::NoStream, seed())
        .await
        .unwrap();
    world
        .streams
        .fail(Fault::After(intruder("orders", "o-1", "order.audited.v1")));
    let error = world.orders.load("o-1").await.unwrap_err();
    let sentence = "revision 4 of the stream o-1 of orders has the type order.audited.v1, which the \
                    aggregate does not know: add it, upcast it, or say UnknownEvents::Skip";
    assert_eq!(error.to_string(), sentence);

    let lenient = EventStore::<Order>::over(world.streams.clone(), &client(), "orders");
    let lenient = lenient.unknown(UnknownEvents::Skip).build().await.unwrap();
    let loaded = lenient.load("o-1").await.unwrap();
    assert_eq!(
        (loaded.read, loaded.skipped, loaded.revision()),
        (5, 1, Some(4))
    );
    assert_eq!(loaded.state.status, Status::Paid);
}

#[tokio::test(start_paused = true)]
async fn data_that_cannot_be_read_is_an_error_even_if_unknown_types_are_skipped() {
    let world = world().await;
    let lenient = EventStore::<Order>::over(world.streams.clone(), &client(), "orders");
    let lenient = lenient.unknown(UnknownEvents::Skip).build().await.unwrap();
    world
        .streams
        .fail(Fault::After(intruder("orders", "o-1", "order.paid.v1")));
    let error = lenient.load("o-1").await.unwrap_err();
    assert!(
        matches!(error, EventsError::Undecodable { revision: 0, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("it is no order.paid.v1: missing field"),
        "{error}"
    );

    // What is no event at all.
    let mut plain = intruder("orders", "o-2", "order.paid.v1");
    plain.events[0].headers.clear();
    world.streams.fail(Fault::After(plain));
    let error = lenient.load("o-2").await.unwrap_err();
    assert!(
        matches!(error, EventsError::Undecodable { revision: 0, .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_history_has_the_envelopes() {
    let world = world().await;
    let append = world.orders.append("o-1", Expect::NoStream, seed());
    let append = append.correlation("cart-7");
    let ids: Vec<_> = append.events().map(|event| event.id.clone()).collect();
    let _ = append.send().await.unwrap();
    let _ = world.orders.delete("o-1", Expect::Exists).await.unwrap();
    world.streams.page_events(2);
    let history = world.orders.history("o-1", 1).await.unwrap();
    let revisions: Vec<_> = history.iter().map(|it| it.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4]);
    assert_eq!(history[0].event, Some(added("item1")));
    assert_eq!(history[0].envelope.id, ids[1]);
    assert_eq!(history[0].envelope.extensions["correlationid"], "cart-7");
    assert_eq!((history[0].offset, history[0].timestamp_ms), (1, 1_000));
    assert_eq!(
        (&history[3].event, &history[3].envelope.data),
        (&None, &None)
    );
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_wholly_in_its_value_is_read_as_well() {
    let world = world().await;
    let mut whole = intruder("orders", "o-1", "order.paid.v1");
    let event = &mut whole.events[0];
    event.headers.retain(|header| header.name == "ce_id");
    event.headers[0].name = "content-type".to_owned();
    event.headers[0].value = Some("application/cloudevents+json".into());
    let json = r#"{"specversion":"1.0","id":"x","source":"/s","type":"order.paid.v1",
                   "data":{"cents":9}}"#;
    event.value = Some(json.into());
    world.streams.fail(Fault::After(whole));
    assert_eq!(world.orders.load("o-1").await.unwrap().state.cents, 9);
}
