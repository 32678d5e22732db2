//! What runs beside the shop: crashes when it is told to, and begins again.
//!
//! Floor 6 of cli.
//!
//! Invariants
//! - A crash drops what runs where it waits, as the end of a process would.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::cli::failure::Failure;

/// Something that runs.
pub(super) struct Running<T> {
    task: JoinHandle<Result<T, Failure>>,
    crash: mpsc::Sender<()>,
    stop: watch::Sender<bool>,
    /// How often it crashed.
    pub(super) crashes: u64,
}

impl<T: Send + 'static> Running<T> {
    /// Begins it, and anew after each crash.
    pub(super) fn start<F>(begin: impl Fn(watch::Receiver<bool>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let (crash, mut crashes) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    ended = begin(stopped.clone()) => return ended,
                    Some(()) = crashes.recv() => {}
                }
            }
        });
        Self {
            task,
            crash,
            stop,
            crashes: 0,
        }
    }

    /// Lets it crash.
    pub(super) async fn crash(&mut self) {
        // It fails if it has ended by itself, which `stop` tells.
        if self.crash.send(()).await.is_ok() {
            self.crashes += 1;
        }
    }

    /// Whether it has ended by itself: `stop` tells why.
    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks it to end.
    pub(super) async fn stop(self) -> Result<T, Failure> {
        self.stop.send_replace(true);
        self.task.await.map_err(Failure::failed)?
    }
}

/// Waits until the end is asked for.
pub(super) async fn asked(mut stop: watch::Receiver<bool>) {
    // Nobody is there who could ask: it is over as well.
    let _ = stop.wait_for(|it| *it).await;
}
