//! Tables and positions that could lose rows: each is refused with a sentence.

use super::*;

/// The error of a capture that looks at the table.
async fn refusal<C: Capture<Postgres>>(database: &Postgres, table: &Table, capture: C) -> String {
    let mut reader = Reader::new(database, table, capture);
    reader.open(Adopt::Refuse).await.unwrap_err().to_string()
}

/// Debezium's table, made by hand, with these columns besides.
async fn table_with(database: &Postgres, name: &str, columns: &str) {
    let text = format!(
        "create table {name} (id uuid primary key, aggregatetype varchar(255) not null, \
         aggregateid varchar(255) not null, type varchar(255) not null, payload bytea{columns})"
    );
    run_all(database, [text]).await;
}

#[test]
fn a_table_of_the_wrong_shape_is_refused_with_what_it_lacks() {
    with_database(async |database| {
        let database = &database;
        let said = refusal(database, &read_from("nothing"), queue()).await;
        assert!(said.contains("there is no such table"), "{said}");

        let cases = [
            ("no_seq", "", "it has no column seq"),
            ("texts", ", seq text not null unique", "of type text"),
            ("nulls", ", seq bigint unique", "alter seq set not null"),
            (
                "doubles",
                ", seq bigint not null",
                "create unique index on doubles (seq)",
            ),
            (
                "cached",
                ", seq bigint generated always as identity (cache 20) unique",
                "alter sequence cached_seq_seq cache 1",
            ),
            (
                "downwards",
                ", seq bigint generated always as identity (increment -1) unique",
                "do not always ascend",
            ),
            (
                "odd_time",
                ", seq bigserial unique, created_at text",
                "created_at is of type text",
            ),
        ];
        for (name, columns, expected) in cases {
            table_with(database, name, columns).await;
            let said = refusal(database, &read_from(name), queue()).await;
            assert!(said.contains(expected), "{name}: {said}");
            assert!(
                said.starts_with(&format!("the table {name} cannot be relayed")),
                "{said}"
            );
        }
        run_all(database, ["create sequence shared cache 10"]).await;
        table_with(
            database,
            "by_default",
            ", seq bigint not null unique default nextval('shared')",
        )
        .await;
        let said = refusal(database, &read_from("by_default"), queue()).await;
        assert!(said.contains("alter sequence shared cache 1"), "{said}");
    });
}

#[test]
fn the_snapshot_refuses_a_table_that_does_not_number_its_transactions() {
    with_database(async |database| {
        let database = &database;
        let seq = ", seq bigint generated always as identity unique";
        let cases = [
            (
                "serial",
                ", seq bigserial unique".to_owned(),
                "generated always as identity",
            ),
            ("no_xid", seq.to_owned(), "it has no column `xid xid8"),
            (
                "no_default",
                format!("{seq}, xid xid8 not null"),
                "it has no column `xid xid8",
            ),
            (
                "no_index",
                format!("{seq}, xid xid8 not null default pg_current_xact_id()"),
                "create index on no_index (xid, seq)",
            ),
        ];
        for (name, columns, expected) in cases {
            table_with(database, name, &columns).await;
            let said = refusal(database, &read_from(name), snapshot()).await;
            assert!(said.contains(expected), "{name}: {said}");
            // A queue is content with each of them.
            Reader::opened(database, &read_from(name), queue()).await;
        }
    });
}

#[test]
fn the_migrations_make_a_table_of_debezium_one_for_the_snapshot() {
    with_database(async |database| {
        table_with(&database, "outbox", "").await;
        let insert = "insert into outbox (id, aggregatetype, aggregateid, type, payload) \
                      values (gen_random_uuid(), 'order', 'a', 'created', 'old')";
        run_all(&database, [insert]).await;
        let table = outbox(&database, "outbox").await;
        let table = outbox(&database, table.name()).await;
        let mut reader = Reader::opened(&database, &table, snapshot()).await;
        enqueue_alone(&database, &table, "b", "new").await;
        assert_eq!(values(&reader.drain(10).await), ["old", "new"]);
        let left = number(&database, "select count(*) from outbox").await;
        assert_eq!(left, 0, "published rows are deleted");
    });
}

#[test]
fn a_queue_serves_a_table_by_a_column_of_its_own() {
    with_database(async |database| {
        table_with(
            &database,
            "events",
            ", n int generated by default as identity unique",
        )
        .await;
        let columns = [
            "aggregateid".to_owned(),
            "payload".to_owned(),
            "type".to_owned(),
        ];
        let table = Table::new("events").unwrap().ordered_by("n").unwrap();
        let table = table.reading(&columns, None).unwrap();
        run_all(&database, migrations::statements(&table)).await;
        let mut reader = Reader::opened(&database, &table, queue()).await;
        for value in ["1", "2", "3"] {
            enqueue_alone(&database, &table, "a", value).await;
        }
        let rows = reader.drain(2).await;
        assert_eq!(values(&rows), ["1", "2", "3"]);
        assert_eq!(rows[0].values.text(2), Ok("created"));
        assert_eq!(rows[0].created_ms, None);
    });
}

#[test]
fn columns_of_any_type_are_read() {
    with_database(async |database| {
        let columns = ", seq bigserial unique, on_time bool default true, \
                       price numeric default 1.50, \
                       at timestamp default '1970-01-01 00:00:01.5', tags text[] default '{a,b}'";
        table_with(&database, "events", columns).await;
        let columns = ["id", "payload", "on_time", "price", "tags"].map(ToOwned::to_owned);
        let table = Table::new("events")
            .unwrap()
            .reading(&columns, Some("at"))
            .unwrap();
        let mut reader = Reader::opened(&database, &table, queue()).await;
        enqueue_alone(&database, &table, "a", "x").await;
        let rows = reader.drain(2).await;
        assert_eq!(rows[0].created_ms, Some(1_500));
        let texts = [2, 3, 4].map(|column| rows[0].values.text(column).unwrap());
        assert_eq!(texts, ["true", "1.50", "{a,b}"]);
    });
}

/// A position of a snapshot that is refused, and that the table is read anew when it is adopted.
async fn refused_then_adopted(
    reader: &mut Reader<Snapshot<Postgres>>,
    expected: &str,
    rows: &[&str],
) {
    let said = reader.open(Adopt::Refuse).await.unwrap_err().to_string();
    assert!(said.contains(expected), "{said}");
    reader.open(Adopt::Begin).await.unwrap();
    assert_eq!(values(&reader.drain(10).await), rows);
    reader.open(Adopt::Refuse).await.unwrap();
}

#[test]
fn a_position_of_another_database_is_refused_until_it_is_adopted() {
    with_database(async |database| {
        let table = outbox(&database, "outbox").await;
        let mut reader = Reader::opened(&database, &table, snapshot()).await;
        reader.stored.system_id = "7".to_owned();
        reader.open(Adopt::Refuse).await.unwrap();
        enqueue_alone(&database, &table, "a", "1").await;
        reader.drain(10).await;
        enqueue_alone(&database, &table, "a", "2").await;

        let own = std::mem::replace(&mut reader.stored.system_id, "7".to_owned());
        let said = reader.open(Adopt::Refuse).await.unwrap_err();
        let expected = OutboxError::ForeignDatabase {
            table: "outbox".to_owned(),
            stored: "7".to_owned(),
            found: own,
        };
        assert_eq!(said, expected);
        refused_then_adopted(&mut reader, "another database (7", &["2"]).await;
    });
}

#[test]
fn a_table_whose_numbers_went_back_is_refused_until_it_is_adopted() {
    with_database(async |database| {
        let table = outbox(&database, "outbox").await;
        let mut reader = Reader::opened(&database, &table, snapshot()).await;
        for value in ["1", "2", "3"] {
            enqueue_alone(&database, &table, "a", value).await;
        }
        reader.drain(10).await;
        reader.open(Adopt::Refuse).await.unwrap();
        run_all(&database, ["truncate outbox restart identity"]).await;
        enqueue_alone(&database, &table, "a", "again").await;
        let expected = "numbered up to 1 only, and rows up to 3";
        refused_then_adopted(&mut reader, expected, &["again"]).await;
    });
}

#[test]
fn a_position_that_is_none_or_is_of_the_future_is_refused_until_it_is_adopted() {
    with_database(async |database| {
        let table = outbox(&database, "outbox").await;
        let mut reader = Reader::opened(&database, &table, snapshot()).await;
        for (position, expected) in [
            ("what", "none of the capture by snapshot: \"what\""),
            ("1:999999999: 0", "ahead of the transactions"),
            ("1:2: 0 1:999999999: 0", "ahead of the transactions"),
        ] {
            enqueue_alone(&database, &table, "a", "row").await;
            reader.stored.position = position.to_owned();
            refused_then_adopted(&mut reader, expected, &["row"]).await;
        }
    });
}

/// `pg_dump` brings rows with the transaction numbers of where they were written.
#[test]
fn rows_that_were_copied_from_another_database_are_published() {
    with_database(async |database| {
        let table = outbox(&database, "outbox").await;
        let copy = "insert into outbox (id, aggregatetype, aggregateid, type, payload, xid) \
                    values (gen_random_uuid(), 'order', 'a', 'created', 'copied', '99999999999')";
        run_all(&database, [copy]).await;
        enqueue_alone(&database, &table, "a", "new").await;
        let mut reader = Reader::opened(&database, &table, snapshot()).await;
        assert_eq!(values(&reader.drain(10).await), ["copied", "new"]);

        run_all(&database, [copy]).await;
        refused_then_adopted(&mut reader, "copied from another database", &["copied"]).await;
    });
}

#[test]
fn a_queue_refuses_the_position_of_a_snapshot() {
    with_database(async |database| {
        let table = outbox(&database, "outbox").await;
        let mut reader = Reader::opened(&database, &table, snapshot()).await;
        let stored = reader.stored.clone();
        reader = Reader::new(&database, &table, snapshot());
        assert_eq!(reader.stored, Stored::default());
        let mut reader = Reader::new(&database, &table, queue());
        reader.stored = stored;
        let said = reader.open(Adopt::Refuse).await.unwrap_err().to_string();
        assert!(
            said.contains("publishes every row that is in the table"),
            "{said}"
        );
        reader.open(Adopt::Begin).await.unwrap();
        assert_eq!(
            reader.stored,
            Stored::default(),
            "from a queue, a snapshot begins anew"
        );
    });
}

#[test]
fn a_batch_has_no_more_bytes_than_there_is_room_for_but_for_one_large_row() {
    with_database(async |database| {
        // Neither packed nor moved out of the row: so a value takes what it is long.
        let table = outbox(&database, "outbox").await;
        run_all(
            &database,
            ["alter table outbox alter payload set storage external"],
        )
        .await;
        for (value, bytes) in [("a", 100), ("b", 5_000), ("c", 100), ("d", 100)] {
            enqueue_alone(&database, &table, "k", &value.repeat(bytes)).await;
        }
        let mut batches = Vec::new();
        let mut capture: Snapshot<Postgres> = snapshot();
        let mut tx = begin(&database).await;
        let stored = Stored::default();
        capture
            .open(&mut tx, &table, &stored, Adopt::Refuse)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        loop {
            let mut tx = database.begin(Isolation::Snapshot).await.unwrap();
            let room = Room {
                rows: 100,
                bytes: 1_000,
            };
            let batch = capture.next(&mut tx, &table, room).await.unwrap();
            if batch.rows.is_empty() {
                break;
            }
            batches.push(values(&batch.rows).concat().len());
        }
        assert_eq!(batches, [100, 5_000, 200]);
    });
}

#[test]
fn what_waits_is_counted_and_its_age_is_the_databases() {
    with_database(async |database| {
        let table = outbox(&database, "outbox").await;
        let mut by_snapshot = Reader::opened(&database, &table, snapshot()).await;
        let mut by_queue = Reader::opened(&database, &table, queue()).await;
        assert_eq!(by_snapshot.backlog().await, Backlog::default());
        assert_eq!(by_queue.backlog().await, Backlog::default());

        let old = "insert into outbox (id, aggregatetype, aggregateid, type, created_at) \
                   select gen_random_uuid(), 'order', 'a', 'created', \
                   clock_timestamp() - interval '90 s' * (n % 2) from generate_series(1, 11000) n";
        run_all(&database, [old]).await;
        for backlog in [by_snapshot.backlog().await, by_queue.backlog().await] {
            assert_eq!(backlog.rows, 11_000);
            let age = backlog.oldest.unwrap().as_secs();
            assert!((90..600).contains(&age), "{age}");
        }
        by_snapshot.step(1_000).await;
        by_snapshot.confirm().await;
        assert_eq!(by_snapshot.backlog().await.rows, 10_000);
        assert_eq!(by_queue.backlog().await.rows, 10_000);
    });
}
