//! Faults by script: which requests meet one, and what it does to them.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - Without a fault a request costs one relaxed load.
//! - A request meets one fault at most: the oldest that is meant for it.
//! - Sessions over TCP and in this process are treated alike.

mod effect;
mod names;
mod reply;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::kafka::Request;
use tokio::sync::watch;

pub use highwater_proto::code::ErrorCode;
pub use highwater_proto::kafka::ApiKey;

use crate::service::Service;
pub(super) use effect::{Outcome, suffer};

/// Something that goes wrong on purpose, for the requests that it is meant for: every one, until it
/// is told otherwise.
///
/// ```
/// use std::time::Duration;
/// use highwater_broker::faults::{ApiKey, ErrorCode, Fault};
///
/// let refused = Fault::fail(ErrorCode::NotLeaderOrFollower).on(ApiKey::Produce).topic("orders");
/// let three_times = refused.clone().times(3);
/// let slow_joins = Fault::delay(Duration::from_secs(2)).on(ApiKey::JoinGroup).group("billing");
/// let lost_answer = Fault::drop_connection().after_effect().on(ApiKey::Produce).skip(1).times(1);
/// # let _ = (three_times, slow_joins, lost_answer);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    action: Action,
    is_after_effect: bool,
    api: Option<ApiKey>,
    topic: Option<String>,
    group: Option<String>,
    skip: u64,
    times: Option<u64>,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Fail(ErrorCode),
    Delay(Duration),
    Drop,
    Corrupt,
}

impl Fault {
    /// The request is answered with this code, for everything that it names, and has no effect.
    #[must_use]
    pub const fn fail(code: ErrorCode) -> Self {
        Self::new(Action::Fail(code))
    }

    /// The request waits for so long on the broker's clock before it is executed, and all that
    /// follow it in its session with it.
    #[must_use]
    pub const fn delay(duration: Duration) -> Self {
        Self::new(Action::Delay(duration))
    }

    /// The session ends without an answer, before the request has an effect.
    #[must_use]
    pub const fn drop_connection() -> Self {
        Self::new(Action::Drop)
    }

    /// The request has its effect, and its answer is damaged: in the records of a Fetch a bit is
    /// wrong, so that their checksum does not fit; any other answer has lost its end. A Fetch
    /// without records is left alone, and not counted.
    #[must_use]
    pub const fn corrupt_reply() -> Self {
        Self::new(Action::Corrupt)
    }

    const fn new(action: Action) -> Self {
        Self {
            action,
            is_after_effect: matches!(action, Action::Corrupt),
            api: None,
            topic: None,
            group: None,
            skip: 0,
            times: None,
        }
    }

    /// The request has its effect first: what fails, waits or is lost is its answer.
    #[must_use]
    pub const fn after_effect(mut self) -> Self {
        self.is_after_effect = true;
        self
    }

    /// Only requests of this API.
    #[must_use]
    pub const fn on(mut self, api: ApiKey) -> Self {
        self.api = Some(api);
        self
    }

    /// Only requests that name this topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Only requests that name this group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The first `count` requests that it is meant for pass.
    #[must_use]
    pub const fn skip(mut self, count: u64) -> Self {
        self.skip = count;
        self
    }

    /// It is over after so many requests.
    #[must_use]
    pub const fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    fn is_for(&self, request: &Request, service: &Service) -> bool {
        let is_api = self.api.is_none_or(|api| api == request.key());
        is_api
            && (self.topic.as_ref()).is_none_or(|name| names::has_topic(request, name, service))
            && (self.group.as_ref()).is_none_or(|name| names::has_group(request, name))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            Action::Fail(code) => write!(f, "fail with {}", code.name())?,
            Action::Delay(duration) => write!(f, "delay by {duration:?}")?,
            Action::Drop => f.write_str("drop the connection")?,
            Action::Corrupt => f.write_str("corrupt the reply")?,
        }
        if self.is_after_effect && self.action != Action::Corrupt {
            f.write_str(" after the effect")?;
        }
        match self.api {
            Some(api) => write!(f, ", on {api}")?,
            None => f.write_str(", on every request")?,
        }
        if let Some(topic) = &self.topic {
            write!(f, ", topic {topic:?}")?;
        }
        if let Some(group) = &self.group {
            write!(f, ", group {group:?}")?;
        }
        if self.skip > 0 {
            write!(f, ", but for the first {}", self.skip)?;
        }
        match self.times {
            Some(times) => write!(f, ", {times} times"),
            None => Ok(()),
        }
    }
}

/// The faults of a broker. Clones are handles of the same ones.
///
/// ```
/// use highwater_broker::Broker;
/// use highwater_broker::faults::{ApiKey, ErrorCode, Fault};
///
/// let broker = Broker::in_memory()?;
/// let fault = Fault::fail(ErrorCode::NotLeaderOrFollower).on(ApiKey::Produce).times(3);
/// let refused = broker.faults().add(fault);
/// assert_eq!(refused.hits(), 0);
/// refused.remove();
/// # Ok::<(), highwater_broker::error::BrokerError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    count: AtomicUsize,
    scripts: Mutex<Vec<Arc<Script>>>,
}

/// A fault, and what has become of it.
#[derive(Debug)]
struct Script {
    fault: Fault,
    passed: Mutex<u64>,
    hits: watch::Sender<u64>,
}

impl Faults {
    /// From now on requests meet this fault.
    pub fn add(&self, fault: Fault) -> ScriptedFault {
        let script = Arc::new(Script {
            fault,
            passed: Mutex::default(),
            hits: watch::Sender::new(0),
        });
        self.change(|scripts| scripts.push(Arc::clone(&script)));
        ScriptedFault {
            faults: self.clone(),
            script,
        }
    }

    /// Those that were added and not removed, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<ScriptedFault> {
        let scripts = self.scripts();
        let all = scripts.iter().map(|script| ScriptedFault {
            faults: self.clone(),
            script: Arc::clone(script),
        });
        all.collect()
    }

    /// Removes all.
    pub fn clear(&self) {
        self.change(Vec::clear);
    }

    /// What this request meets, if anything.
    #[inline]
    pub(super) fn meet(&self, request: &Request, service: &Service) -> Option<Met> {
        if self.inner.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let scripts = self.scripts();
        let mut meant = scripts
            .iter()
            .filter(|script| script.fault.is_for(request, service));
        meant.find_map(Script::offer)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Script>>)) {
        let mut scripts = self.scripts();
        change(&mut scripts);
        self.inner.count.store(scripts.len(), Ordering::Relaxed);
    }

    fn scripts(&self) -> MutexGuard<'_, Vec<Arc<Script>>> {
        // Every change is one call of `Vec`, so that a panic elsewhere leaves it whole.
        let scripts = self.inner.scripts.lock();
        scripts.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    /// A request that it is meant for. One whose answer is to be corrupted counts when there is
    /// something to corrupt.
    fn offer(self: &Arc<Self>) -> Option<Met> {
        let is_met = match self.fault.action {
            Action::Corrupt => !self.is_over(),
            _ => self.take(),
        };
        is_met.then(|| Met {
            script: Arc::clone(self),
        })
    }

    /// Counts a request, unless it is over or the request is one of those that pass.
    fn take(&self) -> bool {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if *passed < self.fault.skip {
            *passed += 1;
            return false;
        }
        if self.is_over() {
            return false;
        }
        self.hits.send_modify(|hits| *hits += 1);
        true
    }

    fn is_over(&self) -> bool {
        let hits = *self.hits.borrow();
        self.fault.times.is_some_and(|times| hits >= times)
    }
}

/// A fault that a request has met.
#[derive(Debug)]
pub(super) struct Met {
    script: Arc<Script>,
}

impl Met {
    fn fault(&self) -> &Fault {
        &self.script.fault
    }

    /// Whether an answer that can be corrupted is.
    fn corrupts(&self) -> bool {
        self.script.take()
    }
}

impl fmt::Display for ScriptedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} met it)", self.script.fault, self.hits())
    }
}

/// A fault that was added. Dropping it removes nothing.
#[derive(Clone, Debug)]
pub struct ScriptedFault {
    faults: Faults,
    script: Arc<Script>,
}

impl ScriptedFault {
    /// What was asked for.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.script.fault
    }

    /// How many requests have met it.
    #[must_use]
    pub fn hits(&self) -> u64 {
        *self.script.hits.borrow()
    }

    /// Waits until so many requests have met it.
    pub async fn until_hits(&self, count: u64) {
        let mut hits = self.script.hits.subscribe();
        // The sender is part of the script, so that this cannot fail.
        drop(hits.wait_for(|hits| *hits >= count).await);
    }

    /// No further request meets it.
    pub fn remove(&self) {
        self.faults
            .change(|scripts| scripts.retain(|script| !Arc::ptr_eq(script, &self.script)));
    }
}
