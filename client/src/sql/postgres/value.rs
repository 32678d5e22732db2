//! Values on their way to PostgreSQL and back.
//!
//! Floor 1 of client. Pure.
//!
//! Invariants
//! - Numbers and texts go out as text, which the server reads as whatever type it expects.
//! - Bytes go out as `bytea` and as nothing else, prepared or not.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::sql::binary::Class;
use crate::sql::binary::unread;
use crate::sql::error::SqlError;
use crate::sql::row::SqlRow;
use crate::sql::statement::SqlValue;

/// The type that a value has where a statement is not prepared; the server finds out the others.
pub(super) const fn type_of(value: &SqlValue) -> Type {
    match value {
        SqlValue::Bytes(_) => Type::BYTEA,
        SqlValue::Null | SqlValue::Integer(_) | SqlValue::Text(_) => Type::UNKNOWN,
    }
}

impl ToSql for SqlValue {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Self::Text(value) => out.extend_from_slice(value.as_bytes()),
            Self::Bytes(value) if *ty == Type::BYTEA => out.extend_from_slice(value),
            Self::Bytes(_) => {
                let why = format!("bytes do not fit `{ty}`: let the statement cast `$n::bytea`");
                return Err(why.into());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Bytes(_) => Format::Binary,
            Self::Null | Self::Integer(_) | Self::Text(_) => Format::Text,
        }
    }

    to_sql_checked!();
}

pub(super) fn row(found: &tokio_postgres::Row) -> Result<SqlRow, SqlError> {
    let values = (0..found.len()).map(|column| {
        let value: Option<SqlValue> = found.try_get(column).map_err(|error| {
            let why = error.source().map(ToString::to_string).unwrap_or_default();
            let name = found.columns()[column].name();
            SqlError::Row(format!("column {column}, `{name}`: {why}"))
        })?;
        Ok(value.unwrap_or(SqlValue::Null))
    });
    Ok(SqlRow(values.collect::<Result<_, SqlError>>()?))
}

impl<'a> FromSql<'a> for SqlValue {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match class(ty) {
            Some(class) => class.read(raw),
            None => Err(unread(ty.name()).into()),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn class(ty: &Type) -> Option<Class> {
    match ty.kind() {
        Kind::Enum(_) => Some(Class::Text),
        Kind::Domain(inner) => class(inner),
        _ => Class::of(ty.oid()),
    }
}
