//! Why a handler could not handle a record, told apart by what is to be done with it.
//!
//! Floor 1 of client. Pure.
//!
//! Invariants
//! - An error that nobody has classified is tried again; only what says so is dropped.
//! - What cannot be decoded will not be decoded by trying again.

use std::error::Error;
use std::fmt::{self, Display, Write};
use std::time::Duration;

use crate::error::ClientError;

/// What is to be done with a record after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureClass {
    /// Try again after the back-off.
    Retry,
    /// Try again after the back-off, and not before so much time has passed.
    RetryAfter(Duration),
    /// Never try again: a dead letter at once.
    Dead,
    /// It cannot be read: a dead letter at once, with the bytes as they came.
    Invalid,
    /// Count it and drop it.
    Skip,
    /// Not the record is at fault but something that all records need: everything waits, one
    /// record probes, and no attempt counts.
    Systemic,
    /// The handler panicked: as [`Self::Retry`].
    Panic,
    /// Neither try it again nor pass it by: its partition stops at it, whatever is said of dead
    /// letters, until it goes to another member or the handler is started again.
    Stop,
}

impl FailureClass {
    /// The class as dead letters name it in the header `hw-dlt-class`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Retry | Self::RetryAfter(_) | Self::Systemic => "retry",
            Self::Dead | Self::Skip | Self::Stop => "dead",
            Self::Invalid => "invalid",
            Self::Panic => "panic",
        }
    }
}

/// A record was not handled. `?` on any error makes one of the class [`FailureClass::Retry`], or
/// of [`FailureClass::Invalid`] if its cause is a [`ClientError::Undecodable`].
///
/// ```
/// use std::time::Duration;
/// use highwater_client::{FailureClass, HandlerError};
///
/// fn amount(text: &str) -> Result<i64, HandlerError> {
///     let amount = text.parse()?;
///     if amount < 0 {
///         return Err(HandlerError::dead(format!("the amount {amount} is negative")));
///     }
///     Ok(amount)
/// }
/// assert_eq!(amount("x").unwrap_err().class(), FailureClass::Retry);
/// assert_eq!(amount("-1").unwrap_err().class(), FailureClass::Dead);
///
/// let later = HandlerError::retry_after(Duration::from_secs(30), "the account is locked");
/// assert_eq!(later.to_string(), "the account is locked");
/// ```
#[derive(Debug)]
pub struct HandlerError {
    class: FailureClass,
    kind: &'static str,
    error: Box<dyn Error + Send + Sync>,
}

impl HandlerError {
    /// Of a class that is known by value; out of an error or a sentence.
    pub fn new<E: Into<Box<dyn Error + Send + Sync>>>(class: FailureClass, error: E) -> Self {
        let kind = match std::any::type_name::<E>() {
            "&str" | "alloc::string::String" => std::any::type_name::<Self>(),
            kind => kind,
        };
        Self {
            class,
            kind,
            error: error.into(),
        }
    }

    /// Try it again after the back-off.
    pub fn retry<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::new(FailureClass::Retry, error)
    }

    /// Try it again after the back-off, and not before `pause` has passed.
    pub fn retry_after<E: Into<Box<dyn Error + Send + Sync>>>(pause: Duration, error: E) -> Self {
        Self::new(FailureClass::RetryAfter(pause), error)
    }

    /// Never try it again: it becomes a dead letter.
    pub fn dead<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::new(FailureClass::Dead, error)
    }

    /// Drop it: it is counted, and nothing is kept of it.
    pub fn skip<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::new(FailureClass::Skip, error)
    }

    /// A dependency of all records is down: wait until one record comes through.
    pub fn systemic<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::new(FailureClass::Systemic, error)
    }

    /// Stop its partition at it: going on would do harm, and so would a dead letter.
    pub fn stop<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::new(FailureClass::Stop, error)
    }

    /// What is to be done.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        self.class
    }

    /// The type of the error, as Rust names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn with_class(self, class: FailureClass) -> Self {
        Self { class, ..self }
    }

    /// The error or the nearest of its causes that is of a type.
    pub(crate) fn cause<E: Error + 'static>(&self) -> Option<&E> {
        causes(&*self.error).find_map(|error| error.downcast_ref())
    }

    /// The error and its causes, one a line: what Java would call its stack trace.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut chain = format!("{}: {}", self.kind, self.error);
        for cause in causes(&*self.error).skip(1) {
            // Writing into a text cannot fail.
            let _ = write!(chain, "\nCaused by: {cause}");
        }
        chain
    }
}

impl Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let class = match is_undecodable(&error) {
            true => FailureClass::Invalid,
            false => FailureClass::Retry,
        };
        Self::new(class, error)
    }
}

/// Whether an error, or one of its causes, says that a record cannot be read.
fn is_undecodable(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|it| matches!(it.downcast_ref(), Some(ClientError::Undecodable { .. })))
}

/// An error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let source = |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    };
    std::iter::successors(Some(error), source).take(CAUSES_MAX)
}

/// An error that knows what is to be done; used by [`OrFail::classified`].
///
/// ```
/// use highwater_client::{Classify, FailureClass, HandlerError, OrFail};
///
/// #[derive(Debug)]
/// enum Payment {
///     GatewayIsDown,
///     CardIsUnknown,
/// }
///
/// impl std::fmt::Display for Payment {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "{self:?}")
///     }
/// }
///
/// impl std::error::Error for Payment {}
///
/// impl Classify for Payment {
///     fn class(&self) -> FailureClass {
///         match self {
///             Self::GatewayIsDown => FailureClass::Systemic,
///             Self::CardIsUnknown => FailureClass::Dead,
///         }
///     }
/// }
///
/// fn pay(result: Result<(), Payment>) -> Result<(), HandlerError> {
///     result.classified()
/// }
/// assert_eq!(pay(Err(Payment::GatewayIsDown)).unwrap_err().class(), FailureClass::Systemic);
/// assert_eq!(pay(Err(Payment::CardIsUnknown)).unwrap_err().class(), FailureClass::Dead);
/// ```
pub trait Classify: Error + Send + Sync + 'static {
    /// What is to be done with the record.
    fn class(&self) -> FailureClass;
}

/// Results whose errors are classified on the way out of a handler.
pub trait OrFail<T, E>: Sized {
    /// As the error itself says.
    ///
    /// # Errors
    /// The error, with its class.
    fn classified(self) -> Result<T, HandlerError>
    where
        E: Classify;

    /// Systemic if the test says so, else to be tried again, as with `?`.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use highwater_client::{FailureClass, OrFail};
    ///
    /// let is_down = |error: &Error| error.kind() == ErrorKind::ConnectionRefused;
    /// let call: Result<(), Error> = Err(ErrorKind::ConnectionRefused.into());
    /// let error = call.systemic_if(is_down).unwrap_err();
    /// assert_eq!(error.class(), FailureClass::Systemic);
    /// ```
    ///
    /// # Errors
    /// The error, with its class.
    fn systemic_if(self, is_systemic: impl FnOnce(&E) -> bool) -> Result<T, HandlerError>;

    /// A dead letter if the test says so, else to be tried again, as with `?`.
    ///
    /// # Errors
    /// The error, with its class.
    fn dead_if(self, is_dead: impl FnOnce(&E) -> bool) -> Result<T, HandlerError>;
}

impl<T, E: Error + Send + Sync + 'static> OrFail<T, E> for Result<T, E> {
    fn classified(self) -> Result<T, HandlerError>
    where
        E: Classify,
    {
        self.map_err(|error| HandlerError::new(error.class(), error))
    }

    fn systemic_if(self, is_systemic: impl FnOnce(&E) -> bool) -> Result<T, HandlerError> {
        self.map_err(|error| match is_systemic(&error) {
            true => HandlerError::systemic(error),
            false => HandlerError::from(error),
        })
    }

    fn dead_if(self, is_dead: impl FnOnce(&E) -> bool) -> Result<T, HandlerError> {
        self.map_err(|error| match is_dead(&error) {
            true => HandlerError::dead(error),
            false => HandlerError::from(error),
        })
    }
}

/// A chain of causes that goes in a circle has an end, too.
const CAUSES_MAX: usize = 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the order was not read")]
    struct NotRead(#[source] ClientError);

    fn undecodable() -> ClientError {
        ClientError::Undecodable {
            topic: "t".to_owned(),
            partition: 0,
            offset: 7,
            format: "JSON",
            why: "it ends early".to_owned(),
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_not_tried_again_however_deep_it_lies() {
        let class = |error: HandlerError| error.class();
        assert_eq!(class(undecodable().into()), FailureClass::Invalid);
        assert_eq!(class(NotRead(undecodable()).into()), FailureClass::Invalid);
        assert_eq!(class(ClientError::Closed.into()), FailureClass::Retry);
        assert_eq!(
            class(NotRead(ClientError::Closed).into()),
            FailureClass::Retry
        );
    }

    #[test]
    fn an_error_names_its_type_and_its_causes() {
        let error = HandlerError::from(NotRead(undecodable()));
        assert!(error.kind().ends_with("NotRead"), "{}", error.kind());
        assert_eq!(error.to_string(), "the order was not read");
        let chain = error.chain();
        let (first, second) = chain.split_once('\n').unwrap();
        assert!(
            first.ends_with("NotRead: the order was not read"),
            "{first}"
        );
        let cause = "Caused by: the value of t-0@7 cannot be read as JSON: it ends early";
        assert_eq!(second, cause);
        let said = HandlerError::dead("no such account");
        assert!(said.kind().ends_with("HandlerError"), "{}", said.kind());
    }
}
