//! Why a command was not done: a sentence and an exit code.
//!
//! Floor 0 of cli.

use std::io;

use highwater_broker::error::BrokerError;
use highwater_client::ClientError;
use highwater_log::error::LogError;

/// A command was not done, or not all of it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for makes no sense, whatever the state of the world.
    Usage(String),
    /// The world was not so.
    Failed(String),
    /// A signal came before it was done.
    Interrupted,
    /// Whoever read the output is gone: no reason to complain.
    NobodyReads,
    /// Usage was wrong, and help has been printed.
    Told,
    /// The command did its work and found something wrong, which it has printed.
    Found,
}

impl Failure {
    /// A failure of the world, in a sentence.
    pub(crate) fn failed(sentence: impl ToString) -> Self {
        Self::Failed(sentence.to_string())
    }

    /// What to print; `None` if there is nothing more to say.
    pub(crate) fn sentence(&self) -> Option<&str> {
        match self {
            Self::Usage(sentence) | Self::Failed(sentence) => Some(sentence),
            Self::Interrupted => Some("interrupted"),
            Self::NobodyReads | Self::Told | Self::Found => None,
        }
    }

    /// The exit code of the process.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::Failed(_) | Self::Interrupted | Self::Found => 1,
            Self::Usage(_) | Self::Told => 2,
        }
    }

    /// The standard output cannot be written.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::Failed(format!("cannot write the output: {error}"))
        }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Config(_) => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Invalid(why) => Self::Usage(why),
            // Nothing was sent: what matters is why.
            ClientError::NotSent(why) => Self::Failed(why),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        Self::Failed(error.to_string())
    }
}
