//! A task whose parts wake each other: they go on in the same turn of the task.
//!
//! Floor 2 of broker.
//!
//! A part that wakes another part of its own task wakes the task. A runtime of several threads then
//! queues it behind others and wakes a thread that could take it over: each request of a connection
//! would cost such a waking, and its bytes would move from core to core.
//!
//! Invariants
//! - No waking is lost: one that comes while the parts are polled is followed by another poll, any
//!   other one by a waking of the task.
//! - Others have their turn after [`POLLS_MAX`].

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Runs the parts of a task, which are one future.
pub(crate) async fn in_turns<T>(parts: impl Future<Output = T>) -> T {
    let mut parts = pin!(parts);
    let bell = Arc::new(Bell {
        state: AtomicU8::new(QUIET),
        task: Mutex::new(Waker::noop().clone()),
    });
    let waker = Waker::from(Arc::clone(&bell));
    let turn = poll_fn(|context| {
        bell.task().clone_from(context.waker());
        for _ in 0..POLLS_MAX {
            // Takes note of what woke it, as an exchange does and a store does not.
            bell.state.swap(POLLED, Ordering::AcqRel);
            let polled = parts.as_mut().poll(&mut Context::from_waker(&waker));
            if polled.is_ready() || bell.falls_silent() {
                return polled;
            }
        }
        bell.state.swap(QUIET, Ordering::AcqRel);
        context.waker().wake_by_ref();
        Poll::Pending
    });
    turn.await
}

/// What the parts of a task ring.
#[derive(Debug)]
struct Bell {
    state: AtomicU8,
    task: Mutex<Waker>,
}

impl Bell {
    /// Whether nobody has rung since the parts were polled; from now on it wakes the task.
    fn falls_silent(&self) -> bool {
        let (held, missed) = (Ordering::AcqRel, Ordering::Acquire);
        let swapped = self.state.compare_exchange(POLLED, QUIET, held, missed);
        swapped.is_ok()
    }

    fn task(&self) -> MutexGuard<'_, Waker> {
        // A waker is put there whole.
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let rung = |state| (state != QUIET).then_some(RUNG);
        let (held, missed) = (Ordering::AcqRel, Ordering::Acquire);
        if self.state.fetch_update(held, missed, rung).is_err() {
            let task = self.task().clone();
            task.wake();
        }
    }
}

/// Nobody polls the parts.
const QUIET: u8 = 0;
/// They are being polled.
const POLLED: u8 = 1;
/// They are being polled, and one of them was woken.
const RUNG: u8 = 2;

/// So often the parts are polled in one turn of the task: at most as many requests of a connection
/// are answered one by one before others have their turn.
const POLLS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;

    use tokio::runtime::Builder;
    use tokio::sync::mpsc;

    use super::*;

    /// Counts how often a task is woken.
    #[derive(Default)]
    struct Wakings(AtomicUsize);

    impl Wake for Wakings {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Wakings {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// One turn of a task, and how often it was woken in it.
    fn turn<T>(task: Pin<&mut impl Future<Output = T>>) -> (Poll<T>, Arc<Wakings>) {
        let wakings = Arc::<Wakings>::default();
        let waker = Waker::from(Arc::clone(&wakings));
        (task.poll(&mut Context::from_waker(&waker)), wakings)
    }

    #[test]
    fn parts_that_wake_each_other_go_on_without_waking_the_task() {
        let (to, mut from) = mpsc::channel(1);
        let (back, mut backs) = mpsc::channel(1);
        let mut task = pin!(in_turns(async {
            let near = async {
                for number in 0..5 {
                    to.send(number).await.unwrap();
                    assert_eq!(backs.recv().await, Some(number));
                }
            };
            let far = async {
                for _ in 0..5 {
                    back.send(from.recv().await.unwrap()).await.unwrap();
                }
            };
            tokio::join!(near, far)
        }));
        let (polled, wakings) = turn(task.as_mut());
        assert!(polled.is_ready());
        assert_eq!(wakings.count(), 0);
    }

    #[test]
    fn a_part_that_always_goes_on_lets_others_have_their_turn() {
        let polls = Cell::new(0);
        let mut task = pin!(in_turns(poll_fn(|context| {
            polls.set(polls.get() + 1);
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
        let (polled, wakings) = turn(task.as_mut());
        assert!(polled.is_pending());
        assert_eq!(wakings.count(), 1);
        assert_eq!(polls.get(), POLLS_MAX);
    }

    #[test]
    fn what_comes_between_two_turns_wakes_the_task_as_it_is_then() {
        let (to, mut from) = mpsc::channel(1);
        let mut task = pin!(in_turns(async { from.recv().await }));
        let (_, before) = turn(task.as_mut());
        let (polled, since) = turn(task.as_mut());
        assert!(polled.is_pending());
        assert_eq!(since.count(), 0);
        to.try_send(()).unwrap();
        assert_eq!((before.count(), since.count()), (0, 1));
        assert_eq!(turn(task.as_mut()).0, Poll::Ready(Some(())));
    }

    /// One that is lost leaves both sides waiting for ever.
    #[test]
    fn no_waking_of_another_thread_is_lost() {
        const COUNT: usize = 100_000;
        let (to, mut from) = mpsc::channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || (0..COUNT).try_for_each(|number| to.blocking_send(number)));
            let runtime = Builder::new_current_thread().build().unwrap();
            let received = runtime.block_on(in_turns(async {
                let mut count = 0;
                while from.recv().await.is_some() {
                    count += 1;
                }
                count
            }));
            assert_eq!(received, COUNT);
        });
    }
}
