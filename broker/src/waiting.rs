//! Who waits for records of which logs: the registry of parked fetches.
//!
//! Floor 1 of broker. Pure: no clock, no task, no lock.
//!
//! Invariants
//! - A waiter stands in the list of each of its logs, or in none.
//! - A waiter is woken at most once; what wakes it takes it out.
//! - At most `parked_max` waiters stand here.

use std::collections::HashMap;

use highwater_log::types::LogId;

/// One stay in the registry. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The registry. `W` wakes one waiter.
#[derive(Debug)]
pub struct Waiting<W> {
    parked: HashMap<Ticket, Parked<W>>,
    by_log: HashMap<LogId, Vec<Ticket>>,
    parked_max: usize,
    tickets_count: u64,
}

#[derive(Debug)]
struct Parked<W> {
    logs: Vec<LogId>,
    waker: W,
}

impl<W> Waiting<W> {
    /// An empty registry for this many waiters.
    #[must_use]
    pub fn new(parked_max: usize) -> Self {
        Self {
            parked: HashMap::new(),
            by_log: HashMap::new(),
            parked_max,
            tickets_count: 0,
        }
    }

    /// Parks a waiter until one of the logs moves; gives the waker back when there is no room.
    pub fn park(&mut self, mut logs: Vec<LogId>, waker: W) -> Result<Ticket, W> {
        if self.parked.len() >= self.parked_max {
            return Err(waker);
        }
        logs.sort_unstable();
        logs.dedup();
        self.tickets_count += 1;
        let ticket = Ticket(self.tickets_count);
        for log in &logs {
            self.by_log.entry(*log).or_default().push(ticket);
        }
        self.parked.insert(ticket, Parked { logs, waker });
        Ok(ticket)
    }

    /// Takes out everyone who waits for this log, in the order in which they came.
    pub fn moved(&mut self, log: LogId) -> Vec<W> {
        let tickets = self.by_log.remove(&log).unwrap_or_default();
        tickets
            .into_iter()
            .filter_map(|ticket| self.take(ticket))
            .collect()
    }

    /// Takes out one waiter, who has been answered otherwise.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.take(ticket);
    }

    /// Takes out everyone, and lets nobody in any more.
    pub fn close(&mut self) -> Vec<W> {
        self.parked_max = 0;
        self.by_log.clear();
        let mut parked: Vec<_> = self.parked.drain().collect();
        parked.sort_unstable_by_key(|(ticket, _)| *ticket);
        parked.into_iter().map(|(_, parked)| parked.waker).collect()
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parked.len()
    }

    fn take(&mut self, ticket: Ticket) -> Option<W> {
        let parked = self.parked.remove(&ticket)?;
        for log in &parked.logs {
            if let Some(tickets) = self.by_log.get_mut(log) {
                tickets.retain(|other| *other != ticket);
                if tickets.is_empty() {
                    self.by_log.remove(log);
                }
            }
        }
        Some(parked.waker)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(partition: u32) -> LogId {
        LogId {
            topic: [7; 16],
            partition,
        }
    }

    #[test]
    fn a_waiter_of_two_logs_is_woken_once() {
        let mut waiting = Waiting::new(10);
        waiting.park(vec![log(1), log(2)], "both").unwrap();
        waiting.park(vec![log(2)], "second").unwrap();
        assert_eq!(waiting.moved(log(1)), ["both"]);
        assert_eq!(waiting.moved(log(2)), ["second"]);
        assert_eq!(waiting.count(), 0);
        assert!(waiting.by_log.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_full_registry_gives_the_waker_back() {
        let mut waiting = Waiting::new(1);
        let ticket = waiting.park(vec![log(1)], 'a').unwrap();
        assert_eq!(waiting.park(vec![log(1)], 'b'), Err('b'));
        waiting.cancel(ticket);
        assert!(waiting.park(vec![log(1)], 'c').is_ok());
        assert_eq!(waiting.close(), ['c']);
        assert_eq!(waiting.park(vec![log(1)], 'd'), Err('d'), "closed");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Park(Vec<u32>),
        Moved(u32),
        Cancel(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            prop::collection::vec(0_u32..4, 0..4).prop_map(Step::Park),
            (0_u32..4).prop_map(Step::Moved),
            (0_usize..8).prop_map(Step::Cancel),
        ]
    }

    proptest! {
        /// Against a plain list: the same waiters wake, in the same order, each once.
        #[test]
        fn it_agrees_with_a_plain_list(steps in prop::collection::vec(step(), 0..60)) {
            let mut waiting = Waiting::new(5);
            let mut model: Vec<(Ticket, Vec<u32>, usize)> = Vec::new();
            for (name, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Park(logs) => {
                        let parked = waiting.park(logs.iter().map(|l| log(*l)).collect(), name);
                        prop_assert_eq!(parked.is_ok(), model.len() < 5);
                        if let Ok(ticket) = parked {
                            model.push((ticket, logs, name));
                        }
                    }
                    Step::Moved(moved) => {
                        let woken = waiting.moved(log(moved));
                        let (wake, stay): (Vec<_>, Vec<_>) =
                            model.into_iter().partition(|(_, logs, _)| logs.contains(&moved));
                        model = stay;
                        prop_assert_eq!(woken, wake.into_iter().map(|w| w.2).collect::<Vec<_>>());
                    }
                    Step::Cancel(at) if at < model.len() => waiting.cancel(model.remove(at).0),
                    Step::Cancel(_) => {}
                }
                prop_assert_eq!(waiting.count(), model.len());
            }
        }
    }
}
