//! Structured mode: the value of a record is the whole event.
//!
//! Floor 1 of client.
//!
//! Invariants
//! - Of a format that is not read here, the error says so; the value is not guessed at.

use super::event::Event;
use super::rules;

/// Reads a value of this content type.
pub(super) fn read(content_type: &str, value: Option<&[u8]>) -> Result<Event, String> {
    let media_type = rules::media_type(content_type);
    let Some(value) = value else {
        return Err(format!(
            "its content type is {media_type}, and it has no value"
        ));
    };
    match media_type.as_str() {
        "application/cloudevents+json" => read_json(value),
        _ => Err(format!(
            "its content type is {media_type}, and of structured events only \
             application/cloudevents+json is read"
        )),
    }
}

#[cfg(not(feature = "json"))]
fn read_json(_: &[u8]) -> Result<Event, String> {
    Err("it is a structured event in JSON: build highwater with the feature json".to_owned())
}

#[cfg(feature = "json")]
use json::read as read_json;

/// The JSON format.
#[cfg(feature = "json")]
mod json {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use serde_json::value::RawValue;

    use super::super::base64;
    use super::super::event::Event;
    use super::super::rules;

    pub(super) fn read(value: &[u8]) -> Result<Event, String> {
        let members = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(value);
        let members = members.map_err(|why| format!("its value is no object of JSON: {why}"))?;
        let mut named = BTreeMap::new();
        let (mut data, mut data_base64) = (None, None);
        for (name, value) in members {
            // A member that is null counts as absent.
            if value.get() == "null" {
                continue;
            }
            match name.as_str() {
                "data" => data = Some(value),
                "data_base64" => data_base64 = Some(value),
                _ => drop(named.insert(name.clone(), attribute(&name, &value)?)),
            }
        }
        let mut event = Event::from_attributes(named)?;
        event.data = match (data, data_base64) {
            (Some(_), Some(_)) => return Err("it has both data and data_base64".to_owned()),
            (Some(data), None) => Some(plain(&mut event, &data)?),
            (None, Some(data)) => Some(binary(&data)?),
            (None, None) => None,
        };
        Ok(event)
    }

    /// Strings as they are, truth values and whole numbers as they are written.
    fn attribute(name: &str, value: &RawValue) -> Result<String, String> {
        let text = value.get();
        let is_whole = text.parse::<i32>().is_ok();
        if is_whole || ["true", "false"].contains(&text) {
            return Ok(text.to_owned());
        }
        serde_json::from_str(text).map_err(|_| {
            format!("its {name} is neither a string, a truth value nor a whole number of 32 bits")
        })
    }

    /// JSON stays as it was written; of another content type, a string is the data itself. Without
    /// a content type it is JSON.
    fn plain(event: &mut Event, data: &RawValue) -> Result<Bytes, String> {
        let content_type = event.content_type.get_or_insert_with(|| JSON.to_owned());
        let text = data.get();
        if !rules::is_json(content_type) && text.starts_with('"') {
            let string: String =
                serde_json::from_str(text).map_err(|why| format!("its data is no text: {why}"))?;
            return Ok(Bytes::from(string));
        }
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn binary(data: &RawValue) -> Result<Bytes, String> {
        let text: Option<String> = serde_json::from_str(data.get()).ok();
        let bytes = text.and_then(|text| base64::decode(text.as_bytes()));
        let bytes = bytes.ok_or_else(|| "its data_base64 is no string in Base64".to_owned())?;
        Ok(Bytes::from(bytes))
    }

    const JSON: &str = "application/json";
}
