//! Any interleaving of transactions and reads, against what has been committed.
//!
//! Four writers begin, enqueue, undo and commit in any order; those of one key wait for each other,
//! as the documentation asks. The relay reads in small pages and stops at any step. At each point
//! where it has read all that there is, it has published what is committed, no more and no less:
//! nothing is lost, and nobody is waited for.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Takes the transaction's number.
    Write(usize),
    Enqueue(usize, usize),
    /// In a savepoint that is undone.
    EnqueueAndUndo(usize, usize),
    Commit(usize),
    Rollback(usize),
    /// One batch of so many rows.
    Step(usize),
    /// Everything that is there.
    Drain(usize),
    /// The relay stops in the middle of a step and begins again.
    Crash(Crash),
}

#[derive(Clone, Copy, Debug)]
enum Crash {
    BeforeConfirm,
    BeforePublish,
    AfterPublish,
}

const WRITERS: usize = 4;
const KEYS: [&str; 3] = ["a", "b", "c"];

fn op() -> impl Strategy<Value = Op> {
    let crash = prop_oneof![
        Just(Crash::BeforeConfirm),
        Just(Crash::BeforePublish),
        Just(Crash::AfterPublish)
    ];
    prop_oneof![
        2 => (0..WRITERS).prop_map(Op::Write),
        12 => (0..WRITERS, 0..KEYS.len()).prop_map(|(writer, key)| Op::Enqueue(writer, key)),
        1 => (0..WRITERS, 0..KEYS.len()).prop_map(|(writer, key)| Op::EnqueueAndUndo(writer, key)),
        5 => (0..WRITERS).prop_map(Op::Commit),
        1 => (0..WRITERS).prop_map(Op::Rollback),
        4 => (1..4_usize).prop_map(Op::Step),
        2 => (1..4_usize).prop_map(Op::Drain),
        1 => crash.prop_map(Op::Crash),
    ]
}

/// A writer's open transaction, and what it has enqueued.
#[derive(Default)]
struct Writer {
    tx: Option<PgTx>,
    rows: Vec<usize>,
    keys: BTreeSet<usize>,
}

struct World<C> {
    reader: Reader<C>,
    writers: [Writer; WRITERS],
    /// The key of each row that was ever enqueued.
    rows: Vec<usize>,
    committed: BTreeSet<usize>,
    /// In the order of their first publication.
    published: Vec<usize>,
    is_crashed: bool,
}

impl<C: Capture<Postgres>> World<C> {
    async fn run(&mut self, op: &Op) {
        match *op {
            Op::Write(writer) => {
                let tx = self.tx(writer).await;
                tx.query(SqlStatement::new("select pg_current_xact_id()::text"))
                    .await
                    .unwrap();
            }
            Op::Enqueue(writer, key) => self.enqueue(writer, key, false).await,
            Op::EnqueueAndUndo(writer, key) => self.enqueue(writer, key, true).await,
            Op::Commit(writer) => {
                let Writer { tx, rows, .. } = std::mem::take(&mut self.writers[writer]);
                if let Some(tx) = tx {
                    tx.commit().await.unwrap();
                    self.committed.extend(rows);
                }
            }
            Op::Rollback(writer) => {
                if let Some(tx) = std::mem::take(&mut self.writers[writer]).tx {
                    tx.rollback().await.unwrap();
                }
            }
            Op::Step(rows) => {
                let found = self.reader.step(rows).await;
                self.publish(&found);
            }
            Op::Drain(rows) => self.drain(rows).await,
            Op::Crash(crash) => self.crash(crash).await,
        }
    }

    async fn tx(&mut self, writer: usize) -> &mut PgTx {
        if self.writers[writer].tx.is_none() {
            self.writers[writer].tx = Some(begin(&self.reader.database).await);
        }
        self.writers[writer].tx.as_mut().unwrap()
    }

    /// Enqueues, unless another writer has the key: then this one would wait.
    async fn enqueue(&mut self, writer: usize, key: usize, is_undone: bool) {
        let mut others = self.writers.iter().enumerate();
        if others.any(|(other, it)| other != writer && it.keys.contains(&key)) {
            return;
        }
        let row = self.rows.len();
        let table = self.reader.table.clone();
        let tx = self.tx(writer).await;
        if is_undone {
            run(tx, "savepoint s").await;
        }
        enqueue(tx, &table, KEYS[key], &row.to_string()).await;
        if is_undone {
            run(tx, "rollback to s").await;
        }
        self.rows.push(key);
        self.writers[writer].keys.insert(key);
        if !is_undone {
            self.writers[writer].rows.push(row);
        }
    }

    async fn drain(&mut self, rows: usize) {
        let found = self.reader.drain(rows).await;
        self.publish(&found);
        let published: BTreeSet<usize> = self.published.iter().copied().collect();
        assert_eq!(published, self.committed, "published, and committed");
    }

    async fn crash(&mut self, crash: Crash) {
        let batch = self.reader.next(2).await;
        if !matches!(crash, Crash::BeforeConfirm) {
            self.reader.confirm().await;
        }
        if matches!(crash, Crash::AfterPublish) {
            self.publish(&batch.rows);
        }
        self.is_crashed = true;
        self.reader.open(Adopt::Refuse).await.unwrap();
    }

    fn publish(&mut self, rows: &[Row]) {
        for row in rows {
            let row: usize = value(row).parse().unwrap();
            assert!(self.committed.contains(&row), "{row} was never committed");
            let is_new = !self.published.contains(&row);
            assert!(is_new || self.is_crashed, "{row} is published twice");
            if is_new {
                self.published.push(row);
            }
        }
        let mut last = BTreeMap::new();
        for row in &self.published {
            let before = last.insert(self.rows[*row], *row);
            assert!(before < Some(*row), "{row} comes behind {before:?}");
        }
    }
}

/// One case, in a table of its own.
async fn holds<C: Capture<Postgres>>(database: &Postgres, name: &str, capture: C, ops: &[Op]) {
    let table = outbox(database, name).await;
    let mut world = World {
        reader: Reader::opened(database, &table, capture).await,
        writers: Default::default(),
        rows: Vec::new(),
        committed: BTreeSet::new(),
        published: Vec::new(),
        is_crashed: false,
    };
    for op in ops {
        world.run(op).await;
    }
    for writer in 0..WRITERS {
        world.run(&Op::Commit(writer)).await;
        world.drain(2).await;
    }
    world.reader.confirm().await;
    let left = number(database, format!("select count(*) from {name}")).await;
    assert_eq!(left, 0, "rows that are left in the table");
}

/// Of the usual number of cases (256, or `PROPTEST_CASES`), one in so many.
const CASES_SHARE: u32 = 16;

fn any_interleaving_holds<C: Capture<Postgres>>(capture: impl Fn() -> C) {
    let Some(cluster) = cluster() else {
        return;
    };
    let url = cluster.database();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let database = runtime.block_on(Postgres::connect(&url)).unwrap();
    let cases = std::cell::Cell::new(0);
    // Each case has tables of its own, which takes its time.
    let few = ProptestConfig::default().cases.div_ceil(CASES_SHARE);
    let config = ProptestConfig {
        cases: few,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let ran = TestRunner::new(config).run(&prop::collection::vec(op(), 1..80), |ops| {
        cases.set(cases.get() + 1);
        let name = format!("outbox{}", cases.get());
        runtime.block_on(holds(&database, &name, capture(), &ops));
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

#[test]
fn any_interleaving_holds_by_snapshot() {
    any_interleaving_holds(snapshot);
}

#[test]
fn any_interleaving_holds_by_queue() {
    any_interleaving_holds(queue);
}
