//! The native listener of a broker, and its sessions in this process: how they are asked for.
//!
//! Floor 6 of broker.
//!
//! Invariants
//! - Where clients of a listener have to prove who they are, no other one is open to everybody but
//!   by a word of whoever runs the broker.

use std::sync::Arc;

use highwater_proto::native::NativeExchange;

use super::{Broker, Builder};
use crate::error::{BrokerError, InvalidConfig};
use crate::kafka::KafkaListener;
use crate::native::NativeListener;
use crate::sockets::Address;

impl Broker {
    /// Listens for clients of the native protocol at `HOST:PORT[,protocol=SSL][,access=everybody]`,
    /// for example `127.0.0.1:0` for a free port; gives the address at which they reach the broker.
    ///
    /// Whoever connects may read and write everything; with `protocol=SSL` and
    /// `ssl.client.auth=required` only who shows a certificate connects. Where a Kafka listener
    /// asks for passwords, `access=everybody` says that this is known.
    ///
    /// # Errors
    /// The text is no listener, it cannot be listened on, it is open to everybody without that word
    /// where others are not, or the broker is shut down.
    ///
    /// ```
    /// use highwater_broker::Broker;
    ///
    /// let broker = Broker::in_memory()?;
    /// let address = broker.listen_native("127.0.0.1:0")?;
    /// assert_eq!(broker.native_addresses(), [address]);
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    pub fn listen_native(&self, listener: &str) -> Result<Address, BrokerError> {
        let listener: NativeListener = listener.parse()?;
        let client_auth = self.parts.service.config().ssl_client_auth;
        let unwitting = Some(&listener).filter(|listener| listener.is_unwitting(client_auth));
        check(self.parts.kafka.guarded().as_ref(), unwitting)?;
        self.parts.native.listen(&listener)
    }

    /// Where clients of the native protocol reach the broker, in the order in which it was asked
    /// for.
    #[must_use]
    pub fn native_addresses(&self) -> Vec<Address> {
        self.parts.native.addresses()
    }

    /// A new session of the native protocol for a client in this process: typed requests, without
    /// sockets and encoding. Each session has an order of its own, as a connection has.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use bytes::Bytes;
    /// use highwater_broker::Broker;
    /// use highwater_proto::native::v1::{self, request::Call, response::Answer};
    ///
    /// let broker = Broker::in_memory()?;
    /// let fetch = v1::Fetch { topic: "no-topic".to_owned(), ..v1::Fetch::default() };
    /// let (answer, _) = broker.native().call(Call::Fetch(fetch), Bytes::new()).await?;
    /// assert!(matches!(answer, Answer::Failure(failure) if failure.code == 3));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn native(&self) -> Arc<dyn NativeExchange> {
        self.parts.native.exchange()
    }

    /// [`Self::native`] for a client that opens sessions by itself and cannot borrow the broker. It
    /// keeps nothing open: once the broker is shut down, what its sessions are asked fails.
    pub fn native_sessions(&self) -> impl Fn() -> Arc<dyn NativeExchange> + Send + Sync + use<> {
        let native = Arc::clone(&self.parts.native);
        move || native.exchange()
    }
}

impl Builder {
    /// Listens for clients of the native protocol once the broker is started, as
    /// [`Broker::listen_native`] does.
    ///
    /// ```
    /// use highwater_broker::Broker;
    ///
    /// let broker = Broker::builder().listen_native("127.0.0.1:0".parse()?).start()?;
    /// assert_eq!(broker.native_addresses().len(), 1);
    /// let guarded = "127.0.0.1:0,protocol=SASL_PLAINTEXT".parse()?;
    /// let refused = Broker::builder()
    ///     .listen_kafka(guarded)
    ///     .listen_native("127.0.0.1:0".parse()?)
    ///     .start();
    /// assert!(refused.is_err());
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    #[must_use]
    pub fn listen_native(mut self, listener: NativeListener) -> Self {
        self.native.push(listener);
        self
    }
}

/// Refuses a native listener that is open to everybody, though nobody has said so, beside a Kafka
/// listener that is not.
pub(super) fn check(
    kafka: Option<&KafkaListener>,
    unwitting: Option<&NativeListener>,
) -> Result<(), BrokerError> {
    let kafka = kafka.filter(|listener| listener.protocol.has_sasl());
    let (Some(kafka), Some(native)) = (kafka, unwitting) else {
        return Ok(());
    };
    let why = format!(
        "clients of {kafka} have to prove who they are, but whoever connects to {native} may read \
         and write everything: leave it out, ask for certificates (protocol=SSL and \
         ssl.client.auth=required), or say that this is known: {native},access=everybody"
    );
    Err(InvalidConfig::new("native", why).into())
}
