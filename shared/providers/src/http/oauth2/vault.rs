//! Where tokens lie that several processes share.

use std::{any::Any, fmt, pin::Pin, time::Duration};

use crate::Secret;

/// What a vault answers in a while.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, VaultError>> + Send + 'a>>;

/// The sole right to fetch a token, until it is dropped or its time is over.
pub type Lease = Box<dyn Any + Send>;

/// Why a vault could not be asked. Tokens are then fetched without it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct VaultError(pub String);

/// Keeps tokens for all processes of an installation. Whoever implements it seals what it keeps: a vault's own storage
/// holds no token that can be read.
pub trait Vault: fmt::Debug + Send + Sync {
    /// What was put under this name and is not over. What cannot be opened any more counts as missing.
    fn get<'a>(&'a self, name: &'a str) -> Pending<'a, Option<Secret>>;

    /// Puts something under this name, for so long.
    fn put<'a>(&'a self, name: &'a str, value: &'a Secret, ttl: Duration) -> Pending<'a, ()>;

    /// Takes the lease of this name; `None` where another process has it.
    fn lease<'a>(&'a self, name: &'a str, ttl: Duration) -> Pending<'a, Option<Lease>>;
}
