//! The four messages of SCRAM: read and written.
//!
//! Floor 1 of proto.
//!
//! Invariants
//! - Attributes come in the order of the RFC; optional ones behind them are passed over, a
//!   mandatory one (`m=`) that nobody knows is refused.
//! - A name is escaped: `,` as `=2C`, `=` as `=3D`, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{MESSAGE_BYTES_MAX, NONCE_BYTES_MAX, SALT_BYTES_MAX, ScramError, USER_BYTES_MAX};

/// `n,,n=user,r=nonce`.
#[derive(Debug)]
pub(super) struct ClientFirst {
    /// The first two fields with their commas: `n,,`.
    pub(super) header: String,
    /// What is behind them.
    pub(super) bare: String,
    pub(super) user: String,
    pub(super) nonce: String,
}

/// `r=nonce,s=salt,i=iterations`.
#[derive(Debug)]
pub(super) struct ServerFirst {
    pub(super) nonce: String,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u64,
}

/// `c=biws,r=nonce,p=proof`.
#[derive(Debug)]
pub(super) struct ClientFinal {
    pub(super) header: Vec<u8>,
    pub(super) nonce: String,
    pub(super) proof: Vec<u8>,
    /// All of it before `,p=`.
    pub(super) without_proof: String,
}

/// `v=signature`, or `e=error`.
#[derive(Debug)]
pub(super) enum ServerFinal {
    Signature(Vec<u8>),
    Error(String),
}

impl ClientFirst {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ScramError> {
        let wrong = |why| ScramError::Malformed {
            message: "client-first",
            why,
        };
        let text = text_of(bytes).map_err(wrong)?;
        let (flag, rest) = text
            .split_once(',')
            .ok_or_else(|| wrong("it has no fields"))?;
        match flag {
            // `y`: the client could bind, and thinks that the server cannot, which is so.
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(wrong("it does not begin with n, y or p=")),
        }
        let (authorization, bare) = rest
            .split_once(',')
            .ok_or_else(|| wrong("it has no user"))?;
        let mut fields = bare.split(',');
        let user = fields.next().and_then(|field| field.strip_prefix("n="));
        let user = unescaped(user.ok_or_else(|| wrong("its user is missing"))?).map_err(wrong)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let nonce =
            checked_nonce(nonce.ok_or_else(|| wrong("its nonce is missing"))?).map_err(wrong)?;
        if fields.any(|field| field.starts_with("m=")) {
            return Err(wrong("it has a mandatory extension that is not known"));
        }
        if !authorization.is_empty() {
            let name = authorization.strip_prefix("a=");
            let name = name.ok_or_else(|| wrong("its authorization id is malformed"))?;
            if unescaped(name).map_err(wrong)? != user {
                return Err(ScramError::OtherAuthorization);
            }
        }
        let header_bytes = text.len() - bare.len();
        Ok(Self {
            header: text.get(..header_bytes).unwrap_or_default().to_owned(),
            bare: bare.to_owned(),
            user,
            nonce: nonce.to_owned(),
        })
    }
}

impl ServerFirst {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ScramError> {
        let wrong = |why| ScramError::Malformed {
            message: "server-first",
            why,
        };
        let text = text_of(bytes).map_err(wrong)?;
        if let Some(error) = text.strip_prefix("e=") {
            return Err(ScramError::Refused(error.escape_debug().to_string()));
        }
        let mut fields = text.split(',');
        let mut next = |prefix, why| {
            let field = fields.next().and_then(|field| field.strip_prefix(prefix));
            field.ok_or_else(|| wrong(why))
        };
        let nonce = next("r=", "its nonce is missing")?;
        let salt = next("s=", "its salt is missing")?;
        let iterations = next("i=", "its iterations are missing")?;
        // Twice: the client's and the server's.
        if nonce.len() > 2 * NONCE_BYTES_MAX || !nonce.bytes().all(is_of_nonce) {
            return Err(wrong("its nonce is too long, or not printable"));
        }
        let salt = decoded(salt).ok_or_else(|| wrong("its salt is not base64"))?;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(wrong("its salt is empty or too long"));
        }
        Ok(Self {
            nonce: nonce.to_owned(),
            salt,
            iterations: iterations
                .parse()
                .map_err(|_| wrong("its iterations are no number"))?,
        })
    }
}

impl ClientFinal {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ScramError> {
        let wrong = |why| ScramError::Malformed {
            message: "client-final",
            why,
        };
        let text = text_of(bytes).map_err(wrong)?;
        let (without_proof, proof) = text
            .rsplit_once(",p=")
            .ok_or_else(|| wrong("it has no proof"))?;
        let mut fields = without_proof.split(',');
        let header = fields.next().and_then(|field| field.strip_prefix("c="));
        let header = decoded(header.ok_or_else(|| wrong("its channel binding is missing"))?);
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        if fields.any(|field| field.starts_with("m=")) {
            return Err(wrong("it has a mandatory extension that is not known"));
        }
        Ok(Self {
            header: header.ok_or_else(|| wrong("its channel binding is not base64"))?,
            nonce: nonce
                .ok_or_else(|| wrong("its nonce is missing"))?
                .to_owned(),
            proof: decoded(proof).ok_or_else(|| wrong("its proof is not base64"))?,
            without_proof: without_proof.to_owned(),
        })
    }
}

impl ServerFinal {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ScramError> {
        let wrong = |why| ScramError::Malformed {
            message: "server-final",
            why,
        };
        let text = text_of(bytes).map_err(wrong)?;
        let field = text.split(',').next().unwrap_or_default();
        if let Some(error) = field.strip_prefix("e=") {
            return Ok(Self::Error(error.escape_debug().to_string()));
        }
        let signature = field
            .strip_prefix("v=")
            .ok_or_else(|| wrong("it has no signature"))?;
        let signature = decoded(signature).ok_or_else(|| wrong("its signature is not base64"))?;
        Ok(Self::Signature(signature))
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err("it is too long");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    match text.contains('\0') {
        true => Err("it has a NUL"),
        false => Ok(text),
    }
}

fn is_of_nonce(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && byte != b','
}

pub(super) fn checked_nonce(nonce: &str) -> Result<&str, &'static str> {
    match nonce.len() {
        0 => Err("its nonce is empty"),
        1..=NONCE_BYTES_MAX if nonce.bytes().all(is_of_nonce) => Ok(nonce),
        1..=NONCE_BYTES_MAX => Err("its nonce is not printable"),
        _ => Err("its nonce is too long"),
    }
}

/// A name as it stands in a message.
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescaped(text: &str) -> Result<String, &'static str> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        let (char, behind) = match (after.strip_prefix("2C"), after.strip_prefix("3D")) {
            (Some(behind), _) => (',', behind),
            (_, Some(behind)) => ('=', behind),
            _ => return Err("its user has a = that is neither =2C nor =3D"),
        };
        name.push(char);
        rest = behind;
    }
    name.push_str(rest);
    match name.len() {
        1..=USER_BYTES_MAX => Ok(name),
        _ => Err("its user is empty, or too long"),
    }
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
