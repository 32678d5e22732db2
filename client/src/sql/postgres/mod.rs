//! PostgreSQL as a database of outbox and inbox, by tokio-postgres.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - A connection on which anything was odd is closed; the pool has sound ones only.
//! - A password is never printed.

mod error;
mod session;
mod statement;
mod tx;
mod value;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use self::session::Session;
use super::error::SqlError;
use super::pool::Pool;
use super::{Database, Dialect, Isolation};

pub use self::tx::PgTx;

/// A PostgreSQL database. Clones share their connections, at most 8.
///
/// ```no_run
/// use highwater_client::sql::{Database, Isolation, OwnedTx, Postgres, SqlStatement, SqlTx};
///
/// # async fn run() -> Result<(), highwater_client::sql::SqlError> {
/// let database = Postgres::connect("postgres://shop@localhost/orders").await?;
///
/// let mut tx = database.begin(Isolation::Write).await?;
/// let insert = SqlStatement::new("insert into orders (state) values ($1)").bind("paid");
/// assert_eq!(tx.execute(insert).await?, 1);
/// tx.client().execute("update orders set state = 'sent'", &[]).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Postgres {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    pool: Arc<Pool<Session>>,
}

impl Postgres {
    /// Connects by a URL (`postgres://user:password@host:5432/name`) or by words
    /// (`host=/run/postgresql dbname=orders`). There is no TLS; who needs it brings connections of
    /// their own, since [`SqlTx`](super::SqlTx) is there for `tokio_postgres::Transaction`.
    ///
    /// # Errors
    /// `Refused` if the URL is not right or asks for TLS, or if the server refuses the user or the
    /// database; `Unavailable` if no server answers.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(url: &str) -> Result<Self, SqlError> {
        let config = Config::from_str(url).map_err(|error| {
            SqlError::Refused(format!(
                "this is no URL of a PostgreSQL database: {}",
                error::told(&error)
            ))
        })?;
        Self::connect_with(config).await
    }

    /// As [`Self::connect`], with tokio-postgres' own settings.
    ///
    /// # Errors
    /// As [`Self::connect`].
    ///
    /// # Panics
    /// As [`Self::connect`].
    pub async fn connect_with(mut config: Config) -> Result<Self, SqlError> {
        if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
            return Err(SqlError::Refused(
                "sslmode asks for TLS, which this driver does not have: connect with \
                 sslmode=disable over a network that you trust, or bring a connection of your own"
                    .to_owned(),
            ));
        }
        config.ssl_mode(SslMode::Disable);
        with_limits(&mut config);
        if config.get_application_name().is_none() {
            config.application_name("highwater");
        }
        let shared = Arc::new(Shared {
            config,
            pool: Arc::new(Pool::new(CONNECTIONS_MAX)),
        });
        let slot = shared.pool.slot().await?;
        let session = Session::connect(&shared.config).await?;
        slot.give_back(session);
        Ok(Self { shared })
    }
}

impl Database for Postgres {
    type Tx = PgTx;

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn begin(&self, isolation: Isolation) -> Result<PgTx, SqlError> {
        let begin = match isolation {
            Isolation::Write => "begin isolation level read committed read write",
            Isolation::Snapshot => "begin isolation level repeatable read read only",
        };
        let slot = self.shared.pool.slot().await?;
        // A connection may have broken while it waited: nothing is lost with it.
        while let Some(session) = slot.idle() {
            match session.client.batch_execute(begin).await {
                Ok(()) => return Ok(PgTx::new(session, slot)),
                Err(error) => tracing::debug!(%error, "a connection to PostgreSQL is closed"),
            }
        }
        let session = Session::connect(&self.shared.config).await?;
        session.client.batch_execute(begin).await?;
        Ok(PgTx::new(session, slot))
    }

    async fn version(&self) -> Result<Option<i64>, SqlError> {
        Ok(None)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("hosts", &self.shared.config.get_hosts())
            .field("database", &self.shared.config.get_dbname())
            .finish_non_exhaustive()
    }
}

/// A server that is gone without a word is missed within a minute, unless the URL says otherwise.
fn with_limits(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_MAX);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE_MAX);
    }
    let as_it_was = config.get_keepalives_idle() == Config::new().get_keepalives_idle()
        && config.get_keepalives_interval().is_none()
        && config.get_keepalives_retries().is_none();
    if as_it_was {
        config.keepalives_idle(SILENCE_MAX);
        config.keepalives_interval(SILENCE_MAX / 3);
        config.keepalives_retries(3);
    }
}

const CONNECTIONS_MAX: usize = 8;
const CONNECT_MAX: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(30);
