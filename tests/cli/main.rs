//! The real `highwater` binary: every command, every exit code, every sentence of bad input.

#[cfg(feature = "tls")]
#[path = "../../broker/tests/tls/certs.rs"]
#[expect(dead_code, reason = "other tests use the rest of it")]
mod certs;
mod demo;
mod dlq;
mod doctor;
mod events;
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
mod story;
mod test_mode;
#[cfg(feature = "tls")]
mod tls;
mod topics;
mod users;
