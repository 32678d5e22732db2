//! What only SQLite does.

use std::future::ready;
use std::path::PathBuf;

use highwater_client::sql::{Commits, Database, Isolation, OwnedTx, SqlError, SqlTx, Sqlite};
use rusqlite::{Connection, TransactionBehavior};
use tempfile::TempDir;

use crate::commit;
use crate::number;
use crate::number_now;
use crate::refusal;
use crate::round_trip;
use crate::sql;
use crate::with_table;

/// A database in a file, which goes with it.
pub(crate) struct File {
    pub(crate) database: Sqlite,
    folder: TempDir,
}

impl File {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Sqlite::open(folder.path().join("test.db")).await.unwrap();
        Self { database, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("test.db")
    }

    /// A connection that the database knows nothing of, as of another process.
    fn foreign(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

/// Whether there is word already.
async fn told(commits: &mut Commits) -> bool {
    tokio::select! {
        biased;
        () = commits.next() => true,
        () = ready(()) => false,
    }
}

#[tokio::test]
async fn what_is_committed_is_synced_on_every_connection() {
    let file = File::new().await;
    // Whatever a transaction has set, and how often it was committed.
    let mut tx = file.database.begin(Isolation::Write).await.unwrap();
    let unsynced = "commit; pragma synchronous = off; begin immediate";
    let set = tx.with(move |connection| connection.execute_batch(unsynced));
    set.await.unwrap();
    tx.commit().await.unwrap();

    let mut open = Vec::new();
    for isolation in [Isolation::Write]
        .into_iter()
        .chain([Isolation::Snapshot; 8])
    {
        let mut tx = file.database.begin(isolation).await.unwrap();
        let pragmas = |connection: &Connection| {
            let of = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let journal: String =
                connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((journal, of("synchronous")?, of("foreign_keys")?))
        };
        let full = 2;
        assert_eq!(tx.with(pragmas).await, Ok(("wal".to_owned(), full, 1)));
        open.push(tx);
    }
}

#[tokio::test]
async fn there_is_word_of_commits_and_of_nothing_else() {
    let file = File::new().await;
    let database = &file.database;
    let mut commits = database.commits();
    assert!(!told(&mut commits).await);

    with_table(database).await;
    assert!(told(&mut commits).await);
    assert!(!told(&mut commits).await, "once");

    let mut tx = database.begin(Isolation::Write).await.unwrap();
    tx.execute(sql("insert into t (id) values (1)"))
        .await
        .unwrap();
    assert!(!told(&mut commits).await, "not before the commit");
    tx.rollback().await.unwrap();
    let tx = database.begin(Isolation::Snapshot).await.unwrap();
    tx.commit().await.unwrap();
    assert!(!told(&mut commits).await, "nothing was written");

    // A waiter is woken, and sees what was committed.
    let waiter = tokio::spawn({
        let database = database.clone();
        async move {
            commits.next().await;
            let found = number_now(&database, "select count(*) from t").await;
            (found, commits)
        }
    });
    commit(database, &["insert into t (id) values (1)"]).await;
    let (found, mut commits) = waiter.await.unwrap();
    assert_eq!(found, 1);

    database.committed();
    assert!(told(&mut commits).await, "what others say");
}

#[tokio::test]
async fn it_is_known_whether_strangers_have_committed() {
    let file = File::new().await;
    let database = &file.database;
    with_table(database).await;
    let strangers = async || {
        let mut tx = database.begin(Isolation::Write).await.unwrap();
        let strangers = tx.strangers().await.unwrap();
        tx.rollback().await.unwrap();
        strangers.expect("SQLite knows")
    };
    let first = strangers().await;
    commit(database, &["insert into t (id) values (1)"]).await;
    commit(&database.clone(), &["insert into t (id) values (2)"]).await;
    assert_eq!(strangers().await, first, "they were its own");

    let stranger = file.foreign();
    let read = stranger.query_row("select count(*) from t", [], |row| row.get::<_, i64>(0));
    assert_eq!(read, Ok(2));
    assert_eq!(strangers().await, first, "nothing was committed");
    stranger
        .execute("insert into t (id) values (3)", [])
        .unwrap();
    let second = strangers().await;
    assert_ne!(second, first);
    commit(database, &["insert into t (id) values (4)"]).await;
    assert_eq!(strangers().await, second);

    let mut reader = database.begin(Isolation::Snapshot).await.unwrap();
    assert_eq!(reader.strangers().await, Ok(None));
}

#[tokio::test]
async fn the_version_changes_when_anybody_commits() {
    let file = File::new().await;
    let database = &file.database;
    let version = async || database.version().await.unwrap().expect("SQLite has one");
    let first = version().await;
    assert_eq!(version().await, first);

    with_table(database).await;
    let ours = version().await;
    assert_ne!(ours, first);
    assert_eq!(version().await, ours);

    let foreign = file.foreign();
    foreign
        .execute("insert into t (id) values (1)", [])
        .unwrap();
    let theirs = version().await;
    assert_ne!(theirs, ours);

    let tx = database.begin(Isolation::Write).await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(version().await, theirs);
}

#[tokio::test]
async fn transactions_of_your_own_take_the_same_statements() {
    let file = File::new().await;
    with_table(&file.database).await;
    let mut connection = file.foreign();
    let mut tx = connection.transaction().unwrap();
    round_trip(&mut tx).await;
    let mut savepoint = tx.savepoint().unwrap();
    let insert = sql("insert into t (id) values ($1)").bind(1);
    SqlTx::execute(&mut savepoint, insert).await.unwrap();
    drop(savepoint);
    tx.commit().unwrap();
    assert_eq!(
        number_now(&file.database, "select count(*) from t").await,
        3
    );
}

#[tokio::test]
async fn a_transaction_that_sqlite_has_ended_takes_no_more_statements() {
    let file = File::new().await;
    with_table(&file.database).await;
    commit(&file.database, &["insert into t (id) values (1)"]).await;

    let mut tx = file.database.begin(Isolation::Write).await.unwrap();
    tx.execute(sql("insert into t (id) values (2)"))
        .await
        .unwrap();
    let ending = tx
        .execute(sql("insert or rollback into t (id) values (1)"))
        .await;
    assert!(matches!(ending, Err(SqlError::Constraint(_))), "{ending:?}");
    let said = refusal(tx.execute(sql("insert into t (id) values (3)")).await);
    assert!(said.contains("the transaction is over"), "{said}");
    refusal(tx.with(|_| Ok(())).await);
    refusal(tx.commit().await);
    assert_eq!(
        number_now(&file.database, "select count(*) from t").await,
        1
    );
}

#[tokio::test]
async fn statements_of_your_own_are_part_of_it() {
    let file = File::new().await;
    with_table(&file.database).await;
    let mut tx = file.database.begin(Isolation::Write).await.unwrap();
    let insert = |connection: &Connection| connection.execute("insert into t (id) values (1)", []);
    assert_eq!(tx.with(insert).await, Ok(1));
    let again = tx.with(insert).await;
    assert!(matches!(again, Err(SqlError::Constraint(_))), "{again:?}");
    assert_eq!(number(&mut tx, "select count(*) from t").await, 1);
    drop(tx);
    assert_eq!(
        number_now(&file.database, "select count(*) from t").await,
        0
    );
}

#[tokio::test]
async fn a_panic_in_statements_of_your_own_rolls_back_and_loses_no_connection() {
    let file = File::new().await;
    with_table(&file.database).await;
    for _ in 0..12 {
        let mut tx = file.database.begin(Isolation::Write).await.unwrap();
        let failing = tokio::spawn(async move {
            tx.with(|connection| -> rusqlite::Result<()> {
                connection.execute("insert into t (id) values (1)", [])?;
                panic!("in the user's own code");
            })
            .await
        });
        assert!(failing.await.unwrap_err().is_panic());
    }
    assert_eq!(
        number_now(&file.database, "select count(*) from t").await,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_waits_for_itself_is_told_so() {
    let file = File::new().await;
    let _open = file.database.begin(Isolation::Write).await.unwrap();
    let error = file.database.begin(Isolation::Write).await.unwrap_err();
    assert!(matches!(error, SqlError::Conflict(_)), "{error:?}");
    assert!(error.to_string().contains("waits for itself"), "{error}");
    // Those who read do not wait.
    file.database.begin(Isolation::Snapshot).await.unwrap();
}

#[tokio::test]
async fn the_writer_of_another_process_is_waited_for() {
    let file = File::new().await;
    with_table(&file.database).await;
    let mut foreign = file.foreign();
    let writing = foreign
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let mut begin = Box::pin(file.database.begin(Isolation::Write));
    tokio::select! {
        biased;
        _ = &mut begin => panic!("two write"),
        () = ready(()) => {}
    }
    writing
        .execute_batch("insert into t (id) values (1)")
        .unwrap();
    writing.commit().unwrap();
    let mut tx = begin.await.unwrap();
    assert_eq!(number(&mut tx, "select count(*) from t").await, 1);

    // What does not wait meets a conflict.
    foreign.busy_timeout(std::time::Duration::ZERO).unwrap();
    let met = foreign.execute("insert into t (id) values (2)", []);
    let met = SqlError::from(met.unwrap_err());
    assert!(matches!(met, SqlError::Conflict(_)), "{met:?}");
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let file = File::new().await;
    let mut tx = file.database.begin(Isolation::Write).await.unwrap();
    for (select, expected) in [
        ("select 1, 2.5", "column 1 has a floating point number"),
        (
            "select cast(x'ff' as text)",
            "column 0 has text that is not UTF-8",
        ),
    ] {
        let error = tx.query(sql(select)).await.unwrap_err();
        assert!(matches!(error, SqlError::Row(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    for wrong in ["select ?", "select :name", "select $0", "select $2"] {
        refusal(tx.query(sql(wrong).bind(1)).await);
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Sqlite::open(folder.path().join("no/such/folder.db")).await;
    let missing = missing.unwrap_err();
    assert!(matches!(missing, SqlError::Unavailable(_)), "{missing:?}");
    assert!(missing.to_string().contains("folder.db"), "{missing}");

    // It would be another one on each connection.
    let said = refusal(Sqlite::open(":memory:").await);
    assert!(said.contains("write-ahead log"), "{said}");

    let text = folder.path().join("text.db");
    #[expect(clippy::disallowed_methods, reason = "a file that is not ours")]
    std::fs::write(&text, [b'x'; 4096]).unwrap();
    refusal(Sqlite::open(&text).await);
}

#[tokio::test]
async fn in_memory_it_is_the_same_and_transactions_take_turns() {
    let database = Sqlite::in_memory().await.unwrap();
    with_table(&database).await;
    let mut commits = database.commits();
    let before = database.version().await.unwrap();
    let mut tx = database.begin(Isolation::Write).await.unwrap();
    round_trip(&mut tx).await;
    let mut next = Box::pin(database.begin(Isolation::Snapshot));
    tokio::select! {
        biased;
        _ = &mut next => panic!("there is one connection"),
        () = ready(()) => {}
    }
    tx.commit().await.unwrap();
    let mut tx = next.await.unwrap();
    assert_eq!(number(&mut tx, "select count(*) from t").await, 3);
    assert!(told(&mut commits).await);
    assert_ne!(database.version().await.unwrap(), before);
}
