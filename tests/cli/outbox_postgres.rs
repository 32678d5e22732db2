//! `outbox` over PostgreSQL: tables that `psql` fills, and relays that are killed.
//!
//! Without a PostgreSQL these tests are skipped, loudly; with `REQUIRE_POSTGRES=1` that is a
//! failure.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::OnceLock;

use highwater_kit::postgres::Postgres;
use serde_json::{Value, json};

use crate::kit::{Running, Served, folder, run};
use crate::outbox::{broker, header, records, relay, stop};

/// One cluster for all tests of this binary; none where there is no PostgreSQL.
fn postgres() -> Option<&'static Postgres> {
    static CLUSTER: OnceLock<Option<Postgres>> = OnceLock::new();
    CLUSTER.get_or_init(Postgres::start).as_ref()
}

/// The table as Debezium's documentation of its outbox event router has it.
const TABLE: &str = "create table outbox (id uuid primary key, \
                     aggregatetype varchar(255) not null, aggregateid varchar(255) not null, \
                     type varchar(255) not null, payload jsonb)";

/// A program of somebody else's, that has one connection to the database.
struct Session(Running);

impl Session {
    fn open(postgres: &Postgres, url: &str) -> Self {
        Self(Running::spawn(&mut postgres.session(url)))
    }

    /// Runs statements, and comes back when they are done.
    fn run(&mut self, statements: &str) {
        let sent = writeln!(self.0.input(), "{statements};\n\\echo done");
        sent.expect("psql runs");
        assert_eq!(self.0.line(), "done\n", "{statements}");
    }

    /// Writes a row, in whatever transaction there is.
    fn insert(&mut self, id: u8, order: &str, kind: &str) {
        let (id, payload) = (row_id(id), payload(id).replace('\'', "''"));
        self.run(&format!(
            "insert into outbox values ('{id}', 'order', '{order}', '{kind}', '{payload}')"
        ));
    }
}

fn row_id(id: u8) -> String {
    format!("0192d3a0-6c0f-7a6e-9d3f-5b1c2a4e6f{id:02x}")
}

/// As PostgreSQL writes it.
fn payload(id: u8) -> String {
    format!("{{\"row\": {id}, \"note\": \"\u{fc} 'row'\"}}")
}

#[test]
fn what_two_sessions_of_psql_commit_is_published_and_nothing_else() {
    let Some(postgres) = postgres() else { return };
    for capture in ["queue", "snapshot"] {
        let data = folder();
        let broker = broker(&data, &["outbox.event.order"]);
        let url = postgres.database();
        postgres.psql(&url, TABLE);
        let relay = relay(&broker, &url, &["--migrate", "--capture", capture]);
        let mut a = Session::open(postgres, &url);
        let mut b = Session::open(postgres, &url);

        // The first row is committed behind those that were written after it.
        a.run("begin");
        a.insert(1, "o-1", "OrderCreated");
        b.run("begin");
        b.insert(2, "o-2", "OrderCreated");
        b.insert(3, "o-2", "OrderPaid");
        b.run("commit");
        assert_eq!(records(&broker, "outbox.event.order", "2").len(), 2);
        a.insert(4, "o-1", "OrderPaid");
        a.run("savepoint s");
        a.insert(5, "o-1", "OrderSent");
        a.run("rollback to s");
        b.run("begin");
        b.insert(6, "o-2", "OrderSent");
        b.run("rollback");
        a.run("commit");
        b.insert(7, "o-1", "OrderCancelled");

        let found = records(&broker, "outbox.event.order", "5");
        let expected = [(2, "o-2"), (3, "o-2"), (1, "o-1"), (4, "o-1"), (7, "o-1")];
        for (record, (id, key)) in found.iter().zip(expected) {
            assert_eq!(record["key"], key, "{capture}: {record}");
            let id_alone = json!([{"key": "id", "value": row_id(id)}]);
            assert_eq!(record["headers"], id_alone, "{capture}: {record}");
            assert_eq!(record["value"], payload(id), "{capture}: {record}");
        }
        let ended = stop(relay);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("published=5"), "{}", ended.stderr);
        let all = broker.run(&["consume", "outbox.event.order", "--json"]);
        assert_eq!(
            all.json().len(),
            5,
            "{capture}: what was rolled back is not there"
        );
        assert_eq!(postgres.psql(&url, "select count(*) from outbox"), "0");
    }
}

#[test]
fn a_table_that_psql_fills_is_published() {
    let Some(postgres) = postgres() else { return };
    let data = folder();
    let broker = broker(&data, &["outbox.event.order"]);
    let url = postgres.database();
    // What a relay needs beside is added to it.
    postgres.psql(&url, TABLE);
    let early = run(&["outbox", "--database", &url, "--to", &broker.bootstrap]);
    let said = early.stderr.lines().last().unwrap_or_default();
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    assert!(
        said.ends_with("the tables of an outbox are made by --migrate"),
        "{said}"
    );
    assert_eq!(run(&["outbox", "--database", &url, "--migrate"]).text(), "");
    let relay = relay(&broker, &url, &[]);
    postgres.psql(
        &url,
        "insert into outbox (id, aggregatetype, aggregateid, type, payload) \
         select gen_random_uuid(), 'order', 'o-' || n % 3, 'OrderCreated', \
         jsonb_build_object('n', n) from generate_series(0, 8) n",
    );
    let found = records(&broker, "outbox.event.order", "9");
    let numbers = |key: &str| {
        let of_key = found.iter().filter(|it| it["key"] == key);
        let value = of_key.map(|it| it["value"].as_str().unwrap().to_owned());
        value.collect::<Vec<_>>()
    };
    assert_eq!(numbers("o-1"), ["{\"n\": 1}", "{\"n\": 4}", "{\"n\": 7}"]);
    let ended = stop(relay);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(postgres.psql(&url, "select count(*) from outbox"), "0");
}

#[test]
fn a_table_that_nobody_may_alter_is_ordered_by_a_column_of_its_own() {
    let Some(postgres) = postgres() else { return };
    let data = folder();
    let broker = broker(&data, &["outbox.event.order"]);
    let url = postgres.database();
    postgres.psql(
        &url,
        "create table shop_events (number bigint generated always as identity primary key, \
         id uuid not null, aggregatetype text not null, aggregateid text not null, \
         type text not null, payload text)",
    );
    let columns = "select string_agg(column_name, ',' order by ordinal_position) \
                   from information_schema.columns where table_name = 'shop_events'";
    let before = postgres.psql(&url, columns);
    let insert = "insert into shop_events (id, aggregatetype, aggregateid, type, payload) \
                  values (gen_random_uuid(), 'order', 'o-1', 'OrderCreated', 'a')";
    postgres.psql(&url, insert);
    let flags = [
        "--table",
        "shop_events",
        "--order-column",
        "number",
        "--migrate",
    ];
    let relay = relay(&broker, &url, &flags);
    assert_eq!(records(&broker, "outbox.event.order", "1")[0]["value"], "a");
    assert_eq!(stop(relay).code, Some(0));
    assert_eq!(postgres.psql(&url, columns), before);
}

#[test]
fn the_place_of_a_killed_relay_is_taken_and_no_row_is_lost() {
    let Some(postgres) = postgres() else { return };
    for capture in ["queue", "snapshot"] {
        let data = folder();
        let broker = broker(&data, &["outbox.event.order"]);
        let url = postgres.database();
        let flags = ["--capture", capture, "--migrate"];
        let mut leader = relay(&broker, &url, &flags);
        for batch in 0..12 {
            let insert = format!(
                "insert into outbox (id, aggregatetype, aggregateid, type, payload) \
                 select gen_random_uuid(), 'order', 'o-' || n % 7, 'OrderChanged', \
                 convert_to(n::text, 'utf8') from generate_series({}, {}) n",
                batch * 100,
                batch * 100 + 99
            );
            postgres.psql(&url, &insert);
            if batch % 4 == 2 {
                leader.signal("KILL");
                assert_eq!(leader.end().code, None, "it was killed");
                leader = relay(&broker, &url, &flags);
            }
        }
        let firsts = first_occurrences(&broker, "outbox.event.order", 1_200);
        let mut numbers: HashMap<&str, Vec<u64>> = HashMap::new();
        for record in &firsts {
            let number = record["value"].as_str().unwrap().parse().unwrap();
            let key = record["key"].as_str().unwrap();
            numbers.entry(key).or_default().push(number);
        }
        assert!(
            numbers.values().all(|it| it.is_sorted()),
            "{capture}: those of a key are in their order"
        );
        let mut all: Vec<u64> = numbers.into_values().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, (0..1_200).collect::<Vec<_>>(), "{capture}");
        assert_eq!(stop(leader).code, Some(0));
    }
}

/// The first record of each event, once there are so many events.
fn first_occurrences(broker: &Served, topic: &str, count: usize) -> Vec<Value> {
    loop {
        let mut seen = HashSet::new();
        let mut records = broker.run(&["consume", topic, "--json"]).json();
        records.retain(|it| seen.insert(header(it, "id")));
        if records.len() >= count {
            return records;
        }
    }
}
