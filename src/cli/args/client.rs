//! The words that every command has that connects to brokers: what protects its connections.
//!
//! Floor 1 of cli.
//!
//! Invariants
//! - A flag is the name of the setting with dashes; what is no flag can stand in the file.

use std::path::PathBuf;

use clap::Args;
use highwater_broker::SecurityProtocol;
use highwater_client::Mechanism;

/// How brokers are connected to. Settings come from the flags, else the environment
/// (HIGHWATER_CLIENT_SSL_CA_LOCATION), else the file, else the defaults.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClientArgs {
    /// A file of the client's settings by Kafka's names, a name=value in each line, as Java's
    /// tools take with --command-config
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) client_config: Option<PathBuf>,
    /// What protects connections: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL [default: PLAINTEXT]
    #[arg(long, value_name = "PROTOCOL", global = true)]
    pub(crate) security_protocol: Option<SecurityProtocol>,
    /// The PEM file of the authorities that sign the brokers' certificates [default: those that
    /// this machine trusts]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ssl_ca_location: Option<String>,
    /// The PEM file of the certificate that is shown to brokers, if they ask for one
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ssl_certificate_location: Option<String>,
    /// The PEM file of that certificate's private key
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) ssl_key_location: Option<String>,
    /// How the user is proved, over SASL: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN
    #[arg(long, value_name = "MECHANISM", global = true)]
    pub(crate) sasl_mechanism: Option<Mechanism>,
    /// The name of the user
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) sasl_username: Option<String>,
    /// The user's password is the first line of this file; it can stand in the variable
    /// HIGHWATER_CLIENT_SASL_PASSWORD, too
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) sasl_password_file: Option<PathBuf>,
}
