//! What CloudEvents allows as a name and as a text.
//!
//! Floor 1 of client.

/// Whether a name can be an attribute's: lower-case letters and digits. `data` is none, since that
/// is where formats put the event's data.
pub(super) fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty() && name != "data" && name.bytes().all(is_allowed)
}

/// Whether a name can be an extension's: an attribute's that has no meaning of its own.
pub(super) fn is_extension_name(name: &str) -> bool {
    is_name(name) && !OWN.contains(&name)
}

/// Whether a text has none of the characters that an attribute may not have: control characters,
/// and those that Unicode keeps for no character.
pub(super) fn is_text(text: &str) -> bool {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte);
    // Nearly all are.
    text.bytes().all(is_plain)
        || text.chars().all(|character| {
            let code = u32::from(character);
            let is_unassignable = (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe;
            !character.is_control() && !is_unassignable
        })
}

/// Whether a content type says that the value is a whole event and not an event's data.
pub(super) fn is_structured(content_type: &str) -> bool {
    let start = content_type.as_bytes().get(..STRUCTURED.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(STRUCTURED.as_bytes()))
}

/// The media type of a content type, without its parameters, in lower case.
pub(super) fn media_type(content_type: &str) -> String {
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

/// Whether data of this content type is JSON.
#[cfg(feature = "json")]
pub(super) fn is_json(content_type: &str) -> bool {
    let media_type = media_type(content_type);
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

/// Whether data of this content type is a message of protobuf, by any of the names that it has had.
#[cfg(feature = "protobuf")]
pub(super) fn is_protobuf(content_type: &str) -> bool {
    let media_type = media_type(content_type);
    let (_, subtype) = media_type.split_once('/').unwrap_or_default();
    let names = ["protobuf", "x-protobuf", "vnd.google.protobuf"];
    names.contains(&subtype) || subtype.ends_with("+protobuf")
}

/// The version of CloudEvents that is written and read.
pub(super) const VERSION: &str = "1.0";

/// How the content type of every structured event begins.
const STRUCTURED: &str = "application/cloudevents";

/// The attributes with a meaning of their own.
const OWN: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "dataschema",
    "datacontenttype",
];
