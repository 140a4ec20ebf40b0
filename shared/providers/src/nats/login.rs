//! How an integration proves itself to its servers, and the key by which its connections are told from those of others.

use std::{fmt, sync::Arc};

use nkeys::{KeyPair, KeyPairType};
use sha2::{Digest, Sha256};

use super::server::Server;
use crate::{FieldError, Secret};

/// Longest credential, in bytes: JWTs are the longest.
const CREDENTIAL_BYTES_MAX: usize = 64 * 1024;

/// What is sent to a server to be let in.
pub enum Login {
    /// Nothing.
    Anonymous,
    /// A user and its password.
    User {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A token.
    Token(Secret),
    /// The signature of a key.
    Nkey(KeyPair),
    /// A user's JWT with the signature of its key.
    Jwt {
        /// The JWT.
        jwt: Secret,
        /// The key.
        key: KeyPair,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::User { .. } => "User",
            Self::Token(_) => "Token",
            Self::Nkey(_) => "Nkey",
            Self::Jwt { .. } => "Jwt",
        })
    }
}

/// A login at certain servers. Requests of one integration with the same identity share connections.
#[derive(Clone)]
pub struct Identity {
    login: Arc<Login>,
    key: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.login.fmt(f)
    }
}

impl Identity {
    /// Makes the key of all that a connection depends on.
    pub fn of(servers: &[Server], login: Login) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for server in servers {
            part(server.to_string().as_bytes());
        }
        part(b"login");
        match &login {
            Login::Anonymous => part(b"anonymous"),
            Login::User { user, password } => {
                part(b"user");
                part(user.as_bytes());
                part(password.expose().as_bytes());
            }
            Login::Token(token) => {
                part(b"token");
                part(token.expose().as_bytes());
            }
            // The public key stands for the seed.
            Login::Nkey(key) => {
                part(b"nkey");
                part(key.public_key().as_bytes());
            }
            Login::Jwt { jwt, key } => {
                part(b"jwt");
                part(jwt.expose().as_bytes());
                part(key.public_key().as_bytes());
            }
        }
        Self {
            login: Arc::new(login),
            key: hash.finalize().into(),
        }
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

/// The credentials as they were written.
pub(super) struct Given<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a Secret>,
    pub(super) token: Option<&'a Secret>,
    pub(super) nkey: Option<&'a Secret>,
    pub(super) creds: Option<&'a Secret>,
}

impl Given<'_> {
    /// The one way that they name, or all that is wrong with them.
    pub(super) fn login(&self, anonymous: bool) -> Result<Login, Vec<FieldError>> {
        let ways = [
            ("user", self.user.is_some() || self.password.is_some()),
            ("token", self.token.is_some()),
            ("nkey", self.nkey.is_some()),
            ("creds", self.creds.is_some()),
        ];
        let mut given = ways.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
        let wrong = |pointer: &str, message: &str| Err(vec![FieldError::new(pointer, message)]);
        match (given.next(), given.next(), anonymous) {
            (None, _, true) => Ok(Login::Anonymous),
            (None, _, false) => wrong(
                "credentials",
                "are missing: give user and password, token, nkey or creds, which are this integration's own; for a \
                 server that asks for none set config.anonymous",
            ),
            (Some(_), _, true) => wrong("config/anonymous", "is set beside credentials: keep one"),
            (_, Some(second), _) => {
                let pointer = format!("credentials/{second}");
                wrong(
                    &pointer,
                    "is one way too many: give one of user and password, token, nkey and creds",
                )
            }
            (Some(first), None, false) => self.way(first).map_err(|error| vec![error]),
        }
    }

    fn way(&self, name: &str) -> Result<Login, FieldError> {
        match (name, self.token, self.nkey, self.creds) {
            ("token", Some(token), ..) => Ok(Login::Token(text("credentials/token", token)?)),
            ("nkey", _, Some(seed), _) => {
                let seed = text("credentials/nkey", seed)?;
                Ok(Login::Nkey(key("credentials/nkey", seed.expose())?))
            }
            ("creds", _, _, Some(creds)) => jwt("credentials/creds", &text("credentials/creds", creds)?),
            _ => self.user_and_password(),
        }
    }

    fn user_and_password(&self) -> Result<Login, FieldError> {
        match (self.user.map(str::trim), self.password) {
            (None | Some(""), _) => Err(FieldError::new("credentials/user", "is missing beside the password")),
            (Some(_), None) => Err(FieldError::new("credentials/password", "is missing beside the user")),
            (Some(user), Some(password)) => Ok(Login::User {
                user: user.to_owned(),
                password: text("credentials/password", password)?,
            }),
        }
    }
}

/// A credential without the white space around it.
fn text(pointer: &str, secret: &Secret) -> Result<Secret, FieldError> {
    match secret.expose().trim() {
        "" => Err(FieldError::new(pointer, "is empty")),
        text if text.len() > CREDENTIAL_BYTES_MAX => Err(FieldError::new(
            pointer,
            format!("is longer than {CREDENTIAL_BYTES_MAX} bytes"),
        )),
        text => Ok(Secret::from(text)),
    }
}

fn key(pointer: &str, seed: &str) -> Result<KeyPair, FieldError> {
    // What the parser says could repeat a part of the seed.
    let key = KeyPair::from_seed(seed).map_err(|_| FieldError::new(pointer, "is not the seed of an nkey (SU…)"))?;
    match key.key_pair_type() {
        KeyPairType::User => Ok(key),
        _ => Err(FieldError::new(
            pointer,
            "is the seed of another nkey than a user's (SU…)",
        )),
    }
}

/// Reads a credentials file: a JWT and a seed, each between two lines of dashes.
fn jwt(pointer: &str, file: &Secret) -> Result<Login, FieldError> {
    let wrong = |message: &str| FieldError::new(pointer, message);
    let jwt = between(file.expose(), "NATS USER JWT").ok_or_else(|| wrong("holds no NATS USER JWT"))?;
    let seed = between(file.expose(), "USER NKEY SEED").ok_or_else(|| wrong("holds no USER NKEY SEED"))?;
    if jwt.split('.').count() != 3 || !jwt.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("holds a NATS USER JWT that is none"));
    }
    Ok(Login::Jwt {
        jwt: Secret::from(jwt),
        key: key(pointer, seed)?,
    })
}

/// The line between those that begin and end a part.
fn between<'a>(file: &'a str, part: &str) -> Option<&'a str> {
    let is_mark = |line: &str, word: &str| {
        let words = line.trim_matches('-').trim();
        line.starts_with("---") && words.strip_prefix(word).is_some_and(|rest| rest.trim() == part)
    };
    let mut lines = file.lines().map(str::trim).skip_while(|line| !is_mark(line, "BEGIN"));
    lines.next()?;
    let mut inside = lines
        .take_while(|line| !line.starts_with("---"))
        .filter(|line| !line.is_empty());
    inside.next()
}

#[cfg(test)]
mod tests;
