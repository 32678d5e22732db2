//! How a session with a broker is opened.
//!
//! Floor 1 of client.

use std::fmt::Debug;
use std::sync::Arc;

use highwater_proto::exchange::{BoxFuture, Exchange};
use highwater_proto::native::NativeExchange;

use crate::error::ClientError;

/// Opens a session with the broker at an address (`host:port`).
pub trait Dial: Debug + Send + Sync + 'static {
    /// Opens a new session.
    fn dial(&self, address: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>>;
}

/// Opens sessions of the native protocol, all with one broker.
pub trait DialNative: Debug + Send + Sync + 'static {
    /// Opens a new session.
    fn dial(&self) -> BoxFuture<'static, Result<Arc<dyn NativeExchange>, ClientError>>;
}

/// Opens sessions with an embedded broker, whatever the address.
///
/// Each session is what the factory makes: a broker in this process hands out as many as asked.
pub struct InProcess {
    open: Box<dyn Fn() -> Arc<dyn Exchange> + Send + Sync>,
}

impl InProcess {
    /// Sessions come from `open`.
    pub fn new(open: impl Fn() -> Arc<dyn Exchange> + Send + Sync + 'static) -> Self {
        Self {
            open: Box::new(open),
        }
    }
}

impl Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InProcess")
    }
}

impl Dial for InProcess {
    fn dial(&self, _address: &str) -> BoxFuture<'static, Result<Arc<dyn Exchange>, ClientError>> {
        let session = (self.open)();
        Box::pin(async move { Ok(session) })
    }
}
