//! How far a client of a listener with SASL has come in proving who it is.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A client that has to prove who it is can do nothing else before: it is asked which versions
//!   there are, shakes hands and sends its tokens.
//! - A failure is final for its connection, and says nothing of what was wrong with the proof: the
//!   same sentence after the same delay, whether or not there is such a user.
//! - No password and no proof stands in a log.

#[cfg(feature = "sasl")]
mod exchange;
#[cfg(feature = "sasl")]
mod failures;

use std::sync::{Mutex, MutexGuard, PoisonError};

use highwater_proto::kafka::ApiKey;

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
    /// A token is due.
    #[cfg(feature = "sasl")]
    Token(Form, exchange::Exchange),
    /// It is this user.
    #[cfg(feature = "sasl")]
    Done(String),
    /// It has proved nothing, and why.
    #[cfg(feature = "sasl")]
    Failed(String),
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
        match &*self.state() {
            State::NotAsked => false,
            #[cfg(feature = "sasl")]
            State::Done(_) => false,
            #[cfg(feature = "sasl")]
            State::Handshake | State::Token(..) | State::Failed(_) => true,
        }
    }

    /// Whether the client may ask this now.
    pub(super) fn admits(&self, api: ApiKey) -> bool {
        let before = matches!(
            api,
            ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate
        );
        before || !self.is_due()
    }

    /// How the next token comes; nothing if none is due.
    pub(super) fn form(&self) -> Option<Form> {
        match &*self.state() {
            #[cfg(feature = "sasl")]
            State::Token(form, _) => Some(*form),
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
            State::Done(user) => Some(user.clone()),
            _ => None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one assignment, so that a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
