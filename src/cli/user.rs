//! `highwater user`: who may prove to be who, on a broker that runs or in a data directory.
//!
//! Floor 5 of cli.
//!
//! Invariants
//! - A password is read before anything is opened, and printed nowhere.

use highwater_client::{Admin, Client, ClientError, ErrorCode, Mechanism, Password, ScramHash};
use serde::Serialize;

use crate::cli::args::{UserArgs, UserCommand};
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::secret;
use crate::cli::table::{Side, Table, cell};
use crate::cli::target::Missing;

/// Runs the command.
pub(crate) fn run(args: UserArgs) -> Result<(), Failure> {
    let (missing, work) = match args.command {
        UserCommand::Add {
            name,
            mechanism,
            password_file,
            iterations,
            json,
        } => {
            let hashes = hashes(&mechanism)?;
            let password = match &password_file {
                Some(path) => secret::from_file(path)?,
                None => secret::asked(&name)?,
            };
            let hashes = match hashes.is_empty() {
                true => ScramHash::ALL.to_vec(),
                false => hashes,
            };
            let user = User { name, hashes, json };
            (Missing::Make, Work::Add(user, password, iterations))
        }
        UserCommand::List { json } => (Missing::Refuse, Work::List(json)),
        UserCommand::Delete {
            name,
            mechanism,
            json,
        } => {
            let hashes = hashes(&mechanism)?;
            (Missing::Refuse, Work::Delete(User { name, hashes, json }))
        }
    };
    args.target.run(missing, async |client: Client, signals| {
        signals
            .unless_interrupted(execute(&client.admin(), work))
            .await
    })
}

/// A user, and the hashes that are meant.
struct User {
    name: String,
    hashes: Vec<ScramHash>,
    json: bool,
}

/// What is to be done, with all that is needed for it.
enum Work {
    Add(User, Password, u32),
    List(bool),
    Delete(User),
}

async fn execute(admin: &Admin, work: Work) -> Result<(), Failure> {
    match work {
        Work::Add(user, password, iterations) => {
            let set = admin.set_password(&user.name, &password, &user.hashes, iterations);
            set.await.map_err(|error| named(&user.name, error))?;
            shown(&user, Some(iterations))
        }
        Work::List(json) => list(admin, json).await,
        Work::Delete(mut user) => {
            if user.hashes.is_empty() {
                let users = admin.list_users().await?;
                let known = users.into_iter().find(|known| known.name == user.name);
                let credentials = known.map(|known| known.credentials).unwrap_or_default();
                user.hashes = credentials.iter().map(|of| of.hash).collect();
            }
            if user.hashes.is_empty() {
                return Err(Failure::Failed(format!("there is no user {}", user.name)));
            }
            let deleted = admin.delete_credentials(&user.name, &user.hashes);
            deleted.await.map_err(|error| named(&user.name, error))?;
            shown(&user, None)
        }
    }
}

/// What `--json` says of a user.
#[derive(Debug, Serialize)]
struct Said<'a> {
    user: &'a str,
    mechanisms: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iterations: Option<u32>,
}

fn shown(user: &User, iterations: Option<u32>) -> Result<(), Failure> {
    if !user.json {
        return Ok(());
    }
    output::json(&Said {
        user: &user.name,
        mechanisms: names(&user.hashes),
        iterations,
    })
}

/// What `user list --json` says of a user.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    user: &'a str,
    credentials: Vec<ListedCredential>,
}

#[derive(Debug, Serialize)]
struct ListedCredential {
    mechanism: &'static str,
    iterations: i32,
}

async fn list(admin: &Admin, json: bool) -> Result<(), Failure> {
    let users = admin.list_users().await?;
    let mut out = Output::new();
    let mut table = Table::new([
        ("USER", Side::Left),
        ("MECHANISM", Side::Left),
        ("ITERATIONS", Side::Right),
    ]);
    for user in &users {
        let credentials = user.credentials.iter();
        if json {
            let credentials = credentials.map(|of| ListedCredential {
                mechanism: of.hash.mechanism().name(),
                iterations: of.iterations,
            });
            out.json(&Listed {
                user: &user.name,
                credentials: credentials.collect(),
            })?;
            continue;
        }
        for of in credentials {
            let mechanism = of.hash.mechanism().name().to_owned();
            let name = cell(&user.name, NAME_CHARS_MAX);
            table.row([name, mechanism, of.iterations.to_string()]);
        }
    }
    if !json {
        out.bytes(table.to_string().as_bytes())?;
    }
    out.flush()
}

/// The hashes of mechanisms that passwords are stored for.
fn hashes(mechanisms: &[Mechanism]) -> Result<Vec<ScramHash>, Failure> {
    let hash = |asked: &Mechanism| {
        let mut all = ScramHash::ALL.into_iter();
        all.find(|hash| hash.mechanism() == *asked).ok_or_else(|| {
            let sentence = "nothing is stored for PLAIN: who has a password for SCRAM-SHA-256 or \
                            SCRAM-SHA-512 can use it with PLAIN, too";
            Failure::Usage(sentence.to_owned())
        })
    };
    let mut hashes: Vec<ScramHash> = mechanisms.iter().map(hash).collect::<Result<_, _>>()?;
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}

fn names(hashes: &[ScramHash]) -> Vec<&'static str> {
    hashes.iter().map(|hash| hash.mechanism().name()).collect()
}

/// An error about a user, with its name in front.
fn named(user: &str, error: ClientError) -> Failure {
    match error {
        ClientError::Broker { message, code } if code != ErrorCode::SaslAuthenticationFailed => {
            Failure::Failed(format!("user {}: {message}", user.escape_debug()))
        }
        other => other.into(),
    }
}

const NAME_CHARS_MAX: usize = 64;
