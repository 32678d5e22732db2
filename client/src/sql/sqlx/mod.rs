//! Transactions of sqlx, and what its errors mean.
//!
//! Floor 1 of client.

#[cfg(feature = "sqlx-postgres")]
mod postgres;
#[cfg(feature = "sqlx-sqlite")]
mod sqlite;

use ::sqlx::Error;
use ::sqlx::error::DatabaseError;

use super::error::SqlError;

impl From<Error> for SqlError {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(said) => of_database(&*said),
            Error::Io(_)
            | Error::Tls(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed => Self::Unavailable(error.to_string()),
            Error::ColumnDecode { .. }
            | Error::ColumnIndexOutOfBounds { .. }
            | Error::ColumnNotFound(_)
            | Error::Decode(_)
            | Error::RowNotFound => Self::Row(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

fn of_database(said: &dyn DatabaseError) -> SqlError {
    #[cfg(feature = "sqlx-postgres")]
    if let Some(said) = said.try_downcast_ref::<::sqlx::postgres::PgDatabaseError>() {
        return super::meaning::of_state(said.code(), said.message(), said.routine());
    }
    #[cfg(feature = "sqlx-sqlite")]
    if said
        .try_downcast_ref::<::sqlx::sqlite::SqliteError>()
        .is_some()
        && let Some(code) = said.code().and_then(|code| code.parse().ok())
    {
        return super::meaning::of_code(code, said.message().to_owned());
    }
    SqlError::Refused(said.message().to_owned())
}
