//! `crash_everywhere`: a handler is crashed at each of its commit points, and nobody can tell
//! afterwards.

use std::error::Error;

use highwater::inbox::{Delivery, Inbox, TxHandler};
use highwater::sql::{Database, Isolation, OwnedTx, SqlError, SqlStatement, SqlTx, Sqlite};
use highwater::testing::crash_everywhere;
use highwater::{Event, HandlerError};

/// Books payments.
struct Accounting;

impl<Tx: SqlTx + Send> TxHandler<Tx> for Accounting {
    async fn handle(&self, mut delivery: Delivery<'_, Tx>) -> Result<(), HandlerError> {
        let order = delivery.record().key.clone().unwrap_or_default();
        let insert = SqlStatement::new("insert into payments values ($1)");
        delivery.tx().execute(insert.bind(&order[..])).await?;
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let paid = |order| {
        let event = Event::new("/shop", "order.paid.v1").key(order).data("{}");
        event.to("payments")
    };
    let report = crash_everywhere([paid("o-1")?, paid("o-2")?, paid("o-3")?])
        .compare("select order_id from payments order by order_id")
        .run(database, async |app| {
            let handling = app.handling().transactional(app.database(), Inbox::new());
            handling.run(Accounting, app.finished()).await
        })
        .await?;
    println!("{report}");
    report.expect_same();
    Ok(())
}

/// An empty database with all tables.
async fn database() -> Result<Sqlite, SqlError> {
    let database = Sqlite::in_memory().await?;
    let create = "create table payments (order_id blob)".to_owned();
    let mut tx = database.begin(Isolation::Write).await?;
    let inbox = Inbox::new()
        .migrations(database.dialect())
        .unwrap_or_default();
    for statement in inbox.into_iter().chain([create]) {
        tx.execute(SqlStatement::new(statement)).await?;
    }
    tx.commit().await?;
    Ok(database)
}

#[test]
fn it_runs() -> Result<(), Box<dyn Error>> {
    main()
}
