//! Users: changed, described, and what a proof of a password is checked against.
//!
//! Floor 4 of broker.
//!
//! Invariants
//! - A user that does not exist takes the same course as one with a wrong password: it has a
//!   credential, which is always the same and which nothing fits, with as many iterations.
//! - Nothing that is answered holds a key.

use std::collections::HashSet;

use highwater_proto::sasl::ScramHash;
#[cfg(feature = "sasl")]
use highwater_proto::sasl::{Credential, Secret, scram};

use crate::error::UserError;
use crate::meta::MetaMachine;
pub use crate::meta::{AlteredUser, CredentialChange, UserChange};
use crate::service::{MetaKey, Service};

/// One user; in the order of the call, or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedUser {
    /// The name.
    pub user: String,
    /// Each of its credentials: the hash and the iterations.
    pub result: Result<Vec<(ScramHash, u32)>, UserError>,
}

/// What a proof is checked against.
#[cfg(feature = "sasl")]
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) credential: Credential,
    /// There is such a user, and it has such a credential. Nobody is told before the proof is
    /// checked.
    pub(crate) is_known: bool,
}

impl Service {
    /// Sets and deletes credentials of users; one answer for each user.
    pub async fn alter_users(&self, changes: Vec<UserChange>) -> Vec<AlteredUser> {
        let mut seen = HashSet::new();
        let mut users: Vec<String> = changes.iter().map(|change| change.user.clone()).collect();
        users.retain(|user| seen.insert(user.clone()));
        let secret = self.inner.salt_secret.clone();
        let decide = move |meta: &MetaMachine| meta.alter_users(&secret, &changes);
        let written = self.inner.meta.write(MetaKey::Users, decide).await;
        written.unwrap_or_else(|error| {
            let why = error.to_string();
            let failed = |user| AlteredUser {
                user,
                result: Err(UserError::Storage { why: why.clone() }),
            };
            users.into_iter().map(failed).collect()
        })
    }

    /// The users with these names, or all of them by name.
    #[must_use]
    pub fn describe_users(&self, names: Option<Vec<String>>) -> Vec<DescribedUser> {
        self.inner.meta.read(|meta| {
            let users = meta.state().users();
            let all = users.iter().map(|(name, credentials)| DescribedUser {
                user: name.to_owned(),
                result: Ok(credentials.map(|of| (of.hash, of.iterations)).collect()),
            });
            let Some(names) = names else {
                return all.collect();
            };
            let described = |user: &String| {
                let is_named_again = names.iter().filter(|name| *name == user).count() > 1;
                let credentials = ScramHash::ALL.into_iter();
                let credentials: Vec<_> = credentials
                    .filter_map(|hash| users.credential(user, hash))
                    .map(|of| (of.hash, of.iterations))
                    .collect();
                match credentials {
                    _ if is_named_again => Err(UserError::NamedTwice),
                    none if none.is_empty() => Err(UserError::Unknown),
                    some => Ok(some),
                }
            };
            let mut seen = HashSet::new();
            let once = names.iter().filter(|name| seen.insert(*name));
            once.map(|user| DescribedUser {
                user: user.clone(),
                result: described(user),
            })
            .collect()
        })
    }

    /// What a proof of this user is checked against.
    #[cfg(feature = "sasl")]
    pub(crate) fn candidate(&self, hash: ScramHash, user: &str) -> Candidate {
        self.inner.meta.read(|meta| {
            let users = meta.state().users();
            let secret = users.secret().unwrap_or(&self.inner.salt_secret);
            // For users that exist, too: it takes its time.
            let iterations = users.usual_iterations(hash);
            let fake = scram::fake_credential(hash, secret, user, iterations);
            let known = users.credential(user, hash).cloned();
            Candidate {
                is_known: known.is_some(),
                credential: known.unwrap_or(fake),
            }
        })
    }

    /// Whether a user has this password. Hashes it once for each mechanism, whether or not there is
    /// such a user; not many passwords at once, so that the disk's work goes on.
    #[cfg(feature = "sasl")]
    pub(crate) async fn has_password(&self, user: &str, password: &Secret) -> bool {
        let candidates = ScramHash::ALL.map(|hash| self.candidate(hash, user));
        let Ok(_turn) = self.inner.passwords.acquire().await else {
            return false;
        };
        let password = password.clone();
        let check = move || {
            let password = std::str::from_utf8(&password.0).unwrap_or_default();
            // Every one is checked: which of them fits is told to nobody.
            candidates.iter().fold(false, |fits, candidate| {
                let matches = scram::check_password(&candidate.credential, password);
                fits | (matches & candidate.is_known)
            })
        };
        // The task fails only when the runtime is being shut down.
        self.inner
            .workers
            .spawn_blocking(check)
            .await
            .unwrap_or(false)
    }
}

/// Passwords that are hashed at once, on threads that the disk's work shares.
#[cfg(feature = "sasl")]
pub(super) const PASSWORDS_AT_ONCE_MAX: usize = 2;
