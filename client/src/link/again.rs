//! How a connection proves again who its user is, before its session is over (KIP-368).
//!
//! Floor 2 of client.
//!
//! Invariants
//! - Requests wait meanwhile, in their order: none is written between the first token and the last.
//! - Nothing is proved while nothing is asked: an idle connection stays so.
//! - A broker that does not answer the proof ends the connection: who waits is told.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use highwater_proto::clock::{Clock, Mono};
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

use super::connection::{Queue, Waiting, write_together};
use super::sasl::Login;
use super::{Link, SILENCE_MAX};
use crate::error::ClientError;

/// What the writer of a connection needs to prove it again.
pub(super) struct Again {
    login: Arc<Login>,
    /// The connection, but for its queue.
    link: Box<dyn Fn(Queue) -> Link + Send + Sync>,
    clock: Arc<dyn Clock>,
    /// When the next proof is due, in nanoseconds of the clock. The writer alone moves it.
    due: AtomicU64,
}

impl Again {
    /// For a connection whose user was proved just now, for so long.
    pub(super) fn new(
        link: &Link,
        login: &Arc<Login>,
        clock: &Arc<dyn Clock>,
        lifetime: Duration,
    ) -> Self {
        let (address, client_id) = (link.address.clone(), link.client_id.clone());
        let versions = Arc::clone(&link.versions);
        let again = Self {
            login: Arc::clone(login),
            link: Box::new(move |queue| Link {
                address: address.clone(),
                client_id: client_id.clone(),
                versions: Arc::clone(&versions),
                queue: Mutex::new((0, queue)),
            }),
            clock: Arc::clone(clock),
            due: AtomicU64::new(0),
        };
        again.plan(Some(lifetime));
        again
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed) <= self.clock.now().mono.0
    }

    /// Proves again who the user is. The tokens have a queue of their own, in front of all that
    /// waits to be written.
    pub(super) async fn prove(
        &self,
        socket: &mut (impl AsyncWrite + Unpin),
        written: &mpsc::Sender<Waiting>,
    ) -> Result<(), ClientError> {
        let (queue, mut tokens) = Queue::new(TOKENS_MAX);
        let link = (self.link)(queue);
        let mut proof = pin!(link.log_in(&self.login));
        let mut late = self
            .clock
            .sleep_until(self.clock.now().mono.plus(SILENCE_MAX));
        let lifetime = loop {
            tokio::select! {
                biased;
                () = &mut late => return Err(ClientError::NotSent(format!(
                    "{} has asked for another proof of who the user is, and has not answered it \
                     within {SILENCE_MAX:?}",
                    link.address
                ))),
                proved = &mut proof => break proved?,
                Some(token) = tokens.recv() => {
                    let lost = |why: std::io::Error| ClientError::NotSent(why.to_string());
                    write_together(socket, written, &mut vec![token]).await.map_err(lost)?;
                }
            }
        };
        self.plan(lifetime);
        Ok(())
    }

    /// After most of the time that a proof counts: connections that were made together do not prove
    /// it together. The shares are those of Kafka's own client.
    fn plan(&self, lifetime: Option<Duration>) {
        let mut random = [0];
        // Without it all are as early.
        let _ = getrandom::fill(&mut random);
        let share = 0.85 + 0.10 * f64::from(random[0]) / 255.0;
        let due = match lifetime {
            Some(lifetime) => self.clock.now().mono.plus(lifetime.mul_f64(share)),
            None => Mono::NEVER,
        };
        self.due.store(due.0, Ordering::Relaxed);
    }
}

/// Tokens under way: each waits for the answer to the one before it.
const TOKENS_MAX: usize = 1;
