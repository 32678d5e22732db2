//! In which order rows may be read: the well-known ways and ours, by the same scripts.
//!
//! The naive cursor loses rows; the cursor by transaction stalls and changes the order of a key;
//! neither capture does any of it.

use super::*;

/// A way to read the table.
trait Reading {
    /// What was not read before.
    async fn read(&mut self) -> Vec<String>;
}

impl<C: Capture<Postgres>> Reading for Reader<C> {
    async fn read(&mut self) -> Vec<String> {
        values(&self.drain(2).await)
    }
}

/// Strategy A: the last number that was seen.
struct ByNumber(Postgres, i64);

impl Reading for ByNumber {
    async fn read(&mut self) -> Vec<String> {
        let mut tx = begin(&self.0).await;
        let text = "select convert_from(payload, 'utf8'), seq from outbox \
                    where seq > $1::bigint order by seq";
        let rows = tx
            .query(SqlStatement::new(text).bind(self.1))
            .await
            .unwrap();
        if let Some(last) = rows.last() {
            self.1 = last.integer(1).unwrap();
        }
        rows.iter()
            .map(|row| row.text(0).unwrap().to_owned())
            .collect()
    }
}

/// Strategy C: by transaction and number, below the oldest transaction that is open.
struct ByTransaction(Postgres, String, i64);

impl Reading for ByTransaction {
    async fn read(&mut self) -> Vec<String> {
        let mut tx = begin(&self.0).await;
        let text = "select convert_from(payload, 'utf8'), xid, seq from outbox \
                    where (xid, seq) > ($1::text::xid8, $2::bigint) \
                    and xid < pg_snapshot_xmin(pg_current_snapshot()) order by xid, seq";
        let statement = SqlStatement::new(text).bind(self.1.as_str()).bind(self.2);
        let rows = tx.query(statement).await.unwrap();
        if let Some(last) = rows.last() {
            self.1 = last.text(1).unwrap().to_owned();
            self.2 = last.integer(2).unwrap();
        }
        rows.iter()
            .map(|row| row.text(0).unwrap().to_owned())
            .collect()
    }
}

fn by_number(database: &Postgres) -> ByNumber {
    ByNumber(database.clone(), 0)
}

fn by_transaction(database: &Postgres) -> ByTransaction {
    ByTransaction(database.clone(), "0".to_owned(), 0)
}

/// Two transactions take numbers 1 and 2, and number 2 is committed and read first.
async fn late_commit(database: &Postgres, table: &Table, reading: &mut impl Reading) -> Reads {
    let mut late = begin(database).await;
    enqueue(&mut late, table, "a", "late").await;
    enqueue_alone(database, table, "b", "early").await;
    let first = reading.read().await;
    late.commit().await.unwrap();
    enqueue_alone(database, table, "c", "after").await;
    [first, reading.read().await]
}

/// A transaction has written something and does nothing; another one enqueues.
async fn idle(database: &Postgres, table: &Table, reading: &mut impl Reading) -> Reads {
    let mut idle = begin(database).await;
    run(&mut idle, "insert into things values ('idle', 0)").await;
    enqueue_alone(database, table, "a", "event").await;
    let first = reading.read().await;
    idle.commit().await.unwrap();
    [first, reading.read().await]
}

/// Two writers change one thing, one after the other; the second one has had its transaction's
/// number before the first one.
async fn one_key(database: &Postgres, table: &Table, reading: &mut impl Reading) -> Reads {
    let change = "update things set version = version + 1 where name = 'k'";
    run_all(database, ["insert into things values ('k', 0)"]).await;
    let mut second = begin(database).await;
    run(&mut second, "insert into things values ('x', 0)").await;
    let mut first = begin(database).await;
    run(&mut first, change).await;
    enqueue(&mut first, table, "k", "version 1").await;
    first.commit().await.unwrap();
    run(&mut second, change).await;
    enqueue(&mut second, table, "k", "version 2").await;
    second.commit().await.unwrap();
    [reading.read().await, reading.read().await]
}

type Reads = [Vec<String>; 2];

fn reads<const A: usize, const B: usize>(first: [&str; A], second: [&str; B]) -> Reads {
    [
        first.map(ToOwned::to_owned).to_vec(),
        second.map(ToOwned::to_owned).to_vec(),
    ]
}

/// An outbox, and a table of state.
async fn with_things(database: &Postgres, test: impl AsyncFnOnce(&Postgres, &Table)) {
    let table = outbox(database, "outbox").await;
    run_all(
        database,
        ["create table things (name text primary key, version int)"],
    )
    .await;
    test(database, &table).await;
}

fn with_outbox(test: impl AsyncFnOnce(&Postgres, &Table)) {
    with_database(async |database| with_things(&database, test).await);
}

#[test]
fn outbox_commit_order_the_cursor_by_number_loses_a_row() {
    with_outbox(async |database, table| {
        let read = late_commit(database, table, &mut by_number(database)).await;
        assert_eq!(
            read,
            reads(["early"], ["after"]),
            "nobody ever reads `late`"
        );
    });
}

/// In a cluster of its own: it waits for transactions of every database.
#[test]
fn outbox_commit_order_the_cursor_by_transaction_stalls_and_changes_the_order_of_a_key() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    for stalls in [true, false] {
        in_database(&cluster.database(), async |database| {
            with_things(&database, async |database, table| {
                let mut reading = by_transaction(database);
                if stalls {
                    let read = idle(database, table, &mut reading).await;
                    assert_eq!(read, reads([], ["event"]), "as long as anybody is idle");
                } else {
                    let read = one_key(database, table, &mut reading).await;
                    assert_eq!(read, reads(["version 2", "version 1"], []));
                }
            })
            .await;
        });
    }
}

/// Ours neither lose, nor stall, nor change the order of a key.
async fn is_right<C: Capture<Postgres>>(database: &Postgres, table: &Table, capture: C) {
    let mut reader = Reader::opened(database, table, capture).await;
    let read = late_commit(database, table, &mut reader).await;
    assert_eq!(read, reads(["early"], ["late", "after"]));
    let read = idle(database, table, &mut reader).await;
    assert_eq!(read, reads(["event"], []));
    let read = one_key(database, table, &mut reader).await;
    assert_eq!(read, reads(["version 1", "version 2"], []));
}

#[test]
fn outbox_commit_order_the_snapshot_does_none_of_it() {
    with_outbox(async |database, table| is_right(database, table, snapshot()).await);
}

#[test]
fn outbox_commit_order_the_queue_does_none_of_it() {
    with_outbox(async |database, table| is_right(database, table, queue()).await);
}

/// Rows behind it are published and gone, again and again; it is still waited for by nobody, and
/// comes before what follows it.
#[test]
fn outbox_commit_order_a_row_that_commits_very_late_is_found_by_both() {
    with_outbox(async |database, table| {
        very_late(database, table, snapshot()).await;
        very_late(database, table, queue()).await;
    });
}

async fn very_late<C: Capture<Postgres>>(database: &Postgres, table: &Table, capture: C) {
    let mut reader = Reader::opened(database, table, capture).await;
    let mut late = begin(database).await;
    enqueue(&mut late, table, "a", "late").await;
    for value in ["1", "2", "3", "4", "5"] {
        enqueue_alone(database, table, "b", value).await;
        assert_eq!(reader.read().await, [value]);
    }
    late.commit().await.unwrap();
    enqueue_alone(database, table, "a", "after").await;
    assert_eq!(reader.read().await, ["late", "after"]);
}

/// A number is taken by hand, long before the transaction has one of its own.
#[test]
fn outbox_commit_order_a_number_that_is_older_than_its_transaction_is_found() {
    with_outbox(async |database, table| {
        let mut reader = Reader::opened(database, table, snapshot()).await;
        let number = number(database, "select nextval('outbox_seq_seq')").await;
        enqueue_alone(database, table, "a", "early").await;
        assert_eq!(reader.read().await, ["early"]);
        let insert = format!(
            "insert into outbox (seq, id, aggregatetype, aggregateid, type, payload) overriding \
             system value values ({number}, gen_random_uuid(), 'order', 'b', 'created', 'late')"
        );
        run_all(database, [insert]).await;
        assert_eq!(reader.read().await, ["late"]);
    });
}

/// The transaction's number is that of the whole, also in a savepoint.
#[test]
fn outbox_commit_order_a_row_of_a_savepoint_is_found() {
    with_outbox(async |database, table| {
        let mut reader = Reader::opened(database, table, snapshot()).await;
        let mut tx = begin(database).await;
        run(&mut tx, "savepoint a").await;
        enqueue(&mut tx, table, "a", "kept").await;
        run(&mut tx, "release a").await;
        run(&mut tx, "savepoint b").await;
        enqueue(&mut tx, table, "a", "undone").await;
        run(&mut tx, "rollback to b").await;
        enqueue_alone(database, table, "b", "other").await;
        assert_eq!(reader.read().await, ["other"]);
        tx.commit().await.unwrap();
        assert_eq!(reader.read().await, ["kept"]);
    });
}

/// A transaction that is prepared for a commit in two phases keeps its place.
#[test]
fn outbox_commit_order_a_prepared_transaction_is_waited_for_by_nobody_and_lost_by_nobody() {
    with_outbox(async |database, table| {
        prepared(database, table, snapshot(), "one").await;
        prepared(database, table, queue(), "two").await;
    });
}

async fn prepared<C: Capture<Postgres>>(
    database: &Postgres,
    table: &Table,
    capture: C,
    name: &str,
) {
    let mut reader = Reader::opened(database, table, capture).await;
    let mut tx = begin(database).await;
    enqueue(&mut tx, table, "a", "prepared").await;
    let prepare = format!("prepare transaction '{name}'");
    tx.client().batch_execute(&prepare).await.unwrap();
    drop(tx);
    for value in ["x", "y", "z"] {
        enqueue_alone(database, table, "b", value).await;
        assert_eq!(reader.read().await, [value]);
    }
    let tx = begin(database).await;
    let commit = format!("commit prepared '{name}'");
    for statement in ["rollback", &commit, "begin"] {
        tx.client().batch_execute(statement).await.unwrap();
    }
    tx.commit().await.unwrap();
    enqueue_alone(database, table, "a", "after").await;
    assert_eq!(reader.read().await, ["prepared", "after"]);
}
