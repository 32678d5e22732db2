//! Users and what is stored of their passwords.
//!
//! Floor 2 of broker.
//!
//! Invariants
//! - Changed by `MetaMachine::apply` alone; no user is without a credential.
//! - The secret of users that do not exist is written with the first credential: what a client
//!   meets is the same before and after a restart, and a directory without users has no record that
//!   an older version does not know.
//! - All changes of one user in a request are done, or none.

use std::collections::{BTreeMap, BTreeSet};

use highwater_proto::sasl::{
    Credential, ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES_MAX, ScramHash, Secret, USER_BYTES_MAX,
};

use crate::error::UserError;
use crate::machine::Effects;
use crate::meta::{MetaMachine, MetaRecord};

/// One change of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserChange {
    /// The user's name.
    pub user: String,
    /// Kafka's number of the mechanism: 1 or 2.
    pub mechanism: i8,
    /// What to do with the user's credential of it.
    pub change: CredentialChange,
}

/// What to do with a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialChange {
    /// Set it, to a password that only the client has seen.
    Set {
        /// What the password was mixed with.
        salt: Vec<u8>,
        /// How often it was hashed.
        iterations: i32,
        /// What came of it.
        salted_password: Secret,
    },
    /// Delete it.
    Delete,
}

/// What became of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredUser {
    /// The user's name.
    pub user: String,
    /// Nothing, or why nothing of it was changed.
    pub result: Result<(), UserError>,
}

/// Everybody who may prove to be somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    secret: Option<Secret>,
    by_name: BTreeMap<String, BTreeMap<ScramHash, Credential>>,
}

impl Users {
    /// The secret that the salts of users follow from that do not exist, once there was a user.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// A user's credential for a hash.
    #[must_use]
    pub fn credential(&self, user: &str, hash: ScramHash) -> Option<&Credential> {
        self.by_name.get(user)?.get(&hash)
    }

    /// Each user with its credentials, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &Credential>)> {
        let users = self.by_name.iter();
        users.map(|(name, credentials)| (name.as_str(), credentials.values()))
    }

    /// How often the passwords of most users are hashed for this hash: what a user that does not
    /// exist is told. It takes as long for every name.
    #[must_use]
    pub fn usual_iterations(&self, hash: ScramHash) -> u32 {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for credential in self.by_name.values().filter_map(|of| of.get(&hash)) {
            *counts.entry(credential.iterations).or_default() += 1;
        }
        let most = counts.into_iter().rev().max_by_key(|(_, count)| *count);
        most.map_or(ITERATIONS_MIN, |(iterations, _)| iterations)
    }

    pub(super) fn apply(&mut self, record: &MetaRecord) {
        match record {
            MetaRecord::ScramCredentialSet { user, credential } => {
                let credentials = self.by_name.entry(user.clone()).or_default();
                credentials.insert(credential.hash, credential.clone());
            }
            MetaRecord::ScramCredentialDeleted { user, hash } => {
                if let Some(credentials) = self.by_name.get_mut(user) {
                    credentials.remove(hash);
                    if credentials.is_empty() {
                        self.by_name.remove(user);
                    }
                }
            }
            MetaRecord::SaltSecretDrawn { secret } => self.secret = Some(secret.clone()),
            // The rest is no matter of users.
            _ => {}
        }
    }

    pub(super) fn snapshot(&self) -> impl Iterator<Item = MetaRecord> {
        let secret = self
            .secret
            .iter()
            .map(|secret| MetaRecord::SaltSecretDrawn {
                secret: secret.clone(),
            });
        let credentials = self.by_name.iter().flat_map(|(user, credentials)| {
            credentials
                .values()
                .map(|credential| MetaRecord::ScramCredentialSet {
                    user: user.clone(),
                    credential: credential.clone(),
                })
        });
        secret.chain(credentials)
    }
}

impl MetaMachine {
    /// Changes users; `fresh` is the secret if none was written yet. One answer for each user, in
    /// the order in which the request names them first.
    #[must_use]
    pub fn alter_users(
        &self,
        fresh: &Secret,
        changes: &[UserChange],
    ) -> Effects<MetaRecord, Vec<AlteredUser>> {
        let mut named = BTreeSet::new();
        let mut order: Vec<&str> = changes.iter().map(|change| change.user.as_str()).collect();
        order.retain(|user| named.insert(*user));
        let (mut records, mut reply) = (Vec::new(), Vec::new());
        let mut users_count = self.state.users.by_name.len();
        for user in order {
            let decided = self.alter_user(user, changes, users_count);
            let result = decided.map(|of_user| {
                users_count += usize::from(self.is_new(user, &of_user));
                records.extend(of_user);
            });
            let user = user.to_owned();
            reply.push(AlteredUser { user, result });
        }
        let sets = |record: &MetaRecord| matches!(record, MetaRecord::ScramCredentialSet { .. });
        if self.state.users.secret.is_none() && records.iter().any(sets) {
            let secret = fresh.clone();
            records.insert(0, MetaRecord::SaltSecretDrawn { secret });
        }
        Effects { records, reply }
    }

    fn alter_user(
        &self,
        user: &str,
        changes: &[UserChange],
        users_count: usize,
    ) -> Result<Vec<MetaRecord>, UserError> {
        if user.is_empty() || user.len() > USER_BYTES_MAX || user.chars().any(char::is_control) {
            return Err(UserError::InvalidName);
        }
        let mut seen = BTreeSet::new();
        let mut records = Vec::new();
        for change in changes.iter().filter(|change| change.user == user) {
            let hash = ScramHash::from_number(change.mechanism)
                .ok_or(UserError::UnknownMechanism(change.mechanism))?;
            if !seen.insert(hash) {
                return Err(UserError::NamedTwice);
            }
            let user = user.to_owned();
            records.push(match &change.change {
                CredentialChange::Set {
                    salt,
                    iterations,
                    salted_password,
                } => {
                    let credential = credential(hash, salt, *iterations, salted_password)?;
                    MetaRecord::ScramCredentialSet { user, credential }
                }
                CredentialChange::Delete => {
                    let known = self.state.users.credential(&user, hash);
                    known.ok_or(UserError::Unknown)?;
                    MetaRecord::ScramCredentialDeleted { user, hash }
                }
            });
        }
        if self.is_new(user, &records) && users_count >= self.config.users_max {
            return Err(UserError::TooMany(users_count));
        }
        Ok(records)
    }

    fn is_new(&self, user: &str, records: &[MetaRecord]) -> bool {
        !records.is_empty() && !self.state.users.by_name.contains_key(user)
    }
}

/// What is stored of a salted password.
fn credential(
    hash: ScramHash,
    salt: &[u8],
    iterations: i32,
    salted: &Secret,
) -> Result<Credential, UserError> {
    let allowed = ITERATIONS_MIN..=ITERATIONS_MAX;
    let count = u32::try_from(iterations).unwrap_or(0);
    if !allowed.contains(&count) {
        return Err(UserError::Iterations(iterations));
    }
    if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
        return Err(UserError::Salt(salt.len()));
    }
    let (bytes, wanted) = (salted.0.len(), hash.key_bytes());
    if bytes != wanted {
        return Err(UserError::SaltedPassword { bytes, wanted });
    }
    #[cfg(feature = "sasl")]
    let stored = Ok(Credential::of_salted(hash, salted, salt.to_vec(), count));
    #[cfg(not(feature = "sasl"))]
    let stored = Err(UserError::NoSasl);
    stored
}

#[cfg(all(test, feature = "sasl"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::BrokerConfig;
    use crate::machine::Machine;

    fn machine(users_max: usize) -> MetaMachine {
        MetaMachine::new(Arc::new(BrokerConfig {
            users_max,
            ..BrokerConfig::default()
        }))
    }

    fn set(user: &str, mechanism: i8, iterations: i32) -> UserChange {
        let bytes = ScramHash::from_number(mechanism).map_or(1, ScramHash::key_bytes);
        UserChange {
            user: user.to_owned(),
            mechanism,
            change: CredentialChange::Set {
                salt: b"salt".to_vec(),
                iterations,
                salted_password: Secret(vec![7; bytes]),
            },
        }
    }

    fn delete(user: &str, mechanism: i8) -> UserChange {
        UserChange {
            user: user.to_owned(),
            mechanism,
            change: CredentialChange::Delete,
        }
    }

    fn alter(machine: &mut MetaMachine, changes: &[UserChange]) -> Vec<Result<(), UserError>> {
        let Effects { records, reply } = machine.alter_users(&Secret(vec![1; 32]), changes);
        records.iter().for_each(|record| machine.apply(record));
        reply.into_iter().map(|altered| altered.result).collect()
    }

    #[test]
    fn a_user_comes_and_goes_with_its_credentials() {
        let mut machine = machine(10);
        let done = alter(
            &mut machine,
            &[set("alice", 1, 4096), set("alice", 2, 8192)],
        );
        assert_eq!(done, [Ok(())]);
        let stored = |machine: &MetaMachine, hash| {
            let users = &machine.state().users;
            users.credential("alice", hash).map(|of| of.iterations)
        };
        assert_eq!(stored(&machine, ScramHash::Sha256), Some(4096));
        assert_eq!(stored(&machine, ScramHash::Sha512), Some(8192));
        assert_eq!(alter(&mut machine, &[delete("alice", 1)]), [Ok(())]);
        assert_eq!(stored(&machine, ScramHash::Sha256), None);
        let unknown = [Err(UserError::Unknown)];
        assert_eq!(alter(&mut machine, &[delete("alice", 1)]), unknown);
        assert_eq!(alter(&mut machine, &[delete("alice", 2)]), [Ok(())]);
        assert_eq!(machine.state().users.iter().count(), 0);
    }

    #[test]
    fn all_changes_of_a_user_are_done_or_none_and_others_do_not_suffer() {
        let mut machine = machine(10);
        let done = alter(
            &mut machine,
            &[
                set("bad", 1, 4096),
                set("good", 1, 4096),
                set("bad", 2, 4095),
            ],
        );
        assert_eq!(done, [Err(UserError::Iterations(4095)), Ok(())]);
        let names: Vec<&str> = machine.state().users.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["good"]);
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let long = "u".repeat(256);
        for (change, error) in [
            (set("", 1, 4096), UserError::InvalidName),
            (set(&long, 1, 4096), UserError::InvalidName),
            (set("a\nb", 1, 4096), UserError::InvalidName),
            (set("a", 0, 4096), UserError::UnknownMechanism(0)),
            (set("a", 3, 4096), UserError::UnknownMechanism(3)),
            (set("a", 1, -1), UserError::Iterations(-1)),
            (set("a", 1, 100_001), UserError::Iterations(100_001)),
            (delete("a", 1), UserError::Unknown),
        ] {
            assert_eq!(alter(&mut machine(10), &[change]), [Err(error)]);
        }
        let with = |salt: usize, salted: usize| UserChange {
            change: CredentialChange::Set {
                salt: vec![1; salt],
                iterations: 4096,
                salted_password: Secret(vec![1; salted]),
            },
            ..delete("a", 1)
        };
        for (change, error) in [
            (with(0, 32), UserError::Salt(0)),
            (with(129, 32), UserError::Salt(129)),
            (
                with(1, 64),
                UserError::SaltedPassword {
                    bytes: 64,
                    wanted: 32,
                },
            ),
        ] {
            assert_eq!(alter(&mut machine(10), &[change]), [Err(error)]);
        }
        let twice = [set("a", 1, 4096), delete("a", 1)];
        assert_eq!(
            alter(&mut machine(10), &twice),
            [Err(UserError::NamedTwice)]
        );
    }

    #[test]
    fn there_are_no_more_users_than_allowed() {
        let mut machine = machine(2);
        let all = [set("a", 1, 4096), set("b", 1, 4096), set("c", 1, 4096)];
        let too_many = Err(UserError::TooMany(2));
        assert_eq!(
            alter(&mut machine, &all),
            [Ok(()), Ok(()), too_many.clone()]
        );
        assert_eq!(alter(&mut machine, &[set("c", 1, 4096)]), [too_many]);
        assert_eq!(alter(&mut machine, &[set("a", 2, 4096)]), [Ok(())]);
    }

    #[test]
    fn the_secret_is_written_once_and_with_the_first_user_only() {
        let mut machine = machine(10);
        assert_eq!(
            alter(&mut machine, &[delete("a", 1)]),
            [Err(UserError::Unknown)]
        );
        assert_eq!(machine.state().users.secret(), None);
        alter(&mut machine, &[set("a", 1, 4096)]);
        assert_eq!(machine.state().users.secret(), Some(&Secret(vec![1; 32])));
        let again = machine.alter_users(&Secret(vec![2; 32]), &[set("b", 1, 4096)]);
        assert_eq!(again.records.len(), 1);
    }

    #[test]
    fn the_iterations_of_nobody_are_those_of_most() {
        let mut machine = machine(10);
        let usual =
            |machine: &MetaMachine| machine.state().users.usual_iterations(ScramHash::Sha256);
        assert_eq!(usual(&machine), 4096);
        alter(
            &mut machine,
            &[set("a", 1, 9000), set("b", 1, 5000), set("c", 1, 9000)],
        );
        alter(&mut machine, &[set("d", 2, 5000), set("e", 2, 5000)]);
        assert_eq!(usual(&machine), 9000);
    }
}
