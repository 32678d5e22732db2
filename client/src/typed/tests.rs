//! What was written is read, and what cannot be read says where it stands.

use std::sync::Arc;

use bytes::Bytes;

use crate::record::ConsumerRecord;

fn record(value: Option<Bytes>) -> ConsumerRecord {
    ConsumerRecord {
        topic: Arc::from("flights"),
        partition: 3,
        offset: 42,
        timestamp: 0,
        key: None,
        value,
        headers: Vec::new(),
    }
}

#[cfg(feature = "json")]
#[test]
fn json_is_read_as_it_was_written() {
    use std::collections::BTreeMap;

    use crate::error::ClientError;
    use crate::record::Record;

    let delays = BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), -2)]);
    let sent = Record::to("flights").json(&delays).unwrap();
    assert_eq!(record(sent.value).json(), Ok(delays));

    let broken = record(Some(Bytes::from_static(b"{\"a\":")));
    let error = broken.json::<BTreeMap<String, i32>>().unwrap_err();
    let sentence = "the value of flights-3@42 cannot be read as JSON: EOF while parsing";
    assert!(error.to_string().starts_with(sentence), "{error}");
    assert!(!error.is_retriable());
    let error = record(None).json::<i32>().unwrap_err().to_string();
    assert!(error.ends_with("it is a tombstone"), "{error}");

    let unsayable = BTreeMap::from([((1, 2), 3)]);
    let refused = Record::to("flights").json(&unsayable);
    assert!(matches!(refused, Err(ClientError::Invalid(why)) if why.contains("the topic flights")));
}

#[cfg(feature = "protobuf")]
#[test]
fn protobuf_is_read_as_it_was_written() {
    use crate::record::Record;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Flight {
        #[prost(string, tag = "1")]
        tail: String,
    }

    let flight = Flight {
        tail: "N14228".to_owned(),
    };
    let sent = Record::to("flights").protobuf(&flight);
    assert_eq!(record(sent.value).protobuf(), Ok(flight));
    let broken = record(Some(Bytes::from_static(b"\x0a\x09N")));
    let error = broken.protobuf::<Flight>().unwrap_err().to_string();
    assert!(
        error.contains("flights-3@42 cannot be read as protobuf"),
        "{error}"
    );
    assert!(record(None).protobuf::<Flight>().is_err());
}
