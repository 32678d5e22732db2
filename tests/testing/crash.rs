//! `crash_everywhere`: it finds what a crash leaves of the seed's handler, and nothing in ours.

use std::time::Duration;

use highwater::inbox::{Delivery, Inbox, TxHandler};
use highwater::sql::{
    Database, Isolation, OwnedTx, SqlError, SqlStatement, SqlTx, Sqlite, SqliteTx,
};
use highwater::testing::{CrashError, CrashReport, CrashRun, Crashing, crash_everywhere, on_inner};
use highwater::{Attempt, Event, HandlerError, HandlerSummary, Order, Record, handler_fn};

/// Orders of some keys, one event that stands there twice, and one that becomes a dead letter.
fn orders_and_poison() -> Vec<Record> {
    let mut orders = orders();
    let poison = Event::new("/shop", "order.created.v1").id("poison");
    orders.push(poison.key("c").data("{}").to("orders").unwrap());
    orders
}

/// Orders of some keys, and one event that stands there twice.
fn orders() -> Vec<Record> {
    let order = |id: &str, key: &'static str| {
        let event = Event::new("/shop", "order.created.v1").id(id);
        event.key(key).data("{}").to("orders").unwrap()
    };
    vec![
        order("1", "a"),
        order("2", "b"),
        order("1", "a"),
        order("3", "a"),
    ]
}

async fn shop() -> Result<Sqlite, SqlError> {
    let database = Sqlite::in_memory().await?;
    Inbox::new().migrate(&database).await.unwrap();
    let tables = [
        "create table payments (event_id text not null)",
        "create table processed (event_id text primary key)",
    ];
    for table in tables {
        let mut tx = database.begin(Isolation::Write).await?;
        tx.execute(SqlStatement::new(table)).await?;
        tx.commit().await?;
    }
    Ok(database)
}

const PAYMENTS: &str = "select event_id from payments order by event_id";

fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(test)
}

async fn transaction(
    database: &impl Database,
    text: &'static str,
    id: &str,
) -> Result<u64, SqlError> {
    let mut tx = database.begin(Isolation::Write).await?;
    let count = tx.execute(SqlStatement::new(text).bind(id)).await?;
    tx.commit().await?;
    Ok(count)
}

/// Exists, then process, then save: three transactions, as the seed has them.
async fn check_then_act(database: impl Database, attempt: Attempt) -> Result<(), HandlerError> {
    let id = attempt.record.event_id()?.to_string();
    let mut tx = database.begin(Isolation::Snapshot).await?;
    let exists = SqlStatement::new("select 1 from processed where event_id = $1").bind(&*id);
    let is_there = !tx.query(exists).await?.is_empty();
    tx.rollback().await?;
    if !is_there {
        transaction(&database, "insert into payments values ($1)", &id).await?;
        transaction(&database, "insert into processed values ($1)", &id).await?;
    }
    Ok(())
}

#[test]
fn seed_s06_a_crash_between_process_and_save_pays_twice_and_it_is_found() {
    let report = run(async {
        let test = crash_everywhere(orders()).compare(PAYMENTS);
        let application = async |app: CrashRun<Crashing<Sqlite>>| {
            let database = app.database();
            let handler = handler_fn(move |attempt| check_then_act(database.clone(), attempt));
            app.handling().run(handler, app.finished()).await
        };
        test.run(shop, application).await.unwrap()
    });
    let points: Vec<&str> = report.differences.iter().map(|it| &*it.point).collect();
    // Of each event: the effect is committed, and what says so is not.
    let between = [
        "after the commit behind `insert into payments values ($1)`",
        "before a transaction began",
        "behind `insert into processed values ($1)`",
        "before the commit behind `insert into processed values ($1)`",
    ];
    for name in between {
        let count = points.iter().filter(|it| it.starts_with(name)).count();
        assert_eq!(count, 3, "{name}: {report}");
    }
    // Now and then the broker is told of the record before while one is between.
    let is_between = |point: &&str| {
        between.iter().any(|it| point.starts_with(it)) || point.contains("offsets were committed")
    };
    assert!(points.iter().all(is_between), "{report}");
    let text = report.to_string();
    let first = "after a crash after the commit behind `insert into payments values ($1)`, number \
                 1: `select event_id from payments order by event_id` gives [\"1\", \"1\", \"2\", \
                 \"3\"] instead of [\"1\", \"2\", \"3\"]";
    assert!(text.contains(first), "{text}");
}

/// The same with the inbox.
struct Payments;

impl<Tx: SqlTx + Send> TxHandler<Tx> for Payments {
    async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
        let insert = SqlStatement::new("insert into payments values ($1)");
        let insert = insert.bind(delivery.event_id().as_str());
        delivery.tx().execute(insert).await?;
        match delivery.event_id().as_str() {
            "poison" => Err(HandlerError::dead("it is poison")),
            _ => Ok(()),
        }
    }
}

async fn with_inbox(
    order: Order,
    concurrency: usize,
    app: CrashRun<Crashing<Sqlite>>,
) -> HandlerSummary {
    let handling = app.handling().order(order).concurrency(concurrency);
    let handling = handling.transactional(app.database(), Inbox::new());
    handling.run(Payments, app.finished()).await
}

fn has(report: &CrashReport, point: &str) -> bool {
    report.points.iter().any(|it| it.starts_with(point))
}

#[test]
fn no_crash_can_be_told_of_a_handler_with_an_inbox() {
    for (order, concurrency) in [(Order::Partition, 1), (Order::Key, 1), (Order::Key, 4)] {
        let report = run(async {
            let test = crash_everywhere(orders_and_poison()).compare(PAYMENTS);
            let test = test.compare("select event_id from inbox order by event_id");
            let test = test.compare("select topic, partition, next from inbox_offsets");
            let application = async |app| with_inbox(order, concurrency, app).await;
            test.run(shop, application).await.unwrap()
        });
        report.expect_same();
        let points = [
            "before a transaction began",
            "behind `insert into inbox ",
            "behind `insert into payments",
            "before the commit behind `insert into payments",
            "after the commit behind `insert into payments",
            "after the commit behind `insert into inbox_offsets",
            "before records were stored",
            "after records were stored",
            "before offsets were committed",
            "after offsets were committed",
        ];
        let missing: Vec<_> = points.iter().filter(|it| !has(&report, it)).collect();
        assert!(missing.is_empty(), "{missing:?} of {:?}", report.points);
        assert!(report.points.len() > 30, "{:?}", report.points);
    }
}

/// Written for one driver.
struct Native;

impl TxHandler<SqliteTx> for Native {
    async fn handle(&self, mut delivery: Delivery<'_, SqliteTx>) -> Result<(), HandlerError> {
        let id = delivery.event_id().to_string();
        let tx = delivery.tx();
        tx.with(move |it| it.execute("insert into payments values (?1)", [id]))
            .await?;
        Ok(())
    }
}

#[test]
fn a_handler_of_one_driver_can_be_crashed_too() {
    let report = run(async {
        let application = async |app: CrashRun<Crashing<Sqlite>>| {
            let handling = app.handling().transactional(app.database(), Inbox::new());
            handling.run(on_inner(Native), app.finished()).await
        };
        let test = crash_everywhere(orders()).compare(PAYMENTS);
        test.run(shop, application).await.unwrap()
    });
    report.expect_same();
}

#[test]
fn a_run_that_cannot_come_to_its_end_says_why() {
    run(async {
        let never = async |_: CrashRun<Crashing<Sqlite>>| std::future::pending::<()>().await;
        let error = crash_everywhere(orders())
            .run(shop, never)
            .await
            .unwrap_err();
        assert!(matches!(error, CrashError::NothingToCompare), "{error}");
        let test = crash_everywhere(orders()).compare(PAYMENTS);
        let error = test
            .within(Duration::from_millis(50))
            .run(shop, never)
            .await
            .unwrap_err();
        let why = "after 0 s not everything is handled (no crash): orders-0 up to 4";
        assert_eq!(error.to_string(), why);
        let early = async |_: CrashRun<Crashing<Sqlite>>| "bye";
        let test = crash_everywhere(orders()).compare(PAYMENTS);
        let error = test.run(shop, early).await.unwrap_err().to_string();
        let why = "the application ended before everything was handled (no crash): \"bye\"";
        assert_eq!(error, why);
        let test = crash_everywhere(orders()).compare("select * from nowhere");
        let application = async |app| with_inbox(Order::Key, 1, app).await;
        let error = test.run(shop, application).await.unwrap_err().to_string();
        assert!(error.contains("no such table: nowhere"), "{error}");
    });
}
