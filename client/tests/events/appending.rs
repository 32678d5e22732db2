//! What an append writes, and what becomes of it when requests and answers get lost.

use std::collections::HashSet;

use highwater_client::events::{EventStore, EventsError, Expect};
use highwater_client::{ClientError, ErrorCode, Event, Outcome};
use highwater_proto::native::v1;

use crate::client;
use crate::fake::{Fault, intruder};
use crate::order::{Order, OrderEvent, added, seed};
use crate::world;

/// A header of the events of an append.
fn header(append: &v1::Append, name: &str) -> Vec<Option<String>> {
    let of_event = |event: &v1::NewEvent| {
        let mut headers = event.headers.iter().filter(|it| it.name == name);
        let value = headers.next()?.value.clone()?;
        assert_eq!(headers.next(), None, "{name} is there twice");
        Some(String::from_utf8(value.to_vec()).unwrap())
    };
    append.events.iter().map(of_event).collect()
}

fn some<const N: usize>(values: [&str; N]) -> Vec<Option<String>> {
    values.map(|value| Some(value.to_owned())).to_vec()
}

#[tokio::test(start_paused = true)]
async fn events_travel_as_cloud_events_and_are_never_tombstones() {
    let world = world().await;
    let order = world.orders.append("o-1", Expect::NoStream, seed());
    let ids: HashSet<_> = order.events().map(|event| event.id.clone()).collect();
    assert_eq!(ids.len(), 4);
    let _ = order
        .correlation("cart-7")
        .causation("click-9")
        .send()
        .await
        .unwrap();
    let [append] = &world.streams.appends()[..] else {
        panic!("one append")
    };
    assert_eq!(header(append, "ce_specversion"), some(["1.0"; 4]));
    assert_eq!(header(append, "ce_source"), some(["/shop/orders"; 4]));
    assert_eq!(
        header(append, "content-type"),
        some(["application/json"; 4])
    );
    assert_eq!(header(append, "ce_correlationid"), some(["cart-7"; 4]));
    assert_eq!(header(append, "ce_causationid"), some(["click-9"; 4]));
    assert_eq!(header(append, "es-revision"), some(["0", "1", "2", "3"]));
    let item = "order.item-added.v1";
    let types = some(["order.created.v1", item, item, "order.paid.v1"]);
    assert_eq!(header(append, "ce_type"), types);
    assert!(header(append, "ce_time").iter().all(Option::is_some));
    let values: Vec<_> = append
        .events
        .iter()
        .map(|it| it.value.clone().unwrap())
        .collect();
    let items = [r#"{"item":"item1"}"#, r#"{"item":"item2"}"#];
    assert_eq!(values, ["{}", items[0], items[1], r#"{"cents":15000}"#]);
}

#[tokio::test(start_paused = true)]
async fn a_revision_is_stamped_only_where_it_is_known() {
    let world = world().await;
    let orders = &world.orders;
    let _ = orders
        .append("o-1", Expect::Any, [OrderEvent::Created])
        .await
        .unwrap();
    let _ = orders
        .append("o-1", Expect::Exists, [added("a")])
        .await
        .unwrap();
    let _ = orders
        .append("o-1", Expect::LastOffset(1), [added("b")])
        .await
        .unwrap();
    let _ = orders
        .append("o-1", Expect::Revision(2), [added("c")])
        .await
        .unwrap();
    let _ = orders.delete("o-1", Expect::Revision(3)).await.unwrap();
    let again = [OrderEvent::Created];
    let _ = orders
        .append("o-1", Expect::NoStreamOrDeleted, again)
        .await
        .unwrap();
    let appends = world.streams.appends();
    let stamps = appends.iter().flat_map(|it| header(it, "es-revision"));
    let stamps: Vec<_> = stamps.collect();
    let known = |revision: &str| Some(revision.to_owned());
    assert_eq!(stamps, [None, None, None, known("3"), known("4"), None]);
    assert_eq!(
        world.streams.tombstones("orders"),
        [false, false, false, false, true, false]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_caused_by_an_event_belongs_to_what_that_belongs_to() {
    let world = world().await;
    let first = Event::new("/shop", "cart.sent.v1").id("e-1");
    let then = first.clone().id("e-2").extension("correlationid", "e-0");
    for (cause, wanted) in [(first, ["e-1", "e-1"]), (then, ["e-0", "e-2"])] {
        let append = world.orders.append("o", Expect::Any, [OrderEvent::Created]);
        let append = append.caused_by(&cause);
        let event = append.events().next().unwrap();
        let names = ["correlationid", "causationid"];
        assert_eq!(names.map(|name| event.extensions[name].as_str()), wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_with_the_same_ids() {
    let world = world().await;
    world.streams.fail(Fault::Lost);
    world.streams.fail(Fault::AnswerLost);
    world.streams.fail(Fault::AnswerLost);
    let created = world
        .orders
        .append("o-1", Expect::NoStream, seed())
        .await
        .unwrap();
    assert!(created.is_duplicate);
    assert_eq!((created.revision, created.offset), (3, 3));
    let appends = world.streams.appends();
    assert_eq!(appends.len(), 3);
    assert!(appends.iter().all(|it| *it == appends[0]), "{appends:?}");
    assert_eq!(world.streams.tombstones("orders").len(), 4);

    // Somebody else goes on before the repeat.
    world.streams.fail(Fault::AnswerLost);
    let theirs = intruder("orders", "o-1", "order.item-added.v1");
    world.streams.fail(Fault::After(theirs));
    let added = world
        .orders
        .append("o-1", Expect::Revision(3), [added("late")])
        .await
        .unwrap();
    assert!(added.is_duplicate);
    assert_eq!(added.revision, 4);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_would_not_know_again_is_not_sent_again() {
    let world = world().await;
    let orders = &world.orders;
    let _ = orders
        .append("o-1", Expect::NoStream, [OrderEvent::Created])
        .await
        .unwrap();
    for expect in [
        Expect::Any,
        Expect::Exists,
        Expect::LastOffset(0),
        Expect::NoStreamOrDeleted,
    ] {
        let before = world.streams.appends().len();
        world.streams.fail(Fault::AnswerLost);
        let error = orders
            .append("o-1", expect, [added("a")])
            .await
            .unwrap_err();
        assert_eq!(error.outcome(), Outcome::MayBeWritten, "{expect:?}");
        assert_eq!(world.streams.appends().len(), before + 1, "{expect:?}");
        // What surely was not done is sent again.
        world.streams.fail(Fault::Lost);
        world
            .streams
            .fail(Fault::Refused(ErrorCode::NotEnoughReplicas));
        drop(orders.append("o-1", expect, [added("a")]).await);
        assert_eq!(world.streams.appends().len(), before + 2, "{expect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_it_again_later_gets_the_first_answer() {
    let world = world().await;
    let append = world.orders.append("o-1", Expect::NoStream, seed());
    let first = append.send().await.unwrap();
    let _ = world
        .orders
        .append("o-1", Expect::Any, [added("more")])
        .await
        .unwrap();
    let again = append.send().await.unwrap();
    assert_eq!(
        (again.offset, &again.revisions),
        (first.offset, &first.revisions)
    );
    assert_eq!((first.is_duplicate, again.is_duplicate), (false, true));
    assert_eq!(first.token(), again.token());
    assert_eq!(first.token().to_string(), "orders:0:3");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_passes_is_waited_for_and_one_that_does_not_is_told() {
    let world = world().await;
    world
        .streams
        .fail(Fault::Refused(ErrorCode::KafkaStorageError));
    let orders = &world.orders;
    let appended = orders
        .append("o-1", Expect::NoStream, seed())
        .await
        .unwrap();
    assert!(!appended.is_duplicate);
    world
        .streams
        .fail(Fault::Refused(ErrorCode::MessageTooLarge));
    let error = orders
        .append("o-2", Expect::NoStream, seed())
        .await
        .unwrap_err();
    let EventsError::Client(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge));
    // In the end it is enough.
    (0..1_000).for_each(|_| world.streams.fail(Fault::Lost));
    let error = orders
        .append("o-2", Expect::NoStream, seed())
        .await
        .unwrap_err();
    assert!(
        matches!(error, EventsError::Client(ClientError::NotSent(_))),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_before_it_is_sent() {
    let world = world().await;
    let error = world
        .orders
        .append("o-1", Expect::Any, [])
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "an append to orders has no event");
    assert_eq!(world.streams.appends().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_says_at_once_that_it_cannot_work() {
    let world = world().await;
    let open = || EventStore::<Order>::over(world.streams.clone(), &client(), "orders").build();
    world
        .streams
        .fail(Fault::Refused(ErrorCode::UnsupportedVersion));
    let error = open().await.unwrap_err();
    assert!(
        matches!(error, EventsError::Client(ClientError::Unsupported(_))),
        "{error}"
    );
    world.streams.lose_topic("orders");
    let EventsError::Client(error) = open().await.unwrap_err() else {
        panic!("no topic")
    };
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
}
