//! DescribeUserScramCredentials (key 50), v0.
//!
//! Floor 5 of broker.
//!
//! - Users by name, or all of them: mechanisms and iterations, no salt and no key.
//! - A user that does not exist is error 91, one that is named twice error 92.

use highwater_proto::kafka::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsInfo, DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse, DescribeUserScramCredentialsResult,
};

use super::Call;
use crate::kafka::errors::{code_of, message_of};
use crate::service::users::DescribedUser;

pub(in crate::kafka) fn handle(
    call: Call<'_>,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let names = request.users.filter(|users| !users.is_empty());
    let names = names.map(|users| users.into_iter().map(|user| user.name.into()).collect());
    let described = call.service.describe_users(names);
    DescribeUserScramCredentialsResponse {
        error_message: None,
        results: described.into_iter().map(result).collect(),
        ..DescribeUserScramCredentialsResponse::default()
    }
}

fn result(described: DescribedUser) -> DescribeUserScramCredentialsResult {
    let (error_code, error_message) = (code_of(&described.result), message_of(&described.result));
    let credentials = described.result.into_iter().flatten();
    DescribeUserScramCredentialsResult {
        user: described.user.into(),
        error_code,
        error_message,
        credential_infos: credentials
            .map(|(hash, iterations)| DescribeUserScramCredentialsInfo {
                mechanism: hash.number(),
                iterations: i32::try_from(iterations).unwrap_or(i32::MAX),
            })
            .collect(),
    }
}
