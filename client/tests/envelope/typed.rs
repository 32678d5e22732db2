//! Values with a type: only from an event of their type and format.

use bytes::Bytes;
use highwater_client::{Event, EventType};

use crate::read_back;
use crate::why;

#[cfg(feature = "json")]
mod json {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Created {
        order: String,
        total: u64,
    }

    impl EventType for Created {
        const TYPE: &str = "order.created.v1";
        const SOURCE: &str = "/shop/orders";

        fn key(&self) -> Option<Bytes> {
            Some(Bytes::from(self.order.clone()))
        }
    }

    fn created() -> Created {
        Created {
            order: "order-42".to_owned(),
            total: 12,
        }
    }

    #[test]
    fn a_value_in_json_comes_back() {
        let event = Event::json(&created()).unwrap();
        assert_eq!(event.event_type, Created::TYPE);
        assert_eq!(event.source, Created::SOURCE);
        assert_eq!(event.key.as_deref(), Some(&b"order-42"[..]));
        let json = &br#"{"order":"order-42","total":12}"#[..];
        assert_eq!(event.data.as_deref(), Some(json));
        let record = read_back(event.to("order-events").unwrap());
        assert_eq!(record.event().unwrap().as_json(), Ok(created()));
        assert_ne!(event.id, Event::json(&created()).unwrap().id);
    }

    #[test]
    fn only_the_right_type_and_format_is_read() {
        let event = || Event::json(&created()).unwrap().id("7");
        for content_type in ["text/json", "APPLICATION/JSON; charset=utf-8", "a/b+json"] {
            let event = event().content_type(content_type);
            assert_eq!(event.as_json(), Ok(created()), "{content_type}");
        }
        let bare = Event {
            content_type: None,
            ..event()
        };
        assert_eq!(bare.as_json(), Ok(created()));

        let other = Event {
            event_type: "order.created.v2".to_owned(),
            ..event()
        };
        let none = Event {
            data: None,
            ..event()
        };
        let cut = event().data(r#"{"order":"#);
        for (event, sentence) in [
            (
                other,
                "the data of the order.created.v2 with the id 7 cannot be read as JSON: a \
                 order.created.v1 was asked for",
            ),
            (
                event().content_type("text/plain"),
                "as JSON: its content type is text/plain",
            ),
            (
                event().content_type("json"),
                "as JSON: its content type is json",
            ),
            (none, "as JSON: it has no data"),
            (cut, "as JSON: EOF while parsing"),
        ] {
            let why = why(event.as_json::<Created>().unwrap_err());
            assert!(why.contains(sentence), "{why}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_an_error() {
        #[derive(Serialize)]
        struct Unsayable(std::collections::BTreeMap<(u8, u8), u8>);

        impl EventType for Unsayable {
            const TYPE: &str = "unsayable";
            const SOURCE: &str = "/t";

            fn key(&self) -> Option<Bytes> {
                None
            }
        }

        let why = why(Event::json(&Unsayable([((1, 2), 3)].into())).unwrap_err());
        let start = "the data of an event unsayable cannot be said in JSON: ";
        assert!(why.starts_with(start), "{why}");
    }
}

#[cfg(feature = "protobuf")]
mod protobuf {
    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Delayed {
        #[prost(string, tag = "1")]
        tail: String,
    }

    impl EventType for Delayed {
        const TYPE: &str = "flights.Delayed";
        const SOURCE: &str = "/airport/departures";

        fn key(&self) -> Option<Bytes> {
            None
        }
    }

    #[test]
    fn a_message_comes_back_from_its_own_type_and_format() {
        let delayed = Delayed {
            tail: "N1".to_owned(),
        };
        let event = Event::protobuf(&delayed).id("7");
        assert_eq!(event.key, None);
        assert_eq!(event.data.as_deref(), Some(&b"\x0a\x02N1"[..]));
        let record = read_back(event.to("flights").unwrap());
        assert_eq!(record.event().unwrap().as_protobuf(), Ok(delayed.clone()));
        for content_type in [
            "application/x-protobuf; a=b",
            "application/vnd.google.protobuf",
        ] {
            let event = event.clone().content_type(content_type);
            assert_eq!(event.as_protobuf(), Ok(delayed.clone()), "{content_type}");
        }

        let other = Event {
            event_type: "flights.Gone".to_owned(),
            ..event.clone()
        };
        for (event, sentence) in [
            (
                other,
                "the flights.Gone with the id 7 cannot be read as protobuf: a flights.Delayed",
            ),
            (
                event.clone().content_type("application/json"),
                "content type is application/json",
            ),
            (
                event.clone().data("\x0a\x02N"),
                "as protobuf: failed to decode",
            ),
            (
                Event {
                    data: None,
                    ..event
                },
                "as protobuf: it has no data",
            ),
        ] {
            let why = why(event.as_protobuf::<Delayed>().unwrap_err());
            assert!(why.contains(sentence), "{why}");
        }
    }
}
