//! One member of a group, as the live machine knows it.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - A member waits for a join or for a sync, never for both.
//! - Metadata and assignment are copies: they keep no frame alive.

use std::time::Duration;

use bytes::Bytes;
use highwater_proto::clock::Mono;
use highwater_proto::group_log::MemberValue;

use crate::group::call::{Join, Ticket};
use crate::group::step::timeout_ms;

/// A member: what it told of itself, what it works on, and what it waits for.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Members are counted as they come: the first one leads.
    pub(super) number: u64,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    /// The protocols that it can follow, the best first, each with its metadata.
    pub(super) protocols: Vec<(String, Bytes)>,
    /// Its part of the current generation; empty until the leader has spoken.
    pub(super) assignment: Bytes,
    /// It waits for its generation to be complete.
    pub(super) join: Option<Ticket>,
    /// It waits for its leader.
    pub(super) sync: Option<Ticket>,
    /// It has asked for its part of the current generation.
    pub(super) has_synced: bool,
    /// The client does not know its id yet: it can wait, but it cannot heartbeat.
    pub(super) is_new: bool,
    expires_at: Mono,
}

impl Member {
    /// A member that joins for the first time.
    pub(super) fn new(number: u64, join: &Join, now: Mono) -> Self {
        Self {
            number,
            instance_id: join.instance_id.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: copied(&join.protocols),
            assignment: Bytes::new(),
            join: None,
            sync: None,
            has_synced: false,
            is_new: true,
            expires_at: now.plus(NEW_MEMBER_TIMEOUT),
        }
    }

    /// A member of a generation that was read from the log.
    pub(super) fn recovered(number: u64, value: &MemberValue, protocol: &str, now: Mono) -> Self {
        let rebalance_timeout_ms = match value.rebalance_timeout_ms {
            ..0 => value.session_timeout_ms,
            ms => ms,
        };
        let mut member = Self {
            number,
            instance_id: value.instance_id.clone(),
            client_id: value.client_id.clone(),
            client_host: value.client_host.clone(),
            session_timeout_ms: value.session_timeout_ms,
            rebalance_timeout_ms,
            protocols: vec![(protocol.to_owned(), value.subscription.clone())],
            assignment: value.assignment.clone(),
            join: None,
            sync: None,
            has_synced: true,
            is_new: false,
            expires_at: Mono::NEVER,
        };
        member.keep_alive(now);
        member
    }

    /// What the member says of itself now.
    pub(super) fn update(&mut self, join: &Join) {
        self.session_timeout_ms = join.session_timeout_ms;
        self.rebalance_timeout_ms = join.rebalance_timeout_ms;
        if self.protocols != join.protocols {
            self.protocols = copied(&join.protocols);
        }
    }

    /// What it says beside a protocol.
    pub(super) fn metadata(&self, protocol: &str) -> Bytes {
        let of = self.protocols.iter().find(|(name, _)| name == protocol);
        of.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }

    /// Whether it can follow a protocol.
    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Its session starts anew.
    #[inline]
    pub(super) fn keep_alive(&mut self, now: Mono) {
        let timeout = Duration::from_millis(timeout_ms(self.session_timeout_ms));
        self.expires_at = now.plus(timeout);
    }

    /// Its session ends so much later.
    pub(super) fn put_off(&mut self, by: Duration) {
        self.expires_at = self.expires_at.plus(by);
    }

    /// It is in a generation that is complete, and has no part in it yet.
    pub(super) fn begin_generation(&mut self, now: Mono) {
        self.assignment = Bytes::new();
        self.has_synced = false;
        self.is_new = false;
        self.keep_alive(now);
    }

    /// When it is given up. A known member that waits for us cannot heartbeat, so it has all the
    /// time that we take; one that does not know its id yet may be a client that gave up.
    pub(super) fn expires_at(&self) -> Mono {
        let waits = self.join.is_some() || self.sync.is_some();
        if waits && !self.is_new {
            return Mono::NEVER;
        }
        self.expires_at
    }

    /// What the log keeps of it.
    pub(super) fn to_value(&self, id: &str, protocol: &str, assignment: Bytes) -> MemberValue {
        MemberValue {
            member_id: id.to_owned(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
            subscription: self.metadata(protocol),
            assignment,
        }
    }
}

fn copied(protocols: &[(String, Bytes)]) -> Vec<(String, Bytes)> {
    let copy =
        |(name, metadata): &(String, Bytes)| (name.clone(), Bytes::copy_from_slice(metadata));
    protocols.iter().map(copy).collect()
}

/// How long a first join may wait: Kafka's `NewMemberJoinTimeoutMs`.
const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(5 * 60);
