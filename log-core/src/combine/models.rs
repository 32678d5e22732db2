//! Every interleaving of the hand-off, the wake-up and the poison, within the bounds.
//!
//! Floor 0 of log-core. Run by `tests/loom`: at most 3 threads, preemption bound 3.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::*;

fn model(body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_duration = Some(Duration::from_secs(10));
    builder.check(body);
}

/// What stage 1 does: push, offer to drive, work off all that is queued.
fn push_and_drive(queue: &Combine<usize>, item: usize, taken: &AtomicUsize, driving: &AtomicBool) {
    queue.push(item).expect("nobody closed it");
    let Some(mut driver) = queue.drive() else {
        return;
    };
    assert!(
        !driving.swap(true, Ordering::AcqRel),
        "two drivers at a time"
    );
    loop {
        // Cleared before the take that may end this drive; from then on another may begin.
        driving.store(false, Ordering::Release);
        let items = driver.take();
        if items.is_empty() {
            return;
        }
        assert!(
            !driving.swap(true, Ordering::AcqRel),
            "two drivers at a time"
        );
        for item in items {
            let before = taken.fetch_add(1 << (8 * item), Ordering::AcqRel);
            assert_eq!((before >> (8 * item)) & 0xff, 0, "an item was taken twice");
        }
    }
}

/// Three callers at once: each item is taken exactly once, never by two drivers at a time, and
/// the queue is idle and empty when all have returned.
#[test]
fn loom_no_item_is_lost_and_there_are_never_two_drivers() {
    model(|| {
        let queue = Arc::new(Combine::new());
        let taken = Arc::new(AtomicUsize::new(0));
        let driving = Arc::new(AtomicBool::new(false));
        let others: Vec<_> = (1..3)
            .map(|item| {
                let (queue, taken) = (Arc::clone(&queue), Arc::clone(&taken));
                let driving = Arc::clone(&driving);
                thread::spawn(move || push_and_drive(&queue, item, &taken, &driving))
            })
            .collect();
        push_and_drive(&queue, 0, &taken, &driving);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(taken.load(Ordering::Acquire), 0x01_01_01);
        assert!(queue.drive().is_none(), "an item was left behind");
    });
}

/// A driver that stops early and rings for the committer loses nothing.
#[test]
fn loom_a_driver_that_leaves_hands_over_to_the_committer() {
    model(|| {
        let queue = Arc::new(Combine::new());
        let bell = Arc::new(Bell::new());
        let taken = Arc::new(AtomicUsize::new(0));
        let committer = {
            let (queue, bell, taken) = (Arc::clone(&queue), Arc::clone(&bell), Arc::clone(&taken));
            thread::spawn(move || {
                while taken.load(Ordering::Acquire) < 2 {
                    bell.wait();
                    let Some(mut driver) = queue.drive() else {
                        continue;
                    };
                    loop {
                        let items: Vec<u8> = driver.take();
                        if items.is_empty() {
                            break;
                        }
                        taken.fetch_add(items.len(), Ordering::AcqRel);
                    }
                }
            })
        };
        let caller = |queue: &Combine<u8>, bell: &Bell| {
            queue.push(1).expect("nobody closed it");
            if let Some(driver) = queue.drive() {
                driver.leave();
            }
            bell.ring();
        };
        let other = {
            let (queue, bell) = (Arc::clone(&queue), Arc::clone(&bell));
            thread::spawn(move || caller(&queue, &bell))
        };
        caller(&queue, &bell);
        other.join().unwrap();
        // The committer may have counted the last item before the last ring.
        committer.join().unwrap();
        assert_eq!(taken.load(Ordering::Acquire), 2);
    });
}

/// Two writers hand cycles to the committer (put, ring; wait, take): it takes both and then
/// sleeps no more than it is told to.
#[test]
fn loom_no_wake_up_of_the_committer_is_lost() {
    model(|| {
        let waiting = Arc::new(Mutex::new(0_u8));
        let bell = Arc::new(Bell::new());
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let (waiting, bell) = (Arc::clone(&waiting), Arc::clone(&bell));
                thread::spawn(move || {
                    *lock(&waiting) += 1;
                    bell.ring();
                })
            })
            .collect();
        let mut committed = 0;
        while committed < 2 {
            // A lost ring leaves this thread asleep with work waiting: loom reports a deadlock.
            bell.wait();
            committed += std::mem::take(&mut *lock(&waiting));
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(*lock(&waiting), 0);
    });
}

/// Answers its caller when it is dropped, as an append does.
struct Item(Arc<Reply<bool>>);

impl Drop for Item {
    fn drop(&mut self) {
        self.0.give(false);
    }
}

/// The driver is gone in the middle of its work (its guard runs as in a panic) while a follower
/// pushes: the follower always gets its answer, refused or dropped.
#[test]
fn loom_poison_reaches_the_followers() {
    model(|| {
        let queue = Arc::new(Combine::new());
        let first = Arc::new(Reply::new());
        queue
            .push(Item(Arc::clone(&first)))
            .ok()
            .expect("nobody closed it");
        let driver = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                if let Some(mut driver) = queue.drive() {
                    let _in_hand = driver.take();
                    drop(driver);
                }
            })
        };
        let reply = Arc::new(Reply::new());
        if let Err((item, why)) = queue.push(Item(Arc::clone(&reply))) {
            assert!(matches!(why, LogError::Poisoned { .. }));
            drop(item);
        } else if let Some(mut own) = queue.drive() {
            // The driver had not begun, or was done before the push.
            while !own.take().is_empty() {}
        }
        assert!(!first.wait().given() && !reply.wait().given());
        driver.join().unwrap();
        assert!(queue.drive().is_none(), "an item was left behind");
    });
}

/// A failed sync abandons the queue while two callers push: each of them is answered.
#[test]
fn loom_abandoning_answers_everybody() {
    model(|| {
        let queue = Arc::new(Combine::new());
        let caller = |queue: &Combine<Item>| {
            let reply = Arc::new(Reply::new());
            match queue.push(Item(Arc::clone(&reply))) {
                Err((item, _why)) => drop(item),
                Ok(()) => {
                    if let Some(mut driver) = queue.drive() {
                        while !driver.take().is_empty() {}
                    }
                }
            }
            reply.wait().given()
        };
        let other = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || caller(&queue))
        };
        let failing = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || drop(queue.abandon(LogError::Closed)))
        };
        assert!(!caller(&queue));
        assert!(!other.join().unwrap());
        failing.join().unwrap();
        assert!(queue.drive().is_none());
    });
}

/// Register, look again, park: a waiter that registers while the mark is being moved either sees
/// the new mark when it looks again, or is found and woken by the one who moved it.
#[test]
fn loom_register_look_again_park() {
    model(|| {
        let mark = Arc::new(AtomicUsize::new(0));
        let parked = Arc::new(Mutex::new(Vec::<Arc<Reply<()>>>::new()));
        let committer = {
            let (mark, parked) = (Arc::clone(&mark), Arc::clone(&parked));
            thread::spawn(move || {
                mark.store(1, Ordering::Release);
                let woken = std::mem::take(&mut *lock(&parked));
                woken.iter().for_each(|waiter| waiter.give(()));
            })
        };
        if mark.load(Ordering::Acquire) == 0 {
            let me = Arc::new(Reply::new());
            lock(&parked).push(Arc::clone(&me));
            if mark.load(Ordering::Acquire) == 0 {
                me.wait().given();
            }
        }
        assert_eq!(mark.load(Ordering::Acquire), 1);
        committer.join().unwrap();
    });
}

/// Somebody who waits is called, if it waits already, and given the value afterwards: it finds the
/// call first, and nobody is called who does not find it.
#[test]
fn loom_a_call_is_found_before_the_value() {
    model(|| {
        let reply = Arc::new(Reply::new());
        let other = {
            let reply = Arc::clone(&reply);
            thread::spawn(move || {
                let is_called = reply.call();
                reply.give(is_called);
            })
        };
        let (was_called, is_called) = match reply.wait() {
            Woken::Given(is_called) => (false, is_called),
            Woken::Called => (true, reply.wait().given()),
        };
        assert_eq!(was_called, is_called);
        other.join().unwrap();
    });
}
