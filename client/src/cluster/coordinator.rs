//! Which broker coordinates which group.
//!
//! Floor 3 of client.
//!
//! Invariants
//! - A coordinator is kept until it says that it is none, or does not answer; then it is looked up
//!   again, which any broker can answer.
//! - A call is tried again while the coordinator moves or loads, with growing pauses, up to a
//!   limit; every call that goes through here does no harm when it is done twice.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::ApiRequest;
use highwater_proto::kafka::messages::find_coordinator::{
    FindCoordinatorRequest, FindCoordinatorResult,
};

use super::{Cluster, Node, directory};
use crate::backoff::Backoff;
use crate::error::ClientError;

/// By group: the address of its coordinator.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    addresses: Mutex<HashMap<String, Arc<str>>>,
}

impl Coordinators {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<str>>> {
        // A cache: what a panicking thread left behind is at worst outdated.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How one kind of call is made: which versions, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// The versions that can be asked and read.
    pub(crate) versions: RangeInclusive<i16>,
    /// How long one try may take.
    pub(crate) each: Duration,
    /// How long all tries together may take.
    pub(crate) total: Duration,
}

impl Cluster {
    /// The client's limits: `request.timeout.ms` for a try, `default.api.timeout.ms` for all.
    pub(crate) fn terms(&self, versions: RangeInclusive<i16>) -> Terms {
        Terms {
            versions,
            each: self.limits().request,
            total: self.limits().api,
        }
    }

    /// The broker that coordinates a group, with an open session.
    pub(crate) async fn coordinator(&self, group: &str) -> Result<Node, ClientError> {
        let known = self.core.coordinators.lock().get(group).cloned();
        let address = match known {
            Some(address) => address,
            None => self.find_coordinator(group).await?,
        };
        let session = self.session(&address).await;
        session.inspect_err(|_| self.forget_coordinator(group))
    }

    /// The coordinator of a group turned out not to be it, or did not answer.
    pub(crate) fn forget_coordinator(&self, group: &str) {
        self.core.coordinators.lock().remove(group);
    }

    /// One try of a call to a group's coordinator.
    pub(crate) async fn try_coordinator<R: ApiRequest, T>(
        &self,
        group: &str,
        (versions, timeout): (RangeInclusive<i16>, Duration),
        request: R,
        read: impl FnOnce(R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let node = self.coordinator(group).await?;
        let version = node.version_within::<R>(versions)?;
        let answer = self.call(&node, version, request, timeout).await;
        answer.and_then(read).inspect_err(|error| {
            if is_elsewhere(error) {
                self.forget_coordinator(group);
            }
        })
    }

    /// A call to a group's coordinator, tried again while that may help.
    pub(crate) async fn ask_coordinator<R: ApiRequest + Clone, T>(
        &self,
        group: &str,
        terms: Terms,
        request: R,
        read: impl Fn(R::Response) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let deadline = self.now().plus(terms.total);
        let limits = self.limits();
        let mut backoff = Backoff::new(limits.retry, limits.retry_max);
        loop {
            let how = (terms.versions.clone(), terms.each);
            let tried = self
                .try_coordinator(group, how, request.clone(), &read)
                .await;
            let at = backoff.next_try(self.now());
            match tried {
                Err(error) if error.is_passing() && at < deadline => {
                    tracing::debug!(%error, group, "the coordinator is asked again");
                    self.core.clock.sleep_until(at).await;
                }
                done => return done,
            }
        }
    }

    async fn find_coordinator(&self, group: &str) -> Result<Arc<str>, ClientError> {
        let request = FindCoordinatorRequest {
            key_type: KEY_GROUP,
            coordinator_keys: vec![Str::from(group.to_owned())],
            ..Default::default()
        };
        let response = self.core.ask_any(FIND_VERSIONS, request, None).await?;
        let address = address(response.coordinators.into_iter().next())?;
        let mut known = self.core.coordinators.lock();
        known.insert(group.to_owned(), Arc::clone(&address));
        Ok(address)
    }
}

fn address(found: Option<FindCoordinatorResult>) -> Result<Arc<str>, ClientError> {
    let found = found.ok_or_else(|| {
        ClientError::Unknown("the answer names no coordinator for the group".to_owned())
    })?;
    ClientError::check(found.error_code, found.error_message.as_deref())?;
    Ok(directory::address(&found.host, found.port))
}

/// Whether another broker may be the coordinator by now.
fn is_elsewhere(error: &ClientError) -> bool {
    match error {
        ClientError::NotSent(_) | ClientError::Unknown(_) => true,
        ClientError::Broker { code, .. } => matches!(
            code,
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable
        ),
        _ => false,
    }
}

/// From version 4 on several groups are asked for at once; brokers have it since Kafka 3.0.
const FIND_VERSIONS: RangeInclusive<i16> = 4..=6;

/// Kafka's number for "the key is a group id".
const KEY_GROUP: i8 = 0;
