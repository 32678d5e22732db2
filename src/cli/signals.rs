//! The signals that ask a process to end.
//!
//! Floor 1 of cli.

use crate::cli::failure::Failure;

/// Ctrl-C, and on Unix SIGTERM.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on these signals end nothing by themselves. Needs a runtime.
    #[cfg(unix)]
    pub(crate) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            let cannot = |error| Failure::Failed(format!("cannot listen for signals: {error}"));
            signal(kind).map_err(cannot)
        };
        let (terminate, interrupt) = (
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
        );
        Ok(Self {
            terminate,
            interrupt,
        })
    }

    /// From now on these signals end nothing by themselves. Needs a runtime.
    #[cfg(not(unix))]
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self {})
    }

    /// The next of them. Cancel safe: one that comes between two calls is not lost.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The next of them.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Some work, or [`Failure::Interrupted`]; then the work is dropped.
    pub(crate) async fn unless_interrupted<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            () = self.next() => Err(Failure::Interrupted),
            outcome = work => outcome,
        }
    }
}
