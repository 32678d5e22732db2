//! `Meter`: what one pass takes, in time and in CPU time of both ends.

use std::time::Duration;

use highwater_broker::clock::SystemClock;
use highwater_proto::clock::Clock;
use tokio::runtime::Runtime;

use crate::Failure;
use crate::disk;
use crate::load::Ready;

/// Measures passes.
pub(crate) struct Meter {
    clock: SystemClock,
}

/// What one pass has taken.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) seconds: f64,
    pub(crate) records: usize,
    /// Of the records' values.
    pub(crate) bytes: usize,
    /// Of this process: the client, or all that there is of a store.
    pub(crate) client_cpu: f64,
    /// Of the server's process, if there is one.
    pub(crate) server_cpu: Option<f64>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            clock: SystemClock::new(),
        }
    }

    /// Prepares work on so many records of so many bytes, and measures it, with the server's
    /// process beside it.
    pub(crate) fn pass<'a>(
        &self,
        (records, record_bytes): (usize, usize),
        server: Option<u32>,
        prepare: impl FnOnce() -> Result<Ready<'a>, Failure>,
    ) -> Result<Pass, Failure> {
        // What the pass before has left to be written is not this one's burden.
        rustix::fs::sync();
        let mut work = prepare()?;
        let server_cpu = || server.map(disk::cpu_seconds).transpose();
        let (client, of_server) = (disk::cpu_seconds("self")?, server_cpu()?);
        let (seconds, done) = self.seconds(|| work.go());
        done?;
        let (client_end, server_end) = (disk::cpu_seconds("self")?, server_cpu()?);
        Ok(Pass {
            seconds,
            records,
            bytes: records * record_bytes,
            client_cpu: client_end - client,
            server_cpu: server_end.zip(of_server).map(|(end, start)| end - start),
        })
    }

    /// How long `work` takes, in seconds.
    pub(crate) fn seconds<T>(&self, work: impl FnOnce() -> T) -> (f64, T) {
        let start = self.clock.now().mono;
        let result = work();
        let seconds = self.clock.now().mono.since(start).as_secs_f64();
        (seconds.max(1e-9), result)
    }

    /// Asks again and again, with a pause between two questions, until there is an answer.
    pub(crate) fn wait<T>(
        &self,
        runtime: &Runtime,
        (pause, patience): (Duration, Duration),
        mut ask: impl FnMut() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let deadline = self.clock.now().mono.plus(patience);
        loop {
            if let Some(answer) = ask()? {
                return Ok(Some(answer));
            }
            let now = self.clock.now().mono;
            if now > deadline {
                return Ok(None);
            }
            runtime.block_on(async { self.clock.sleep_until(now.plus(pause)).await });
        }
    }
}
