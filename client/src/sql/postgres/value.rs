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
        let whole = |value: i64| Ok(Self::Integer(value));
        match class(ty) {
            Class::Bool => whole(bool::from_sql(&Type::BOOL, raw)?.into()),
            Class::Int2 => whole(i16::from_sql(&Type::INT2, raw)?.into()),
            Class::Int4 => whole(i32::from_sql(&Type::INT4, raw)?.into()),
            Class::Int8 => whole(i64::from_sql(&Type::INT8, raw)?),
            Class::Oid => whole(u32::from_sql(&Type::OID, raw)?.into()),
            Class::Xid8 => {
                let value = i64::from_sql(&Type::INT8, raw)?.cast_unsigned();
                Ok(Self::Text(value.to_string()))
            }
            Class::Text => Ok(Self::Text(std::str::from_utf8(raw)?.to_owned())),
            Class::Jsonb => match raw.split_first() {
                Some((1, text)) => Ok(Self::Text(std::str::from_utf8(text)?.to_owned())),
                _ => Err("this version of jsonb is not known".into()),
            },
            Class::Uuid => Ok(Self::Text(uuid(raw)?)),
            Class::Bytes => Ok(Self::Bytes(raw.to_vec())),
            Class::Void => Ok(Self::Null),
            Class::Other => Err(format!(
                "a value of the type `{ty}` is not read here, let the statement cast it to text"
            )
            .into()),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Null)
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// How a type is written in binary.
enum Class {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Xid8,
    Text,
    Jsonb,
    Uuid,
    Bytes,
    Void,
    Other,
}

fn class(ty: &Type) -> Class {
    match *ty {
        Type::BOOL => Class::Bool,
        Type::INT2 => Class::Int2,
        Type::INT4 => Class::Int4,
        Type::INT8 => Class::Int8,
        Type::OID | Type::XID => Class::Oid,
        Type::XID8 => Class::Xid8,
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN
        | Type::JSON
        | Type::XML => Class::Text,
        Type::JSONB => Class::Jsonb,
        Type::UUID => Class::Uuid,
        Type::BYTEA => Class::Bytes,
        Type::VOID => Class::Void,
        _ => match ty.kind() {
            Kind::Enum(_) => Class::Text,
            Kind::Domain(inner) => class(inner),
            _ => Class::Other,
        },
    }
}

fn uuid(raw: &[u8]) -> Result<String, Box<dyn Error + Sync + Send>> {
    let raw = <[u8; 16]>::try_from(raw).map_err(|_| "a uuid of not 16 bytes")?;
    let hex = format!("{:032x}", u128::from_be_bytes(raw));
    Ok([
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-"))
}
