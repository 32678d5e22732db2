//! Where each field of the group records stands in each version.
//!
//! Floor 5 of proto.
//!
//! Invariants
//! - A value is read to its last byte; tagged fields of version 4, none of which is known, are
//!   passed over.
//! - Keys and the values up to version 3 are not flexible.

use bytes::Bytes;

use super::{GroupRecord, GroupValue, MemberValue, OffsetValue};
use crate::cursor::{EncodeError, Reader, Version, Writer};
use crate::error::{DecodeError, DecodeErrorKind};

/// The version of the values that are written: every reader of today has it.
pub(super) const VALUE_VERSION: i16 = 3;

/// The only version that says when an offset ends.
const VALUE_VERSION_WITH_END: i16 = 1;
const VALUE_VERSION_MAX: i16 = 4;
const FLEXIBLE_FROM: i16 = 4;

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const KEY: Version = Version::new(0, false);

pub(super) fn offset_key(group: &str, topic: &str, partition: i32) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i16(OFFSET_KEY);
    writer.put_nullable_text(Some(group), KEY)?;
    writer.put_nullable_text(Some(topic), KEY)?;
    writer.put_i32(partition);
    Ok(writer.finish().into_bytes())
}

pub(super) fn group_key(group: &str) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.put_i16(GROUP_KEY);
    writer.put_nullable_text(Some(group), KEY)?;
    Ok(writer.finish().into_bytes())
}

/// The value in the newest version that carries all of it and that older tools read.
pub(super) fn newest_offset_value(value: &OffsetValue) -> Result<Bytes, EncodeError> {
    let version = match value.expire_timestamp_ms {
        -1 => VALUE_VERSION,
        _ => VALUE_VERSION_WITH_END,
    };
    offset_value(value, version)
}

pub(super) fn offset_value(value: &OffsetValue, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    let version = put_version(&mut writer, version);
    writer.put_i64(value.offset);
    if version.within(3..) {
        writer.put_i32(value.leader_epoch);
    }
    writer.put_nullable_text(Some(&value.metadata), version)?;
    writer.put_i64(value.commit_timestamp_ms);
    if version.within(1..=1) {
        writer.put_i64(value.expire_timestamp_ms);
    }
    put_no_tags(&mut writer, version);
    Ok(writer.finish().into_bytes())
}

pub(super) fn group_value(value: &GroupValue, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    let version = put_version(&mut writer, version);
    writer.put_nullable_text(Some(&value.protocol_type), version)?;
    writer.put_i32(value.generation);
    writer.put_nullable_text(value.protocol.as_deref(), version)?;
    writer.put_nullable_text(value.leader.as_deref(), version)?;
    if version.within(2..) {
        writer.put_i64(value.state_timestamp_ms);
    }
    writer.put_count(Some(value.members.len()), version)?;
    for member in &value.members {
        put_member(&mut writer, member, version)?;
    }
    put_no_tags(&mut writer, version);
    Ok(writer.finish().into_bytes())
}

fn put_member(
    writer: &mut Writer,
    member: &MemberValue,
    version: Version,
) -> Result<(), EncodeError> {
    writer.put_nullable_text(Some(&member.member_id), version)?;
    if version.within(3..) {
        writer.put_nullable_text(member.instance_id.as_deref(), version)?;
    }
    writer.put_nullable_text(Some(&member.client_id), version)?;
    writer.put_nullable_text(Some(&member.client_host), version)?;
    if version.within(1..) {
        writer.put_i32(member.rebalance_timeout_ms);
    }
    writer.put_i32(member.session_timeout_ms);
    writer.put_nullable_bytes(Some(&member.subscription), version)?;
    writer.put_nullable_bytes(Some(&member.assignment), version)?;
    put_no_tags(writer, version);
    Ok(())
}

/// An offset's record without its value. The type stands before the reader.
pub(super) fn read_offset_key(reader: &mut Reader) -> Result<GroupRecord, DecodeError> {
    let record = GroupRecord::Offset {
        group: reader.str(KEY)?.into(),
        topic: reader.str(KEY)?.into(),
        partition: reader.i32()?,
        value: None,
    };
    reader.finish().map(|()| record)
}

/// A group's record without its value. The type stands before the reader.
pub(super) fn read_group_key(reader: &mut Reader) -> Result<GroupRecord, DecodeError> {
    let record = GroupRecord::Group {
        group: reader.str(KEY)?.into(),
        value: None,
    };
    reader.finish().map(|()| record)
}

pub(super) fn read_offset_value(reader: &mut Reader) -> Result<OffsetValue, DecodeError> {
    let version = version(reader)?;
    let mut value = OffsetValue {
        offset: reader.i64()?,
        ..OffsetValue::default()
    };
    if version.within(3..) {
        value.leader_epoch = reader.i32()?;
    }
    value.metadata = reader.str(version)?.into();
    value.commit_timestamp_ms = reader.i64()?;
    if version.within(1..=1) {
        value.expire_timestamp_ms = reader.i64()?;
    }
    end(reader, version)?;
    Ok(value)
}

pub(super) fn read_group_value(reader: &mut Reader) -> Result<GroupValue, DecodeError> {
    let version = version(reader)?;
    let mut value = GroupValue {
        protocol_type: reader.str(version)?.into(),
        generation: reader.i32()?,
        protocol: reader.nullable_str(version)?.map(String::from),
        leader: reader.nullable_str(version)?.map(String::from),
        state_timestamp_ms: if version.within(2..) {
            reader.i64()?
        } else {
            -1
        },
        members: Vec::new(),
    };
    let count = reader
        .count(version, MEMBER_BYTES_MIN, size_of::<MemberValue>())?
        .ok_or_else(|| reader.error("null where the members must stand"))?;
    value.members.reserve_exact(count);
    for _ in 0..count {
        value.members.push(read_member(reader, version)?);
    }
    end(reader, version)?;
    Ok(value)
}

fn read_member(reader: &mut Reader, version: Version) -> Result<MemberValue, DecodeError> {
    let mut member = MemberValue {
        member_id: reader.str(version)?.into(),
        ..MemberValue::default()
    };
    if version.within(3..) {
        member.instance_id = reader.nullable_str(version)?.map(String::from);
    }
    member.client_id = reader.str(version)?.into();
    member.client_host = reader.str(version)?.into();
    let rebalance_timeout_ms = version.within(1..).then(|| reader.i32()).transpose()?;
    member.session_timeout_ms = reader.i32()?;
    member.rebalance_timeout_ms = rebalance_timeout_ms.unwrap_or(member.session_timeout_ms);
    member.subscription = bytes(reader, version)?;
    member.assignment = bytes(reader, version)?;
    if version.flexible {
        reader.skip_tags()?;
    }
    Ok(member)
}

fn bytes(reader: &mut Reader, version: Version) -> Result<Bytes, DecodeError> {
    reader
        .nullable_bytes(version)?
        .ok_or_else(|| reader.error("null where bytes must stand"))
}

fn version(reader: &mut Reader) -> Result<Version, DecodeError> {
    match reader.i16()? {
        version @ 0..=VALUE_VERSION_MAX => Ok(Version::new(version, version >= FLEXIBLE_FROM)),
        version => Err(DecodeError::at(
            0,
            DecodeErrorKind::UnsupportedVersion { version },
        )),
    }
}

fn end(reader: &mut Reader, version: Version) -> Result<(), DecodeError> {
    if version.flexible {
        reader.skip_tags()?;
    }
    reader.finish()
}

fn put_version(writer: &mut Writer, version: i16) -> Version {
    writer.put_i16(version);
    Version::new(version, version >= FLEXIBLE_FROM)
}

fn put_no_tags(writer: &mut Writer, version: Version) {
    if version.flexible {
        writer.put_uvarint(0);
    }
}

/// A member takes that many bytes at least, in every version: three strings, a number, two byte
/// strings, each empty.
const MEMBER_BYTES_MIN: usize = 3 + 4 + 2;
