//! The kit for tests of aggregates, and the tests that a user writes with it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use highwater_client::events::testing::{Fixtures, given};
use highwater_client::events::{EventStore, Expect, JsonEvents, Upcasting};
use serde::{Deserialize, Serialize};

use crate::client;
use crate::fake::{Fault, intruder};
use crate::order::{NotOpen, Order, OrderEvent, Status, added};
use crate::world;

/// What a test says that fails.
fn said(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).unwrap_err();
    panic.downcast_ref::<String>().cloned().unwrap()
}

#[test]
fn what_was_decided_is_compared() {
    let open = || given::<Order>([OrderEvent::Created, added("item1")]);
    let paid = OrderEvent::Paid { cents: 5 };
    let order = open()
        .when(|order| order.pay(5))
        .then([paid.clone()])
        .state();
    assert_eq!((order.status, order.cents), (Status::Paid, 5));
    given::<Order>([])
        .when(|order| order.pay(5))
        .then_error(NotOpen);
    open().when(|_| Ok::<_, NotOpen>([])).then_nothing();

    let why = said(|| drop(open().when(|order| order.pay(6)).then([paid.clone()])));
    assert!(why.contains("Paid { cents: 6 }"), "{why}");
    let why = said(|| drop(given::<Order>([]).when(|order| order.pay(5)).then([paid])));
    assert!(why.contains("it was refused: Some(NotOpen)"), "{why}");
    let why = said(|| open().when(|order| order.pay(5)).then_error(NotOpen));
    assert!(why.contains("Paid { cents: 5 }"), "{why}");
    let why = said(|| open().when(|order| order.pay(5)).then_nothing());
    assert!(why.contains("Paid { cents: 5 }"), "{why}");
}

/// An event that forgets its field on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Forgetful {
    #[serde(rename = "forgotten.v1")]
    Forgotten {
        #[serde(skip)]
        what: u32,
    },
    #[serde(rename = "lost.v1")]
    Lost {
        #[serde(skip_serializing)]
        what: u32,
    },
}

impl JsonEvents for Forgetful {}

#[derive(Debug, Default)]
struct Memory;

impl highwater_client::events::Aggregate for Memory {
    type Event = Forgetful;

    fn apply(&mut self, _: &Forgetful) {}
}

#[test]
fn an_event_that_is_not_stored_whole_fails_the_test_that_has_it() {
    let forgotten = Forgetful::Forgotten { what: 7 };
    let decide = |_: &Memory| Ok::<_, NotOpen>([forgotten.clone()]);
    let why = said(|| drop(given::<Memory>([]).when(decide).then([forgotten.clone()])));
    assert!(
        why.contains("what is stored of an event is read as another one"),
        "{why}"
    );
    let why = said(|| drop(given::<Memory>([Forgetful::Lost { what: 7 }])));
    assert!(
        why.contains("cannot be stored and read back: missing field `what`"),
        "{why}"
    );
}

/// The prices were in dollars once, and the event had another name before.
fn upcasting() -> Upcasting {
    Upcasting::new()
        .rename("order.settled.v1", "order.paid.v0")
        .json("order.paid.v0", "order.paid.v1", |data| {
            let dollars = data["dollars"].as_u64().ok_or("it has no dollars")?;
            Ok(serde_json::json!({ "cents": dollars * 100 }))
        })
}

/// All that is stored somewhere.
fn fixtures() -> Fixtures<OrderEvent> {
    let paid = || OrderEvent::Paid { cents: 15_000 };
    Fixtures::new(upcasting())
        .stored("order.settled.v1", r#"{"dollars":150}"#, paid())
        .stored("order.paid.v0", r#"{"dollars":150}"#, paid())
        .stored("order.paid.v1", r#"{"cents":15000}"#, paid())
        .stored("order.created.v1", "{}", OrderEvent::Created)
        .stored("order.item-added.v1", r#"{"item":"item1"}"#, added("item1"))
}

#[test]
fn fixtures_tell_what_can_no_longer_be_read_and_what_has_none() {
    fixtures().check();
    let wrong = fixtures()
        .stored("order.paid.v0", r#"{"euros":1}"#, added("x"))
        .stored("order.paid.v1", r#"{"cents":1}"#, added("x"))
        .stored("order.gone.v1", "{}", added("x"));
    let [no_dollars, other, unknown] = &wrong.problems()[..] else {
        panic!("{:?}", wrong.problems());
    };
    assert!(
        no_dollars.contains("to be read as order.paid.v1: it has no dollars"),
        "{no_dollars}"
    );
    assert!(other.contains("Paid { cents: 1 }"), "{other}");
    assert!(
        unknown.contains("order.gone.v1 is read as Ok(None)"),
        "{unknown}"
    );
    let few = Fixtures::<OrderEvent>::new(upcasting());
    let few = few.stored("order.created.v1", "{}", OrderEvent::Created);
    let missing = [
        "order.item-added.v1",
        "order.paid.v1",
        "order.paid.v0",
        "order.settled.v1",
    ];
    assert_eq!(
        few.problems(),
        missing.map(|name| format!("{name} has no fixture"))
    );
    assert!(said(|| few.check()).contains("order.paid.v0 has no fixture"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_older_events_folds_to_the_state_of_today() {
    let world = world().await;
    let _ = world
        .orders
        .append("o-1", Expect::NoStream, [OrderEvent::Created])
        .await
        .unwrap();
    let mut settled = intruder("orders", "o-1", "order.settled.v1");
    settled.events[0].value = Some(r#"{"dollars":150}"#.into());
    world.streams.fail(Fault::After(settled));
    let orders = EventStore::<Order>::over(world.streams.clone(), &client(), "orders");
    let orders = orders.upcasting(upcasting()).build().await.unwrap();
    let order = orders.load("o-1").await.unwrap();
    assert_eq!(
        (order.state.status, order.state.cents),
        (Status::Paid, 15_000)
    );
    let history = orders.history("o-1", 1).await.unwrap().remove(0);
    assert_eq!(history.event, Some(OrderEvent::Paid { cents: 15_000 }));
    assert_eq!(history.envelope.event_type, "order.settled.v1");

    // One that cannot be brought up to date.
    world
        .streams
        .fail(Fault::After(intruder("orders", "o-1", "order.paid.v0")));
    let error = orders.load("o-1").await.unwrap_err();
    let sentence = "revision 2 of the stream o-1 of orders cannot be read: it is no order.paid.v0, \
                    to be read as order.paid.v1: it has no dollars";
    assert_eq!(error.to_string(), sentence);
}

#[tokio::test(start_paused = true)]
async fn a_store_with_a_circle_of_upcasts_does_not_open() {
    let world = world().await;
    let orders = EventStore::<Order>::over(world.streams.clone(), &client(), "orders");
    let circle = Upcasting::new().rename("a", "b").rename("b", "a");
    let error = orders.upcasting(circle).build().await.unwrap_err();
    assert_eq!(error.to_string(), "the upcasting of a goes in a circle");
}
