//! The rules of texts, one by one.

use super::rules;
use super::time::EventTime;

#[test]
fn names_have_lower_case_letters_and_digits() {
    for name in ["a", "0", "x9", "comexampleextension1", "correlationid"] {
        assert!(rules::is_extension_name(name), "{name}");
    }
    for name in [
        "",
        "A",
        "a_b",
        "a-b",
        "a.b",
        " a",
        "\u{e9}",
        "data",
        "data_base64",
    ] {
        assert!(!rules::is_name(name), "{name}");
    }
    for name in ["specversion", "id", "source", "type", "time", "subject"] {
        assert!(
            rules::is_name(name) && !rules::is_extension_name(name),
            "{name}"
        );
    }
}

#[test]
fn texts_have_no_characters_that_are_none() {
    for good in [
        "",
        " ",
        "\u{a0}",
        "\u{e9}",
        "\u{fffd}",
        "\u{10fffd}",
        "\u{fdcf}",
        "\u{fdf0}",
    ] {
        assert!(rules::is_text(good), "{good:?}");
    }
    for bad in [
        "\0",
        "\u{1f}",
        "\u{7f}",
        "\u{9f}",
        "\u{fdd0}",
        "\u{fdef}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{1fffe}",
        "\u{10ffff}",
    ] {
        assert!(!rules::is_text(bad), "{bad:?}");
    }
}

#[test]
fn times_are_those_of_rfc_3339() {
    // The last four with a value are the standard's own examples.
    for (text, ms) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("1969-12-31T23:59:59.999Z", Some(-1)),
        ("2000-02-29T00:00:00.0009Z", Some(951_782_400_000)),
        ("2013-01-01t11:30:00.0679+01:30", Some(1_357_034_400_067)),
        ("0000-03-01T00:00:00Z", Some(-62_162_035_200_000)),
        ("1985-04-12T23:20:50.52Z", Some(482_196_050_520)),
        ("1996-12-19T16:39:57-08:00", Some(851_042_397_000)),
        ("1990-12-31T23:59:60Z", Some(662_688_000_000)),
        ("1937-01-01T12:00:27.87+00:20", Some(-1_041_337_172_130)),
        ("", None),
        ("2013-01-01", None),
        ("2013-02-29T00:00:00Z", None),
        ("2013-13-01T00:00:00Z", None),
        ("2013-00-01T00:00:00Z", None),
        ("2013-01-00T00:00:00Z", None),
        ("2013-01-01T24:00:00Z", None),
        ("2013-01-01T10:60:00Z", None),
        ("2013-01-01T10:00:61Z", None),
        ("2013-01-01T10:00:00", None),
        ("2013-01-01T10:00:00.Z", None),
        ("2013-01-01T10:00:00+1:00", None),
        ("2013-01-01T10:00:00+001:0", None),
        ("2013-01-01T10:00:00+0100", None),
        ("2013-01-01T10:00:00+24:00", None),
        ("2013-01-01 10:00:00Z", None),
        ("2013-01-01T10:00:00ZZ", None),
        ("+013-01-01T10:00:00Z", None),
        ("2013-01-01T10:00:00\u{661}Z", None),
    ] {
        let time = text.parse::<EventTime>().ok();
        assert_eq!(time.map(|time| time.ms()), ms, "{text}");
    }
    assert_eq!(
        EventTime::from_ms(i64::MIN).as_str(),
        "0000-01-01T00:00:00.000Z"
    );
    assert_eq!(
        EventTime::from_ms(i64::MAX).as_str(),
        "9999-12-31T23:59:59.999Z"
    );
    assert_eq!(
        EventTime::from_ms(951_782_400_000).as_str(),
        "2000-02-29T00:00:00.000Z"
    );
}

#[cfg(feature = "json")]
#[test]
fn base64_is_read_strictly() {
    use super::base64::decode;

    for (text, bytes) in [
        ("", &b""[..]),
        ("Zg==", b"f"),
        ("Zm8=", b"fo"),
        ("Zm9v", b"foo"),
        ("Zm9vYg==", b"foob"),
        ("Zm9vYmE=", b"fooba"),
        ("Zm9vYmFy", b"foobar"),
        ("+/+/", b"\xfb\xff\xbf"),
    ] {
        assert_eq!(decode(text.as_bytes()).as_deref(), Some(bytes), "{text}");
    }
    for bad in [
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Z g=", "-_-_", "=Zg=",
    ] {
        assert_eq!(decode(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn a_structured_content_type_is_seen_in_any_case() {
    for structured in [
        "application/cloudevents",
        "APPLICATION/CloudEvents-batch+json; a",
    ] {
        assert!(rules::is_structured(structured), "{structured}");
    }
    for other in [
        "",
        "application/json",
        "application/cloudevent",
        "\u{e9}pplication/cloudevents",
    ] {
        assert!(!rules::is_structured(other), "{other}");
    }
}
