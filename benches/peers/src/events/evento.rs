//! The crate `evento` on SQLite: by its executor, without the aggregate that it would load before
//! each append, and with JSON instead of its own encoding.

use std::sync::Arc;

use evento::cursor::Args;
use evento::migrator::{Migrate, Plan};
use evento::{Event, Executor, Sqlite, sql_migrator};
use highwater_proto::exchange::BoxFuture;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ulid::Ulid;

use super::{Note, Notes, Store, TYPE, sqlite};
use crate::Failure;

struct Evento {
    executor: Sqlite,
    _folder: TempDir,
}

pub(super) fn open(runtime: &Runtime) -> Result<Arc<dyn Store>, Failure> {
    let (pool, folder) = sqlite::pool(runtime)?;
    runtime.block_on(async {
        let mut connection = pool.acquire().await?;
        let migrator = sql_migrator::new::<sqlx::Sqlite>()?;
        migrator.run(&mut *connection, &Plan::apply_all()).await?;
        Ok::<(), Failure>(())
    })?;
    Ok(Arc::new(Evento {
        executor: Sqlite::from(pool),
        _folder: folder,
    }))
}

impl Store for Evento {
    fn append<'a>(
        &'a self,
        stream: &'a str,
        revision: u64,
        note: Note,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let event = Event {
                id: Ulid::new(),
                aggregator_id: stream.to_owned(),
                aggregator_type: AGGREGATE.to_owned(),
                // It counts from one.
                version: i32::try_from(revision)? + 1,
                name: TYPE.to_owned(),
                routing_key: None,
                data: serde_json::to_vec(&note)?,
                metadata: Vec::new(),
                timestamp: 1_700_000_000,
                timestamp_subsec: 0,
            };
            Ok(self.executor.write(vec![event]).await?)
        })
    }

    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Notes, Failure>> {
        Box::pin(async move {
            let all = Args::forward(EVENTS_MAX, None);
            let read = self
                .executor
                .read_by_aggregator(AGGREGATE.to_owned(), stream.to_owned(), all)
                .await?;
            let mut notes = Notes::default();
            for edge in read.edges {
                notes.take(&serde_json::from_slice(&edge.node.data)?);
            }
            Ok(notes)
        })
    }
}

const AGGREGATE: &str = "notes";
/// More than a stream has.
const EVENTS_MAX: u16 = 1000;
