//! The queue, its driver and its drop guard, one thread at a time.
//!
//! Floor 0 of log-core.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::*;

fn closed() -> LogError {
    LogError::Closed
}

#[test]
fn items_pushed_while_one_drives_are_taken_in_order_by_it() {
    let queue = Combine::new();
    queue.push(1).unwrap();
    let mut driver = queue.drive().expect("idle, with one item");
    assert_eq!(driver.take(), [1]);
    queue.push(2).unwrap();
    queue.push(3).unwrap();
    assert!(queue.drive().is_none(), "a second driver");
    assert_eq!(driver.take(), [2, 3]);
    assert!(driver.take().is_empty());
    drop(driver);
    queue.push(4).unwrap();
    assert_eq!(queue.drive().expect("idle again").take(), [4]);
}

#[test]
fn an_empty_queue_has_nothing_to_drive() {
    assert!(Combine::<u8>::new().drive().is_none());
}

#[test]
fn a_driver_that_leaves_hands_over_what_is_queued() {
    let queue = Combine::new();
    queue.push(1).unwrap();
    queue.drive().expect("idle").leave();
    let mut next = queue.drive().expect("left, not done");
    assert_eq!(next.take(), [1]);
    assert!(next.take().is_empty());
    queue.push(2).expect("leaving is not a panic");
}

#[test]
fn a_closed_queue_refuses_what_comes_and_keeps_what_it_has() {
    let queue = Combine::new();
    queue.push(1).unwrap();
    queue.close(closed());
    let (item, why) = queue.push(2).unwrap_err();
    assert_eq!(item, 2);
    assert!(matches!(why, LogError::Closed));
    assert_eq!(queue.drive().expect("still to be driven").take(), [1]);
}

#[test]
fn an_abandoned_queue_gives_back_what_it_has() {
    let queue = Combine::new();
    queue.push(1).unwrap();
    assert_eq!(
        queue.abandon(LogError::Poisoned { why: "test".into() }),
        [1]
    );
    assert!(matches!(queue.push(2), Err((2, LogError::Poisoned { .. }))));
}

#[test]
fn a_panicking_driver_drops_the_queue_and_refuses_what_comes() {
    struct Item<'a>(u8, &'a RefCell<Vec<u8>>);
    impl Drop for Item<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    let dropped = RefCell::new(Vec::new());
    let queue = Combine::new();
    queue.push(Item(1, &dropped)).ok().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut driver = queue.drive().expect("idle");
        let _taken = driver.take();
        queue.push(Item(2, &dropped)).ok().unwrap();
        panic!("in the middle of the work");
    }));
    assert!(panic.is_err());
    assert_eq!(*dropped.borrow(), [1, 2]);
    assert!(matches!(
        queue.push(Item(3, &dropped)),
        Err((_, LogError::Poisoned { .. }))
    ));
    assert!(queue.drive().is_none());
}

#[test]
fn a_ring_before_the_wait_is_kept_once() {
    let bell = Bell::new();
    bell.ring();
    bell.ring();
    bell.wait();
    assert!(!*lock(&bell.rung), "one wait takes all rings");
    bell.wait_at_most(Duration::ZERO);
}

/// Whoever does something else may not be back for long.
#[test]
fn nobody_is_called_who_does_not_wait() {
    let reply = Reply::new();
    assert!(!reply.call());
    reply.give(7);
    assert_eq!(reply.wait().given(), 7);
}

#[test]
fn a_reply_crosses_threads() {
    let reply = Arc::new(Reply::new());
    let giver = Arc::clone(&reply);
    std::thread::scope(|scope| {
        scope.spawn(move || giver.give(7));
        assert_eq!(reply.wait().given(), 7);
    });
}
