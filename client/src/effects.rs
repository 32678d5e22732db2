//! What a handler does outside of what it may do again: allowed when something happens, refused
//! when it is only replayed.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - In a replay an effect is not even begun.

use std::sync::Arc;

use thiserror::Error;

use crate::failure::HandlerError;

/// Whether what is handled happens, or is replayed. A handler gets it with each record, and does
/// through it what cannot be taken back: mails, payments, calls of others.
///
/// ```
/// use highwater_client::{Attempt, Handler, HandlerError};
///
/// struct Receipts;
///
/// impl Handler for Receipts {
///     async fn handle(&self, attempt: Attempt) -> Result<(), HandlerError> {
///         let amount = attempt.record.value.clone();
///         if !attempt.effects.is_replay() {
///             attempt.effects.external("the receipt", || send_mail(amount)).await?;
///         }
///         Ok(())
///     }
/// }
/// # async fn send_mail(_: Option<impl Sized>) -> Result<(), std::io::Error> { Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What is replayed; nothing if it happens now.
    replayed: Option<Arc<str>>,
}

/// Something was to be done outside, in a replay. It was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{what} is an effect outside, and {replayed} is only replayed: nothing was done. Ask \
     Effects::is_replay before, and leave it out"
)]
pub struct EffectRefused {
    what: String,
    replayed: Arc<str>,
}

impl Effects {
    /// Of what is replayed.
    pub(crate) const fn of_replay(replayed: Arc<str>) -> Self {
        Self {
            replayed: Some(replayed),
        }
    }

    /// Whether it has happened before and is only looked at again.
    #[must_use]
    pub const fn is_replay(&self) -> bool {
        self.replayed.is_some()
    }

    /// Does something outside. `what` names it in errors: "the receipt".
    ///
    /// # Errors
    /// Of the effect; of the class [`FailureClass::Stop`](crate::FailureClass::Stop) with an
    /// [`EffectRefused`] in a replay, where nothing is done.
    pub async fn external<T, E, F>(
        &self,
        what: &str,
        effect: impl FnOnce() -> F,
    ) -> Result<T, HandlerError>
    where
        F: Future<Output = Result<T, E>>,
        E: Into<HandlerError>,
    {
        if let Some(replayed) = &self.replayed {
            return Err(HandlerError::stop(EffectRefused {
                what: what.to_owned(),
                replayed: Arc::clone(replayed),
            }));
        }
        effect().await.map_err(Into::into)
    }
}
