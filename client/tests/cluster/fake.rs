//! A cluster of several brokers in this process, on tokio's paused clock.
//!
//! One real broker holds the data, as if every broker had a perfect replica of it. In front of it
//! stand as many brokers as asked: each leads some partitions and refuses the others, knows who
//! leads what (or knew it once), may coordinate the groups, and can be slow, stopped or killed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use highwater_broker::Broker;
use highwater_client::{
    Client, ClientConfig, ClientError, ConsumerConfig, Dial, StartAt, SystemClock,
};
use highwater_proto::clock::{Clock, Mono};
use highwater_proto::exchange::{BoxFuture, Exchange};
use tokio::sync::watch;

use crate::front::Session;

/// The cluster.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) broker: Broker,
    pub(crate) clock: SystemClock,
    state: Mutex<State>,
    fronts: Vec<watch::Sender<Health>>,
    /// Whether refusals name the new leader.
    pub(crate) tells_leaders: bool,
    /// Each open session has a copy.
    sessions: Arc<()>,
}

#[derive(Debug)]
struct State {
    view: View,
    /// By broker: the view that it has not got beyond.
    stale: HashMap<i32, View>,
    /// How often sessions were opened, by broker.
    dials: HashMap<i32, usize>,
    metadata_count: usize,
}

/// Who is in charge of what.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// By partition: the leader, -1 for none, and its epoch.
    pub(crate) leaders: Vec<(i32, i32)>,
    pub(crate) coordinator: i32,
    pub(crate) alive: Vec<i32>,
}

/// How a broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) is_up: bool,
    /// Stopped as by a debugger: what was sent to it is still there when it goes on.
    pub(crate) is_frozen: bool,
    /// What it takes for each request, in milliseconds.
    pub(crate) lag_ms: u64,
    /// Counts its starts: the sessions of an earlier one are dead.
    pub(crate) life: u64,
}

/// What happens to the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// Another broker leads a partition.
    Move(usize, usize),
    /// A partition has no leader, until it is moved.
    Orphan(usize),
    /// Another broker coordinates the groups.
    Coordinate(usize),
    /// A broker dies; others take over what it led.
    Kill(usize),
    /// It starts again.
    Start(usize),
    /// A broker takes so many milliseconds for each request.
    Slow(usize, u64),
    /// It answers nothing.
    Freeze(usize),
    /// It goes on with what it was sent.
    Thaw(usize),
    /// Its view stays as it is now.
    Stale(usize),
    /// It learns what has happened.
    Learn(usize),
}

impl Fake {
    pub(crate) async fn start(fronts: usize, partitions: usize, tells_leaders: bool) -> Arc<Self> {
        let clock = SystemClock::new();
        let broker = Broker::builder().clock(Arc::new(clock));
        let broker = broker.simulate(1).await.unwrap();
        let up = Health {
            is_up: true,
            is_frozen: false,
            lag_ms: 0,
            life: 0,
        };
        let count = i32::try_from(fronts).unwrap();
        let leader = |partition: usize| (i32::try_from(partition % fronts).unwrap() + 1, 0);
        let view = View {
            leaders: (0..partitions).map(leader).collect(),
            coordinator: 1,
            alive: (1..=count).collect(),
        };
        let fake = Arc::new(Self {
            broker,
            clock,
            state: Mutex::new(State {
                view,
                stale: HashMap::new(),
                dials: HashMap::new(),
                metadata_count: 0,
            }),
            fronts: (0..fronts).map(|_| watch::Sender::new(up)).collect(),
            tells_leaders,
            sessions: Arc::default(),
        });
        let topic = highwater_client::NewTopic {
            name: TOPIC.to_owned(),
            partitions: Some(i32::try_from(partitions).unwrap()),
            ..Default::default()
        };
        fake.truth().admin().create_topic(&topic).await.unwrap();
        fake
    }

    /// A client that every broker is named to.
    pub(crate) fn client(self: &Arc<Self>, config: ClientConfig) -> Client {
        let brokers: Vec<String> = (1..=self.fronts.len()).map(address).collect();
        let config = config.bootstrap_servers(brokers.join(","));
        let dial = Arc::new(FakeDial(Arc::clone(self)));
        Client::over_with(config, dial, Arc::new(self.clock)).unwrap()
    }

    /// A client that sees what is stored, past the brokers in front.
    pub(crate) fn truth(&self) -> Client {
        let sessions = self.broker.sessions();
        let dial = Arc::new(highwater_client::InProcess::new(sessions));
        Client::over("truth:1", dial, Arc::new(self.clock)).unwrap()
    }

    pub(crate) fn health(&self, id: i32) -> watch::Receiver<Health> {
        self.front(id).subscribe()
    }

    /// Who is in charge of what.
    pub(crate) fn view(&self) -> View {
        self.state().view.clone()
    }

    /// What a broker tells of that.
    pub(crate) fn view_of(&self, id: i32) -> View {
        let mut state = self.state();
        state.metadata_count += 1;
        state.stale.get(&id).unwrap_or(&state.view).clone()
    }

    /// How often metadata was asked for.
    pub(crate) fn metadata_count(&self) -> usize {
        self.state().metadata_count
    }

    /// How often a session with a broker was asked for.
    pub(crate) fn dials(&self, id: i32) -> usize {
        self.state().dials.get(&id).copied().unwrap_or(0)
    }

    pub(crate) fn apply(&self, event: Event) {
        match event {
            Event::Move(partition, to) => {
                let to = self.state().any_alive(to);
                self.state().lead(partition, to);
            }
            Event::Orphan(partition) => self.state().lead(partition, -1),
            Event::Coordinate(to) => {
                let mut state = self.state();
                state.view.coordinator = state.any_alive(to);
            }
            Event::Kill(id) => self.kill(self.id(id)),
            Event::Start(id) => self.start_again(self.id(id)),
            Event::Slow(id, lag_ms) => self.set(self.id(id), |health| health.lag_ms = lag_ms),
            Event::Freeze(id) => self.set(self.id(id), |health| health.is_frozen = true),
            Event::Thaw(id) => self.set(self.id(id), |health| health.is_frozen = false),
            Event::Stale(id) => {
                let mut state = self.state();
                let view = state.view.clone();
                state.stale.insert(self.id(id), view);
            }
            Event::Learn(id) => {
                self.state().stale.remove(&self.id(id));
            }
        }
    }

    /// Everything works again.
    pub(crate) fn heal(&self) {
        for index in 0..self.fronts.len() {
            for event in [Event::Thaw(index), Event::Start(index), Event::Learn(index)] {
                self.apply(event);
            }
            self.apply(Event::Slow(index, 0));
        }
        let mut state = self.state();
        for partition in 0..state.view.leaders.len() {
            if state.view.leaders[partition].0 < 0 {
                let to = state.any_alive(partition);
                state.lead(partition, to);
            }
        }
    }

    fn kill(&self, id: i32) {
        self.set(id, |health| {
            (health.is_up, health.is_frozen) = (false, false);
            health.life += 1;
        });
        let mut state = self.state();
        state.view.alive.retain(|alive| *alive != id);
        for partition in 0..state.view.leaders.len() {
            if state.view.leaders[partition].0 == id {
                let to = state.any_alive(partition);
                state.lead(partition, to);
            }
        }
        if state.view.coordinator == id {
            state.view.coordinator = state.any_alive(0);
        }
    }

    fn start_again(&self, id: i32) {
        self.set(id, |health| health.is_up = true);
        let mut state = self.state();
        if !state.view.alive.contains(&id) {
            state.view.alive.push(id);
            state.view.alive.sort_unstable();
        }
        for partition in 0..state.view.leaders.len() {
            if state.view.leaders[partition].0 < 0 {
                state.lead(partition, id);
            }
        }
        if state.view.coordinator < 0 {
            state.view.coordinator = id;
        }
    }

    fn set(&self, id: i32, change: impl FnOnce(&mut Health)) {
        self.front(id).send_modify(change);
    }

    fn front(&self, id: i32) -> &watch::Sender<Health> {
        &self.fronts[usize::try_from(id - 1).unwrap()]
    }

    fn id(&self, index: usize) -> i32 {
        i32::try_from(index % self.fronts.len()).unwrap() + 1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// All that is stored, by partition.
    pub(crate) async fn stored(&self, partitions: usize) -> Vec<Vec<String>> {
        let mut consumer = self.truth().consumer(ConsumerConfig::new());
        consumer
            .assign_topic(TOPIC, StartAt::Earliest)
            .await
            .unwrap();
        let ends = consumer.end_offsets(TOPIC).await.unwrap();
        let total = usize::try_from(ends.iter().sum::<i64>()).unwrap();
        let mut logs: Vec<Vec<String>> = vec![Vec::new(); partitions];
        while logs.iter().map(Vec::len).sum::<usize>() < total {
            let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
            assert!(!records.is_empty(), "{logs:?} of {ends:?}");
            for record in records {
                let log = &mut logs[usize::try_from(record.partition).unwrap()];
                assert_eq!(record.offset, i64::try_from(log.len()).unwrap());
                log.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
        }
        logs
    }

    /// How many sessions are open, on either side.
    pub(crate) fn sessions(&self) -> usize {
        Arc::strong_count(&self.sessions) - 1
    }

    /// A token for one more session.
    pub(crate) fn session(&self) -> Arc<()> {
        Arc::clone(&self.sessions)
    }

    pub(crate) fn now(&self) -> Mono {
        self.clock.now().mono
    }

    pub(crate) async fn sleep(&self, ms: u64) {
        let at = self.clock.now().mono.plus(Duration::from_millis(ms));
        self.clock.sleep_until(at).await;
    }
}

impl State {
    fn any_alive(&self, index: usize) -> i32 {
        let alive = &self.view.alive;
        let place = index.checked_rem(alive.len());
        place.map_or(-1, |place| alive[place])
    }

    fn lead(&mut self, partition: usize, id: i32) {
        let count = self.view.leaders.len();
        let (leader, epoch) = &mut self.view.leaders[partition % count];
        if *leader != id {
            (*leader, *epoch) = (id, *epoch + 1);
        }
    }
}

/// Where the broker with a number can be reached.
pub(crate) fn address(id: usize) -> String {
    format!("b{id}:9092")
}

#[derive(Debug)]
struct FakeDial(Arc<Fake>);

impl Dial for FakeDial {
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        let fake = Arc::clone(&self.0);
        let id = address
            .strip_prefix('b')
            .and_then(|rest| rest.strip_suffix(":9092"));
        let id: i32 = id.unwrap().parse().unwrap();
        let address = address.to_owned();
        Box::pin(async move {
            *fake.state().dials.entry(id).or_default() += 1;
            let refused = || ClientError::NotSent(format!("nothing listens at {address}"));
            let mut health = fake.health(id);
            let begun = *health.borrow_and_update();
            if !begun.is_up {
                return Err(refused());
            }
            fake.sleep(begun.lag_ms).await;
            let answers = |now: &Health| !now.is_frozen || now.life != begun.life;
            let now = *health.wait_for(answers).await.unwrap();
            match now.life == begun.life {
                true => Ok(Arc::new(Session::open(&fake, id)) as Arc<dyn Exchange>),
                false => Err(refused()),
            }
        })
    }
}

/// The topic of all tests.
pub(crate) const TOPIC: &str = "t";
