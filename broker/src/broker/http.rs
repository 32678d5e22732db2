//! The HTTP listener of a broker: how it is asked for.
//!
//! Floor 6 of broker, behind the feature `http`.

use super::{Broker, Builder};
use crate::error::BrokerError;
use crate::http::HttpListener;
use crate::sockets::Address;

impl Broker {
    /// Serves health and metrics over HTTP at `HOST:PORT[,protocol=SSL]`, for example `127.0.0.1:0`
    /// for a free port; gives the address at which they are reached. There are
    /// - `/health/live`: the process answers;
    /// - `/health/ready`: 200, or 503 and why nothing can be stored;
    /// - `/metrics`: the text format of Prometheus.
    ///
    /// Whoever connects may read the names of topics and groups. With `protocol=SSL` it is HTTPS,
    /// with the certificate of the Kafka listeners, and `ssl.client.auth` counts as it does there.
    ///
    /// # Errors
    /// The text is no listener, it cannot be listened on, or the broker is shut down.
    ///
    /// ```
    /// use highwater_broker::Broker;
    ///
    /// let broker = Broker::in_memory()?;
    /// let address = broker.listen_http("127.0.0.1:0")?;
    /// assert_ne!(address.port, 0);
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    pub fn listen_http(&self, listener: &str) -> Result<Address, BrokerError> {
        self.parts.http.listen(&listener.parse()?)
    }

    /// Where HTTP is served, in the order in which it was asked for.
    #[must_use]
    pub fn http_addresses(&self) -> Vec<Address> {
        self.parts.http.addresses().clone()
    }

    /// What `/metrics` serves, for a program that has an HTTP server of its own: the text format of
    /// Prometheus, version 0.0.4.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use highwater_broker::Broker;
    ///
    /// let broker = Broker::in_memory()?;
    /// assert!(broker.metrics_text().await?.contains("highwater_produced_records_total 0\n"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn metrics_text(&self) -> Result<String, std::fmt::Error> {
        crate::http::metrics_text(&self.parts.service).await
    }
}

impl Builder {
    /// Serves health and metrics over HTTP once the broker is started, as
    /// [`Broker::listen_http`] does.
    ///
    /// ```
    /// use highwater_broker::Broker;
    ///
    /// let broker = Broker::builder().listen_http("127.0.0.1:0".parse()?).start()?;
    /// assert_eq!(broker.http_addresses().len(), 1);
    /// # Ok::<(), highwater_broker::error::BrokerError>(())
    /// ```
    #[must_use]
    pub fn listen_http(mut self, listener: HttpListener) -> Self {
        self.http.push(listener);
        self
    }
}
