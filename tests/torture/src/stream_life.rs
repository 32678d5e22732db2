//! Lives of a broker with event streams on a simulated disk: clients that append under conditions,
//! repeat what they got no answer to, and read; deaths inside of any operation of the disk, power
//! cuts, syncs that fail. What they were told must be linearizable.
//!
//! The broker runs by `Builder::simulate`, as in `broker_life`: a seed decides everything.
//!
//! Invariants
//! - What a client was told is told again by nobody else: each event has an id of its own.
//! - An append whose answer was lost is sent again only where the broker recognises it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use highwater_broker::Broker;
use highwater_broker::clock::VirtualClock;
use highwater_broker::config::BrokerConfig;
use highwater_broker::service::Service;
use highwater_broker::service::events::{
    AppendCall, AppendError, AsOf, NewEvent, ReadStreamCall, StreamCheck,
};
use highwater_broker::service::topics::{CreateTopicsCall, NewTopic};
use highwater_kit::rng::Rng;
use highwater_kit::sim_fs::Crash;
use highwater_kit::sim_fs::{AfterFailedSync, Errno, Fault, Op, SimFs};
use highwater_kit::streams::{Call, Did, Expected, Told, check};
use highwater_log::keys::Expect;
use highwater_proto::clock::Wall;
use tokio::task::JoinHandle;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls that were answered, or not.
    pub calls: u64,
    /// Appends that were told of a conflict.
    pub conflicts: u64,
    /// Appends without an answer.
    pub unanswered: u64,
    /// Appends that were recognised as stored.
    pub repeats: u64,
}

/// Lives the lives of one seed.
///
/// # Errors
/// The first answer that cannot have been right.
///
/// ```
/// use highwater_tests::stream_life::life;
///
/// let stats = life(1).expect("what clients are told is linearizable");
/// assert!(stats.calls > 0);
/// ```
pub fn life(seed: u64) -> Result<Stats, String> {
    let mut rng = Rng::new(seed);
    let lives = 3 + rng.below(3);
    let mut disk = SimFs::new(rng.bits());
    let book = Arc::new(Book::default());
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(rng.bits())).collect();
    for number in 0..=lives {
        let is_last = number == lives;
        disk.remount();
        if !is_last {
            accident(&disk, &mut rng);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        let lived = runtime.block_on(one(&disk, &book, clients, (&mut rng, is_last)));
        clients = lived.map_err(|why| format!("seed {seed}, life {number}: {why}"))?;
        drop(runtime);
        let crash = match rng.below(4) {
            0 => Crash::Killed,
            1 => Crash::Nothing,
            _ => rng.pick(&Crash::RANDOM),
        };
        disk = disk.image(crash, &mut rng);
    }
    book.verdict()
        .map_err(|why| format!("seed {seed}, {lives} lives: {why}"))
}

/// What is to happen to the disk in a life, if anything.
fn accident(disk: &SimFs, rng: &mut Rng) {
    match rng.below(4) {
        0 => {}
        1 => disk.inject(Fault {
            on: rng.pick(&[Op::Sync, Op::Sync, Op::Write]),
            nth: 1 + rng.below(60) as u64,
            sticky: rng.percent(30),
            errno: rng.pick(&[Errno::Io, Errno::NoSpace]),
            after_sync: rng.pick(&[
                AfterFailedSync::CleanNew,
                AfterFailedSync::CleanOld,
                AfterFailedSync::Dirty,
            ]),
        }),
        _ => disk.crash_at(disk.operations() + rng.below(STEPS * 60)),
    }
}

/// One broker, from its start to its death.
async fn one(
    disk: &SimFs,
    book: &Arc<Book>,
    clients: Vec<Client>,
    (rng, is_last): (&mut Rng, bool),
) -> Result<Vec<Client>, String> {
    let clock = VirtualClock::new(Wall(START_MS));
    let started = Broker::builder()
        .fs(Arc::new(disk.clone()), "/data")
        .config(BrokerConfig {
            log_journal_bytes: rng.pick(&[0, 64 << 10]),
            ..BrokerConfig::default()
        })
        .clock(Arc::new(clock.clone()))
        .simulate(rng.bits())
        .await;
    let broker = match started {
        Ok(broker) => broker,
        Err(_) if disk.is_dead() || disk.fired() > 0 => return Ok(clients),
        Err(error) => return Err(format!("the broker does not start: {error}")),
    };
    let service = broker.service().clone();
    let tasks: Vec<JoinHandle<Client>> = clients
        .into_iter()
        .map(|client| tokio::spawn(client.live(service.clone(), Arc::clone(book))))
        .collect();
    let mut waited_ms = 0;
    while !disk.is_dead() && !tasks.iter().all(JoinHandle::is_finished) && waited_ms < PATIENCE_MS {
        settle(&broker, disk).await;
        clock.advance(Duration::from_millis(20));
        waited_ms += 20;
    }
    let mut back = Vec::new();
    let is_stuck = is_last && !tasks.iter().all(JoinHandle::is_finished);
    for task in tasks {
        let left = Client::new(rng.bits());
        // Whoever still waits is never answered: the next life goes on without it.
        task.abort();
        back.push(task.await.unwrap_or(left));
    }
    if is_stuck {
        return Err("a client is not answered on a disk that works".to_owned());
    }
    if is_last {
        book.read_all(&service).await?;
    }
    // What a drop would still write is written by nobody: the process is dead.
    disk.crash_at(disk.operations());
    Ok(back)
}

/// Lets everyone go on until nobody can.
async fn settle(broker: &Broker, disk: &SimFs) {
    let progress = || (broker.turns(), disk.operations());
    let (mut still, mut seen) = (0, progress());
    while still < STILL_TURNS {
        tokio::task::yield_now().await;
        let now = progress();
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
    }
}

/// All calls, by stream, and what is there in the end.
#[derive(Debug, Default)]
struct Book {
    time: AtomicU64,
    ids: AtomicU64,
    calls: Mutex<BTreeMap<u8, Vec<Call>>>,
    last: Mutex<BTreeMap<u8, Vec<u64>>>,
    repeats: AtomicU64,
}

impl Book {
    fn now(&self) -> u64 {
        self.time.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Writes down that a call begins; its place.
    fn begin(&self, key: u8, did: Did) -> usize {
        let begin = self.now();
        let mut calls = lock(&self.calls);
        let calls = calls.entry(key).or_default();
        calls.push(Call {
            begin,
            end: None,
            did,
        });
        calls.len() - 1
    }

    fn end(&self, key: u8, place: usize, did: Did) {
        let end = self.now();
        let mut calls = lock(&self.calls);
        if let Some(call) = calls.get_mut(&key).and_then(|calls| calls.get_mut(place)) {
            call.end = Some(end);
            call.did = did;
        }
    }

    async fn read_all(&self, service: &Service) -> Result<(), String> {
        for key in 0..KEYS {
            let ids = read(service, key).await?;
            lock(&self.last).insert(key, ids);
        }
        Ok(())
    }

    fn verdict(&self) -> Result<Stats, String> {
        let (calls, last) = (lock(&self.calls), lock(&self.last));
        let mut stats = Stats {
            repeats: self.repeats.load(Ordering::Relaxed),
            ..Stats::default()
        };
        for (key, calls) in &*calls {
            let list = last.get(key).cloned().unwrap_or_default();
            check(calls, &list).map_err(|why| format!("stream {key}: {why}"))?;
            stats.calls += calls.len() as u64;
            for call in calls {
                match call.did {
                    Did::Append {
                        told: Told::Conflict(_),
                        ..
                    } => stats.conflicts += 1,
                    Did::Append {
                        told: Told::Nothing,
                        ..
                    } => stats.unanswered += 1,
                    _ => {}
                }
            }
        }
        Ok(stats)
    }
}

/// What a client wants to append.
#[derive(Clone, Debug)]
struct Wish {
    key: u8,
    ids: Vec<u64>,
    expected: Expected,
}

/// One client: it goes on in the next life with what it was not answered.
#[derive(Debug)]
struct Client {
    rng: Rng,
    unanswered: Option<Wish>,
    /// What it knows of each stream.
    heads: BTreeMap<u8, Option<u64>>,
}

impl Client {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            unanswered: None,
            heads: BTreeMap::new(),
        }
    }

    async fn live(mut self, service: Service, book: Arc<Book>) -> Self {
        make_topic(&service).await;
        for _ in 0..STEPS {
            if service.poisoned().is_some() {
                break;
            }
            let key = u8::try_from(self.rng.below(usize::from(KEYS))).unwrap_or(0);
            match self.unanswered.take() {
                Some(wish) => self.append(&service, &book, wish).await,
                None if self.rng.percent(25) => self.read(&service, &book, key).await,
                None => {
                    let wish = self.wish(&book, key);
                    self.append(&service, &book, wish).await;
                }
            }
            if self.rng.percent(30) {
                tokio::task::yield_now().await;
            }
        }
        self
    }

    fn wish(&mut self, book: &Book, key: u8) -> Wish {
        let count = 1 + self.rng.below(3);
        let ids = (0..count).map(|_| book.ids.fetch_add(1, Ordering::Relaxed));
        let ids = ids.collect();
        let head = self.heads.get(&key).copied().flatten();
        let expected = match self.rng.below(10) {
            0 => Expected::Any,
            1 => Expected::Some,
            2 => Expected::None,
            3 => Expected::Revision(self.rng.below(6) as u64),
            _ => head.map_or(Expected::None, Expected::Revision),
        };
        Wish { key, ids, expected }
    }

    async fn append(&mut self, service: &Service, book: &Book, wish: Wish) {
        let Wish { key, ids, expected } = wish.clone();
        let did = |told| Did::Append {
            ids: ids.clone(),
            expected,
            told,
        };
        let place = book.begin(key, did(Told::Nothing));
        // An append without an answer is sent again, if that does no harm.
        if matches!(expected, Expected::None | Expected::Revision(_)) {
            self.unanswered = Some(wish);
        }
        let answer = service.append_events(call(key, &ids, expected)).await;
        let told = match answer {
            Ok(appended) => {
                book.repeats
                    .fetch_add(appended.is_duplicate.into(), Ordering::Relaxed);
                self.heads.insert(key, appended.revisions.last().copied());
                Told::Stored(appended.revisions[0])
            }
            Err(AppendError::Conflict { actual, .. }) => {
                let head = actual.map(|head| head.revision);
                self.heads.insert(key, head);
                Told::Conflict(head)
            }
            Err(_) => return,
        };
        self.unanswered = None;
        book.end(key, place, did(told));
    }

    async fn read(&mut self, service: &Service, book: &Book, key: u8) {
        // Who is not answered has seen nothing.
        let begin = book.now();
        let Ok(ids) = read(service, key).await else {
            return;
        };
        self.heads.insert(key, (ids.len() as u64).checked_sub(1));
        let end = Some(book.now());
        let did = Did::Read(ids);
        let mut calls = lock(&book.calls);
        calls.entry(key).or_default().push(Call { begin, end, did });
    }
}

async fn make_topic(service: &Service) {
    let configs = [
        ("append.conditional", "true"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        // Sixteen events become a file of the key index.
        ("segment.bytes", "65536"),
    ];
    let topic = NewTopic {
        name: TOPIC.to_owned(),
        configs: configs
            .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
            .to_vec(),
        ..NewTopic::default()
    };
    let call = CreateTopicsCall {
        topics: vec![topic],
        validate_only: false,
    };
    // It may be there already, or the disk may fail: then appends fail as well.
    drop(service.create_topics(call).await);
}

fn call(key: u8, ids: &[u64], expected: Expected) -> AppendCall {
    let key = Bytes::from(vec![b'k', key]);
    let expect = match expected {
        Expected::Any => Expect::Any,
        Expected::None => Expect::NoStream {
            allow_recreate: false,
        },
        Expected::Some => Expect::Exists,
        Expected::Revision(revision) => Expect::Revision(revision),
    };
    let event = |id: &u64| NewEvent {
        key: key.clone(),
        value: Some(id.to_string().into()),
        headers: vec![("ce_id".to_owned(), Some(id.to_string().into()))],
    };
    AppendCall {
        topic: TOPIC.to_owned(),
        partition: None,
        checks: vec![StreamCheck {
            key: key.clone(),
            expect,
        }],
        events: ids.iter().map(event).collect(),
    }
}

/// The ids of all events of a stream.
async fn read(service: &Service, key: u8) -> Result<Vec<u64>, String> {
    let call = ReadStreamCall {
        topic: TOPIC.to_owned(),
        partition: None,
        key: Bytes::from(vec![b'k', key]),
        from_revision: 0,
        as_of: AsOf::Now,
        bytes_max: usize::MAX,
    };
    let read = service.read_stream(call).await;
    let events = read.map_err(|error| error.to_string())?.events;
    let id = |value: Option<Bytes>| {
        let text = value.and_then(|value| String::from_utf8(value.to_vec()).ok());
        text.and_then(|text| text.parse().ok())
    };
    let ids: Option<Vec<u64>> = events.into_iter().map(|event| id(event.value)).collect();
    ids.ok_or_else(|| format!("stream {key} has an event that was never sent"))
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

const TOPIC: &str = "orders";
const CLIENTS: usize = 3;
const KEYS: u8 = 3;
/// What each client does in a life.
const STEPS: usize = 20;
/// 2023-11-14.
const START_MS: i64 = 1_700_000_000_000;
/// Nobody waits for more than syncs.
const PATIENCE_MS: u64 = 60_000;
const STILL_TURNS: usize = 40;
