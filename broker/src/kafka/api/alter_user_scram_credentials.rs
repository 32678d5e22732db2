//! AlterUserScramCredentials (key 51), v0.
//!
//! Floor 5 of broker.
//!
//! - All changes of a user are done, or none; users do not depend on each other.
//! - What is deleted and is not there is error 91, what is named twice error 92, a credential that
//!   cannot be right error 93, an unknown mechanism error 33.

use highwater_proto::kafka::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use highwater_proto::sasl::Secret;

use super::Call;
use crate::kafka::errors::{code_of, message_of};
use crate::service::users::{AlteredUser, CredentialChange, UserChange};

pub(in crate::kafka) async fn handle(
    call: Call<'_>,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let deletions = request.deletions.into_iter().map(deletion);
    let changes = deletions.chain(request.upsertions.into_iter().map(upsertion));
    let altered = call.service.alter_users(changes.collect()).await;
    let client = call.session;
    for done in altered.iter().filter(|altered| altered.result.is_ok()) {
        let user = done.user.escape_debug();
        tracing::info!(%user, %client, "the credentials of a user were changed");
    }
    AlterUserScramCredentialsResponse {
        throttle_time_ms: 0,
        results: altered.into_iter().map(result).collect(),
    }
}

fn deletion(deletion: ScramCredentialDeletion) -> UserChange {
    UserChange {
        user: deletion.name.into(),
        mechanism: deletion.mechanism,
        change: CredentialChange::Delete,
    }
}

fn upsertion(upsertion: ScramCredentialUpsertion) -> UserChange {
    UserChange {
        user: upsertion.name.into(),
        mechanism: upsertion.mechanism,
        change: CredentialChange::Set {
            salt: upsertion.salt.to_vec(),
            iterations: upsertion.iterations,
            salted_password: Secret(upsertion.salted_password.0.to_vec()),
        },
    }
}

fn result(AlteredUser { user, result }: AlteredUser) -> AlterUserScramCredentialsResult {
    AlterUserScramCredentialsResult {
        user: user.into(),
        error_code: code_of(&result),
        error_message: message_of(&result),
    }
}
