//! The handshake, and the tokens of the mechanisms.
//!
//! Floor 5 of broker.
//!
//! Invariants
//! - A mechanism that would show a password to everybody on the way is not offered.
//! - Whatever is wrong with a token, the client is told one sentence, after one delay.

use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use highwater_proto::clock::Mono;
use highwater_proto::code::ErrorCode;
use highwater_proto::cursor::Str;
use highwater_proto::kafka::messages::sasl_authenticate::SaslAuthenticateResponse;
use highwater_proto::kafka::messages::sasl_handshake::SaslHandshakeResponse;
use highwater_proto::sasl::plain::Plain;
use highwater_proto::sasl::scram::{ServerBegun, ServerWaiting};
use highwater_proto::sasl::{Mechanism, ScramHash, Secret};

use super::{Form, Proved, State};
use crate::kafka::api::Call;
use crate::kafka::session::Session;
use crate::service::Service;

/// A mechanism that was agreed on, and how far it has come.
#[derive(Debug)]
pub(super) enum Exchange {
    Plain,
    /// The client's first message is due.
    Scram(ScramHash),
    /// Its last one is due, of this user; there may be no such user.
    ScramProof(Box<Proving>),
}

#[derive(Debug)]
pub(super) struct Proving {
    hash: ScramHash,
    user: String,
    is_known: bool,
    waiting: ServerWaiting,
}

/// What a token has led to.
enum Step {
    Next(Vec<u8>, Exchange),
    Done(Vec<u8>, String),
}

impl Exchange {
    fn of(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::ScramSha256 => Self::Scram(ScramHash::Sha256),
            Mechanism::ScramSha512 => Self::Scram(ScramHash::Sha512),
        }
    }

    fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain => Mechanism::Plain,
            Self::Scram(hash) => hash.mechanism(),
            Self::ScramProof(proving) => proving.hash.mechanism(),
        }
    }

    /// Takes a token; else a sentence for the broker's own log.
    async fn step(self, service: &Service, token: &[u8]) -> Result<Step, String> {
        match self {
            Self::Plain => {
                let plain = Plain::parse(token).map_err(|error| error.to_string())?;
                let password = Secret(plain.password.into_bytes());
                match service.has_password(&plain.user, &password).await {
                    true => Ok(Step::Done(Vec::new(), plain.user)),
                    false => Err(wrong(&plain.user)),
                }
            }
            Self::Scram(hash) => {
                let nonce = service.ids().nonce().map_err(|error| error.to_string())?;
                let begun = ServerBegun::take(token, &nonce).map_err(|error| error.to_string())?;
                let user = begun.user().to_owned();
                let candidate = service.candidate(hash, &user);
                let (challenge, waiting) = begun.challenge(candidate.credential);
                let proving = Proving {
                    hash,
                    user,
                    is_known: candidate.is_known,
                    waiting,
                };
                Ok(Step::Next(challenge, Self::ScramProof(Box::new(proving))))
            }
            Self::ScramProof(proving) => {
                let Proving {
                    user,
                    is_known,
                    waiting,
                    ..
                } = *proving;
                match waiting.finish(token) {
                    Ok(last) if is_known => Ok(Step::Done(last, user)),
                    Ok(_) => Err(wrong(&user)),
                    Err(error) => Err(format!("{}: {error}", wrong(&user))),
                }
            }
        }
    }
}

/// SaslHandshake: agrees on a mechanism.
pub(in crate::kafka) fn shake_hands(call: Call<'_>, asked: &str) -> SaslHandshakeResponse {
    let answer = |code: ErrorCode, mechanisms: Vec<Mechanism>| SaslHandshakeResponse {
        error_code: code.code(),
        mechanisms: mechanisms
            .into_iter()
            .map(|mechanism| Str::from_static(mechanism.name()))
            .collect(),
    };
    let mut state = call.session.proof().state();
    let before = match &*state {
        State::Handshake => None,
        State::Done(proved) => match proved.begin_again(&call) {
            Some(again) => Some(again),
            None => return answer(ErrorCode::IllegalSaslState, Vec::new()),
        },
        State::NotAsked => return answer(ErrorCode::IllegalSaslState, Vec::new()),
        State::Token(..) | State::Failed(_) => {
            *state = State::Failed("a second handshake came before the first was over".to_owned());
            return answer(ErrorCode::IllegalSaslState, Vec::new());
        }
    };
    let mut offered = offered(call.service, call.session);
    // Who proves again who it is does so in the same way.
    offered.retain(|one| {
        before
            .as_ref()
            .is_none_or(|before| before.mechanism == *one)
    });
    let agreed = asked.parse().ok().filter(|asked| offered.contains(asked));
    let Some(mechanism) = agreed else {
        *state = State::Failed(not_offered(asked, call.service, before.as_ref()));
        return answer(ErrorCode::UnsupportedSaslMechanism, offered);
    };
    let form = match call.version {
        0 => Form::Bare,
        _ => Form::Requests,
    };
    *state = State::Token(form, Exchange::of(mechanism), before);
    answer(ErrorCode::None, offered)
}

impl Proved {
    /// The same client, which now proves again who it is: where sessions end, at most once a
    /// second, as in Kafka, and with tokens in requests.
    fn begin_again(&self, call: &Call<'_>) -> Option<Self> {
        let now = call.service.clock().now().mono;
        let is_soon = |began: Mono| now.since(began) < AGAIN_MIN;
        let may = self.ends.is_some() && !self.again.is_some_and(is_soon) && call.version > 0;
        may.then(|| Self {
            again: Some(now),
            ..self.clone()
        })
    }
}

/// What this client may use.
fn offered(service: &Service, session: &Session) -> Vec<Mechanism> {
    let config = service.config();
    let is_shown = !session.is_encrypted() && !config.allow_plaintext_password;
    let enabled = config.sasl_enabled_mechanisms.iter();
    enabled
        .filter(|mechanism| *mechanism != Mechanism::Plain || !is_shown)
        .collect()
}

fn not_offered(asked: &str, service: &Service, before: Option<&Proved>) -> String {
    if let Some(Proved { mechanism, .. }) = before {
        return format!(
            "the client has proved who it is by {mechanism}, and may not do it again by {asked:?}"
        );
    }
    let enabled = &service.config().sasl_enabled_mechanisms;
    if asked == Mechanism::Plain.name() && enabled.contains(Mechanism::Plain) {
        return "PLAIN is refused on a connection that is not encrypted, on which everybody can \
                read the password: use SASL_SSL, or SCRAM, or set allow.plaintext.password=true"
            .to_owned();
    }
    let names: Vec<&str> = enabled.iter().map(Mechanism::name).collect();
    format!(
        "the client asked for the mechanism {:?}, sasl.enabled.mechanisms is {}",
        asked,
        names.join(",")
    )
}

/// SaslAuthenticate: takes the next token.
pub(in crate::kafka) async fn authenticate(
    call: Call<'_>,
    token: &[u8],
) -> SaslAuthenticateResponse {
    let proof = call.session.proof();
    let taken = {
        let mut state = proof.state();
        // What is cut off while it is looked at has failed.
        let failed = || State::Failed("it was given up before it was proved".to_owned());
        match &*state {
            State::Token(..) => mem::replace(&mut *state, failed()),
            State::NotAsked => return illegal(NOT_ASKED),
            State::Done(_) => return illegal(DONE),
            State::Handshake | State::Failed(_) => {
                *state = State::Failed("a token came without a handshake".to_owned());
                return illegal("the handshake, SaslHandshake, comes first");
            }
        }
    };
    let State::Token(form, exchange, before) = taken else {
        return illegal(NOT_ASKED);
    };
    let mechanism = exchange.mechanism();
    let step = checked(call, exchange, token).await;
    match step.and_then(|step| unchanged(step, before.as_ref())) {
        Ok(Step::Next(answer, exchange)) => {
            *proof.state() = State::Token(form, exchange, before);
            passed(answer, 0)
        }
        Ok(Step::Done(answer, user)) => {
            let lifetime_ms = call.service.config().connections_max_reauth_ms;
            let lifetime = Some(Duration::from_millis(lifetime_ms)).filter(|it| !it.is_zero());
            *proof.state() = State::Done(Proved {
                user,
                mechanism,
                ends: lifetime.map(|lifetime| call.service.clock().now().mono.plus(lifetime)),
                again: before.and_then(|before| before.again),
            });
            tracing::debug!(client = %call.session, %mechanism, "a client has proved who it is");
            passed(answer, lifetime_ms)
        }
        Err(why) => {
            call.service
                .metrics()
                .failed_logins
                .of(mechanism)
                .increment();
            *proof.state() = State::Failed(format!("{mechanism}: {why}"));
            refused(call, mechanism).await
        }
    }
}

/// A step, unless too many from this address were wrong.
async fn checked(call: Call<'_>, exchange: Exchange, token: &[u8]) -> Result<Step, String> {
    let now = || call.service.clock().now().mono;
    let address: Option<IpAddr> = call.session.address();
    let failures = call.session.failures();
    let is_allowed = address.zip(failures);
    if is_allowed.is_some_and(|(address, failures)| !failures.allow(address, now())) {
        return Err(
            "there were too many wrong proofs from this address: this one was not \
                    looked at (authentication.failures.max.per.second)"
                .to_owned(),
        );
    }
    let step = exchange.step(call.service, token).await;
    if let (Err(_), Some((address, failures))) = (&step, is_allowed) {
        failures.count(address, now());
    }
    step
}

/// Refuses a client that has proved to be another one than before.
fn unchanged(step: Step, before: Option<&Proved>) -> Result<Step, String> {
    match (&step, before) {
        (Step::Done(_, user), Some(before)) if *user != before.user => Err(format!(
            "the client was the user {}, and has now proved to be {}",
            before.user.escape_debug(),
            user.escape_debug()
        )),
        _ => Ok(step),
    }
}

/// `session_lifetime_ms`: after that the client has to prove again who it is; 0 for never.
fn passed(answer: Vec<u8>, session_lifetime_ms: u64) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_message: None,
        auth_bytes: answer.into(),
        session_lifetime_ms: i64::try_from(session_lifetime_ms).unwrap_or(i64::MAX),
        ..SaslAuthenticateResponse::default()
    }
}

/// The answer to everything that is no proof, after a delay: who tries passwords has to wait.
async fn refused(call: Call<'_>, mechanism: Mechanism) -> SaslAuthenticateResponse {
    let clock = call.service.clock();
    let delay = call
        .service
        .config()
        .connection_failed_authentication_delay_ms;
    let until = clock.now().mono.plus(Duration::from_millis(delay));
    clock.sleep_until(until).await;
    // Kafka's own words, which tools and people look for.
    let message = format!(
        "Authentication failed during authentication due to invalid credentials with SASL \
         mechanism {mechanism}"
    );
    SaslAuthenticateResponse {
        error_code: ErrorCode::SaslAuthenticationFailed.code(),
        error_message: Some(message.into()),
        ..SaslAuthenticateResponse::default()
    }
}

fn illegal(why: &'static str) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse {
        error_code: ErrorCode::IllegalSaslState.code(),
        error_message: Some(Str::from_static(why)),
        ..SaslAuthenticateResponse::default()
    }
}

fn wrong(user: &str) -> String {
    format!(
        "the user {} does not exist, or the password is wrong",
        user.escape_debug()
    )
}

const NOT_ASKED: &str = "this listener asks nobody to authenticate; connect without SASL";
const DONE: &str =
    "the client has authenticated already: to do it again, SaslHandshake comes first";

/// Between the beginnings of two more proofs of one client: that of Kafka.
const AGAIN_MIN: Duration = Duration::from_secs(1);
