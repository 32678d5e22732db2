//! Settings of a client: what its producers, consumers and administration share.
//!
//! Floor 1 of client.

use std::sync::Arc;

use highwater_proto::sasl::Mechanism;
use highwater_proto::security::SecurityProtocol;

use super::password::Password;
use super::table::settings;
use crate::error::ClientError;

settings! {
    /// Settings of a client: where its brokers are, and how it keeps its connections.
    ///
    /// ```
    /// use highwater_client::ClientConfig;
    ///
    /// let config = ClientConfig::new()
    ///     .bootstrap_servers("kafka-1:9092,kafka-2:9092")
    ///     .client_id("billing");
    /// let named = [
    ///     ("bootstrap.servers", "kafka-1:9092,kafka-2:9092"),
    ///     ("client.id", "billing"),
    /// ];
    /// assert_eq!(ClientConfig::from_properties(named)?, config);
    /// # Ok::<(), highwater_client::ClientError>(())
    /// ```
    ClientConfig of "client";

    /// The brokers to ask first: `host:port,host:port`. They tell where the others are.
    bootstrap_servers: String = String::new(), "bootstrap.servers", ..,
        given impl Into<String> => bootstrap_servers.into();

    /// The name under which brokers show this client in their logs and metrics.
    client_id: String = "highwater".to_owned(), "client.id", ..,
        given impl Into<String> => client_id.into();

    /// What protects the connections: `PLAINTEXT`, `SSL` (TLS), `SASL_PLAINTEXT` or `SASL_SSL`.
    security_protocol: SecurityProtocol
        = SecurityProtocol::Plaintext, "security.protocol", ..;

    /// The PEM file of the authorities that sign the brokers' certificates; without one, those that
    /// this machine trusts.
    ssl_ca_location: Option<String> = None, "ssl.ca.location", ..,
        given impl Into<String> => Some(ssl_ca_location.into());

    /// The PEM file of the certificate that this client shows, if it has one.
    ssl_certificate_location: Option<String> = None, "ssl.certificate.location", ..,
        given impl Into<String> => Some(ssl_certificate_location.into());

    /// The PEM file of that certificate's private key, not encrypted.
    ssl_key_location: Option<String> = None, "ssl.key.location", ..,
        given impl Into<String> => Some(ssl_key_location.into());

    /// How this client proves who its user is, with `SASL_PLAINTEXT` and `SASL_SSL`: by
    /// `SCRAM-SHA-512`, `SCRAM-SHA-256`, or `PLAIN`, which sends the password itself.
    sasl_mechanism: Option<Mechanism> = None, "sasl.mechanism", ..,
        given Mechanism => Some(sasl_mechanism);

    /// The name of the user.
    sasl_username: Option<String> = None, "sasl.username", ..,
        given impl Into<String> => Some(sasl_username.into());

    /// The user's password.
    sasl_password: Option<Password> = None, "sasl.password", ..,
        given impl Into<Password> => Some(sasl_password.into());

    /// How long one request may take, in milliseconds.
    request_timeout_ms: u64 = 30_000, "request.timeout.ms", 1..;

    /// How long a call may take, retries included, in milliseconds.
    default_api_timeout_ms: u64 = 60_000, "default.api.timeout.ms", 1..;

    /// After how many milliseconds the metadata is asked for again without a reason.
    metadata_max_age_ms: u64 = 300_000, "metadata.max.age.ms", 1..;

    /// The pause before the first new connection to a broker that failed, in milliseconds.
    reconnect_backoff_ms: u64 = 50, "reconnect.backoff.ms", ..;

    /// The longest pause before a new connection, in milliseconds.
    reconnect_backoff_max_ms: u64 = 1_000, "reconnect.backoff.max.ms", ..;

    /// The pause before the first retry, in milliseconds; it doubles with each further one.
    retry_backoff_ms: u64 = 100, "retry.backoff.ms", ..;

    /// The longest pause before a retry, in milliseconds.
    retry_backoff_max_ms: u64 = 1_000, "retry.backoff.max.ms", ..;

    /// How long a connection may take to be set up, in milliseconds.
    socket_connection_setup_timeout_ms: u64 = 10_000, "socket.connection.setup.timeout.ms", 1..;

    /// A connection that nobody used for so many milliseconds is closed.
    connections_max_idle_ms: u64 = 540_000, "connections.max.idle.ms", 1..;
}

impl ClientConfig {
    /// The addresses of `bootstrap.servers`, as they are: whoever dials knows what they mean.
    pub(crate) fn addresses(&self) -> Result<Vec<Arc<str>>, ClientError> {
        let addresses = self.bootstrap_servers.split(',').map(str::trim);
        let addresses = addresses.filter(|address| !address.is_empty());
        let addresses: Vec<Arc<str>> = addresses.map(Arc::from).collect();
        if addresses.is_empty() {
            let why = "no bootstrap address was given: set bootstrap.servers to host:port";
            return Err(ClientError::Invalid(why.to_owned()));
        }
        Ok(addresses)
    }

    /// Refuses addresses that are no host and port, which TCP needs.
    pub(crate) fn check_addresses(&self) -> Result<(), ClientError> {
        let mut addresses = self.addresses()?.into_iter();
        let checked = addresses.try_for_each(|address| check_address(&address));
        checked.map_err(ClientError::Invalid)
    }

    pub(super) fn contradiction(&self) -> Option<String> {
        if self.ssl_certificate_location.is_some() != self.ssl_key_location.is_some() {
            let why = "ssl.certificate.location and ssl.key.location belong together: set both, or \
                       neither";
            return Some(why.to_owned());
        }
        let login = [
            ("sasl.mechanism", self.sasl_mechanism.is_some()),
            ("sasl.username", self.sasl_username.is_some()),
            ("sasl.password", self.sasl_password.is_some()),
        ];
        let protocol = self.security_protocol;
        let wrong = login
            .iter()
            .find(|(_, is_set)| *is_set != protocol.has_sasl());
        if let Some((name, is_set)) = wrong {
            return Some(match is_set {
                true => format!(
                    "{name} has no effect with security.protocol={protocol}: set SASL_SSL, or \
                     SASL_PLAINTEXT"
                ),
                false => format!("security.protocol={protocol} needs {name}: set it"),
            });
        }
        (self.default_api_timeout_ms < self.request_timeout_ms).then(|| {
            format!(
                "default.api.timeout.ms={} is less than request.timeout.ms={}: a call would end \
                 before its first request does",
                self.default_api_timeout_ms, self.request_timeout_ms
            )
        })
    }
}

/// Refuses what is no `host:port`, with what to write instead.
fn check_address(address: &str) -> Result<(), String> {
    if let Some((scheme, rest)) = address.split_once("://") {
        return Err(format!(
            "bootstrap.servers: write {rest} without {scheme}://, an address is host:port"
        ));
    }
    let is_bare_ipv6 = !address.starts_with('[') && address.matches(':').count() > 1;
    match address.rsplit_once(':') {
        _ if is_bare_ipv6 => Err(format!(
            "bootstrap.servers: an IPv6 address stands in brackets, as in [::1]:9092, not {address}"
        )),
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|it| it > 0) => {
            Ok(())
        }
        Some((host, port)) if !host.is_empty() && !port.ends_with(']') => Err(format!(
            "bootstrap.servers: the port of {address} is a number from 1 to 65535, not {port:?}"
        )),
        Some(("", _)) => Err(format!("bootstrap.servers: {address} has no host")),
        _ => Err(format!(
            "bootstrap.servers: {address} has no port: write {address}:9092 if it is Kafka's usual \
             one"
        )),
    }
}
