//! What is refused, with a sentence for each.

use highwater_client::sql::SqlError;
use highwater_client::{OutboxError, Outgoing, Router};

use super::*;

/// The sentence with which a relay ends by itself.
async fn refusal<D: Database>(relay: Relay<D>) -> String {
    let summary = relay.run(std::future::pending()).await;
    summary.error.unwrap().to_string()
}

fn relay(world: &World) -> Relay<Sqlite> {
    world.client.relay(world.database.clone())
}

async fn publish_three(world: &World) {
    let events: Vec<Event> = (0..3).map(|number| event("a", number)).collect();
    commit(&world.database, &orders(), &events).await;
    let running = Running::start(relay(world));
    read_count(&world.client, "order-events", 3).await;
    assert_eq!(running.stop().await.result(), Ok(()));
}

async fn all_statements(database: &Sqlite, statements: &[&'static str]) {
    for statement in statements {
        execute(database, SqlStatement::new(*statement)).await;
    }
}

#[test]
fn a_table_of_the_wrong_shape_is_refused() {
    world(|world| async move {
        let why = refusal(relay(&world).table("nothing")).await;
        let start = "the table nothing cannot be relayed: no such table: nothing_progress";
        assert!(why.starts_with(start), "{why}");
        assert!(why.ends_with("made by Outbox::migrate"), "{why}");

        all_statements(&world.database, &["drop table outbox"]).await;
        let why = refusal(relay(&world)).await;
        let sentence =
            "the table outbox cannot be relayed: it is not there; Outbox::migrate makes it";
        assert_eq!(why, sentence);

        let table = "create table outbox (seq integer primary key, id, aggregatetype, type)";
        all_statements(&world.database, &[table]).await;
        let why = refusal(relay(&world)).await;
        let lacks = "it has no column aggregateid, payload, headers, partition, traceparent, \
                     created_at";
        assert!(why.ends_with(lacks), "{why}");

        // Without AUTOINCREMENT, a number is given out again after its row was deleted.
        let table = "create table bare (n integer primary key, id, aggregatetype, aggregateid, \
                     payload)";
        all_statements(&world.database, &[table]).await;
        let debezium = Router::debezium([("", ""); 0]).unwrap();
        let bare = relay(&world)
            .table("bare")
            .order_column("n")
            .router(debezium);
        bare.migrate().await.unwrap();
        let why = refusal(bare).await;
        let start = "the table bare cannot be relayed: its column n is no `integer primary key \
                     autoincrement`";
        assert!(why.starts_with(start), "{why}");

        let why = refusal(relay(&world).table("out box; drop")).await;
        assert!(
            why.starts_with("\"out box; drop\" is no name of a table"),
            "{why}"
        );
    });
}

#[test]
fn a_restored_database_is_refused_unless_it_is_adopted() {
    world(|world| async move {
        publish_three(&world).await;
        // The table is made anew, or its numbers are of an older day; the position stays.
        all_statements(&world.database, &["update sqlite_sequence set seq = 1"]).await;
        commit(&world.database, &orders(), &[event("a", 3)]).await;
        let why = refusal(relay(&world)).await;
        let sentence = "the rows of outbox have been numbered up to 2 only, and rows up to 3 are \
                        published";
        assert!(why.starts_with(sentence), "{why}");

        let running = Running::start(relay(&world).adopt());
        let records = read_count(&world.client, "order-events", 4).await;
        assert_eq!(first_by_key(&records)["a"], [0, 1, 2, 3]);
        assert_eq!(running.stop().await.result(), Ok(()));
        // From now on it is the right one.
        let running = Running::start(relay(&world));
        commit(&world.database, &orders(), &[event("a", 4)]).await;
        read_count(&world.client, "order-events", 5).await;
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

#[test]
fn a_row_that_would_be_passed_by_is_refused_unless_it_is_adopted() {
    world(|world| async move {
        publish_three(&world).await;
        // The table is made anew and has grown beyond the position; or somebody gives numbers.
        let insert = "insert into outbox (seq, id, aggregatetype, aggregateid, type, payload) \
                      values (2, randomblob(16), 'order-events', 'a', 't', '7')";
        all_statements(&world.database, &[insert]).await;
        let why = refusal(relay(&world)).await;
        let start = "the table outbox cannot be relayed: it has a row with the seq 2, and rows up \
                     to 3 are published";
        assert!(why.starts_with(start), "{why}");
        let running = Running::start(relay(&world).adopt());
        read_count(&world.client, "order-events", 4).await;
        while count(&world.database, "outbox").await > 0 {}

        // While a relay runs, such a row is not deleted, and raises the alarm.
        all_statements(&world.database, &[insert]).await;
        commit(&world.database, &orders(), &[event("a", 8)]).await;
        read_count(&world.client, "order-events", 5).await;
        assert_eq!(running.stop().await.result(), Ok(()));
        assert_eq!(count(&world.database, "outbox").await, 1);
        let follower = relay(&world);
        let metrics = follower.metrics();
        let owner = "update outbox_progress set owner = 'x'";
        all_statements(&world.database, &[owner]).await;
        let running = Running::start(follower);
        until(|| metrics.snapshot(), |it| it.oldest_unpublished.is_some()).await;
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

#[test]
fn sqlite_leaves_no_choice_of_how_rows_are_found() {
    world(|world| async move {
        let why = refusal(relay(&world).capture(highwater_client::Capturing::Queue)).await;
        assert!(
            why.starts_with("how rows are found is a choice for PostgreSQL"),
            "{why}"
        );
    });
}

#[test]
fn a_foreign_database_is_refused_unless_it_is_adopted() {
    world(|world| async move {
        publish_three(&world).await;
        all_statements(
            &world.database,
            &["update outbox_system set id = 'another'"],
        )
        .await;
        commit(&world.database, &orders(), &[event("a", 3)]).await;
        let why = refusal(relay(&world)).await;
        let start = "the stored position of the outbox outbox belongs to another database (";
        assert!(
            why.starts_with(start) && why.contains("this one is another)"),
            "{why}"
        );
        let running = Running::start(relay(&world).adopt());
        let records = read_count(&world.client, "order-events", 4).await;
        assert_eq!(first_by_key(&records)["a"], [0, 1, 2, 3]);
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

#[test]
fn an_acknowledgement_out_of_memory_is_refused_unless_it_is_allowed() {
    world(|world| async move {
        let topic = NewTopic::named("fleeting").config("durability", "page-cache");
        world.client.admin().create_topic(&topic).await.unwrap();
        commit(&world.database, &Outbox::to("fleeting"), &[event("a", 0)]).await;
        let why = refusal(relay(&world)).await;
        let sentence = "the topic fleeting acknowledges records that a power failure loses \
                        (durability=page-cache), and the relay deletes their rows: make the topic \
                        durable, or allow it with allow_memory_ack";
        assert_eq!(why, sentence);
        assert_eq!(count(&world.database, "outbox").await, 1);
        let running = Running::start(relay(&world).allow_memory_ack());
        read_count(&world.client, "fleeting", 1).await;
        assert_eq!(running.stop().await.result(), Ok(()));
    });
}

/// An error of `enqueue`, as a sentence.
async fn refused<'a>(world: &World, outbox: &Outbox, event: impl Into<Outgoing<'a>>) -> String {
    let mut tx = world.database.begin(Isolation::Write).await.unwrap();
    let error = outbox.enqueue(&mut tx, event).await.unwrap_err();
    tx.rollback().await.unwrap();
    error.to_string()
}

#[test]
fn what_could_not_be_published_is_not_put_in() {
    world(|world| async move {
        let outbox = orders();
        let fine = event("a", 0);
        let gone = Event::new("/shop/carts", "cart.deleted.v1")
            .id("e")
            .key("cart-9");
        let why = refused(&world, &outbox, &gone).await;
        assert!(
            why.starts_with(
                "the event cart.deleted.v1 with the id e cannot be sent to \
                                 order-events: it has no data"
            ),
            "{why}"
        );
        let binary = fine.clone().id("e").key(vec![0xff]);
        let why = refused(&world, &outbox, &binary).await;
        let sentence =
            "the key of the event e is empty or no text, and the outbox keeps keys as text";
        assert_eq!(why, sentence);
        let why = refused(&world, &outbox, &fine.clone().id("e").key("k".repeat(256))).await;
        assert_eq!(
            why,
            "the key of the event e has 256 characters, and the outbox holds 255"
        );
        for name in ["ce_id", "content-type", "traceparent", ""] {
            let why = refused(&world, &outbox, Outgoing::of(&fine).header(name, "x")).await;
            let start = format!("the header {name:?} cannot go with the event");
            assert!(why.starts_with(&start), "{why}");
        }
        let twice = Outgoing::of(&fine)
            .header("tenant", "1")
            .header("tenant", "2");
        let why = refused(&world, &outbox, twice).await;
        assert!(why.starts_with("the header \"tenant\" cannot go"), "{why}");
        assert_eq!(count(&world.database, "outbox").await, 0);
    });
}

#[test]
fn an_event_is_put_in_once() {
    world(|world| async move {
        let outbox = orders();
        let first = event("a", 0);
        let mut tx = world.database.begin(Isolation::Write).await.unwrap();
        let versioned = Outgoing::of(&first).key_version(1);
        outbox.enqueue(&mut tx, versioned).await.unwrap();
        let error = outbox.enqueue(&mut tx, &first).await.unwrap_err();
        assert!(
            matches!(error, OutboxError::Sql(SqlError::Constraint(_))),
            "{error}"
        );
        let other = event("a", 1);
        let same = Outgoing::of(&other).key_version(1);
        let error = outbox.enqueue(&mut tx, same).await.unwrap_err();
        assert!(
            matches!(error, OutboxError::Sql(SqlError::Constraint(_))),
            "{error}"
        );
        let next = Outgoing::of(&other).key_version(2);
        outbox.enqueue(&mut tx, next).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&world.database, "outbox").await, 2);
    });
}

#[test]
fn a_full_outbox_takes_nothing_until_rows_are_published() {
    world(|world| async move {
        let outbox = orders().max_rows(3);
        let events: Vec<Event> = (0..3).map(|number| event("a", number)).collect();
        commit(&world.database, &outbox, &events).await;
        let why = refused(&world, &outbox, &event("a", 3)).await;
        let sentence = "the outbox outbox has 3 rows, and 3 are allowed: look whether a relay runs \
                        and its broker can be reached, or raise the limit";
        assert_eq!(why, sentence);
        let running = Running::start(relay(&world));
        read_count(&world.client, "order-events", 3).await;
        assert_eq!(running.stop().await.result(), Ok(()));
        commit(&world.database, &outbox, &[event("a", 3)]).await;
    });
}

#[test]
fn numbers_are_never_given_out_again() {
    // What the cursor on SQLite's numbers rests on.
    world(|world| async move {
        let last = async || {
            let mut tx = world.database.begin(Isolation::Snapshot).await.unwrap();
            let select = "select seq from sqlite_sequence where name = 'outbox'";
            tx.query(SqlStatement::new(select)).await.unwrap()[0]
                .integer(0)
                .unwrap()
        };
        commit(&world.database, &orders(), &[event("a", 0), event("a", 1)]).await;
        assert_eq!(last().await, 2);
        // A rollback gives its numbers back: no hole appears.
        let mut tx = world.database.begin(Isolation::Write).await.unwrap();
        orders().enqueue(&mut tx, &event("a", 2)).await.unwrap();
        tx.rollback().await.unwrap();
        assert_eq!(last().await, 2);
        // The largest row is deleted: its number stays used.
        all_statements(&world.database, &["delete from outbox"]).await;
        commit(&world.database, &orders(), &[event("a", 3)]).await;
        assert_eq!(last().await, 3);
        // Without AUTOINCREMENT it is not so.
        let statements = [
            "create table bare (n integer primary key, v)",
            "insert into bare (v) values (1), (2)",
            "delete from bare where n = 2",
            "insert into bare (v) values (3)",
        ];
        all_statements(&world.database, &statements).await;
        let mut tx = world.database.begin(Isolation::Snapshot).await.unwrap();
        let select = SqlStatement::new("select max(n) from bare");
        assert_eq!(tx.query(select).await.unwrap()[0].integer(0).unwrap(), 2);
    });
}
