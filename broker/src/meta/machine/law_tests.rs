//! The law of replay, over random histories.

use highwater_proto::sasl::Secret;
use proptest::prelude::*;

use super::tests::{NOW, id, machine, topic};
use super::*;
use crate::meta::{AlterFrom, ConfigChange, ConfigOperation, CredentialChange, UserChange};

#[derive(Clone, Debug)]
enum Step {
    Start(LastStop),
    Create(u8, i32),
    Delete(u8),
    Forget,
    Grow(u8, i32),
    Alter(u8, i64),
    /// On this broker (0), every broker (1) or a broker of another number; 0 takes it back.
    AlterBroker(u8, &'static str, i64),
    TakeIds,
    /// Sets a user's credential for a mechanism, or deletes it.
    AlterUser(u8, i8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<bool>().prop_map(|clean| Step::Start(if clean {
            LastStop::Clean
        } else {
            LastStop::Unclean
        })),
        (0_u8..5, 1..4_i32).prop_map(|(name, count)| Step::Create(name, count)),
        (0_u8..5).prop_map(Step::Delete),
        Just(Step::Forget),
        (0_u8..5, 1..9_i32).prop_map(|(name, total)| Step::Grow(name, total)),
        (0_u8..5, 1..9_i64).prop_map(|(name, ms)| Step::Alter(name, ms)),
        (
            0_u8..3,
            prop::sample::select(vec!["log.retention.ms", "num.io.threads"]),
            0..4_i64
        )
            .prop_map(|(broker, name, value)| Step::AlterBroker(broker, name, value)),
        Just(Step::TakeIds),
        (0_u8..3, 1..3_i8, any::<bool>())
            .prop_map(|(user, mechanism, set)| Step::AlterUser(user, mechanism, set)),
    ]
}

/// The records of one step in the machine's present state.
fn decide(machine: &MetaMachine, step: &Step, fresh: u8) -> Vec<MetaRecord> {
    let name = |number: &u8| format!("t{number}");
    match step {
        Step::Start(stop) => machine.start(ClusterId([fresh; 16]), *stop).records,
        Step::Create(number, count) => {
            let topic = NewTopic {
                partition_count: Some(*count),
                ..topic(&name(number))
            };
            machine.create_topics(NOW, &[(topic, id(fresh))]).records
        }
        Step::Delete(number) => {
            machine
                .delete_topics(&[TopicRef::Name(name(number))])
                .records
        }
        Step::Forget => {
            let ids: Vec<_> = machine.state().deleting().map(|topic| topic.id).collect();
            machine.forget(&ids).records
        }
        Step::Grow(number, total) => {
            let asked = NewPartitions {
                name: name(number),
                total: *total,
                assignments: None,
            };
            machine.create_partitions(&[asked]).records
        }
        Step::Alter(number, ms) => {
            let operation = ConfigOperation::Set(ms.to_string());
            let change = ConfigChange {
                name: "retention.ms".to_owned(),
                operation,
            };
            machine
                .alter_configs(&name(number), AlterFrom::Current, &[change])
                .records
        }
        Step::AlterBroker(broker, name, value) => {
            let node_id = [Some(machine.config.node_id), None, Some(77)][usize::from(*broker)];
            let operation = match value {
                0 => ConfigOperation::Delete,
                value => ConfigOperation::Set(value.to_string()),
            };
            let name = (*name).to_owned();
            let change = ConfigChange { name, operation };
            let from = AlterFrom::Current;
            machine
                .alter_broker_configs(node_id, from, &[change])
                .records
        }
        Step::TakeIds => machine.take_producer_ids(1000).records,
        Step::AlterUser(user, mechanism, set) => {
            alter_user(machine, name(user), (*mechanism, *set), fresh)
        }
    }
}

fn alter_user(
    machine: &MetaMachine,
    user: String,
    (mechanism, set): (i8, bool),
    fresh: u8,
) -> Vec<MetaRecord> {
    let bytes = usize::from(mechanism.unsigned_abs()) * 32;
    let change = match set {
        true => CredentialChange::Set {
            salt: vec![fresh],
            iterations: 4096,
            salted_password: Secret(vec![fresh; bytes]),
        },
        false => CredentialChange::Delete,
    };
    let change = UserChange {
        user,
        mechanism,
        change,
    };
    let secret = Secret(vec![fresh; 32]);
    machine.alter_users(&secret, &[change]).records
}

proptest! {
    /// Replaying the log, whole or from a snapshot anywhere in it, gives the live state; each
    /// record survives its bytes.
    #[test]
    fn replay_gives_the_live_state(
        steps in prop::collection::vec(step(), 0..40),
        snapshot_at in 0_usize..40,
    ) {
        let mut live = machine(BrokerConfig::default());
        let mut log = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            if at == snapshot_at {
                log = live.snapshot();
            }
            let records = decide(&live, step, u8::try_from(at + 1).unwrap());
            records.iter().for_each(|record| live.apply(record));
            log.extend(records);
        }
        let mut replayed = machine(BrokerConfig::default());
        for record in &log {
            let record = MetaRecord::decode(&record.encode()).unwrap();
            prop_assert_eq!(replayed.check(&record), Ok(()));
            replayed.apply(&record);
        }
        prop_assert_eq!(&replayed.state, &live.state);
        let counted: i32 = live.state.topics.values().map(|topic| topic.partition_count).sum();
        prop_assert_eq!(live.state.partitions_count, usize::try_from(counted).unwrap());
        let dynamic = live.state.dynamic(live.config.node_id);
        for topic in live.state.topics.values() {
            let settings = live.config.topic_settings(dynamic, &topic.configs);
            prop_assert_eq!(&topic.settings, &settings);
        }
    }
}
