//! The broker's settings: Kafka's names where Kafka has them, each with its bounds.
//!
//! Floor 1 of broker.
//!
//! Invariants
//! - Every limit of a queue, frame, count or wait of the broker stands in this table.
//! - A config that `validate` accepts can be started.

use highwater_log::config::{OnFull, Verify};

use crate::config::dynamic::{Dynamic, kept_entries};
use crate::config::mechanisms::Mechanisms;
use crate::config::recording::Recording;
use crate::config::setting::{Any, Setting, SettingValue, settings};
use crate::config::topic::{Layers, TopicConfig, TopicConfigs, TopicSettings};
use crate::config::value::{ConfigEntry, ConfigSource, ConfigSynonym};
use crate::config::words::{ClientAuth, OnPoison, Validation};
use crate::error::InvalidConfig;

settings! {
    /// All settings of a broker. Fields and names of the text form are the same settings.
    ///
    /// ```
    /// use highwater_broker::config::BrokerConfig;
    ///
    /// let mut config = BrokerConfig::default();
    /// config.set("num.partitions", "12")?;
    /// config.set("log.retention.ms", "3600000")?;
    /// assert_eq!(config.num_partitions, 12);
    /// assert!(config.set("num.partition", "12").is_err());
    /// # Ok::<(), highwater_broker::error::InvalidConfig>(())
    /// ```
    pub struct BrokerConfig;

    /// The id that clients see; any number from 0.
    "node.id" node_id: i32 = 1, 0..=i64::from(i32::MAX);
    /// Whether a client that asks for a missing topic creates it.
    "auto.create.topics.enable" auto_create_topics_enable: bool = true, Any;
    /// Partitions of a topic that is created without a count.
    "num.partitions" num_partitions: i32 = 1, 1..=10_000;
    /// The replication factor of a topic that is created without one.
    "default.replication.factor" default_replication_factor: i16 = 1, 1..=i64::from(i16::MAX);
    /// Accept replication factors above 1 and store them as 1; else they are refused.
    "replication.factor.clamp" replication_factor_clamp: bool = true, Any;
    /// Whether topics can be deleted.
    "delete.topic.enable" delete_topic_enable: bool = true, Any;
    /// Partitions of all topics together.
    "broker.partitions.max" broker_partitions_max: usize = 10_000, 1..=1_000_000;
    /// Topics in one request.
    "request.topics.max" request_topics_max: usize = 2_000, 1..=1_000_000;
    /// Partitions in one answer to DescribeTopicPartitions; it is continued in the next one.
    "max.request.partition.size.limit" max_request_partition_size_limit: i32
        = 2_000, 1..=i64::from(i32::MAX);
    /// Partitions in one request.
    "request.partitions.max" request_partitions_max: usize = 20_000, 1..=1_000_000;
    /// The largest request, in bytes.
    "socket.request.max.bytes" socket_request_max_bytes: usize
        = 100 * MIB, 64 * 1024..=i64::from(i32::MAX);
    /// Bytes of all requests that are being received; further ones wait unread.
    "queued.max.request.bytes" queued_max_request_bytes: usize = 256 * MIB, MIB_MIN..=i64::MAX;
    /// Bytes of all batches that wait to be written or synced; further produce requests wait.
    "queued.max.bytes" queued_max_bytes: usize = 64 * MIB, MIB_MIN..=i64::from(u32::MAX);
    /// Requests of one connection under way at once; then it is not read.
    "connection.requests.max" connection_requests_max: usize = 64, 1..=100_000;
    /// Bytes of requests of one connection under way at once; then it is not read.
    "connection.requests.max.bytes" connection_requests_max_bytes: usize = 8 * MIB, 1..=i64::MAX;
    /// Connections at once.
    "max.connections" max_connections: usize = 10_000, 1..=1_000_000;
    /// Connections at once from one address.
    "max.connections.per.ip" max_connections_per_ip: usize = 1_000, 1..=1_000_000;
    /// New connections a second; further ones wait.
    "max.connection.creation.rate" max_connection_creation_rate: usize = 500, 1..=1_000_000;
    /// A connection without a request for so long is closed, in milliseconds.
    "connections.max.idle.ms" connections_max_idle_ms: u64 = 600_000, 1..=i64::MAX;
    /// A begun request must arrive at so many bytes a second, or its connection is closed.
    "socket.receive.min.bytes.per.second" socket_receive_min_bytes_per_second: u64
        = 1024, 0..=i64::MAX;
    /// The time over which the rate of a begun request is averaged, in milliseconds.
    "socket.receive.window.ms" socket_receive_window_ms: u64 = 30_000, 1..=i64::MAX;
    /// A connection that takes no byte of its answers for so long is closed, in milliseconds.
    "socket.send.stall.max.ms" socket_send_stall_max_ms: u64 = 60_000, 1..=i64::MAX;
    /// The PEM file of the broker's certificate, followed by those between it and its authority.
    "ssl.certificate.location" ssl_certificate_location: String = String::new(), Any;
    /// The PEM file of the certificate's private key, not encrypted.
    "ssl.key.location" ssl_key_location: String = String::new(), Any;
    /// The PEM file of the authorities whose certificates clients may show.
    "ssl.ca.location" ssl_ca_location: String = String::new(), Any;
    /// Whether clients show a certificate over TLS: none, requested or required.
    "ssl.client.auth" ssl_client_auth: ClientAuth = ClientAuth::None, Any;
    /// How long a TLS handshake may take, in milliseconds.
    "ssl.handshake.timeout.ms" ssl_handshake_timeout_ms: u64 = 10_000, 1..=3_600_000;
    /// TLS handshakes under way at once; further connections are closed.
    "ssl.handshakes.max" ssl_handshakes_max: usize = 1_000, 1..=1_000_000;
    /// TLS handshakes under way at once with one address; further connections are closed.
    "ssl.handshakes.max.per.ip" ssl_handshakes_max_per_ip: usize = 200, 1..=1_000_000;
    /// How clients of a listener with SASL may prove who they are.
    "sasl.enabled.mechanisms" sasl_enabled_mechanisms: Mechanisms = Mechanisms::scram(), Any;
    /// Whether PLAIN, which sends the password itself, may be used without TLS.
    "allow.plaintext.password" allow_plaintext_password: bool = false, Any;
    /// The largest request of a client that has not proved who it is, in bytes.
    "sasl.server.max.receive.size" sasl_server_max_receive_size: usize
        = 512 * 1024, 1024..=i64::from(i32::MAX);
    /// How long a client may take to prove who it is, in milliseconds.
    "authentication.timeout.ms" authentication_timeout_ms: u64 = 10_000, 1..=3_600_000;
    /// How long a proof of who a client is counts, in milliseconds: then the client proves it
    /// again, or its next request ends the connection. 0: as long as the connection lasts.
    "connections.max.reauth.ms" connections_max_reauth_ms: u64 = 0, 0..=i64::MAX;
    /// How long a client waits for the answer that its proof is wrong, in milliseconds.
    "connection.failed.authentication.delay.ms" connection_failed_authentication_delay_ms: u64
        = 100, 0..=60_000;
    /// Wrong proofs from one address in a second; more are refused unseen.
    "authentication.failures.max.per.second" authentication_failures_max_per_second: usize
        = 10, 1..=1_000_000;
    /// Users with a password.
    "users.max" users_max: usize = 10_000, 1..=20_000;
    /// The largest answer to a fetch, in bytes, but for a larger first batch.
    "fetch.max.bytes" fetch_max_bytes: usize = 57_671_680, 1024..=i64::from(i32::MAX);
    /// Fetches that wait for records at once; further ones are answered at once.
    "fetch.parked.max" fetch_parked_max: usize = 20_000, 0..=10_000_000;
    /// Fetch sessions at once; one that is idle for two minutes gives way to a new one.
    "max.incremental.fetch.session.cache.slots" fetch_session_slots_max: usize
        = 1_000, 0..=1_000_000;
    /// Partitions of all fetch sessions together; readers beyond them fetch without a session.
    "fetch.session.partitions.max" fetch_session_partitions_max: usize
        = 100_000, 0..=100_000_000;
    /// When a read checks the checksums of what it returns: first, always or never.
    "fetch.verify" fetch_verify: Verify = Verify::First, Any;
    /// How far a batch is checked before it is stored: shallow (its header and checksum, and the
    /// records of uncompressed batches) or deep (compressed ones are decompressed, too).
    "validate" validate: Validation = Validation::Shallow, Any;
    /// The largest batch once it is decompressed, where that is needed, in bytes.
    "max.decompressed.message.bytes" max_decompressed_message_bytes: usize
        = 64 * MIB, 1024..=i64::from(i32::MAX);
    /// Free bytes of the disk below which producers are refused, with an error that clients retry;
    /// reads, committed offsets, topic changes and deletions go on. -1 for 64 MiB, or a hundredth
    /// of the disk if that is more.
    "min.free.bytes" min_free_bytes: i64 = -1, -1..=i64::MAX;
    /// The size of a file in the data directory that is given up when the disk is full, so that
    /// offsets and metadata can be written, and made again when there is room, in bytes; 0 for
    /// none. There is none in memory.
    "log.dirs.reserve.bytes" log_dirs_reserve_bytes: u64 = 16 * MIB as u64, 0..=1 << 40;
    /// What all files of the data directory may hold, in bytes; -1 for no limit. Before that the
    /// oldest segments of the topics with on.full=drop-oldest are removed, and producers are
    /// refused while that is not enough. A sixteenth of it, at most 16 MiB, is kept for offsets,
    /// metadata and indexes.
    "log.dirs.max.bytes" log_dirs_max_bytes: i64 = -1, -1..=i64::MAX;
    /// What a server does when a write or sync has failed, after which nothing can be written
    /// until a new start: read-only (go on serving what is durable) or exit (with code 1, for a
    /// supervisor that starts it again). A broker within another program is always read-only.
    "on.poison" on_poison: OnPoison = OnPoison::ReadOnly, Any;
    /// The time between two checks of retention, in milliseconds.
    "log.retention.check.interval.ms" log_retention_check_interval_ms: u64 = 300_000, 1..=i64::MAX;
    /// The size of each of the two journal files, in bytes; below 8192 there is no journal.
    "log.journal.bytes" log_journal_bytes: u64 = 64 * MIB as u64, 0..=1 << 40;
    /// Logs with larger batches in one commit are synced themselves, in bytes.
    "log.journal.batch.max.bytes" log_journal_batch_max_bytes: usize
        = 64 * 1024, 0..=i64::from(i32::MAX);
    /// The time between two writings of the recovery points, in milliseconds.
    "log.checkpoint.interval.ms" log_checkpoint_interval_ms: u64 = 1_000, 1..=i64::MAX;
    /// The time between two checks of every segment that does not change any more, for damage that
    /// nobody has read, in milliseconds; the first begins a minute after the start. 0 for none.
    "log.scrub.interval.ms" log_scrub_interval_ms: u64 = 604_800_000, 0..=i64::MAX;
    /// How fast such a check reads, in bytes a second; 0 for none.
    "log.scrub.bytes.per.second" log_scrub_bytes_per_second: u64 = 5_000_000, 0..=i64::MAX;
    /// An idempotent producer that is silent for so long is forgotten, in milliseconds.
    "producer.id.expiration.ms" producer_id_expiration_ms: i64 = 86_400_000, 1..=i64::MAX;
    /// Bytes of the metadata log after which its whole state is written anew.
    "metadata.log.max.record.bytes.between.snapshots" metadata_snapshot_bytes: u64
        = MIB as u64, 1024..=1 << 40;
    /// The shortest `session.timeout.ms` that a member of a group may ask for, in milliseconds.
    "group.min.session.timeout.ms" group_min_session_timeout_ms: i32
        = 6_000, 1..=i64::from(i32::MAX);
    /// The longest `session.timeout.ms` that a member of a group may ask for, in milliseconds.
    "group.max.session.timeout.ms" group_max_session_timeout_ms: i32
        = 1_800_000, 1..=i64::from(i32::MAX);
    /// How long an empty group waits for more members, in milliseconds; 0 for a broker within a
    /// program of tests, where nobody wants to wait.
    "group.initial.rebalance.delay.ms" group_initial_rebalance_delay_ms: i32 = 0, 0..=3_600_000;
    /// Members of one group.
    "group.max.size" group_max_size: i32 = i32::MAX, 1..=i64::from(i32::MAX);
    /// The longest id of a group, a member or an instance, in bytes.
    "group.id.max.bytes" group_id_max_bytes: usize = 1_024, 1..=16_384;
    /// What one member may say of itself beside its protocols, and what it may be assigned, in
    /// bytes.
    "group.member.max.bytes" group_member_max_bytes: usize = 4 * MIB, 1..=i64::from(i32::MAX);
    /// Groups, those without members included.
    "groups.max" groups_max: usize = 100_000, 1..=10_000_000;
    /// Partitions of __consumer_offsets, when it is made.
    "offsets.topic.num.partitions" offsets_topic_num_partitions: i32 = 1, 1..=10_000;
    /// The size of a segment of __consumer_offsets, when it is made, in bytes: a log of it takes
    /// at most twice what its groups hold, and one segment; more if what is committed while it is
    /// rewritten is larger than half a segment.
    "offsets.topic.segment.bytes" offsets_topic_segment_bytes: i32
        = 16 << 20, 64 * 1024..=i64::from(i32::MAX);
    /// How long the offsets of a group without members are kept, in minutes.
    "offsets.retention.minutes" offsets_retention_minutes: i32 = 10_080, 1..=i64::from(i32::MAX);
    /// The time between two searches for offsets that are no longer kept, in milliseconds.
    "offsets.retention.check.interval.ms" offsets_retention_check_interval_ms: u64
        = 600_000, 1..=i64::MAX;
    /// The longest text that a client may leave beside an offset, in bytes.
    "offset.metadata.max.bytes" offset_metadata_max_bytes: i32 = 4_096, 0..=i64::from(i32::MAX);
    /// What is counted for `/metrics`: INFO (everything; DEBUG and TRACE mean the same here), or
    /// OFF (nothing but what is looked up when it is asked for).
    "metrics.recording.level" metrics_recording_level: Recording = Recording::Info, Any;
    /// Threads that serve connections and requests.
    "num.network.threads" num_network_threads: usize = 2, 1..=1024;
    /// How long a shutdown waits for requests under way, in milliseconds.
    "shutdown.grace.ms" shutdown_grace_ms: u64 = 5_000, 0..=3_600_000;
}

impl BrokerConfig {
    /// For a broker that serves others, on a machine with room. [`Self::default`] is that of a
    /// broker within another program: it differs by `group.initial.rebalance.delay.ms` alone.
    #[must_use]
    pub fn server() -> Self {
        Self {
            group_initial_rebalance_delay_ms: 3_000,
            ..Self::default()
        }
    }

    /// For two cores and little memory: smaller frames, queues, journal and segments of groups.
    #[must_use]
    pub fn edge() -> Self {
        Self {
            socket_request_max_bytes: 16 * MIB,
            queued_max_request_bytes: 16 * MIB,
            queued_max_bytes: 16 * MIB,
            connection_requests_max_bytes: 4 * MIB,
            max_connections: 1_000,
            ssl_handshakes_max: 100,
            ssl_handshakes_max_per_ip: 50,
            fetch_max_bytes: 8 * MIB,
            fetch_session_partitions_max: 10_000,
            log_journal_bytes: 16 * MIB as u64,
            offsets_topic_segment_bytes: 4 << 20,
            ..Self::server()
        }
    }

    /// Sets one setting by its name. The name of a topic config's broker setting, such as
    /// `log.retention.ms`, sets the default of all topics.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidConfig> {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
            return (setting.write)(self, value).map_err(|why| InvalidConfig::new(name, why));
        }
        let Some(row) = TopicConfig::by_synonym(name) else {
            return Err(InvalidConfig::new(name, "no setting has this name"));
        };
        match self.topic_defaults.set(row.name, value) {
            Ok(_) => Ok(()),
            Err(error) => Err(InvalidConfig::new(name, error.why)),
        }
    }

    /// Checks all settings, also those that were assigned directly.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let mut copy = self.clone();
        for setting in SETTINGS {
            let check = (setting.write)(&mut copy, &(setting.read)(self));
            check.map_err(|why| InvalidConfig::new(setting.name, why))?;
        }
        if self.queued_max_request_bytes < self.socket_request_max_bytes {
            return Err(InvalidConfig::new(
                "queued.max.request.bytes",
                "is below socket.request.max.bytes, so that the largest request never fits",
            ));
        }
        if self.ssl_client_auth != ClientAuth::None && self.ssl_ca_location.is_empty() {
            return Err(InvalidConfig::new(
                "ssl.client.auth",
                "needs ssl.ca.location: the authorities whose certificates clients may show",
            ));
        }
        if (0..DIR_BYTES_MIN).contains(&self.log_dirs_max_bytes) {
            return Err(InvalidConfig::new(
                "log.dirs.max.bytes",
                format!("is neither -1 nor at least {DIR_BYTES_MIN}"),
            ));
        }
        if self.group_max_session_timeout_ms < self.group_min_session_timeout_ms {
            return Err(InvalidConfig::new(
                "group.max.session.timeout.ms",
                "is below group.min.session.timeout.ms, so that no member could join",
            ));
        }
        Ok(())
    }

    /// What the broker acts on for a topic with these overrides.
    #[must_use]
    pub fn topic_settings(&self, dynamic: Dynamic<'_>, topic: &TopicConfigs) -> TopicSettings {
        let mut settings = self.layers(dynamic, topic).settings();
        settings.log.producer_id_expiration_ms = self.producer_id_expiration_ms;
        settings.log.fetch_verify = self.fetch_verify;
        if settings.log.on_full == OnFull::DropOldest
            && let Ok(bytes_max) = u64::try_from(self.log_dirs_max_bytes)
        {
            // What is dropped must be a small part of what there is.
            let part = (bytes_max / 16).max(settings.message_bytes_max as u64);
            settings.log.segment_bytes = settings.log.segment_bytes.min(part);
        }
        settings
    }

    /// A topic's overrides over what is set on the broker.
    #[must_use]
    pub fn layers<'a>(&'a self, dynamic: Dynamic<'a>, topic: &'a TopicConfigs) -> Layers<'a> {
        Layers::new(topic, dynamic, &self.topic_defaults)
    }

    /// Every setting with its value at the start, for printing it then.
    #[must_use]
    pub fn entries(&self) -> Vec<ConfigEntry> {
        self.settings_over(Dynamic::default())
    }

    /// Every config of the broker, for DescribeConfigs.
    #[must_use]
    pub fn entries_while_running(&self, dynamic: Dynamic<'_>) -> Vec<ConfigEntry> {
        let mut entries = self.settings_over(dynamic);
        entries.extend(kept_entries(dynamic));
        entries
    }

    fn settings_over(&self, dynamic: Dynamic<'_>) -> Vec<ConfigEntry> {
        // As in Kafka, so that tools see as set what differs from it.
        let default = Self::server();
        let own = SETTINGS.iter().map(|setting| self.entry(setting, &default));
        let no_topic = TopicConfigs::new();
        let topics = self.layers(dynamic, &no_topic);
        own.chain(topics.broker_entries()).collect()
    }

    fn entry(&self, setting: &Setting, default: &Self) -> ConfigEntry {
        let (value, built_in) = ((setting.read)(self), (setting.read)(default));
        let synonym = |value: &str, source| ConfigSynonym {
            name: setting.name,
            value: value.to_owned(),
            source,
        };
        let set = (value != built_in).then(|| synonym(&value, ConfigSource::StaticBroker));
        let synonyms: Vec<ConfigSynonym> = set
            .into_iter()
            .chain([synonym(&built_in, ConfigSource::Default)])
            .collect();
        ConfigEntry {
            name: setting.name,
            source: synonyms
                .first()
                .map_or(ConfigSource::Default, |first| first.source),
            value,
            kind: setting.kind,
            read_only: true,
            synonyms,
            documentation: setting.documentation.trim(),
        }
    }
}

const MIB: usize = 1 << 20;
/// A smaller directory has no room for its own journal.
const DIR_BYTES_MIN: i64 = 1 << 20;
const MIB_MIN: i64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::ConfigType;

    #[test]
    fn both_profiles_are_valid() {
        BrokerConfig::server().validate().unwrap();
        BrokerConfig::edge().validate().unwrap();
    }

    #[test]
    fn every_printed_setting_can_be_set_to_what_it_prints() {
        let mut copy = BrokerConfig::default();
        for entry in BrokerConfig::edge().entries() {
            copy.set(entry.name, &entry.value).unwrap();
        }
        let topic_values = |c: &BrokerConfig| {
            c.layers(Dynamic::default(), &TopicConfigs::default())
                .entries()
                .into_iter()
                .map(|e| e.value)
                .collect::<Vec<_>>()
        };
        assert_eq!(topic_values(&copy), topic_values(&BrokerConfig::edge()));
        copy.topic_defaults = TopicConfigs::default();
        assert_eq!(copy, BrokerConfig::edge());
    }

    #[test]
    fn no_two_settings_share_a_name_and_each_is_documented() {
        let entries = BrokerConfig::default().entries();
        for (index, entry) in entries.iter().enumerate() {
            assert!(entry.documentation.ends_with('.'), "{}", entry.name);
            assert!(
                entries[index + 1..]
                    .iter()
                    .all(|other| other.name != entry.name),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn what_is_outside_its_bounds_is_refused() {
        let mut config = BrokerConfig::default();
        for (name, value) in [
            ("num.partitions", "0"),
            ("node.id", "-1"),
            ("node.id", "2147483648"),
            ("validate", "sometimes"),
            ("on.poison", "panic"),
            ("on.full", "drop-newest"),
            ("min.free.bytes", "-2"),
            ("log.retention.ms", "-2"),
            ("log.dirs", "/elsewhere"),
            ("message.max.bytes", "many"),
        ] {
            let error = config.set(name, value).unwrap_err();
            assert_eq!(error.name, name);
        }
        assert_eq!(config, BrokerConfig::default());
        let assigned = BrokerConfig {
            num_partitions: 0,
            ..BrokerConfig::default()
        };
        assert_eq!(assigned.validate().unwrap_err().name, "num.partitions");
    }

    #[test]
    fn a_set_value_is_told_apart_from_a_default() {
        let mut config = BrokerConfig::default();
        config.set("num.partitions", "4").unwrap();
        let entries = config.entries();
        let entry = entries
            .iter()
            .find(|entry| entry.name == "num.partitions")
            .unwrap();
        assert_eq!(
            (entry.value.as_str(), entry.source),
            ("4", ConfigSource::StaticBroker)
        );
        assert_eq!(entry.synonyms.len(), 2);
        assert_eq!(entry.kind, ConfigType::Int);
    }
}
