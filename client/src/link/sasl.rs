//! How a connection proves who its user is, before anything else is asked on it.
//!
//! Floor 2 of client.
//!
//! Invariants
//! - With SCRAM the broker proves, too, that it knows the password; one that does not is refused.
//! - The password is sent by PLAIN alone, and only to a broker that has agreed to it.

use std::time::Duration;

use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::exchange::ExchangeError;
use highwater_proto::kafka::messages::sasl_authenticate::{
    SaslAuthenticateRequest, SaslAuthenticateResponse,
};
use highwater_proto::kafka::messages::sasl_handshake::SaslHandshakeRequest;
use highwater_proto::kafka::{ApiRequest, Hidden};
use highwater_proto::sasl::plain::Plain;
use highwater_proto::sasl::scram::{ClientBegun, ScramError};
use highwater_proto::sasl::{Mechanism, ScramHash};

use super::Link;
use crate::config::{ClientConfig, Password};
use crate::error::ClientError;

/// Who the user is.
#[derive(Clone, Debug)]
pub(super) struct Login {
    mechanism: Mechanism,
    user: String,
    password: Password,
}

impl Login {
    /// Of settings that are complete.
    pub(super) fn of(config: &ClientConfig) -> Option<Self> {
        Some(Self {
            mechanism: config.sasl_mechanism?,
            user: config.sasl_username.clone()?,
            password: config.sasl_password.clone()?,
        })
    }
}

impl Link {
    /// Proves who the user is; how long that counts, if not for as long as the connection.
    pub(super) async fn log_in(&self, login: &Login) -> Result<Option<Duration>, ClientError> {
        self.agree(login.mechanism).await?;
        let last = match login.mechanism {
            Mechanism::Plain => {
                let token = Plain::token(&login.user, login.password.reveal());
                self.show(token).await?
            }
            Mechanism::ScramSha256 => self.scram(ScramHash::Sha256, login).await?,
            Mechanism::ScramSha512 => self.scram(ScramHash::Sha512, login).await?,
        };
        let lifetime_ms = u64::try_from(last.session_lifetime_ms).unwrap_or(0);
        Ok((lifetime_ms > 0).then(|| Duration::from_millis(lifetime_ms)))
    }

    async fn agree(&self, mechanism: Mechanism) -> Result<(), ClientError> {
        let request = SaslHandshakeRequest {
            mechanism: Str::from_static(mechanism.name()),
        };
        let answer = self.ask(1..=1, request).await?;
        let offered: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
        match ErrorCode::from_i16(answer.error_code) {
            Some(ErrorCode::None) => Ok(()),
            Some(ErrorCode::UnsupportedSaslMechanism) => Err(ClientError::Unsupported(format!(
                "{} does not offer {mechanism} here, but {}: set sasl.mechanism (PLAIN is offered \
                 over TLS only, by most brokers)",
                self.address,
                offered.join(", ").escape_debug()
            ))),
            Some(ErrorCode::IllegalSaslState) => Err(ClientError::Unsupported(format!(
                "{} asks for no password here: set security.protocol=PLAINTEXT, or SSL, or connect \
                 to a listener with SASL",
                self.address
            ))),
            _ => ClientError::check(answer.error_code, None),
        }
    }

    async fn scram(
        &self,
        hash: ScramHash,
        login: &Login,
    ) -> Result<SaslAuthenticateResponse, ClientError> {
        let failed = |error: ScramError| {
            ClientError::Unsupported(format!("cannot authenticate to {}: {error}", self.address))
        };
        let nonce = nonce()?;
        let password = login.password.reveal();
        let begun = ClientBegun::begin(hash, &login.user, password, &nonce);
        let (first, begun) = begun.map_err(failed)?;
        let challenge = self.show(first).await?;
        // Some milliseconds of work, or more if the broker asks for more.
        let proved = tokio::task::spawn_blocking(move || begun.prove(&challenge.auth_bytes.0));
        let proved = proved.await.map_err(|_| ClientError::Closed)?;
        let (last, finishing) = proved.map_err(failed)?;
        let answer = self.show(last).await?;
        finishing.verify(&answer.auth_bytes.0).map_err(failed)?;
        Ok(answer)
    }

    /// Shows a token to the broker.
    async fn show(&self, token: Vec<u8>) -> Result<SaslAuthenticateResponse, ClientError> {
        let request = SaslAuthenticateRequest {
            auth_bytes: Hidden::from(token),
        };
        let answer = self.ask(0..=2, request).await?;
        ClientError::check(answer.error_code, answer.error_message.as_deref())?;
        Ok(answer)
    }

    async fn ask<R: ApiRequest>(
        &self,
        versions: std::ops::RangeInclusive<i16>,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let (low, high) = self.versions.get(&R::KEY).copied().unwrap_or((0, -1));
        let version = high.min(*versions.end());
        if version < low.max(*versions.start()) {
            return Err(ClientError::Unsupported(format!(
                "{} has no version of {} that this client speaks: it is too old for SASL",
                self.address,
                R::KEY.name()
            )));
        }
        let answer = self.enqueue(version, &request.into_request())?.wait().await;
        let answer = answer.map_err(ExchangeError::from);
        answer?.and_then(R::response).ok_or_else(|| {
            let why = "the answer is not one to what was asked";
            ClientError::NotSent(format!("cannot authenticate to {}: {why}", self.address))
        })
    }
}

/// A text that nobody has seen before.
fn nonce() -> Result<String, ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        ClientError::NotSent(format!("the system gives no random bytes: {error}"))
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
