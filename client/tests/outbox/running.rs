//! A relay that runs beside a test.

use highwater_client::sql::Database;
use highwater_client::{Relay, RelaySummary};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A relay that runs until it is stopped.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    relay: JoinHandle<RelaySummary>,
}

impl Running {
    pub(crate) fn start<D: Database>(relay: Relay<D>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let relay = relay.run(async { stopped.await.unwrap_or_default() });
        Self {
            stop,
            relay: tokio::spawn(relay),
        }
    }

    pub(crate) async fn stop(self) -> RelaySummary {
        drop(self.stop);
        self.relay.await.unwrap()
    }

    /// As a crash: nothing is stored or given back.
    pub(crate) async fn crash(self) {
        self.relay.abort();
        assert!(self.relay.await.unwrap_err().is_cancelled());
    }
}
