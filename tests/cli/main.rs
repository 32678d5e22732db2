//! The real `highwater` binary: every command, every exit code, every sentence of bad input.

mod demo;
mod dlq;
mod doctor;
mod groups;
mod kit;
mod log;
mod outbox;
#[cfg(unix)]
mod outbox_postgres;
mod records;
mod refusals;
mod serve;
mod settings;
mod test_mode;
mod topics;
