//! What consumer groups keep in their log, and what their members tell each other.

use highwater_proto::consumer_protocol::{Assignment, Subscription, VERSION_MAX};
use highwater_proto::group_log::{GroupLogError, GroupRecord};

/// T12: a record of `__consumer_offsets`: the first byte is the length of the key, the rest key
/// and value. What is accepted can be written and says the same again.
pub fn t12_group_log(data: &[u8]) {
    let Some((&length, rest)) = data.split_first() else {
        return;
    };
    let (key, value) = rest.split_at(rest.len().min(usize::from(length)));
    for value in [None, Some(value)] {
        match GroupRecord::decode(key, value) {
            Ok(record) => {
                let (key, value) = record.encode().expect("what is read can be written");
                let again = GroupRecord::decode(&key, value.as_deref());
                assert_eq!(again, Ok(record));
            }
            Err(GroupLogError::UnknownType(other)) => {
                assert_eq!(key[..2], other.to_be_bytes());
                assert!(!(0..=2).contains(&other), "type {other} is known");
            }
            Err(error) => assert!(error.to_string().len() > 20, "an error is a sentence"),
        }
    }
}

/// T13: a subscription or an assignment, of any version.
pub fn t13_consumer_protocol(data: &[u8]) {
    let topics = Subscription::decode_topics(data);
    if let Ok(wants) = Subscription::decode(data) {
        assert_eq!(topics.as_ref(), Ok(&wants.topics), "the topics stand first");
        let written = wants.encode(VERSION_MAX);
        let written = written.expect("what is read can be written");
        assert_eq!(Subscription::decode(&written), Ok(wants));
    }
    if let Ok(gets) = Assignment::decode(data) {
        for version in 0..=VERSION_MAX {
            let written = gets.encode(version).expect("what is read can be written");
            assert_eq!(Assignment::decode(&written).as_ref(), Ok(&gets));
        }
    }
}
