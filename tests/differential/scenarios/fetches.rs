//! Fetches that are more than one question: by topic ids, in sessions, and parked while something
//! happens to what they wait for.

use highwater_proto::compress::Codec;
use highwater_proto::cursor::{Str, Uuid};
use highwater_proto::kafka::ApiKey;
use highwater_proto::kafka::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use highwater_proto::kafka::messages::delete_topics::{DeleteTopic, DeleteTopicsRequest};
use highwater_proto::kafka::messages::fetch::{
    FetchForgottenTopic, FetchPartition, FetchRequest, FetchTopic,
};
use highwater_proto::kafka::messages::metadata::{MetadataRequest, MetadataTopic};

use super::data::{FOREVER, batch, produce_of};
use crate::peer::Peer;

pub(super) fn by_id(peer: &mut Peer) {
    let topic = Topic::new(peer, format!("by-id{}", peer.run));
    topic.fill(peer, 0, 3);
    topic.fill(peer, 0, 1);
    for version in versions(peer, IDS_SINCE) {
        for offset in -1..=5 {
            let request = topic.fetch(&[(0, offset)]);
            peer.ask("main", &format!("offset {offset}"), version, request);
        }
        let request = topic.fetch(&[(1, 0), (0, 3)]);
        peer.ask("main", "two partitions", version, request);
        let request = topic.fetch(&[(7, 0)]);
        peer.ask("main", "an unknown partition", version, request);
        let mut request = topic.fetch(&[(0, 0)]);
        request.topics[0].partitions[0].current_leader_epoch = 7;
        peer.ask("main", "another leader epoch", version, request);
        for (what, id) in [("an unknown id", Uuid([7; 16])), ("no id", Uuid::NIL)] {
            let mut request = topic.fetch(&[(0, 0)]);
            request.topics[0].topic_id = id;
            peer.ask("main", what, version, request);
        }
    }
}

pub(super) fn sessions(peer: &mut Peer) {
    for version in versions(peer, SESSIONS_SINCE) {
        let topic = Topic::new(peer, format!("sessions-{version}{}", peer.run));
        topic.fill(peer, 0, 2);
        let ask = |peer: &mut Peer, what: &str, request: FetchRequest| {
            let answer = peer.ask("main", what, version, request);
            answer.expect("the connection stays open").session_id
        };
        let opening = topic.in_session(0, 0, &[(0, 0), (1, 0)]);
        let id = ask(peer, "a session", opening);
        let go_on = |epoch: i32, partitions: &[(i32, i64)]| topic.in_session(id, epoch, partitions);
        ask(peer, "the same once more", go_on(1, &[]));
        ask(peer, "it has read on", go_on(2, &[(0, 2)]));
        ask(peer, "nothing new", go_on(3, &[]));
        topic.fill(peer, 1, 1);
        ask(peer, "news of the other", go_on(4, &[]));
        ask(peer, "an epoch again", go_on(4, &[]));
        ask(peer, "an epoch too far", go_on(7, &[]));
        ask(peer, "back to the first record", go_on(5, &[(0, 0)]));
        let leaving = FetchRequest {
            forgotten_topics: vec![topic.forgotten(1)],
            ..go_on(6, &[])
        };
        ask(peer, "a partition leaves", leaving);
        ask(peer, "one comes that is not there", go_on(7, &[(9, 0)]));
        ask(peer, "what is left", go_on(8, &[]));
        ask(peer, "the end of it", go_on(-1, &[(0, 1)]));
        ask(peer, "it is gone", go_on(9, &[]));
        let unknown = topic.in_session(4711, 1, &[]);
        ask(peer, "one that never was", unknown);
        let without = topic.in_session(0, -1, &[(0, 0)]);
        ask(peer, "none is wanted", without);
        let none = topic.in_session(0, 3, &[(0, 0)]);
        ask(peer, "no session goes on", none);
    }
}

pub(super) fn parked(peer: &mut Peer) {
    for version in [IDS_SINCE - 1, peer.newest(ApiKey::Fetch)] {
        let topic = Topic::new(peer, format!("parked-{version}{}", peer.run));
        topic.fill(peer, 0, 2);
        let wait = |peer: &mut Peer, offset: i64| {
            let mut request = topic.fetch(&[(0, offset)]);
            request.max_wait_ms = 60_000;
            peer.begin("reader", version, request);
            // Whatever is asked now takes longer than the request on its way.
            for _ in 0..100 {
                topic.id_of(peer);
            }
        };
        wait(peer, 2);
        topic.fill(peer, 0, 1);
        peer.end::<FetchRequest>("reader", "a record comes", version);

        wait(peer, 3);
        let answer = peer.quietly(topic.delete_records(3));
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
        topic.fill(peer, 0, 1);
        peer.end::<FetchRequest>("reader", "records go, one comes", version);

        wait(peer, 4);
        let answer = peer.quietly(topic.delete());
        assert_eq!(answer.topics[0].error_code, 0);
        peer.end::<FetchRequest>("reader", "the topic goes", version);
    }
}

/// A topic of two partitions.
struct Topic {
    name: String,
    id: Uuid,
}

impl Topic {
    fn new(peer: &mut Peer, name: String) -> Self {
        peer.topic(&name, 2, &[FOREVER]);
        let mut topic = Self {
            name,
            id: Uuid::NIL,
        };
        topic.id = topic.id_of(peer);
        topic
    }

    fn id_of(&self, peer: &mut Peer) -> Uuid {
        let answer = peer.quietly(MetadataRequest {
            topics: Some(vec![MetadataTopic {
                name: Some(self.name()),
                ..MetadataTopic::default()
            }]),
            ..MetadataRequest::default()
        });
        answer.topics[0].topic_id
    }

    fn name(&self) -> Str {
        Str::from(self.name.clone())
    }

    /// Adds so many records to a partition.
    fn fill(&self, peer: &mut Peer, partition: i32, count: i64) {
        let times: Vec<i64> = (0..count).collect();
        let records = batch(&times, None, Codec::None);
        let answer = peer.quietly(produce_of(&self.name, partition, -1, Some(records)));
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }

    /// These partitions from these offsets on, without waiting.
    fn fetch(&self, partitions: &[(i32, i64)]) -> FetchRequest {
        let partitions = partitions
            .iter()
            .map(|(index, fetch_offset)| FetchPartition {
                index: *index,
                fetch_offset: *fetch_offset,
                max_bytes: 1 << 20,
                ..FetchPartition::default()
            });
        FetchRequest {
            max_bytes: 1 << 20,
            min_bytes: 1,
            topics: vec![FetchTopic {
                name: self.name(),
                topic_id: self.id,
                partitions: partitions.collect(),
            }],
            ..FetchRequest::default()
        }
    }

    /// The same in a session, whose other partitions stay as they are.
    fn in_session(&self, id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
        let mut request = self.fetch(partitions);
        request.topics.retain(|topic| !topic.partitions.is_empty());
        FetchRequest {
            session_id: id,
            session_epoch: epoch,
            ..request
        }
    }

    fn forgotten(&self, partition: i32) -> FetchForgottenTopic {
        FetchForgottenTopic {
            name: self.name(),
            topic_id: self.id,
            partitions: vec![partition],
        }
    }

    fn delete_records(&self, offset: i64) -> DeleteRecordsRequest {
        DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: self.name(),
                partitions: vec![DeleteRecordsPartition { index: 0, offset }],
            }],
            timeout_ms: 30_000,
        }
    }

    fn delete(&self) -> DeleteTopicsRequest {
        DeleteTopicsRequest {
            topics: vec![DeleteTopic {
                name: Some(self.name()),
                ..DeleteTopic::default()
            }],
            timeout_ms: 30_000,
            ..DeleteTopicsRequest::default()
        }
    }
}

/// The versions of Fetch from this one on.
fn versions(peer: &Peer, since: i16) -> Vec<i16> {
    let versions = peer.versions(ApiKey::Fetch);
    versions.filter(|version| *version >= since).collect()
}

/// The first version of Fetch with sessions.
const SESSIONS_SINCE: i16 = 7;
/// The first version of Fetch that names topics by their ids.
const IDS_SINCE: i16 = 13;
