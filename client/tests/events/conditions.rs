//! Each cell of the table of conditions, as the caller meets it.

use highwater_client::events::{EventsError, Expect, Head};

use crate::World;
use crate::order::{OrderEvent, added};
use crate::world;

/// A stream that is absent, one at revision 1 (offset 1), one deleted by revision 1.
async fn streams() -> World {
    let world = world().await;
    let events = [OrderEvent::Created, added("item1")];
    let live = world.orders.append("live", Expect::NoStream, events);
    assert_eq!(live.await.unwrap().offset, 1);
    let orders = &world.orders;
    let created = [OrderEvent::Created];
    let _ = orders
        .append("deleted", Expect::NoStream, created)
        .await
        .unwrap();
    let _ = orders.delete("deleted", Expect::Revision(0)).await.unwrap();
    world
}

#[tokio::test(start_paused = true)]
async fn an_append_is_stored_where_the_expectation_holds_and_says_what_is_there_where_not() {
    let live = Head {
        revision: 1,
        offset: 1,
        is_deleted: false,
    };
    let deleted = Head {
        revision: 1,
        offset: 3,
        is_deleted: true,
    };
    let rows = [
        (Expect::Any, [Ok(0), Ok(2), Ok(2)]),
        (
            Expect::NoStream,
            [Ok(0), Err(Some(live)), Err(Some(deleted))],
        ),
        (Expect::NoStreamOrDeleted, [Ok(0), Err(Some(live)), Ok(2)]),
        (Expect::Exists, [Err(None), Ok(2), Err(Some(deleted))]),
        (Expect::Revision(1), [Err(None), Ok(2), Err(Some(deleted))]),
        (
            Expect::Revision(0),
            [Err(None), Err(Some(live)), Err(Some(deleted))],
        ),
        (
            Expect::Revision(2),
            [Err(None), Err(Some(live)), Err(Some(deleted))],
        ),
        (
            Expect::LastOffset(1),
            [Err(None), Ok(2), Err(Some(deleted))],
        ),
        (
            Expect::LastOffset(3),
            [Err(None), Err(Some(live)), Err(Some(deleted))],
        ),
    ];
    for (expect, wanted) in rows {
        for (key, wanted) in ["absent", "live", "deleted"].into_iter().zip(wanted) {
            let world = streams().await;
            let before = world.streams.tombstones("orders").len();
            let got = match world.orders.append(key, expect, [added("item2")]).await {
                Ok(appended) => Ok(appended.revision),
                Err(EventsError::Conflict {
                    key: whose,
                    expected,
                    actual,
                    ..
                }) => {
                    assert_eq!((&whose[..], expected), (key.as_bytes(), expect));
                    let after = world.streams.tombstones("orders").len();
                    assert_eq!(before, after, "a conflict stores nothing");
                    Err(actual)
                }
                Err(other) => panic!("{expect:?} of {key}: {other}"),
            };
            assert_eq!(got, wanted, "{expect:?} of {key}");
        }
    }
}

/// The seed appends with a plain produce: nothing is expected, and both "version 5" are stored.
#[tokio::test(start_paused = true)]
async fn seed_s13_of_two_writers_of_one_version_one_is_refused() {
    let world = world().await;
    let orders = &world.orders;
    let _ = orders
        .append("seed", Expect::Any, [OrderEvent::Created])
        .await
        .unwrap();
    for cents in [1, 2] {
        // Both have seen revision 0.
        let paid = [OrderEvent::Paid { cents }];
        let _ = orders.append("seed", Expect::Any, paid).await.unwrap();
    }
    let loaded = orders.load("seed").await.unwrap();
    assert_eq!(
        (loaded.read, loaded.state.cents),
        (3, 2),
        "the seed is paid twice"
    );

    let _ = orders
        .append("ours", Expect::NoStream, [OrderEvent::Created])
        .await
        .unwrap();
    let first = orders.append("ours", Expect::Revision(0), [OrderEvent::Paid { cents: 1 }]);
    assert_eq!(first.await.unwrap().revision, 1);
    let second = orders.append("ours", Expect::Revision(0), [OrderEvent::Paid { cents: 2 }]);
    let error = second.await.unwrap_err();
    assert!(error.is_conflict());
    let sentence = "the stream ours of orders is not as expected: revision 0 was expected, and it \
                    is at revision 1, offset 4";
    assert_eq!(error.to_string(), sentence);
    assert_eq!(orders.load("ours").await.unwrap().state.cents, 1);
}

#[tokio::test(start_paused = true)]
async fn several_streams_are_appended_to_together_or_not_at_all() {
    let world = streams().await;
    let orders = &world.orders;
    let both = orders
        .append("a", Expect::NoStream, [OrderEvent::Created])
        .also("b", Expect::NoStream, [OrderEvent::Created, added("item1")])
        .require("live", Expect::Revision(0));
    let error = both.send().await.unwrap_err();
    assert!(
        matches!(error, EventsError::Conflict { ref key, .. } if key == "live"),
        "{error}"
    );
    assert_eq!(orders.load("a").await.unwrap().head, None);

    let both = orders
        .append("a", Expect::NoStream, [OrderEvent::Created])
        .also("b", Expect::NoStream, [OrderEvent::Created, added("item1")])
        .require("live", Expect::Revision(1));
    let appended = both.send().await.unwrap();
    assert_eq!(
        (&appended.revisions[..], appended.revision),
        (&[0, 0, 1][..], 1)
    );
    assert_eq!(orders.load("a").await.unwrap().revision(), Some(0));
    assert_eq!(orders.load("b").await.unwrap().state.items, ["item1"]);

    let twice = orders.append("c", Expect::Any, [OrderEvent::Created]);
    let error = twice
        .require("c", Expect::NoStream)
        .send()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the stream c is named twice"),
        "{error}"
    );
}
