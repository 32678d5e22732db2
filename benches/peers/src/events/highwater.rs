//! Highwater's event store, through its client: in process, or over TCP in its own protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use highwater::events::{
    self, Aggregate, DomainEvent, EventData, EventStore, EventStoreBuilder, Expect,
};
use highwater::{Broker, Client, EmbeddedClient};
use highwater_proto::exchange::BoxFuture;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Note, Notes, Store, TYPE};
use crate::Failure;
use crate::disk;
use crate::server::Server;

impl DomainEvent for Note {
    fn to_data(&self) -> Result<EventData, Failure> {
        let data = EventData::new(TYPE, serde_json::to_vec(self)?);
        Ok(data.content_type("application/json"))
    }

    fn from_data(event_type: &str, data: &Bytes) -> Result<Option<Self>, Failure> {
        match event_type == TYPE {
            true => Ok(Some(serde_json::from_slice(data)?)),
            false => Ok(None),
        }
    }
}

impl Aggregate for Notes {
    type Event = Note;

    fn apply(&mut self, note: &Note) {
        self.take(note);
    }
}

struct Ours {
    store: EventStore<Notes>,
    process: Option<u32>,
    /// Of a store in process: goes after the store, and before the folder in which it lies.
    _broker: Option<(Broker, TempDir)>,
}

/// In process.
pub(super) fn open(runtime: &Runtime) -> Result<Arc<dyn Store>, Failure> {
    let folder = disk::folder()?;
    let broker = Broker::open(folder.path().join("data"))?;
    let client = Client::embedded(&broker);
    let store = EventStore::over(broker.native(), &client, TOPIC);
    let store = runtime.block_on(ready(&client, TOPIC, store))?;
    Ok(Arc::new(Ours {
        store,
        process: None,
        _broker: Some((broker, folder)),
    }))
}

/// A connection to a broker in a process of its own.
pub(super) struct Remote {
    client: Client,
    process: u32,
    topics: AtomicUsize,
}

impl Remote {
    pub(super) fn connect(runtime: &Runtime, server: &Server) -> Result<Self, Failure> {
        Ok(Self {
            client: runtime.block_on(Client::connect(server.native()))?,
            process: server.id(),
            topics: AtomicUsize::new(0),
        })
    }

    /// A topic of its own.
    pub(super) fn open(&self, runtime: &Runtime) -> Result<Arc<dyn Store>, Failure> {
        let number = self.topics.fetch_add(1, Ordering::Relaxed);
        let topic = format!("{TOPIC}-{number}");
        let store = self.client.event_store(topic.as_str());
        let store = runtime.block_on(ready(&self.client, &topic, store))?;
        Ok(Arc::new(Ours {
            store,
            process: Some(self.process),
            _broker: None,
        }))
    }
}

/// Makes the topic, and fails unless what it stores is synced before it is answered.
async fn ready(
    client: &Client,
    topic: &str,
    store: EventStoreBuilder<Notes>,
) -> Result<EventStore<Notes>, Failure> {
    let admin = client.admin();
    admin.create_topic(&events::new_topic(topic)).await?;
    let configs = admin.topic_configs(topic).await?;
    let durability = configs.iter().find(|entry| entry.name == "durability");
    match durability.and_then(|entry| entry.value.as_deref()) {
        Some("fsync") => Ok(store.build().await?),
        other => Err(format!("{topic} has the durability {other:?}").into()),
    }
}

impl Store for Ours {
    fn append<'a>(
        &'a self,
        stream: &'a str,
        revision: u64,
        note: Note,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        let expect = match revision.checked_sub(1) {
            Some(before) => Expect::Revision(before),
            None => Expect::NoStream,
        };
        Box::pin(async move {
            let appended = self.store.append(stream, expect, [note]);
            let appended = appended.await?;
            match appended.revision == revision && !appended.is_duplicate {
                true => Ok(()),
                false => Err(format!("{stream}: {appended:?} instead of {revision}").into()),
            }
        })
    }

    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Notes, Failure>> {
        Box::pin(async move { Ok(self.store.load(stream).await?.state) })
    }

    fn process(&self) -> Option<u32> {
        self.process
    }
}

const TOPIC: &str = "notes";
