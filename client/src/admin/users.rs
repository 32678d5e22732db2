//! Users of a broker, and their passwords.
//!
//! Floor 4 of client.
//!
//! Invariants
//! - A password is hashed here; the broker is sent what follows from it, and stores less.

use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, ScramCredentialDeletion,
    ScramCredentialUpsertion,
};
use highwater_proto::kafka::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsInfo, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};
use highwater_proto::sasl::scram::{random_salt, salted_password};
use highwater_proto::sasl::{ITERATIONS_MIN, ScramHash};

use super::Admin;
use crate::config::Password;
use crate::error::ClientError;

/// A user of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDescription {
    /// The name.
    pub name: String,
    /// What it may prove its password by.
    pub credentials: Vec<CredentialDescription>,
}

/// One way in which a user may prove that it knows its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialDescription {
    /// The hash of the mechanism.
    pub hash: ScramHash,
    /// How often the password is hashed.
    pub iterations: i32,
}

/// How often [`Admin::set_password`] hashes a password if it is told nothing else: as Kafka's
/// tools.
pub const ITERATIONS: u32 = ITERATIONS_MIN;

impl Admin {
    /// All users that have a password, by name.
    ///
    /// # Errors
    /// When the broker refuses, or cannot be reached.
    pub async fn list_users(&self) -> Result<Vec<UserDescription>, ClientError> {
        let request = DescribeUserScramCredentialsRequest { users: None };
        let mut users = self.ask(0, request, described).await?;
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    /// Sets a user's password, for these mechanisms; makes the user if there is none.
    ///
    /// ```no_run
    /// use highwater_client::{Admin, ClientError, Password, ScramHash};
    ///
    /// # async fn run(admin: Admin) -> Result<(), ClientError> {
    /// let password = Password::from("correct horse battery staple");
    /// admin.set_password("billing", &password, &ScramHash::ALL, 4096).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the broker refuses, or cannot be reached.
    pub async fn set_password(
        &self,
        user: &str,
        password: &Password,
        hashes: &[ScramHash],
        iterations: u32,
    ) -> Result<(), ClientError> {
        let mut upsertions = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let mut bits = [0; 17];
            getrandom::fill(&mut bits).map_err(|error| {
                ClientError::NotSent(format!("the system gives no random bytes: {error}"))
            })?;
            let salt = random_salt(bits);
            let salted = salted_password(*hash, password.reveal(), &salt, iterations);
            upsertions.push(ScramCredentialUpsertion {
                name: Str::from(user.to_owned()),
                mechanism: hash.number(),
                iterations: i32::try_from(iterations).unwrap_or(i32::MAX),
                salt: salt.into(),
                salted_password: salted.0.into(),
            });
        }
        let deletions = Vec::new();
        let request = AlterUserScramCredentialsRequest {
            deletions,
            upsertions,
        };
        self.ask(0, request, altered).await
    }

    /// Takes a user's credentials for these hashes away; one without any is gone.
    ///
    /// # Errors
    /// `Broker` with `RESOURCE_NOT_FOUND` if it has not all of them; when the broker refuses, or
    /// cannot be reached.
    pub async fn delete_credentials(
        &self,
        user: &str,
        hashes: &[ScramHash],
    ) -> Result<(), ClientError> {
        let deletion = |hash: &ScramHash| ScramCredentialDeletion {
            name: Str::from(user.to_owned()),
            mechanism: hash.number(),
        };
        let request = AlterUserScramCredentialsRequest {
            deletions: hashes.iter().map(deletion).collect(),
            upsertions: Vec::new(),
        };
        self.ask(0, request, altered).await
    }
}

fn described(
    response: DescribeUserScramCredentialsResponse,
) -> Result<Vec<UserDescription>, ClientError> {
    ClientError::check(response.error_code, response.error_message.as_deref())?;
    let credential = |info: DescribeUserScramCredentialsInfo| {
        Some(CredentialDescription {
            // One of a mechanism that is not known here is nothing to show.
            hash: ScramHash::from_number(info.mechanism)?,
            iterations: info.iterations,
        })
    };
    let user = |user: DescribeUserScramCredentialsResult| UserDescription {
        name: user.user.into(),
        credentials: user
            .credential_infos
            .into_iter()
            .filter_map(credential)
            .collect(),
    };
    Ok(response.results.into_iter().map(user).collect())
}

fn altered(response: AlterUserScramCredentialsResponse) -> Result<(), ClientError> {
    let mut results = response.results.iter();
    results.try_for_each(|user| ClientError::check(user.error_code, user.error_message.as_deref()))
}
