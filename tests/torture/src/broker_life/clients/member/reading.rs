//! How a member reads: fetches that may wait, records that must continue what it has read, and an
//! append that comes just while it begins to wait.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use highwater_broker::error::FetchError;
use highwater_broker::ids::TopicRef;
use highwater_broker::service::fetch::{EpochEnd, FetchCall, FetchPartition, Fetched, Isolation};
use highwater_broker::service::offsets::OffsetAt;
use highwater_broker::service::produce::{Acks, ProducedPartition};
use highwater_log::types::Offset;

use super::{Member, Position};
use crate::broker_life::book::Oracle;
use crate::broker_life::clients::FLUSH_MS;
use crate::broker_life::clients::producer::{Batch, stored};
use crate::broker_life::clients::records;
use crate::broker_life::life::{Life, Request, lock};
use crate::broker_life::model::Value;

/// What an append that happens in between has come to: its answer, or the rest of its way there.
type Interlude = std::pin::Pin<Box<dyn Future<Output = Vec<ProducedPartition>> + Send>>;

impl Position {
    /// The broker says that what was read is gone, from there on.
    fn go_back(&mut self, life: &Life, what: &str, to: EpochEnd) {
        life.note(format!("{what}: goes back to {to:?}"));
        if to.end_offset.0 > self.next || to.epoch > self.epoch {
            let text = format!("{what} after epoch {}: {to:?}", self.epoch);
            life.broken(Oracle::O3, text);
        }
        if self.is_durable {
            let text = format!("{what}: told to go back to {to:?} from what was durable");
            life.broken(Oracle::O1, text);
        }
        life.model().book.stats.tails_told += 1;
        self.next = to.end_offset.0;
        self.epoch = to.epoch;
        self.last = None;
        self.is_durable = false;
    }
}

impl Member {
    /// Reads one partition.
    pub(super) async fn read(&mut self, life: &Life) {
        let Some((key, position)) = self.any_position() else {
            life.ask(Request::Long("a pause"), life.clock.sleep_ms(20))
                .await;
            self.is_in = !self.rng.percent(20);
            return;
        };
        if life.model().sure_id(&key.0) != Some(position.place.0) {
            self.positions.remove(&key);
            return;
        }
        let was_fsync = life.model().is_fsync(&key.0);
        let max_wait_ms = self.rng.pick(&[0, 0, 300, 20_000]);
        let call = FetchCall {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: self.rng.pick(&[1, 1_000, 1 << 20]),
            isolation: Isolation::ReadUncommitted,
            partitions: vec![FetchPartition {
                topic: TopicRef::Name(key.0.clone()),
                partition: key.1,
                current_leader_epoch: -1,
                last_fetched_epoch: position.epoch,
                fetch_offset: Offset(position.next),
                max_bytes: 1 << 20,
            }],
        };
        let end = life.offset_at(&key.0, key.1, OffsetAt::Latest).await;
        let will_wait = max_wait_ms > 0 && end.is_some_and(|end| end.offset.0 == position.next);
        life.model().book.stats.fetches_parked += u64::from(will_wait);
        let answer = if will_wait && self.rng.percent(40) {
            self.fetch_and_append(life, call, &key).await
        } else {
            let request = fetch_request(&key, &call);
            life.ask(request, life.service.fetch(call)).await
        };
        let result = answer
            .and_then(|mut answers| answers.pop())
            .map(|answer| answer.result);
        if life.model().sure_id(&key.0) != Some(position.place.0) {
            // Nobody can tell which topic of this name was read.
            self.positions.remove(&key);
            return;
        }
        match result {
            Some(Ok(fetched)) => self.fetched(life, &key, &fetched, was_fsync),
            Some(Err(error)) => self.not_fetched(life, &key, &error),
            None => {}
        }
    }

    fn any_position(&mut self) -> Option<((String, i32), Position)> {
        let count = self.positions.len();
        if count == 0 {
            return None;
        }
        let at = self.rng.below(count);
        let (key, position) = self.positions.iter().nth(at)?;
        Some((key.clone(), position.clone()))
    }

    /// A fetch during whose first look something is appended: after it has found nothing, and
    /// before it waits.
    async fn fetch_and_append(
        &mut self,
        life: &Life,
        call: FetchCall,
        key: &(String, i32),
    ) -> Option<Vec<highwater_broker::service::fetch::FetchedPartition>> {
        let batch = self.own_batch(life, key);
        let service = life.service.clone();
        let produce = batch.call(Acks::Leader);
        let mut append: Option<Interlude> =
            Some(Box::pin(
                async move { service.produce(produce).await.await },
            ));
        let begun: Arc<Mutex<Begun>> = Arc::default();
        let result = Arc::clone(&begun);
        life.clock.set_interlude(Some(Box::new(move || {
            if let Some(append) = append.take() {
                *lock(&result) = begin(append);
            }
        })));
        let request = fetch_request(key, &call);
        let mut fetch = pin!(life.service.fetch(call));
        let answer = life
            .ask(
                request,
                std::future::poll_fn(|context| {
                    let polled = fetch.as_mut().poll(context);
                    // Only the first look is disturbed.
                    life.clock.set_interlude(None);
                    polled
                }),
            )
            .await;
        let begun = std::mem::take(&mut *lock(&begun));
        let stored_at = match begun {
            Begun::Nothing => None,
            Begun::Answered(answer) => Some(answer),
            Begun::UnderWay(append) => {
                let append = life.ask(Request::Short("produce"), append).await;
                append.and_then(Result::ok)
            }
        };
        if let Some(produced) = stored_at.and_then(|mut answers| answers.pop()) {
            life.model().book.stats.appends_while_parking += 1;
            match produced.result {
                Ok(produced) => stored(life, &batch, &produced, false),
                Err(error) => life.note(format!("{:?}: {error}", batch.values)),
            }
        }
        answer
    }

    fn own_batch(&mut self, life: &Life, key: &(String, i32)) -> Batch {
        self.numbers += 1;
        let values = vec![Value {
            client: self.client,
            number: self.numbers,
        }];
        let timestamp = life.clock.wall_ms();
        let mut model = life.model();
        for value in &values {
            model.sent.insert(*value, key.clone());
        }
        Batch {
            topic: key.0.clone(),
            partition: key.1,
            place: model.sure_id(&key.0).map(|id| (id, key.1)),
            bytes: records::batch(&values, None, timestamp, 5),
            values,
            timestamp,
            tries: 0,
        }
    }

    fn fetched(&mut self, life: &Life, key: &(String, i32), fetched: &Fetched, was_fsync: bool) {
        let Some(position) = self.positions.get_mut(key) else {
            return;
        };
        let what = format!(
            "{} reads {}/{} from {}",
            self.id, key.0, key.1, position.next
        );
        if let Some(diverging) = fetched.diverging {
            position.go_back(life, &what, diverging);
            return;
        }
        let records = match records::read(&fetched.records, position.next) {
            Ok(records) => records,
            Err(text) => {
                life.broken(Oracle::O2, format!("{what}: {text}"));
                return;
            }
        };
        let (now_ms, wall_ms) = (life.clock.ms(), life.clock.wall_ms());
        let mut model = life.model();
        model.saw_start(&key.0, position.place, fetched.log_start_offset.0, wall_ms);
        if let Some((offset, value)) = position.last
            && position.epoch >= 0
            && let Some(now) = model.partition(position.place).known.get(&offset)
            && *now != value
        {
            let text = format!("{what}: {offset} was {value:?}, is {now:?}, and nobody told it");
            model.broken(Oracle::O3, text);
        }
        for found in &records {
            if found.offset != position.next {
                let text = format!("{what}: {} follows {}", found.offset, position.next - 1);
                model.broken(Oracle::O1, text);
            }
            if found.epoch < position.epoch {
                let text = format!("{what}: {found:?} after epoch {}", position.epoch);
                model.broken(Oracle::O8, text);
            }
            model.found(&key.0, position.place, found);
            position.next = found.offset + 1;
            position.epoch = found.epoch;
            position.last = Some((found.offset, found.value));
            position.is_durable = was_fsync;
        }
        let end = fetched.high_watermark.0.max(position.next);
        if position.next > fetched.high_watermark.0 {
            let text = format!(
                "{what}: reads up to {} above the high watermark {}",
                position.next, fetched.high_watermark.0
            );
            model.broken(Oracle::O8, text);
        }
        model.book.stats.records_read += records.len() as u64;
        let is_fsync = was_fsync && model.is_fsync(&key.0);
        let partition = model.partition(position.place);
        if is_fsync {
            partition.is_durable_below(end);
        } else {
            partition.is_written_below(end, Some(now_ms + FLUSH_MS));
        }
        model.book.note(format!("{what} up to {}", position.next));
    }

    fn not_fetched(&mut self, life: &Life, key: &(String, i32), error: &FetchError) {
        let Some(position) = self.positions.get_mut(key) else {
            return;
        };
        let what = format!(
            "{} reads {}/{} from {}: {error}",
            self.id, key.0, key.1, position.next
        );
        life.note(what.clone());
        match error {
            FetchError::OffsetOutOfRange { start, end, .. } => {
                let is_beyond = position.next > end.0;
                let was_seen = life.model().partition(position.place).strong;
                if is_beyond && (position.is_durable || end.0 < was_seen.min(position.next)) {
                    life.broken(Oracle::O1, what);
                }
                position.next = if is_beyond { end.0 } else { start.0 };
                position.epoch = -1;
                position.last = None;
                position.is_durable = false;
            }
            FetchError::UnknownTopicOrPartition => {
                self.positions.remove(key);
            }
            FetchError::Storage { .. } | FetchError::Corrupt { .. } if life.disk.fired() > 0 => {}
            FetchError::Storage { .. } if life.disk.is_dead() => {}
            _ => life.broken(Oracle::O1, what),
        }
    }
}

fn fetch_request(key: &(String, i32), call: &FetchCall) -> Request {
    Request::Fetch {
        topic: key.0.clone(),
        partition: key.1,
        offset: call
            .partitions
            .first()
            .map_or(0, |asked| asked.fetch_offset.0),
    }
}

/// How far an append got within another call.
#[derive(Default)]
enum Begun {
    #[default]
    Nothing,
    Answered(Vec<ProducedPartition>),
    /// A task goes on with it: what is begun and not polled may keep others waiting.
    UnderWay(tokio::task::JoinHandle<Vec<ProducedPartition>>),
}

/// As far as it goes without waiting.
fn begin(mut append: Interlude) -> Begun {
    let mut context = Context::from_waker(Waker::noop());
    match append.as_mut().poll(&mut context) {
        Poll::Ready(answer) => Begun::Answered(answer),
        Poll::Pending => Begun::UnderWay(tokio::spawn(append)),
    }
}
