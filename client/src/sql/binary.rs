//! Values as PostgreSQL writes them in binary, whichever library carries them.
//!
//! Floor 1 of client. Pure.
//!
//! Invariants
//! - A value that does not fit its type is an error: nothing is cut, rounded or guessed.

use std::error::Error;

use super::statement::SqlValue;

type Failure = Box<dyn Error + Sync + Send>;

/// How a type is written. Domains are written as what they are made of, enumerations as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
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
}

impl Class {
    /// Of a type of PostgreSQL's own, by its number (`pg_type.oid`).
    pub(super) const fn of(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytes,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            // The second is `xid`.
            26 | 28 => Self::Oid,
            // name, text, json, xml, unknown, bpchar, varchar
            19 | 25 | 114 | 142 | 705 | 1042 | 1043 => Self::Text,
            2278 => Self::Void,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            5069 => Self::Xid8,
            _ => return None,
        })
    }

    /// Reads a value that is not null.
    pub(super) fn read(self, raw: &[u8]) -> Result<SqlValue, Failure> {
        let text = |raw| Ok(SqlValue::Text(std::str::from_utf8(raw)?.to_owned()));
        Ok(match self {
            Self::Bool => SqlValue::Integer((fixed::<1>(raw)? != [0]).into()),
            Self::Int2 => SqlValue::Integer(i16::from_be_bytes(fixed(raw)?).into()),
            Self::Int4 => SqlValue::Integer(i32::from_be_bytes(fixed(raw)?).into()),
            Self::Int8 => SqlValue::Integer(i64::from_be_bytes(fixed(raw)?)),
            Self::Oid => SqlValue::Integer(u32::from_be_bytes(fixed(raw)?).into()),
            Self::Xid8 => SqlValue::Text(u64::from_be_bytes(fixed(raw)?).to_string()),
            Self::Text => return text(raw),
            Self::Jsonb => match raw.split_first() {
                Some((&JSONB_VERSION, json)) => return text(json),
                _ => return Err("this version of jsonb is not known".into()),
            },
            Self::Uuid => SqlValue::Text(uuid(fixed(raw)?)),
            Self::Bytes => SqlValue::Bytes(raw.to_vec()),
            Self::Void => SqlValue::Null,
        })
    }

    /// Writes a value; `None` if it does not fit.
    #[cfg(feature = "sqlx-postgres")]
    pub(super) fn write(self, value: &SqlValue, out: &mut Vec<u8>) -> Option<()> {
        match (self, value) {
            (Self::Bytes, SqlValue::Bytes(value)) => out.extend_from_slice(value),
            (Self::Bytes | Self::Void, _) | (_, SqlValue::Bytes(_) | SqlValue::Null) => {
                return None;
            }
            (Self::Text | Self::Jsonb, value) => {
                if self == Self::Jsonb {
                    out.push(JSONB_VERSION);
                }
                match value {
                    SqlValue::Integer(value) => out.extend_from_slice(value.to_string().as_bytes()),
                    SqlValue::Text(value) => out.extend_from_slice(value.as_bytes()),
                    SqlValue::Null | SqlValue::Bytes(_) => return None,
                }
            }
            (Self::Uuid, SqlValue::Text(value)) => {
                let digits = value.replace('-', "");
                let is_whole = digits.len() == 32 && !digits.starts_with('+');
                let number = u128::from_str_radix(&digits, 16)
                    .ok()
                    .filter(|_| is_whole)?;
                out.extend_from_slice(&number.to_be_bytes());
            }
            (Self::Uuid, SqlValue::Integer(_)) => return None,
            (_, SqlValue::Integer(value)) => self.write_number(&value.to_string(), out)?,
            (_, SqlValue::Text(value)) => self.write_number(value, out)?,
        }
        Some(())
    }

    #[cfg(feature = "sqlx-postgres")]
    fn write_number(self, text: &str, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Bool => match text {
                "0" | "false" => out.push(0),
                "1" | "true" => out.push(1),
                _ => return None,
            },
            Self::Int2 => out.extend_from_slice(&text.parse::<i16>().ok()?.to_be_bytes()),
            Self::Int4 => out.extend_from_slice(&text.parse::<i32>().ok()?.to_be_bytes()),
            Self::Int8 => out.extend_from_slice(&text.parse::<i64>().ok()?.to_be_bytes()),
            Self::Oid => out.extend_from_slice(&text.parse::<u32>().ok()?.to_be_bytes()),
            Self::Xid8 => out.extend_from_slice(&text.parse::<u64>().ok()?.to_be_bytes()),
            Self::Text | Self::Jsonb | Self::Uuid | Self::Bytes | Self::Void => return None,
        }
        Some(())
    }
}

/// Why a value of a type is not read.
pub(super) fn unread(kind: &str) -> String {
    format!("a value of the type `{kind}` is not read here, let the statement cast it to text")
}

fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], Failure> {
    let found = raw.len();
    raw.try_into()
        .map_err(|_| format!("a value has {found} bytes instead of {N}").into())
}

fn uuid(raw: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(raw));
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

const JSONB_VERSION: u8 = 1;
