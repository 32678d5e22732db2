//! How far a client of a listener with SASL has come in proving who it is.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A client that has to prove who it is can do nothing else before: it is asked which versions
//!   there are, shakes hands and sends its tokens. Once its session is over it has to do so again
//!   (KIP-368), and stays who it was.
//! - A failure is final for its connection, and says nothing of what was wrong with the proof: the
//!   same sentence after the same delay, whether or not there is such a user.
//! - No password and no proof stands in a log.

#[cfg(feature = "sasl")]
mod exchange;
#[cfg(feature = "sasl")]
mod failures;

use std::sync::{Mutex, MutexGuard, PoisonError};

use highwater_proto::clock::Mono;
#[cfg(feature = "sasl")]
use highwater_proto::sasl::Mechanism;

#[cfg(feature = "sasl")]
pub(super) use exchange::{authenticate, shake_hands};
#[cfg(feature = "sasl")]
pub(super) use failures::Failures;

/// The proof of one session.
#[derive(Debug)]
pub(super) struct Proof(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Nobody asks for it.
    NotAsked,
    /// The handshake is due.
    #[cfg(feature = "sasl")]
    Handshake,
    /// A token is due; who it was, if it proves it again.
    #[cfg(feature = "sasl")]
    Token(Form, exchange::Exchange, Option<Proved>),
    /// It is this user.
    #[cfg(feature = "sasl")]
    Done(Proved),
    /// It has proved nothing, and why.
    #[cfg(feature = "sasl")]
    Failed(String),
}

impl State {
    fn is_due(&self) -> bool {
        match self {
            Self::NotAsked => false,
            #[cfg(feature = "sasl")]
            Self::Done(_) => false,
            #[cfg(feature = "sasl")]
            Self::Handshake | Self::Token(..) | Self::Failed(_) => true,
        }
    }

    /// When the session is over; nothing if it has no end.
    fn ends(&self) -> Option<Mono> {
        match self {
            #[cfg(feature = "sasl")]
            Self::Done(proved) => proved.ends,
            _ => None,
        }
    }
}

/// Who has proved to be who, how, and for how long.
#[cfg(feature = "sasl")]
#[derive(Clone, Debug)]
struct Proved {
    user: String,
    mechanism: Mechanism,
    /// When the session is over; sessions may have no end.
    ends: Option<Mono>,
    /// When it last began to prove it again.
    again: Option<Mono>,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Whatever it likes.
    Free,
    /// Prove who it is, before anything else.
    Due,
    /// Prove it again: its session is over.
    Over,
}

/// How the tokens come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Each in a request of its own.
    Requests,
    /// Bare, behind a size: after a handshake of version 0.
    Bare,
}

impl Proof {
    /// Nobody asks this client for a proof.
    pub(super) fn not_asked() -> Self {
        Self(Mutex::new(State::NotAsked))
    }

    /// This client has to prove who it is.
    #[cfg(feature = "sasl")]
    pub(super) fn asked() -> Self {
        Self(Mutex::new(State::Handshake))
    }

    /// Whether a proof is still due.
    pub(super) fn is_due(&self) -> bool {
        self.state().is_due()
    }

    /// What the client may do with a request that came at this time.
    pub(super) fn standing(&self, at: Mono) -> Standing {
        let state = self.state();
        match state.ends() {
            _ if state.is_due() => Standing::Due,
            Some(ends) if ends <= at => Standing::Over,
            _ => Standing::Free,
        }
    }

    /// How the next token comes; nothing if none is due.
    pub(super) fn form(&self) -> Option<Form> {
        match &*self.state() {
            #[cfg(feature = "sasl")]
            State::Token(form, ..) => Some(*form),
            _ => None,
        }
    }

    /// Why the proof has failed, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        match &*self.state() {
            #[cfg(feature = "sasl")]
            State::Failed(why) => Some(why.clone()),
            _ => None,
        }
    }

    /// The name of the user, once it is proved.
    pub(super) fn user(&self) -> Option<String> {
        match &*self.state() {
            #[cfg(feature = "sasl")]
            State::Done(proved) | State::Token(.., Some(proved)) => Some(proved.user.clone()),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so that a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
