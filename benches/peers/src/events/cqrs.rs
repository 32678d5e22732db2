//! The crate `sqlite-es`, the store of `cqrs-es` on SQLite: by its repository, without the
//! aggregate that its framework would load before each append.

use std::convert::Infallible;
use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use cqrs_es::{Aggregate, DomainEvent};
use highwater_proto::exchange::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlite_es::SqliteEventRepository;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Note, Notes, Store, TYPE, sqlite};
use crate::Failure;

/// Names the type of the streams.
#[derive(Default, Serialize, Deserialize)]
struct Stream;

impl DomainEvent for Note {
    fn event_type(&self) -> String {
        TYPE.to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Stream {
    type Command = ();
    type Event = Note;
    type Error = Infallible;
    type Services = ();

    const TYPE: &'static str = "notes";

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Infallible> {
        Ok(())
    }

    fn apply(&mut self, _: Note) {}
}

struct Repository {
    repository: SqliteEventRepository,
    _folder: TempDir,
}

pub(super) fn open(runtime: &Runtime) -> Result<Arc<dyn Store>, Failure> {
    let (pool, folder) = sqlite::pool(runtime)?;
    runtime.block_on(sqlx::query(TABLE).execute(&pool))?;
    Ok(Arc::new(Repository {
        repository: SqliteEventRepository::new(pool),
        _folder: folder,
    }))
}

impl Store for Repository {
    fn append<'a>(
        &'a self,
        stream: &'a str,
        revision: u64,
        note: Note,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let event = SerializedEvent::new(
                stream.to_owned(),
                // It counts from one.
                revision as usize + 1,
                Stream::TYPE.to_owned(),
                note.event_type(),
                note.event_version(),
                serde_json::to_value(&note)?,
                json!({}),
            );
            let stored = self.repository.persist::<Stream>(&[event], None).await;
            Ok(stored?)
        })
    }

    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Notes, Failure>> {
        Box::pin(async move {
            let mut notes = Notes::default();
            for event in self.repository.get_events::<Stream>(stream).await? {
                notes.take(&serde_json::from_value(event.payload)?);
            }
            Ok(notes)
        })
    }
}

/// As its documents say.
const TABLE: &str = "CREATE TABLE events (
    aggregate_type text                          NOT NULL,
    aggregate_id   text                          NOT NULL,
    sequence       integer CHECK (sequence >= 0) NOT NULL,
    event_type     text                          NOT NULL,
    event_version  text                          NOT NULL,
    payload        text                          NOT NULL,
    metadata       text                          NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
) STRICT";
