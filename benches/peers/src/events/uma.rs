//! UmaDB in process: its core with the thread that writes for its server, which syncs the appends
//! that wait together. An event has its stream as a tag; the condition is that no other event with
//! this tag has come after the one that the writer knows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use highwater_proto::exchange::BoxFuture;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};
use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_core::writer_thread_blocking::writer_thread_blocking;
use umadb_core::writer_thread_request::WriterThreadRequest;
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem};

use super::{Note, Notes, Store, TYPE};
use crate::Failure;
use crate::disk;

struct Uma {
    reader: UmaDb,
    /// Gone when it is dropped, so that the thread ends.
    requests: Option<mpsc::Sender<WriterThreadRequest>>,
    writer: Option<JoinHandle<()>>,
    /// Where the last event of a stream lies.
    positions: Mutex<HashMap<String, u64>>,
    _folder: TempDir,
}

pub(super) fn open(_: &Runtime) -> Result<Arc<dyn Store>, Failure> {
    let folder = disk::folder()?;
    let options = StorageOptions::default().db_path(folder.path());
    let mvcc = Arc::new(Mvcc::new(false, options)?);
    let (requests, taken) = mpsc::channel(QUEUE);
    let (head, _) = watch::channel(None);
    let of_writer = Arc::clone(&mvcc);
    let writer = std::thread::Builder::new()
        .name("umadb".to_owned())
        .spawn(move || writer_thread_blocking(of_writer, taken, head, TOGETHER_MAX))?;
    Ok(Arc::new(Uma {
        reader: UmaDb::from_arc(mvcc),
        requests: Some(requests),
        writer: Some(writer),
        positions: Mutex::default(),
        _folder: folder,
    }))
}

impl Store for Uma {
    fn append<'a>(
        &'a self,
        stream: &'a str,
        revision: u64,
        note: Note,
    ) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let known = match revision {
                0 => None,
                _ => {
                    let positions = self.positions.lock();
                    let positions = positions.unwrap_or_else(PoisonError::into_inner);
                    Some(*positions.get(stream).ok_or("no event comes before it")?)
                }
            };
            let event = DcbEvent {
                event_type: TYPE.to_owned(),
                tags: vec![stream.to_owned()],
                data: serde_json::to_vec(&note)?,
                ..DcbEvent::default()
            };
            let (response_tx, answer) = oneshot::channel();
            let request = WriterThreadRequest::Append {
                events: vec![event],
                condition: Some(DcbAppendCondition::new(of(stream)).after(known)),
                tracking_info: None,
                response_tx,
                cancel: None,
            };
            let requests = self.requests.as_ref().ok_or("it is open")?;
            let sent = requests.send(request).await;
            sent.map_err(|_| "the writer of UmaDB has ended")?;
            let position = answer.await??;
            let positions = self.positions.lock();
            let mut positions = positions.unwrap_or_else(PoisonError::into_inner);
            positions.insert(stream.to_owned(), position);
            Ok(())
        })
    }

    fn load<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Result<Notes, Failure>> {
        Box::pin(async move {
            let (events, _) = self
                .reader
                .read_with_head(Some(of(stream)), None, false, None)?;
            let mut notes = Notes::default();
            for event in events {
                notes.take(&serde_json::from_slice(&event.event.data)?);
            }
            Ok(notes)
        })
    }
}

impl Drop for Uma {
    fn drop(&mut self) {
        self.requests = None;
        if self
            .writer
            .take()
            .is_some_and(|writer| writer.join().is_err())
        {
            eprintln!("the writer of UmaDB has panicked");
        }
    }
}

fn of(stream: &str) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([stream]))
}

const QUEUE: usize = 10_000;
/// More than there are writers.
const TOGETHER_MAX: usize = 1000;
