//! The words of the machine: what goes in, what comes out, and a batch on its way.
//!
//! Floor 6 of client. Pure.

use std::collections::HashSet;
use std::time::Duration;

use highwater_proto::clock::Mono;

use crate::outbox::capture::Row;
use crate::outbox::router::Lane;
use crate::record::Record;

#[derive(Clone, Copy, Debug)]
pub(in crate::outbox) struct Rules {
    /// How often a row is tried before it is parked.
    pub(in crate::outbox) attempts_max: u32,
    /// How long a leader may be silent.
    pub(in crate::outbox) lease: Duration,
    /// The pauses between two looks at the database: after rows, and when nothing happens.
    pub(in crate::outbox) poll_first: Duration,
    pub(in crate::outbox) poll_max: Duration,
    /// How long what is being published may take when the relay is stopped.
    pub(in crate::outbox) drain: Duration,
}

#[derive(Clone, Debug)]
pub(in crate::outbox) enum Input {
    Led(Result<Led, Trouble>),
    Version(Result<Option<i64>, Trouble>),
    /// With the database's version from before.
    Read(Result<(Option<i64>, Work), Trouble>),
    Proven(Result<(), Trouble>),
    /// What became of each row that was to be sent.
    Published(Vec<(usize, Result<(), Fault>)>),
    /// With the lanes that are parked now, if that may have changed.
    Stored(Result<Option<Vec<Lane>>, Trouble>),
    /// Well or badly.
    Resigned,
    /// Somebody has committed something.
    Woken,
    /// Time has passed.
    Tick,
    Stop,
}

/// What came of the try for the lead.
#[derive(Clone, Debug)]
pub(in crate::outbox) enum Led {
    /// With the lanes that are parked.
    Leads(Vec<Lane>),
    /// Another one leads, with this beat.
    Follows(i64),
}

/// The database did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::outbox) enum Trouble {
    /// It may do so later.
    Away,
    /// Another relay leads.
    Overtaken,
}

/// What the database was asked for, without an answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Lead,
    Version,
    Read { ahead: bool, at: Mono },
    Prove { at: Mono },
    Store { at: Mono },
    Resign,
}

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// What is being published may end, and be stored, until then.
    Asked(Mono),
    /// The lead may be given back until then.
    Late(Mono),
    Done,
}

/// The broker did not take a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::outbox) enum Fault {
    /// It never will.
    Final(String),
    /// It is this row's fault, and may pass.
    Row(String),
    /// It is nobody's fault: the row was not sent since an earlier one of its lane was not.
    Held,
    /// No row would have been taken.
    Broker,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::outbox) enum Effect {
    /// Try for the lead; also if a leader has this beat still.
    Lead { silent: Option<i64> },
    /// Ask for the number of the database's commits.
    Version,
    /// Read the next rows.
    Read,
    /// Show that it leads, in a durable commit.
    Prove,
    /// Send these rows of the current work, in this order.
    Publish(Vec<usize>),
    /// Store what became of the current work.
    Store,
    /// Let the lead go.
    Resign,
    /// Drop what is being published.
    Abandon,
    /// Drop what the database was asked for.
    Disconnect,
}

/// Where rows were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::outbox) enum Origin {
    #[default]
    Table,
    /// Among the parked ones, after a command.
    Parked,
}

/// Rows on their way.
#[derive(Clone, Debug, Default)]
pub(in crate::outbox) struct Work {
    pub(in crate::outbox) origin: Origin,
    pub(in crate::outbox) items: Vec<Item>,
    pub(in crate::outbox) position: String,
    pub(in crate::outbox) has_more: bool,
    pub(in crate::outbox) proof: Proof,
}

/// What the transaction has shown that read the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::outbox) enum Proof {
    /// Nothing: a durable commit has to follow before they are published.
    #[default]
    None,
    /// That the relay leads, and that all that was seen is on the disk already.
    Seen,
    /// It is a durable commit of the relay's own, which counts as one more beat.
    Committed,
}

/// A row on its way.
#[derive(Clone, Debug)]
pub(in crate::outbox) struct Item {
    pub(in crate::outbox) row: Row,
    pub(in crate::outbox) lane: Option<Lane>,
    pub(in crate::outbox) attempts: u32,
    /// What it becomes; until it is sent for the first time.
    record: Option<Result<Record, String>>,
    state: State,
    error: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unsent,
    Published,
    /// Dropped by a command.
    Dropped,
    Parked,
}

/// What came of one round of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    Done,
    /// Rows have to be tried again; with the most attempts that one of them has had.
    RowsFailed(u32),
    BrokerFailed,
}

impl Item {
    pub(in crate::outbox) const fn new(row: Row, lane: Option<Lane>, attempts: u32) -> Self {
        Self {
            row,
            lane,
            attempts,
            record: None,
            state: State::Unsent,
            error: String::new(),
        }
    }

    /// The same with what it becomes, or why it becomes nothing.
    pub(in crate::outbox) fn becoming(mut self, record: Result<Record, String>) -> Self {
        self.record = Some(record);
        self
    }

    pub(super) const fn take_record(&mut self) -> Option<Result<Record, String>> {
        self.record.take()
    }

    /// The same, not to be published.
    pub(in crate::outbox) const fn dropped(mut self) -> Self {
        self.state = State::Dropped;
        self
    }

    /// Why it is parked, if it is.
    pub(in crate::outbox) fn parked(&self) -> Option<&str> {
        (self.state == State::Parked).then_some(self.error.as_str())
    }

    /// For tests: unsent, published, dropped, parked.
    #[cfg(test)]
    pub(super) const fn letter(&self) -> char {
        match self.state {
            State::Unsent => 'u',
            State::Published => 'p',
            State::Dropped => 'd',
            State::Parked => 'k',
        }
    }

    fn park(&mut self, error: String) {
        self.state = State::Parked;
        self.error = error;
    }
}

impl Work {
    /// Whether every row is published, dropped or parked.
    pub(super) fn is_settled(&self) -> bool {
        self.items.iter().all(|item| item.state != State::Unsent)
    }

    pub(super) fn unsent(&self) -> Vec<usize> {
        let items = self.items.iter().enumerate();
        let unsent = items.filter(|(_, item)| item.state == State::Unsent);
        unsent.map(|(index, _)| index).collect()
    }

    /// Parks the rows whose lanes are parked. Rows that were parked themselves come with a command:
    /// their lanes wait for them.
    pub(super) fn park_behind(&mut self, parked: &HashSet<Lane>) {
        if self.origin == Origin::Parked || parked.is_empty() {
            return;
        }
        for item in &mut self.items {
            let is_behind = item.lane.as_ref().is_some_and(|lane| parked.contains(lane));
            if item.state == State::Unsent && is_behind {
                item.park(BEHIND.to_owned());
            }
        }
    }

    /// Takes in what became of rows that were sent. Behind a row of its lane that was not
    /// published, none counts as published.
    pub(super) fn settle(
        &mut self,
        results: Vec<(usize, Result<(), Fault>)>,
        attempts_max: u32,
    ) -> Round {
        let mut round = Round::Done;
        // Lanes of which a row waits, or was parked, in this round.
        let mut waiting = HashSet::new();
        let mut stopped = HashSet::new();
        for (index, result) in results {
            let Some(item) = self.items.get_mut(index) else {
                continue;
            };
            let lane = item.lane.clone();
            let is_among =
                |lanes: &HashSet<Lane>| lane.as_ref().is_some_and(|it| lanes.contains(it));
            if is_among(&stopped) {
                item.park(BEHIND.to_owned());
                continue;
            }
            let fault = match result {
                Ok(()) if !is_among(&waiting) => {
                    item.state = State::Published;
                    continue;
                }
                Ok(()) | Err(Fault::Held) => continue,
                Err(fault) => fault,
            };
            match fault {
                Fault::Broker | Fault::Held => round = Round::BrokerFailed,
                Fault::Row(error) | Fault::Final(error) if is_among(&waiting) => item.error = error,
                Fault::Row(error) if item.attempts.saturating_add(1) < attempts_max => {
                    item.attempts += 1;
                    item.error = error;
                    round = round.with_failed_row(item.attempts);
                }
                Fault::Row(error) | Fault::Final(error) => {
                    item.attempts = item.attempts.saturating_add(1);
                    item.park(error);
                    stopped.extend(lane);
                    continue;
                }
            }
            waiting.extend(lane);
        }
        round
    }
}

impl Round {
    /// The broker's failure weighs more.
    fn with_failed_row(self, attempts: u32) -> Self {
        match self {
            Self::Done => Self::RowsFailed(attempts),
            Self::RowsFailed(most) => Self::RowsFailed(most.max(attempts)),
            Self::BrokerFailed => Self::BrokerFailed,
        }
    }
}

/// Why a row is parked that could be published.
const BEHIND: &str = "an earlier row of its key is parked";
