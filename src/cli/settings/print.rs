//! The settings as TOML that can be read back.
//!
//! Floor 3 of cli.

use std::fmt::Write;

use highwater_broker::config::value::ConfigType;
use toml::Value;

use super::{ALLOW_UNAUTHENTICATED, DATA_DIR, HTTP, KAFKA, NATIVE, PROFILE, Profile, Settings};

/// One line a setting: its name, its value, its source.
pub(super) fn toml(settings: &Settings) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &Value, source: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{} = {value}  # {source}",
            Value::String(name.to_owned())
        );
    };
    let source = |name: &str| settings.sources.get(name).map(ToString::to_string);
    let or_default = |name: &str| source(name).unwrap_or_else(|| "default".to_owned());
    if let Some(dir) = &settings.data_dir {
        line(
            DATA_DIR,
            &Value::String(dir.display().to_string()),
            or_default(DATA_DIR),
        );
    }
    let listeners = settings
        .kafka
        .iter()
        .map(|listener| Value::String(listener.to_string()));
    line(KAFKA, &Value::Array(listeners.collect()), or_default(KAFKA));
    let http = settings.http.as_ref().map(ToString::to_string);
    line(
        HTTP,
        &Value::String(http.unwrap_or_default()),
        or_default(HTTP),
    );
    let native = settings.native.as_ref().map(ToString::to_string);
    line(
        NATIVE,
        &Value::String(native.unwrap_or_default()),
        or_default(NATIVE),
    );
    let allowed = Value::Boolean(settings.allow_unauthenticated);
    line(
        ALLOW_UNAUTHENTICATED,
        &allowed,
        or_default(ALLOW_UNAUTHENTICATED),
    );
    let profile = Value::String(settings.profile.name().to_owned());
    line(PROFILE, &profile, or_default(PROFILE));

    let of_profile = settings.profile.config().entries();
    let built_in = Profile::Server.config().entries();
    let entries = settings.broker.entries();
    for ((entry, profile), default) in entries.iter().zip(&of_profile).zip(&built_in) {
        let source = source(entry.name).unwrap_or_else(|| match profile.value == default.value {
            true => "default".to_owned(),
            false => format!("profile {}", settings.profile.name()),
        });
        line(entry.name, &value(entry.kind, &entry.value), source);
    }
    text
}

/// A text as the type that it has.
fn value(kind: ConfigType, text: &str) -> Value {
    let parsed = match kind {
        ConfigType::Bool => text.parse().ok().map(Value::Boolean),
        ConfigType::Int | ConfigType::Short | ConfigType::Long => {
            text.parse().ok().map(Value::Integer)
        }
        ConfigType::Double => text.parse().ok().map(Value::Float),
        ConfigType::String | ConfigType::List => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}
