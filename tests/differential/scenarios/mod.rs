//! The scenarios: lists of requests, in the words of the protocol.

mod configs;
mod data;
mod fetches;
mod groups;
mod offsets;
mod topics;

use crate::peer::Peer;

/// A scenario: asks one side, which records the answers.
pub(crate) type Scenario = fn(&mut Peer);

/// All of them, in the order in which they run.
pub(crate) const ALL: &[(&str, Scenario)] = &[
    ("api versions", topics::api_versions),
    ("create topics", topics::create_topics),
    ("create partitions", topics::create_partitions),
    ("delete topics", topics::delete_topics),
    ("metadata", topics::metadata),
    ("produce", data::produce),
    ("idempotent produce", data::idempotence),
    ("fetch", data::fetch),
    ("fetch by id", fetches::by_id),
    ("fetch sessions", fetches::sessions),
    ("parked fetches", fetches::parked),
    ("list offsets", data::list_offsets),
    ("delete records", data::delete_records),
    ("leader epochs", data::leader_epochs),
    ("topic configs", configs::topic_configs),
    ("alter configs", configs::alter_configs),
    ("group of one", groups::one_member),
    ("group of three", groups::three_members),
    ("static members", groups::static_members),
    ("refused members", groups::refusals),
    ("group lists", groups::lists),
    ("offsets", offsets::commit_and_fetch),
    ("offsets in each state", offsets::in_each_state),
    ("offsets deleted", offsets::deleted),
];
