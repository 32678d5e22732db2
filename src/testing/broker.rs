//! `TestBroker`: a broker that a test starts, moves in time, breaks and starts again.
//!
//! Invariants
//! - One thing at a time: the clock is not moved while the broker is being started again.
//! - A restart keeps the port, the clock and the faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use highwater_broker::clock::Held;
use highwater_broker::error::BrokerError;
use highwater_broker::faults::Faults;
use highwater_broker::{Address, Broker};
use highwater_client::{Client, ConsumerRecord, Dial, Tcp};
use highwater_proto::clock::{Clock, Mono, Wall};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::testing::builder::{Place, Plan, TestBrokerBuilder, TestClock};
use crate::testing::embedded::{Current, DialCurrent};
use crate::testing::error::TestError;
use crate::testing::expect::Expectation;
use crate::testing::rest::Rest;
use crate::testing::tail::Tail;

/// A broker for a test. Dropping it ends it and takes its data with it.
///
/// It runs on the runtime that it was started on: as long as that runtime is busy with something
/// else, the broker stands still.
///
/// ```
/// use std::time::Duration;
/// use highwater::testing::TestBroker;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = TestBroker::start().await?;
/// let address = broker.bootstrap(); // for any Kafka client: 127.0.0.1:<port>
/// assert!(broker.client().admin().list_topics().await?.is_empty());
///
/// let before = broker.now();
/// broker.advance(Duration::from_secs(3600)).await;
/// assert!(broker.now() >= before + Duration::from_secs(3600));
/// # assert!(address.starts_with("127.0.0.1:"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TestBroker {
    plan: Plan,
    current: Arc<Current>,
    rest: Rest,
    bootstrap: String,
    /// Whether somebody may be connected.
    is_address_known: AtomicBool,
    port: u16,
    /// Whoever changes the broker or moves the clock holds this.
    turn: Mutex<Life>,
    /// Lets the clock run.
    running: Option<AbortHandle>,
}

/// What a restart goes on from.
#[derive(Debug)]
struct Life {
    place: Place,
    starts_count: u64,
}

impl TestBroker {
    /// A broker in memory, with a clock that starts at [`START_MS`](crate::testing::START_MS), on a
    /// free port of 127.0.0.1.
    ///
    /// # Errors
    /// Those of [`TestBrokerBuilder::start`].
    pub async fn start() -> Result<Self, TestError> {
        Self::builder().start().await
    }

    /// A broker to be configured.
    pub fn builder() -> TestBrokerBuilder {
        TestBrokerBuilder::new()
    }

    /// The broker that runs at the moment.
    pub(super) fn current(&self) -> Option<Arc<Broker>> {
        self.current.broker()
    }

    pub(super) async fn start_as(plan: Plan) -> Result<Self, TestError> {
        let rest = Rest::new()
            .await
            .map_err(TestError::system("open a socket on 127.0.0.1"))?;
        let place = plan.place()?;
        let broker = plan.broker(&place, 0, None).await?;
        let bootstrap = broker.bootstrap_servers();
        let address: Address = bootstrap.parse().map_err(BrokerError::from)?;
        let current = Arc::new(Current::default());
        let running = match &plan.clock {
            TestClock::Running(clock) => {
                let clock = clock.clone();
                let running = tokio::spawn(async move { clock.run().await });
                Some(running.abort_handle())
            }
            TestClock::Frozen(_) | TestClock::System(_) => None,
        };
        let test_broker = Self {
            plan,
            rest,
            bootstrap,
            is_address_known: AtomicBool::new(false),
            port: address.port,
            turn: Mutex::new(Life {
                place,
                starts_count: 1,
            }),
            running,
            current,
        };
        test_broker.current.set(broker);
        Ok(test_broker)
    }

    /// Where Kafka clients connect: what they call `bootstrap.servers`. A restart keeps it.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        self.is_address_known.store(true, Ordering::Relaxed);
        &self.bootstrap
    }

    /// A client without a socket, on the broker's clock. It finds the broker again after a restart.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_by(Arc::new(DialCurrent::new(&self.current)))
    }

    /// A client that connects over TCP, on the broker's clock.
    #[must_use]
    pub fn client_over_tcp(&self) -> Client {
        self.is_address_known.store(true, Ordering::Relaxed);
        self.client_by(Arc::new(Tcp::new("highwater-test")))
    }

    fn client_by(&self, dial: Arc<dyn Dial>) -> Client {
        Client::over(&self.bootstrap, dial, self.plan.clock.shared())
            .expect("a broker that listens has an address")
    }

    /// The broker itself, with every operation in domain words; another one after each restart.
    ///
    /// # Errors
    /// `Down` after `shutdown`, or if it failed to start again.
    pub fn broker(&self) -> Result<Arc<Broker>, TestError> {
        self.is_address_known.store(true, Ordering::Relaxed);
        self.current.broker().ok_or(TestError::Down)
    }

    /// What the broker's clock shows.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let ms = u64::try_from(self.now_ms()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    /// What the broker's clock shows, in milliseconds since 1970: the time of records.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.plan.clock.shared().now().wall.0
    }

    /// Sets the date, in milliseconds since 1970, as an operator or a time server does: timers do
    /// not notice, and it may go back.
    ///
    /// # Errors
    /// `SystemClock` with the machine's clock.
    pub fn set_now_ms(&self, now_ms: i64) -> Result<(), TestError> {
        let clock = self.plan.clock.movable().ok_or(TestError::SystemClock)?;
        clock.set_wall(Wall(now_ms));
        Ok(())
    }

    /// Moves the clock: from timer to timer, of the broker and of clients that share its clock, in
    /// their order, each time until nothing is left to be done on this runtime.
    ///
    /// Dropping the future leaves the clock at the moment that it has reached.
    ///
    /// # Panics
    /// Where [`Self::try_advance`] fails.
    #[expect(clippy::panic, reason = "a test that cannot go on fails")]
    pub async fn advance(&self, duration: Duration) {
        if let Err(error) = self.try_advance(duration).await {
            panic!("{error}");
        }
    }

    /// [`Self::advance`], or why it cannot be done.
    ///
    /// # Errors
    /// `SystemClock` with the machine's clock; `System` if some task never waits.
    pub async fn try_advance(&self, duration: Duration) -> Result<(), TestError> {
        let clock = self.plan.clock.movable().ok_or(TestError::SystemClock)?;
        let _turn = self.turn.lock().await;
        let mut held = clock.hold();
        let target = clock.now().mono.plus(duration);
        self.step_to(&mut held, target)
            .await
            .map_err(TestError::system("move the clock"))
    }

    async fn step_to(&self, held: &mut Held<'_>, target: Mono) -> std::io::Result<()> {
        let broker = self.current.broker();
        let connected = || {
            let is_known = self.is_address_known.load(Ordering::Relaxed);
            broker.as_deref().filter(|_| is_known)
        };
        self.rest.reached(connected()).await?;
        while held.step(target) {
            self.rest.reached(connected()).await?;
        }
        if let Some(broker) = &broker {
            // What is too old by now is gone, however long ago the last check was.
            // If that fails, the broker's own checks say so in the log.
            drop(broker.service().apply_retention().await);
            drop(broker.service().expire_offsets().await);
            self.rest.reached(connected()).await?;
        }
        Ok(())
    }

    /// What goes wrong on purpose; it outlives restarts.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.plan.faults
    }

    /// Expects a record in a topic: say what is to hold of it, then wait for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use highwater::testing::TestBroker;
    /// use highwater::{ProducerConfig, Record};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = TestBroker::start().await?;
    /// let producer = broker.client().producer(ProducerConfig::default())?;
    /// let order = Record::to("orders").key("order-42").value(r#"{"status":"paid"}"#);
    /// producer.send(order).await?;
    ///
    /// let paid = broker
    ///     .expect_event("orders")
    ///     .key("order-42")
    ///     .json_pointer("/status", "paid")
    ///     .within(Duration::from_secs(2))
    ///     .await;
    /// assert_eq!(paid.offset, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn expect_event(&self, topic: impl Into<String>) -> Expectation<'_> {
        Expectation::new(self, topic.into())
    }

    /// Everything that is in a topic now, in no order among partitions; nothing if there is no such
    /// topic. Looking disturbs nothing: it meets no fault and creates no topic.
    ///
    /// # Errors
    /// `Down` after `shutdown`, or if it failed to start again; `Unreadable` for damaged records.
    pub async fn records(&self, topic: &str) -> Result<Vec<ConsumerRecord>, TestError> {
        let broker = self.current.broker().ok_or(TestError::Down)?;
        let mut tail = Tail::new(topic);
        tail.read(broker.service()).await;
        match tail.troubles.pop() {
            None => Ok(tail.records),
            Some(why) => Err(TestError::Unreadable {
                topic: topic.to_owned(),
                why,
            }),
        }
    }

    /// Stops the broker in good order and starts it again over its data, on the same port.
    ///
    /// # Errors
    /// What keeps it from stopping or starting; then it is down.
    pub async fn restart(&self) -> Result<(), TestError> {
        let mut life = self.turn.lock().await;
        if let Some(broker) = self.current.take() {
            broker.shutdown().await?;
        }
        self.start_again(&mut life).await
    }

    /// Cuts the power and starts the broker again, on the same port: what was not synced is gone,
    /// and connections are dead. What was answered under `durability=fsync` with `acks=all` is
    /// there; of a topic with `durability=page-cache` what its last `flush.ms` brought may be gone.
    ///
    /// # Errors
    /// `RealDisk` on a real disk; what keeps it from starting, and then it is down.
    pub async fn power_cut(&self) -> Result<(), TestError> {
        let mut life = self.turn.lock().await;
        let Place::Memory(fs) = &life.place else {
            return Err(TestError::RealDisk);
        };
        if let Some(broker) = self.current.take() {
            // Nothing is answered any more when it returns: so nothing that is synced later, and
            // then lost, was promised to anybody.
            broker.crash().await;
        }
        life.place = Place::Memory(fs.after_power_cut());
        self.start_again(&mut life).await
    }

    /// Forgets everything: an empty broker without faults, on the same port. The clock goes on.
    ///
    /// # Errors
    /// What keeps it from starting; then it is down.
    pub async fn reset(&self) -> Result<(), TestError> {
        let mut life = self.turn.lock().await;
        if let Some(broker) = self.current.take() {
            broker.crash().await;
        }
        self.faults().clear();
        life.place = self.plan.place()?;
        self.start_again(&mut life).await
    }

    /// Ends the broker in good order. Its data goes when this is dropped.
    ///
    /// # Errors
    /// What keeps it from stopping in good order.
    pub async fn shutdown(&self) -> Result<(), TestError> {
        let _turn = self.turn.lock().await;
        match self.current.take() {
            Some(broker) => Ok(broker.shutdown().await?),
            None => Ok(()),
        }
    }

    async fn start_again(&self, life: &mut Life) -> Result<(), TestError> {
        let starting = self
            .plan
            .broker(&life.place, life.starts_count, Some(self.port));
        let broker = starting.await?;
        life.starts_count += 1;
        self.current.set(broker);
        Ok(())
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        // The last handle but for those that the test has taken; it closes the broker.
        drop(self.current.take());
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}
