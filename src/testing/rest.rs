//! Rest: when a runtime has nothing to do, so that what happened at one moment is over before the
//! next one comes.
//!
//! Invariants
//! - No time is waited for: whether there is something to do is read off the runtime's metrics.
//! - A request over a local connection counts as something to do, on its way, too.
//!
//! How it is known. A round sends a datagram to itself and waits for it, again and again until the
//! runtime has parked meanwhile. It parks only when no task is ready; and it learns of the datagram
//! after all that came over a socket before it. So at the end of a round everything is over that
//! was ready at its begin, up to what then went over a socket. Now a conversation between broker
//! and client goes to and fro: whatever a task of the broker sends has been dealt with by the end
//! of the next round, and what comes back of it has reached a task of the broker by the end of the
//! one after that. After two rounds without a turn of the broker's tasks there is nothing on its
//! way; where nobody was told the broker's address, one round is enough.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use highwater_broker::Broker;
use highwater_broker::clock::SystemClock;
use highwater_proto::clock::{Clock, Mono};
use tokio::net::UdpSocket;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Looks whether the runtime that it was made on rests.
#[derive(Debug)]
pub(super) struct Rest {
    socket: UdpSocket,
    runtime: Handle,
    machine: SystemClock,
}

impl Rest {
    /// For the runtime of the caller.
    pub(super) async fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(socket.local_addr()?).await?;
        Ok(Self {
            socket,
            runtime: Handle::current(),
            machine: SystemClock::new(),
        })
    }

    /// Waits until the runtime rests. `broker` is the one on it that clients may be connected to.
    ///
    /// # Errors
    /// If some task is busy all the time.
    pub(super) async fn reached(&self, broker: Option<&Broker>) -> io::Result<()> {
        let deadline = self.machine.now().mono.plus(REST_WAIT_MAX);
        let Some(broker) = broker else {
            return self.round(deadline).await;
        };
        let mut quiet_rounds = 0;
        while quiet_rounds < 2 {
            let before = broker.turns();
            self.round(deadline).await?;
            let is_quiet = broker.turns() == before;
            quiet_rounds = if is_quiet { quiet_rounds + 1 } else { 0 };
        }
        Ok(())
    }

    async fn round(&self, deadline: Mono) -> io::Result<()> {
        if self.runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            let before = self.parks();
            while self.parks() == before {
                self.send_and_receive().await?;
                self.check(deadline)?;
            }
            return Ok(());
        }
        self.send_and_receive().await?;
        while !self.all_parked().await {
            self.check(deadline)?;
        }
        Ok(())
    }

    /// Sends a datagram and waits until the runtime says that it is there.
    async fn send_and_receive(&self) -> io::Result<()> {
        let mut datagram = [0; 1];
        // An empty socket is what makes the runtime ask the system for news.
        while self.socket.try_recv(&mut datagram).is_ok() {}
        self.socket.send(&datagram).await?;
        self.socket.readable().await
    }

    /// Whether every worker is parked and no task waits for one, at one moment. Looked at from a
    /// thread that is none of the workers.
    async fn all_parked(&self) -> bool {
        let runtime = self.runtime.clone();
        let look = move || {
            let metrics = runtime.metrics();
            let counts = || -> Vec<u64> {
                let workers = 0..metrics.num_workers();
                workers
                    .map(|worker| metrics.worker_park_unpark_count(worker))
                    .collect()
            };
            let before = counts();
            let is_parked = before.iter().all(|count| count % 2 == 1);
            // A worker that was woken, and has not got a processor yet to say so, looks parked.
            let stays = (0..LOOKS).all(|_| {
                std::thread::yield_now();
                metrics.global_queue_depth() == 0 && counts() == before
            });
            is_parked && stays
        };
        self.runtime.spawn_blocking(look).await.unwrap_or(false)
    }

    fn parks(&self) -> u64 {
        self.runtime.metrics().worker_park_count(0)
    }

    fn check(&self, deadline: Mono) -> io::Result<()> {
        if self.machine.now().mono < deadline {
            return Ok(());
        }
        Err(io::Error::other(
            "some task of the runtime is busy all the time, so that the clock cannot be moved step \
             by step: a task that waits has to await something",
        ))
    }
}

/// So often a runtime of several threads is looked at, and each time the processor is offered to
/// whoever waits for it, before it counts as parked.
const LOOKS: usize = 64;

/// How long a runtime may need to come to rest.
const REST_WAIT_MAX: Duration = Duration::from_secs(60);
