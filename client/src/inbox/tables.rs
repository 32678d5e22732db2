//! The tables of an inbox, and every statement over them.
//!
//! Floor 6 of client. Pure.
//!
//! Invariants
//! - One text serves SQLite and PostgreSQL, but for `for share` and `skip locked`: in SQLite
//!   writing transactions take turns. Several claims are one statement in PostgreSQL alone: in
//!   SQLite a statement is no round trip.
//! - What changes a row of a partition looks at its owner in the same statement.

use std::borrow::Cow;

use super::start::Stored;
use crate::error::ClientError;
use crate::sql::{Dialect, SqlStatement};

/// The names.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// The schema with its point, if there is one.
    schema: String,
    name: String,
}

/// A partition of a group, as rows name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

/// An event, as a claim names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) source: &'a str,
    pub(super) id: &'a str,
    pub(super) offset: i64,
    pub(super) now_ms: i64,
}

/// The texts of the statements, made once.
#[derive(Debug)]
pub(super) struct Texts {
    take: String,
    generation: String,
    stored: String,
    set: String,
    advance: String,
    advance_from: String,
    claim: String,
    claim_all: Option<String>,
    refresh: String,
    version: String,
    set_version: String,
    clean: String,
    looks: Vec<String>,
}

impl Tables {
    pub(super) fn new(name: &str) -> Result<Self, ClientError> {
        let (schema, name) = match name.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, name),
        };
        let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
        let is_name = |name: &str| {
            name.bytes().next().is_some_and(is_letter)
                && name.bytes().all(|it| is_letter(it) || it.is_ascii_digit())
                && name.len() <= NAME_BYTES_MAX
        };
        if !is_name(name) || !schema.is_none_or(is_name) {
            return Err(ClientError::Invalid(format!(
                "{name:?} is no name for the tables of an inbox: it has letters, digits and `_`, \
                 up to {NAME_BYTES_MAX}, and may have a schema with a point before it"
            )));
        }
        Ok(Self {
            schema: schema.map(|it| format!("{it}.")).unwrap_or_default(),
            name: name.to_owned(),
        })
    }

    fn inbox(&self) -> String {
        format!("{}{}", self.schema, self.name)
    }

    fn offsets(&self) -> String {
        format!("{}_offsets", self.inbox())
    }

    fn owners(&self) -> String {
        format!("{}_owners", self.inbox())
    }

    fn versions(&self) -> String {
        format!("{}_versions", self.inbox())
    }

    pub(super) fn migrations(&self, dialect: Dialect) -> Vec<String> {
        let (schema, name) = (&self.schema, &self.name);
        let (inbox, offsets) = (self.inbox(), self.offsets());
        let (owners, versions) = (self.owners(), self.versions());
        // In SQLite the schema stands with the index, in PostgreSQL with the table.
        let (end, bytes, index, indexed) = match dialect {
            Dialect::Sqlite => (" without rowid", "blob", schema.as_str(), name),
            Dialect::Postgres => ("", "bytea", "", &inbox),
        };
        vec![
            format!(
                "create table if not exists {inbox} (consumer_group text not null, \
                 source text not null, event_id text not null, topic text not null, \
                 partition integer not null, record_offset bigint not null, \
                 seen_at bigint not null, \
                 primary key (consumer_group, source, event_id)){end}"
            ),
            format!(
                "create index if not exists {index}{name}_seen_at on {indexed} \
                 (consumer_group, seen_at)"
            ),
            format!(
                "create table if not exists {offsets} (consumer_group text not null, \
                 topic text not null, partition integer not null, topic_id text not null, \
                 next bigint not null, primary key (consumer_group, topic, partition)){end}"
            ),
            format!(
                "create table if not exists {owners} (consumer_group text not null, \
                 topic text not null, partition integer not null, generation integer not null, \
                 primary key (consumer_group, topic, partition)){end}"
            ),
            format!(
                "create table if not exists {versions} (consumer_group text not null, \
                 topic text not null, record_key {bytes} not null, version bigint not null, \
                 primary key (consumer_group, topic, record_key)){end}"
            ),
        ]
    }

    pub(super) fn count(&self, group: &str) -> SqlStatement {
        let inbox = self.inbox();
        let text = format!("select count(*) from {inbox} where consumer_group = $1");
        SqlStatement::new(text).bind(group)
    }

    pub(super) fn forget_owners(&self, group: &str) -> SqlStatement {
        let owners = self.owners();
        SqlStatement::new(format!("delete from {owners} where consumer_group = $1")).bind(group)
    }

    pub(super) fn texts(&self, dialect: Dialect) -> Texts {
        let (inbox, offsets) = (self.inbox(), self.offsets());
        let (owners, versions) = (self.owners(), self.versions());
        let (share, skip) = match dialect {
            Dialect::Sqlite => ("", ""),
            // A new owner waits for the transactions of the old one; those that come later see it.
            Dialect::Postgres => (" for share", " for update skip locked"),
        };
        let place = "consumer_group = $1 and topic = $2 and partition = $3";
        let event = "consumer_group = $1 and source = $2 and event_id = $3";
        let place_key = "(consumer_group, topic, partition)";
        let put = format!(
            "insert into {offsets} as kept (consumer_group, topic, partition, topic_id, next) \
             select cast($1 as text), cast($2 as text), cast($3 as integer), cast($4 as text), \
             cast($5 as bigint) from {owners} where {place} and generation = $6{share} \
             on conflict {place_key} do update \
             set next = excluded.next, topic_id = excluded.topic_id"
        );
        Texts {
            take: format!(
                "insert into {owners} as kept (consumer_group, topic, partition, generation) \
                 values ($1, $2, $3, $4) on conflict {place_key} do update \
                 set generation = excluded.generation \
                 where kept.generation <= excluded.generation"
            ),
            generation: format!("select generation from {owners} where {place}{share}"),
            stored: format!("select topic_id, next from {offsets} where {place}"),
            advance: format!("{put} where kept.next < excluded.next"),
            advance_from: format!("{put} where kept.next = cast($7 as bigint)"),
            set: put,
            claim: format!(
                "insert into {inbox} (consumer_group, topic, partition, source, event_id, \
                 record_offset, seen_at) \
                 select cast($1 as text), cast($2 as text), cast($3 as integer), \
                 cast($4 as text), cast($5 as text), cast($6 as bigint), cast($7 as bigint) \
                 from {owners} where {place} and generation = $8{share} on conflict do nothing"
            ),
            claim_all: (dialect == Dialect::Postgres).then(|| claim_all(&inbox, &owners)),
            refresh: format!(
                "update {inbox} set topic = $4, partition = $5, record_offset = $6, seen_at = $7 \
                 where {event}"
            ),
            version: format!(
                "select version from {versions} \
                 where consumer_group = $1 and topic = $2 and record_key = $3"
            ),
            set_version: format!(
                "insert into {versions} (consumer_group, topic, record_key, version) \
                 values ($1, $2, $3, $4) on conflict (consumer_group, topic, record_key) \
                 do update set version = excluded.version"
            ),
            clean: format!(
                "delete from {inbox} where (consumer_group, source, event_id) in (\
                 select consumer_group, source, event_id from {inbox} as old \
                 where consumer_group = $1 and seen_at < $2 and not exists (\
                 select 1 from {offsets} as kept where kept.consumer_group = old.consumer_group \
                 and kept.topic = old.topic and kept.partition = old.partition \
                 and kept.next <= old.record_offset) order by seen_at limit $3{skip})"
            ),
            looks: self.looks(),
        }
    }

    fn looks(&self) -> Vec<String> {
        let (inbox, offsets) = (self.inbox(), self.offsets());
        let (owners, versions) = (self.owners(), self.versions());
        vec![
            format!(
                "select consumer_group, source, event_id, topic, partition, record_offset, \
                     seen_at from {inbox} where 1 = 0"
            ),
            format!(
                "select consumer_group, topic, partition, topic_id, next from {offsets} \
                     where 1 = 0"
            ),
            format!(
                "select consumer_group, topic, partition, generation from {owners} where 1 = 0"
            ),
            format!(
                "select consumer_group, topic, record_key, version from {versions} \
                     where 1 = 0"
            ),
        ]
    }
}

impl Texts {
    /// Takes a partition over; changes nothing if a newer generation has it.
    pub(super) fn take(&self, row: Row<'_>, generation: i32) -> SqlStatement {
        row.named(&self.take).bind(generation)
    }

    /// Which generation owns a partition.
    pub(super) fn generation(&self, row: Row<'_>) -> SqlStatement {
        row.named(&self.generation)
    }

    /// What [`Stored`] is read from.
    pub(super) fn stored(&self, row: Row<'_>) -> SqlStatement {
        row.named(&self.stored)
    }

    /// Puts a position where it is said, back too; changes nothing if it is not owned.
    pub(super) fn set(&self, row: Row<'_>, stored: &Stored, generation: i32) -> SqlStatement {
        positioned(row.named(&self.set), stored, generation)
    }

    /// Moves a position on; changes nothing if it is there already, or not owned.
    pub(super) fn advance(&self, row: Row<'_>, stored: &Stored, generation: i32) -> SqlStatement {
        positioned(row.named(&self.advance), stored, generation)
    }

    /// The same, if it is there.
    pub(super) fn advance_from(
        &self,
        row: Row<'_>,
        from: i64,
        stored: &Stored,
        generation: i32,
    ) -> SqlStatement {
        positioned(row.named(&self.advance_from), stored, generation).bind(from)
    }

    /// Claims an event; changes nothing if it is claimed already, or the partition not owned.
    pub(super) fn claim(&self, row: Row<'_>, claim: Claim<'_>, generation: i32) -> SqlStatement {
        let statement = row.named(&self.claim).bind(claim.source).bind(claim.id);
        statement
            .bind(claim.offset)
            .bind(claim.now_ms)
            .bind(generation)
    }

    /// Claims events of one partition, as [`Self::claim`], and gives the offsets of those that
    /// were not claimed before; nothing, where single claims are as good.
    pub(super) fn claim_all(
        &self,
        row: Row<'_>,
        claims: &[Claim<'_>],
        generation: i32,
    ) -> Option<SqlStatement> {
        let statement = row.named(self.claim_all.as_ref()?);
        let now_ms = claims.first().map_or(0, |claim| claim.now_ms);
        let statement = statement
            .bind(array(claims.iter().map(|it| Cow::Borrowed(it.source))))
            .bind(array(claims.iter().map(|it| Cow::Borrowed(it.id))))
            .bind(array(claims.iter().map(|it| it.offset.to_string().into())));
        Some(statement.bind(now_ms).bind(generation))
    }

    /// Takes note that a claimed event has come again.
    pub(super) fn refresh(&self, row: Row<'_>, claim: Claim<'_>) -> SqlStatement {
        let statement = SqlStatement::new(self.refresh.clone()).bind(row.group);
        let statement = statement.bind(claim.source).bind(claim.id).bind(row.topic);
        statement
            .bind(row.partition)
            .bind(claim.offset)
            .bind(claim.now_ms)
    }

    pub(super) fn version(&self, row: Row<'_>, key: &[u8]) -> SqlStatement {
        let statement = SqlStatement::new(self.version.clone()).bind(row.group);
        statement.bind(row.topic).bind(key)
    }

    pub(super) fn set_version(&self, row: Row<'_>, key: &[u8], version: i64) -> SqlStatement {
        let statement = SqlStatement::new(self.set_version.clone()).bind(row.group);
        statement.bind(row.topic).bind(key).bind(version)
    }

    /// Takes away up to so many claims that were last seen before a moment.
    pub(super) fn clean(&self, group: &str, before_ms: i64, count_max: i64) -> SqlStatement {
        let statement = SqlStatement::new(self.clean.clone()).bind(group);
        statement.bind(before_ms).bind(count_max)
    }

    /// Statements that fail where a table is not as it should be.
    pub(super) fn looks(&self) -> impl Iterator<Item = SqlStatement> {
        self.looks
            .iter()
            .map(|text| SqlStatement::new(text.clone()))
    }
}

impl Row<'_> {
    fn named(self, text: &str) -> SqlStatement {
        let text: Cow<'static, str> = Cow::Owned(text.to_owned());
        let statement = SqlStatement::new(text).bind(self.group);
        statement.bind(self.topic).bind(self.partition)
    }
}

/// Of several events, those in one order that claim some of the same: so they do not wait for each
/// other.
fn claim_all(inbox: &str, owners: &str) -> String {
    format!(
        "insert into {inbox} (consumer_group, topic, partition, source, event_id, record_offset, \
         seen_at) with owner as materialized (select 1 from {owners} where consumer_group = $1 \
         and topic = $2 and partition = $3 and generation = $8 for share) \
         select cast($1 as text), cast($2 as text), cast($3 as integer), new.source, new.id, \
         new.place, cast($7 as bigint) from owner, unnest(cast($4 as text[]), \
         cast($5 as text[]), cast($6 as bigint[])) as new (source, id, place) \
         order by new.source, new.id, new.place on conflict do nothing returning record_offset"
    )
}

/// Texts as PostgreSQL writes an array.
fn array<'a>(texts: impl Iterator<Item = Cow<'a, str>>) -> String {
    let quoted = texts.map(|text| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{text}\"")
    });
    let quoted: Vec<String> = quoted.collect();
    format!("{{{}}}", quoted.join(","))
}

fn positioned(statement: SqlStatement, stored: &Stored, generation: i32) -> SqlStatement {
    let statement = statement.bind(stored.topic_id.as_str());
    statement.bind(stored.next).bind(generation)
}

/// With `_versions` or `_seen_at` behind it, a name fits into the 63 bytes of PostgreSQL.
const NAME_BYTES_MAX: usize = 50;
